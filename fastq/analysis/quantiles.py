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
        Values are taken to lie evenly in their bin; the mean where one bin holds all, so exact where all are equal.
    """
    if distribution.count == 0:
        return None
    rank = max(1, math.ceil(share * distribution.count))
    return value_at(distribution, np.cumsum(distribution.bins), edges, rank)


def value_at(
    distribution: Distribution, upto: NDArray[np.int64], edges: NDArray[np.int64], rank: float
) -> float:
    """The value that ``rank`` >= 1 of the values don't exceed; ``upto`` are the sums of the bins up to each."""
    within = int(np.searchsorted(upto, rank))
    values = int(distribution.bins[within])
    if values == distribution.count:
        return distribution.total / distribution.count
    low, after = edges[distribution.first_bin + within : distribution.first_bin + within + 2].tolist()
    position = max(0.0, (rank - (int(upto[within]) - values) - 0.5) / values)
    return float(low + (after - 1 - low) * position)
