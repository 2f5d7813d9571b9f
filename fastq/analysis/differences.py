"""How far a rate has moved from one run to another: the logarithm of new over old, with its standard error.

A rate is completions over time, pooled over replications, as in :func:`fastq.analysis.intervals.pooled_throughput`.
To first order its relative error is the mean of what the replications add to it, so the error of a ratio is that
of a difference of means: taken replication by replication where both runs drew the same requests, when most of it
goes, and otherwise as of two independent runs.

Arrays have a place for every point; a ratio of two equal rates is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.intervals import CONFIDENCE, student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

ROUNDING = 1e-12
"""Relative differences up to here are those of rounding: they count as none."""


@dataclass(frozen=True, slots=True, eq=False)
class Throughputs:
    """What the replications of each point completed, and in what time.

    Parameters
    ----------
    requests
        (points, replications) completed in the windows.
    time_s
        (points, replications) length of the windows, s, scaled by what the sample lets expect.
    """

    requests: Floats
    time_s: Floats

    @property
    def rate_rps(self) -> Floats:
        """(points,) pooled rates, requests/s."""
        rate_rps: Floats = self.requests.sum(axis=1) / self.time_s.sum(axis=1)
        return rate_rps

    def relative_residuals(self) -> Floats:
        """(points, replications) what each adds to the relative error of the rate; the mean of a point is 0."""
        residuals = self.requests - self.rate_rps[:, None] * self.time_s
        relative: Floats = residuals / self.requests.mean(axis=1, keepdims=True)
        return relative


@dataclass(frozen=True, slots=True, eq=False)
class LogRatios:
    """Logarithms of new over old rates.

    Parameters
    ----------
    estimate, error
        (points,) each, and its standard error.
    degrees
        (points,) degrees of freedom of Student's t.
    """

    estimate: Floats
    error: Floats
    degrees: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Rates with their 95% intervals from ``replications``, requests/s, each of shape (points,)."""

    rate_rps: Floats
    low_rps: Floats
    high_rps: Floats
    replications: int

    def at(self, points: NDArray[np.int64]) -> Estimates:
        """Those of some points."""
        return Estimates(
            self.rate_rps[points], self.low_rps[points], self.high_rps[points], self.replications
        )

    def relative_error(self) -> Floats:
        """(points,) relative standard errors; the wider side counts where an interval was cut off at a bound."""
        half_rps = np.maximum(self.rate_rps - self.low_rps, self.high_rps - self.rate_rps)
        return half_rps / self.rate_rps / student_quantile(self.replications - 1, CONFIDENCE)

    def found_by_all(self) -> Bools:
        """(points,) means of searched rates to which surely no replication that found none gave a 0.

        One 0 among them leaves a relative standard error of 1 / (replications - 1), however close the others are.
        """
        found: Bools = self.relative_error() < 1 / (self.replications - 1)
        return found & (self.low_rps > 0)


def log_ratios(old_rps: Floats, new_rps: Floats) -> Floats:
    """Return the logarithms of new over old rates; differences of mere rounding are exactly 0."""
    return _rounded(np.log(new_rps / old_rps))


def paired(old: Throughputs, new: Throughputs) -> LogRatios:
    """Compare runs whose replications of one number share their draws.

    Replications that only one of the runs has count too, on their own; the degrees of freedom are then those of
    the shorter run.
    """
    least = min(old.requests.shape[1], new.requests.shape[1])
    parts = [each.relative_residuals() / each.requests.shape[1] for each in (new, old)]
    most = max(part.shape[1] for part in parts)
    of_new, of_old = (np.pad(part, ((0, 0), (0, most - part.shape[1]))) for part in parts)
    variance = ((of_new - of_old) ** 2).sum(axis=1) * least / (least - 1)
    return LogRatios(
        log_ratios(old.rate_rps, new.rate_rps),
        _rounded(np.sqrt(variance)),
        np.full(len(variance), least - 1.0),
    )


def independent(
    old: Estimates,
    new: Estimates,
    *,
    resolution: Floats | float = 0.0,
    searched_up_to: tuple[Estimates, Estimates] | None = None,
) -> LogRatios:
    """Compare runs by the intervals of their rates, as independent (Welch's t).

    Where both runs share draws, errors that have one sign in both go out of the difference: the error given is
    then too large.

    Parameters
    ----------
    old, new
        What is compared.
    resolution
        Step, relative to the rate, on which each rate was searched; 0 where it was not searched.
    searched_up_to
        Rates at which the searches of old and new ended. Replications that reach such an end all give it, so that
        their interval does not tell of its error, which is added.
    """
    steps = np.asarray(resolution, np.float64) ** 2 / 12
    variances = [each.relative_error() ** 2 + steps for each in (old, new)]
    if searched_up_to is not None:
        variances = [
            variance + end.relative_error() ** 2
            for variance, end in zip(variances, searched_up_to, strict=True)
        ]
    total = variances[0] + variances[1]
    freedoms = [each.replications - 1 for each in (old, new)]
    spread = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = np.where(total > 0, total**2 / spread, float(sum(freedoms)))
    return LogRatios(log_ratios(old.rate_rps, new.rate_rps), _rounded(np.sqrt(total)), degrees)


def _rounded(values: Floats) -> Floats:
    """Replace what is mere rounding by 0: an exact ratio has no error, and no t statistic of chance."""
    return np.where(np.abs(values) <= ROUNDING, 0.0, values)
