"""Interarrival laws of unit mean as tables of quantiles, built once on the host.

The table is octave-spaced towards both tails (see :mod:`fastq.kernels.draws`), interpolated linearly by the
kernels in integers, and scaled so that the interpolated law has mean 1. Its coefficient of variation is the one asked
for, within 2e-5.
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

    Tails = tuple[NDArray[np.float64], NDArray[np.float64]]

MAX_MANTISSA_BITS = 32
PRODUCT_BITS = 62
MAX_MEAN_BITS = 50  # 2^50 ns, 13 days


@cache
def interarrival_table(process: str, cv: float | None = None, summed: int = 1) -> NDArray[np.int64]:
    """Quantiles of the interarrival time of a renewal process, in 2^-24 of its mean.

    Parameters
    ----------
    process
        ``poisson``, ``gamma``, ``weibull`` or ``deterministic``.
    cv
        Coefficient of variation, where the process has a choice.
    summed
        Times that make one, where a replica gets every nth request. Not of ``weibull``.
    """
    from fastq.kernels.draws import ENTRIES_PER_OCTAVE, GAP_UNIT_BITS, OCTAVES

    octave = np.repeat(np.arange(OCTAVES), ENTRIES_PER_OCTAVE)
    step = np.tile(np.arange(ENTRIES_PER_OCTAVE), OCTAVES)
    edges = np.ldexp(1.0 + step / ENTRIES_PER_OCTAVE, octave)
    edges = np.append(edges, np.ldexp(1.0, OCTAVES))
    tail = np.ldexp(edges, -OCTAVES - 1)  # probability beyond the edge, up to 1/2
    law, spread = process, 1.0 if cv is None else cv
    if summed > 1 and process != "deterministic":
        assert process != "weibull"
        law, spread = "gamma", spread / math.sqrt(summed)
    lower, upper = _TAIL_QUANTILES[law](tail, spread)
    weights = np.diff(tail)
    areas = np.concatenate([weights * (half[1:] + half[:-1]) / 2 for half in (lower, upper)])
    mean = math.fsum(areas)
    table = np.concatenate([lower, upper]) / mean
    result: NDArray[np.int64] = np.rint(np.ldexp(table, GAP_UNIT_BITS)).astype(np.int64)
    result.flags.writeable = False
    return result


def mean_as_fixed_point(mean_ns: float, longest: int) -> tuple[int, int]:
    """Split a mean interarrival time: what times in 2^-24 of it are multiplied by and then shifted right.

    Parameters
    ----------
    mean_ns
        The mean, ns.
    longest
        Largest that is multiplied, in 2^-24 of the mean. The product has 62 bits: beyond 64 means, what follows of the
        mean's own 32 bits gives way.

    Raises
    ------
    SpecError
        If such times would be beyond the clock.
    """
    from fastq.kernels.draws import GAP_UNIT_BITS

    bits = min(MAX_MANTISSA_BITS, PRODUCT_BITS - longest.bit_length())
    fraction, exponent = np.frexp(mean_ns)
    shift = GAP_UNIT_BITS + bits - int(exponent)
    longest_exponent = min(MAX_MEAN_BITS, GAP_UNIT_BITS + bits - 1)
    if int(exponent) > longest_exponent:
        raise SpecError(
            "arrivals this rare would outrun the clock's simulated time of 146 years; the lowest rate is "
            f"{1e9 / 2.0**longest_exponent:.2g}",
            key="arrivals.rate_rps",
            value=1e9 / mean_ns,
        )
    return round(float(fraction) * 2.0**bits), shift


def _exponential(tail: NDArray[np.float64], _: float) -> Tails:
    return -np.log1p(-tail), -np.log(tail)


def _gamma(tail: NDArray[np.float64], cv: float) -> Tails:
    from scipy.special import gammainccinv, gammaincinv

    shape = cv**-2
    return np.asarray(gammaincinv(shape, tail), np.float64), np.asarray(gammainccinv(shape, tail), np.float64)


def _weibull(tail: NDArray[np.float64], cv: float) -> Tails:
    lower, upper = _exponential(tail, cv)
    inverse_shape = _inverse_weibull_shape(cv)
    return lower**inverse_shape, upper**inverse_shape


def _inverse_weibull_shape(cv: float) -> float:
    """Solve Gamma(1 + 2x) / Gamma(1 + x)^2 = 1 + cv^2 for the inverse x of the shape."""
    from scipy.optimize import brentq

    def excess(x: float) -> float:
        return math.lgamma(1 + 2 * x) - 2 * math.lgamma(1 + x) - math.log1p(cv * cv)

    return float(brentq(excess, 1e-4, 10.0, xtol=1e-14))


def _equal(tail: NDArray[np.float64], _: float) -> Tails:
    return np.ones_like(tail), np.ones_like(tail)


_TAIL_QUANTILES: dict[str, Callable[[NDArray[np.float64], float], Tails]] = {
    "poisson": _exponential,
    "gamma": _gamma,
    "weibull": _weibull,
    "deterministic": _equal,
}
"""By process: quantiles of its lower and of its upper tail, from the tail's mass and the coefficient of variation."""
