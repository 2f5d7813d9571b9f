"""Means and quantiles from integer histograms, with intervals from independent replications."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.intervals import CONFIDENCE, Interval, ratio_interval
from fastq.analysis.replication import Distribution

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray


def merged(distributions: Sequence[Distribution]) -> Distribution:
    """One distribution of all their values."""
    occupied = [d for d in distributions if d.bins.size]
    first = min((d.first_bin for d in occupied), default=0)
    bins = np.zeros(max((d.first_bin + d.bins.size for d in occupied), default=0) - first, np.int64)
    for d in occupied:
        start = d.first_bin - first
        bins[start : start + d.bins.size] += d.bins
    return Distribution(sum(d.count for d in distributions), sum(d.total for d in distributions), first, bins)


def quantile(distribution: Distribution, edges: NDArray[np.int64], share: float | Fraction) -> float | None:
    """The smallest value that at least ``share`` of the values don't exceed, to within its bin.

    Parameters
    ----------
    distribution
        At least one value, else the result is ``None``.
    edges
        (bins + 1,) lower edge of each bin and the upper edge of the last, in the distribution's unit.
    share
        In (0, 1]; a fraction where it must be exact.

    Returns
    -------
    float
        Values are taken to lie evenly in their bin; the mean where one bin holds all, so exact where all are equal.
    """
    if distribution.count == 0:
        return None
    return _value_at(distribution, edges, max(1, math.ceil(share * distribution.count)))


def _value_at(distribution: Distribution, edges: NDArray[np.int64], rank: float) -> float:
    """The value that ``rank`` >= 1 of the values don't exceed."""
    upto = np.cumsum(distribution.bins)
    within = int(np.searchsorted(upto, rank))
    values = int(distribution.bins[within])
    if values == distribution.count:
        return distribution.total / distribution.count
    low, after = edges[distribution.first_bin + within : distribution.first_bin + within + 2].tolist()
    position = max(0.0, (rank - (int(upto[within]) - values) - 0.5) / values)
    return float(low + (after - 1 - low) * position)


def interval_of_mean(
    replications: Sequence[Distribution], *, confidence: float = CONFIDENCE
) -> Interval | None:
    """Mean over all values of at least two independent ``replications``; ``None`` without any value."""
    if not any(each.count for each in replications):
        return None
    return ratio_interval(
        [each.total for each in replications], [each.count for each in replications], confidence=confidence
    )


def interval_of_quantile(
    replications: Sequence[Distribution],
    edges: NDArray[np.int64],
    share: float,
    *,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Quantile of all values of independent replications.

    An interval of the share of values below the estimate, which is a ratio of two sums over replications, is carried
    over to the values: its ends are the quantiles of the ends. So it needs no density, and is as skewed as they are.
    Source: R. S. Woodruff, "Confidence intervals for medians and other position measures", JASA 47, 1952.

    Parameters
    ----------
    replications
        At least two.
    edges, share
        As for :func:`quantile`.
    confidence
        Of the interval.

    Returns
    -------
    Interval or None
        ``None`` without any value.
    """
    pooled = merged(replications)
    estimate = quantile(pooled, edges, share)
    if estimate is None:
        return None
    k = int(np.searchsorted(edges, estimate, side="right")) - 1
    below = [int(each.bins[: max(0, k - each.first_bin)].sum()) for each in replications]
    shares = ratio_interval(below, [each.count for each in replications], confidence=confidence)
    half = shares.high - shares.estimate
    ranks = (min(max(1.0, end * pooled.count), pooled.count) for end in (share - half, share + half))
    low, high = (_value_at(pooled, edges, rank) for rank in ranks)
    return Interval(estimate, min(low, estimate), max(high, estimate))
