"""Is a rate off by more than a tolerance? Many rates at once, with one error rate for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.differences import ROUNDING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.analysis.differences import LogRatios

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_WIDEST = 20.0
"""Logarithm at which an interval ends: two replications that tell nothing could send it beyond what a float holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Relative differences, new over old less 1, each of shape (points,).

    Parameters
    ----------
    low, high
        Ends of the confidence interval of each alone.
    p_value
        Of the hypothesis that the difference is within the tolerance.
    p_adjusted
        The same after Holm's correction for all that were tested.
    p_adjusted_zero
        Of the hypothesis that there is no difference at all, corrected likewise.
    """

    low: Floats
    high: Floats
    p_value: Floats
    p_adjusted: Floats
    p_adjusted_zero: Floats


def judge(ratios: LogRatios, *, tolerance: float, confidence: float) -> Judged:
    """Test every difference against the tolerance and against 0.

    Parameters
    ----------
    ratios
        What was estimated.
    tolerance
        Relative, in [0, 1).
    confidence
        Of the intervals.
    """
    from scipy.special import stdtrit

    half = stdtrit(ratios.degrees, 0.5 + confidence / 2) * ratios.error
    p_value = _p_values(ratios, margins(ratios.estimate, tolerance))
    return Judged(
        low=np.expm1(ratios.estimate - half),
        high=np.expm1(np.minimum(ratios.estimate + half, _WIDEST)),
        p_value=p_value,
        p_adjusted=holm(p_value),
        p_adjusted_zero=holm(_p_values(ratios, np.zeros_like(ratios.estimate))),
    )


def margins(log_ratio: Floats, tolerance: float) -> Floats:
    """Return how far the logarithm of each ratio may be from 0 on its side: relative tolerances are not symmetric.

    Rounding goes on top, so that a difference of exactly the tolerance is within it.
    """
    allowed: Floats = np.where(log_ratio >= 0, np.log1p(tolerance), -np.log1p(-tolerance))
    return allowed + ROUNDING


def reaches_past(low: Floats, high: Floats, tolerance: float) -> Bools:
    """Whether an interval of relative differences holds some beyond the tolerance."""
    return (low < -tolerance - ROUNDING) | (high > tolerance + ROUNDING)


def ranges_beyond(
    old: tuple[Floats, Floats], new: tuple[Floats, Floats], tolerance: float
) -> tuple[Floats, Floats, Bools]:
    """Compare ranges, given as (low, high), instead of estimates.

    Returns
    -------
    low, high
        Smallest and largest relative difference of a rate in the new range from one in the old range.
    beyond
        Whether even the nearest two differ by more than the tolerance.
    """
    least, most = np.exp(-_WIDEST), np.exp(_WIDEST)
    low = np.maximum(new[0], 0.0) / old[1] - 1
    high = np.minimum(new[1] / np.maximum(old[0], least * old[1]), most) - 1
    return low, high, (low > tolerance + ROUNDING) | (high < -tolerance - ROUNDING)


def ranges_tell(old_replications: int, new_replications: int, error_rate: float) -> bool:
    """Whether ranges over so many replications are apart by chance at most that often.

    Independent values of one law are as likely in any order, and two of the orders have the ranges apart.
    """
    return 2 / math.comb(old_replications + new_replications, old_replications) <= error_rate


def holm(p_values: Floats) -> Floats:
    """Adjust p-values so that rejecting those up to a level errs at all, anywhere, at most that often.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979);
    it holds however the tests depend on one another.
    """
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def _p_values(ratios: LogRatios, margin: Floats) -> Floats:
    """Chance of an estimate so far out on either side where the truth lies on the margin."""
    from scipy.special import stdtr

    distance = np.abs(ratios.estimate)
    with np.errstate(invalid="ignore", divide="ignore"):
        tails = sum(stdtr(ratios.degrees, -(distance + shift) / ratios.error) for shift in (-margin, margin))
    return np.where(ratios.error > 0, np.minimum(tails, 1.0), np.where(distance > margin, 0.0, 1.0))
