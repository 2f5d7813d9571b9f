"""Interarrival laws of unit mean as tables of quantiles, built once on the host.

The table is octave-spaced towards both tails (see :mod:`fastq.kernels.draws`), interpolated linearly by the
kernels in integers, and scaled so that the interpolated law has mean 1.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_MANTISSA_BITS = 32
MIN_SHIFT = 6  # a mean of 2^50 ns, 13 days


@cache
def interarrival_table(process: str) -> NDArray[np.int64]:
    """Quantiles of the interarrival time of ``process``, in 2^-24 of its mean."""
    from fastq.kernels.draws import ENTRIES_PER_OCTAVE, GAP_UNIT_BITS, OCTAVES

    octave = np.repeat(np.arange(OCTAVES), ENTRIES_PER_OCTAVE)
    step = np.tile(np.arange(ENTRIES_PER_OCTAVE), OCTAVES)
    edges = np.ldexp(1.0 + step / ENTRIES_PER_OCTAVE, octave)
    edges = np.append(edges, np.ldexp(1.0, OCTAVES))
    tail = np.ldexp(edges, -OCTAVES - 1)  # probability beyond the edge, up to 1/2
    below, above = _TAIL_QUANTILES[process]
    lower, upper = below(tail), above(tail)
    weights = np.diff(tail)
    areas = np.concatenate([weights * (half[1:] + half[:-1]) / 2 for half in (lower, upper)])
    mean = math.fsum(areas)
    table = np.concatenate([lower, upper]) / mean
    result: NDArray[np.int64] = np.rint(np.ldexp(table, GAP_UNIT_BITS)).astype(np.int64)
    result.flags.writeable = False
    return result


def mean_as_fixed_point(mean_ns: float) -> tuple[int, int]:
    """Split a mean interarrival time, ns: what a quantile in 2^-24 is multiplied by and then shifted right."""
    from fastq.kernels.draws import GAP_UNIT_BITS

    fraction, exponent = np.frexp(mean_ns)
    mantissa = round(float(fraction) * 2.0**MAX_MANTISSA_BITS)
    shift = GAP_UNIT_BITS + MAX_MANTISSA_BITS - int(exponent)
    if shift < MIN_SHIFT:
        raise SpecError(
            "arrivals this rare would outrun the clock's simulated time of 146 years; the lowest rate is 1e-06",
            key="arrivals.rate_rps",
            value=1e9 / mean_ns,
        )
    return mantissa, shift


def _exponential_below(tail: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log1p(-tail)


def _exponential_above(tail: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log(tail)


_TAIL_QUANTILES: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...]] = {
    "poisson": (_exponential_below, _exponential_above),
}
"""By process: the quantile function of the lower tail and that of the upper tail, each from the tail's mass."""
