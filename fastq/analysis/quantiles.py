"""Quantiles from integer histograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

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
        Middle of the bin; the mean where one bin holds all values, so exact where all are equal.
    """
    if distribution.count == 0:
        return None
    rank = math.ceil(share * distribution.count)
    within = int(np.searchsorted(np.cumsum(distribution.bins), max(rank, 1)))
    if distribution.bins[within] == distribution.count:
        return distribution.total / distribution.count
    k = distribution.first_bin + within
    return (int(edges[k]) + int(edges[k + 1]) - 1) / 2


def mean(distribution: Distribution) -> float | None:
    """Mean of the values; ``None`` without any."""
    return distribution.total / distribution.count if distribution.count else None
