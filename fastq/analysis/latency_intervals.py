"""Means and quantiles of a latency, with intervals for queues whose waits come in bursts.

Under load most replications see no long burst and one sees several, so their means are skewed to the right. Student's
interval is symmetric: the truth lies above it far too often. Here an interval is as lopsided as the distribution. The
share of values above a level is a ratio of two sums over replications, and its interval is Student's on the scale of
log-odds: a share near 0 can't fall below 0, but may be several times as large.

* A quantile's interval is the range of levels of which the share may be that of the quantile (Francisco and Fuller).
  The noise at its estimate alone would not do (Woodruff): where bursts are missing, both are too low.
* A mean is the integral of the share above each level, and its ends are the integrals of the ends of the shares. These
  do not all move together: one factor on all their widths makes the mean's interval Student's to first order.

Sources: C. A. Francisco and W. A. Fuller, "Quantile estimation with a complex survey design", Annals of Statistics 19,
1991; R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA 47, 1952, where the range
lies within one bin; E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of
positive counts", Survey Methodology 24, 1998; W. G. Cochran, "Sampling Techniques", 1977, ch. 6, for a ratio's error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.intervals import Interval, ratio_interval, student_quantile
from fastq.analysis.quantiles import value_at
from fastq.analysis.replication import Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

MEAN = "mean"
WAIT = "wait"

SHARE_OF_NOISE = 0.8
"""Squared correlation with a wait from which on a statistic owes its noise to that wait."""

MEAN_STEP = 16
"""Bins between two levels of the integral that is a mean: 8 to 12%."""

LEAST_BURSTS_OF_MEAN, LEAST_BURSTS_OF_QUANTILE = 12, 6
"""An interval that rests on fewer bursts holds the truth less often than it should. The bursts that a mean adds up
differ in size, so it takes more of them. ``python -m benchmarks.trust latencies`` measures what the two are worth."""


@dataclass(frozen=True, slots=True)
class Rested:
    """An interval and what it rests on.

    Parameters
    ----------
    interval
        At 95% confidence.
    bursts
        A share that is a sum of K independent parts of equal size has a relative standard error of 1 / sqrt(K). This is
        the K of the share of values above a quantile; for a mean, of the levels that its noise comes from. Infinite
        without noise.
    short
        Whether these are too few for the interval to be trusted.
    residuals
        By how much each replication is off: its sum, or its number of values above, less the share of all that its
        number of values lets expect.
    """

    interval: Interval
    bursts: float
    short: bool
    residuals: tuple[float, ...]


def latency_intervals(
    replications: Sequence[Distribution], edges: Ints, shares: Mapping[str, float]
) -> dict[str, Rested]:
    """Mean and quantiles of all values of independent replications.

    Parameters
    ----------
    replications
        At least two.
    edges
        (bins + 1,) as for :func:`fastq.analysis.quantiles.quantile`.
    shares
        Of the quantiles, by name, in (0, 1).

    Returns
    -------
    dict
        The mean under :data:`MEAN`, then the quantiles under their names; empty without any value.
    """
    counts = np.array([each.count for each in replications], np.int64)
    if not counts.any():
        return {}
    first, below = _below(replications)
    below_of_all = below.sum(0)
    upto = below_of_all[1:]
    total = sum(each.total for each in replications)
    pooled = Distribution(int(upto[-1]), total, first, upto - below_of_all[:-1])
    levels = edges[first : first + below_of_all.size].copy()
    levels[-1] -= 1
    above = Shares.above(counts, below)
    student = ratio_interval([each.total for each in replications], counts.tolist())
    interval, bursts = lopsided(student, above, levels)
    residuals = tuple(each.total - student.estimate * each.count for each in replications)
    found = {MEAN: Rested(interval, bursts, bursts < LEAST_BURSTS_OF_MEAN, residuals)}
    t = student_quantile(len(replications) - 1)
    band = Band.around(above.share, t * above.error_of_log_odds)
    for name, share in shares.items():
        estimate = value_at(pooled, upto, edges, max(1, math.ceil(share * pooled.count)))
        column = int(np.searchsorted(edges, estimate, side="right")) - 1 - first
        # Where many values are equal the distribution function jumps: the noisier of its two sides counts.
        sides = (column, column + 1)
        ends = inverted(band, levels, share)
        if ends is None:
            half = max(float(band.half[side]) for side in sides)
            ranks = (moved(share, sign * half) * pooled.count for sign in (-1, 1))
            ends = [value_at(pooled, upto, edges, min(max(1.0, rank), pooled.count)) for rank in ranks]
        interval = Interval(estimate, min(ends[0], estimate), max(ends[1], estimate))
        bursts = min(above.bursts_at(side) for side in sides)
        residuals = tuple(above.residuals[:, column + 1].tolist())
        found[name] = Rested(interval, bursts, bursts < LEAST_BURSTS_OF_QUANTILE, residuals)
    return found


def resting_on_waits(found: Mapping[str, Mapping[str, Rested]]) -> dict[str, dict[str, Rested]]:
    """Mark what takes its noise from waits that are short themselves.

    A long burst moves all of a latency that contains the wait, so that none of its shares is small and rare, as those
    of waits are: it shows there alone.

    Parameters
    ----------
    found
        By latency, one of them :data:`WAIT`, and statistic.

    Returns
    -------
    dict
        The same, and short too what varies from replication to replication as does the mean wait, or the same statistic
        of the wait, where that is short.
    """
    waits = found[WAIT]

    def owing(name: str, rested: Rested) -> bool:
        return any(
            waits[each].short and squared_correlation(rested, waits[each]) >= SHARE_OF_NOISE
            for each in (name, MEAN)
        )

    return {
        latency: {
            name: replace(each, short=True) if not each.short and owing(name, each) else each
            for name, each in statistics.items()
        }
        for latency, statistics in found.items()
    }


def squared_correlation(one: Rested, other: Rested) -> float:
    """How much of the noise of one the other accounts for, over replications: 0 to 1."""
    square = sum(a * a for a in one.residuals) * sum(b * b for b in other.residuals)
    product = sum(a * b for a, b in zip(one.residuals, other.residuals, strict=True))
    return product * product / square if square else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Shares of all values above some levels.

    Parameters
    ----------
    share, error
        (levels,) and their standard errors.
    residuals
        (replications, levels) values above, less the share of all values of the replication.
    """

    share: Floats
    error: Floats
    residuals: Floats

    @classmethod
    def above(cls, counts: Ints, below: Ints) -> Shares:
        """Estimate them from (replications,) ``counts`` of values, and (replications, levels) of those ``below``."""
        n, total = len(counts), int(counts.sum())
        share = 1 - below.sum(0) / total
        residuals = counts[:, None] * (1 - share) - below
        error = np.sqrt((residuals * residuals).sum(0) / (n - 1) / n) * (n / total)
        return cls(share, error, residuals)

    def part(self, levels: slice) -> Shares:
        """Those of some of the levels."""
        return Shares(self.share[levels], self.error[levels], self.residuals[:, levels])

    @property
    def error_of_log_odds(self) -> Floats:
        """Standard errors of log(share / (1 - share)); 0 where all or no values are above."""
        spread = self.share * (1 - self.share)
        return np.divide(self.error, spread, out=np.zeros_like(spread), where=spread > 0)

    def bursts_at(self, level: int) -> float:
        """Parts of equal size that would make a sum as noisy as the share; infinite without noise."""
        error = float(self.error[level])
        return (float(self.share[level]) / error) ** 2 if error else math.inf


def lopsided(student: Interval, above: Shares, levels: Ints) -> tuple[Interval, float]:
    """The interval of a mean, to first order as wide as Student's, but as lopsided as the shares; and its bursts.

    Parameters
    ----------
    student
        Mean of all values, with Student's interval.
    above
        Shares of values above the levels.
    levels
        Rising; all values are above the first, and none is above the last.
    """
    half = student.high - student.estimate
    inner = slice(MEAN_STEP, -1, MEAN_STEP)
    some = above.part(inner)
    share = some.share
    # Each share stands for the stretch around its level.
    ends = np.concatenate([levels[:1], levels[inner], levels[-1:]])
    stretch = (ends[2:] - ends[:-2]) / 2
    noise = stretch * some.error
    linear = math.fsum(noise.tolist())
    if not linear:
        return student, math.inf
    others = len(some.residuals) - 1
    t = student_quantile(others)
    # Exponentials of the C library, not of numpy, whose last bit depends on the processor; sums that are exact.
    exponent = min(t, half / linear) * some.error_of_log_odds
    factor = np.array([math.exp(each) for each in exponent.tolist()])
    odds = share / (1 - share)
    up, down = (
        math.fsum((stretch * np.abs(moved_odds / (1 + moved_odds) - share)).tolist())
        for moved_odds in (odds * factor, odds / factor)
    )
    # What the levels can't account for, as within one of their stretches, stays as it is.
    rest = max(0.0, half - t * linear)
    interval = Interval(student.estimate, student.estimate - down - rest, student.estimate + up + rest)
    # K bursts that fall anywhere miss a share (n - 1) / (K + n - 1) of n replications: that is averaged over the noise.
    variance = (some.error / share) ** 2
    missed = math.fsum((noise * (variance * others / (1 + variance * others))).tolist()) / linear
    return interval, others / missed - others


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Where the log-odds of shares may be.

    Parameters
    ----------
    share
        (levels,) in [0, 1].
    half
        Half of the width of the interval of the log-odds of each.
    low, high
        Ends of these intervals; good for finding places, not for results: the last bit of numpy's logarithms depends on
        the processor.
    """

    share: Floats
    half: Floats
    low: Floats
    high: Floats

    @classmethod
    def around(cls, share: Floats, half: Floats) -> Band:
        """Make it of shares and half-widths."""
        with np.errstate(divide="ignore"):
            log_odds = np.log(share) - np.log(1 - share)
        return cls(share, half, log_odds - half, log_odds + half)

    def room(self, level: int, target: float, sign: int) -> float:
        """How far the interval reaches beyond ``target``, downwards (-1) or upwards (1)."""
        p = float(self.share[level])
        log_odds = math.log(p / (1 - p)) if 0 < p < 1 else math.inf if p else -math.inf
        return float(self.half[level]) + sign * (log_odds - target)


def inverted(band: Band, levels: Ints, share: float) -> list[float] | None:
    """Ends of the range of levels of which the share of values below may be ``share``.

    Parameters
    ----------
    band
        Of the shares of values above the levels.
    levels
        Rising; all values are above the first, and none is above the last.
    share
        In (0, 1).

    Returns
    -------
    list or None
        Between the outermost levels that may be and their neighbours that may not; ``None`` where no level may be.
    """
    target = math.log((1 - share) / share)
    possible = ((band.low <= target) & (band.high >= target)).nonzero()[0]
    if not possible.size:
        return None
    ends = []
    for inside, sign in ((int(possible[0]), -1), (int(possible[-1]), 1)):
        most, least = max(0.0, band.room(inside, target, sign)), band.room(inside + sign, target, sign)
        part = most / (most - least) if least > -math.inf else 1.0
        here, there = int(levels[inside]), int(levels[inside + sign])
        ends.append(here + part * (there - here))
    return ends


def moved(share: float, by: float) -> float:
    """The share in (0, 1) whose log-odds are those of ``share`` plus ``by``."""
    odds = share / (1 - share) * math.exp(by)
    return odds / (1 + odds)


def _below(replications: Sequence[Distribution]) -> tuple[int, Ints]:
    """The first bin that any occupies; (replications, bins + 1) values below the edges of the bins from there on."""
    occupied = [each for each in replications if each.count]
    first = min(each.first_bin for each in occupied)
    end = max(each.first_bin + each.bins.size for each in occupied)
    below = np.zeros((len(replications), end - first + 1), np.int64)
    for row, each in zip(below, replications, strict=True):
        if each.count:
            row[each.first_bin - first + 1 : each.first_bin - first + 1 + each.bins.size] = each.bins
    np.cumsum(below, axis=1, out=below)
    return first, below
