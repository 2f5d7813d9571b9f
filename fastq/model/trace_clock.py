"""When the requests of a trace arrived, as a replay takes it: interarrival times over their mean, in integers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNIT_BITS = 24
"""Interarrival times are in 2^-24 of their mean."""


@dataclass(frozen=True, slots=True, eq=False)
class TraceClock:
    """Interarrival times of a trace that begins again when it ends.

    Parameters
    ----------
    gaps
        (requests,) int64: time from the arrival before to that of each request, in 2^-24 of the mean; that of the
        first is the mean, for the time between two rounds.
    mean_rate_rps
        Requests over time, as they were recorded, requests/s.
    digest
        SHA-256 of the gaps, hexadecimal.
    """

    gaps: NDArray[np.int64]
    mean_rate_rps: float
    digest: str


@lru_cache(maxsize=16)
def gaps_of_strides(clock: TraceClock, stride: int) -> NDArray[np.int64]:
    """Times from the arrival ``stride`` requests before to that of each request, in 2^-24 of the mean of one."""
    import numpy as np

    rounds, rest = divmod(stride, clock.gaps.size)
    ends = np.cumsum(np.concatenate((clock.gaps, clock.gaps)))
    starts = ends[clock.gaps.size - rest : ends.size - rest]
    sums: NDArray[np.int64] = ends[clock.gaps.size :] - starts + rounds * int(clock.gaps.sum())
    sums.setflags(write=False)
    return sums


def trace_clock(arrival_s: NDArray[np.float64]) -> TraceClock | None:
    """Read the clock of a trace.

    Parameters
    ----------
    arrival_s
        (requests,) arrival times in the order of the trace, s.

    Returns
    -------
    TraceClock or None
        ``None`` where there is none to go by: times are not in order, or all the same.
    """
    import numpy as np

    gaps_s = np.diff(arrival_s)
    span_s = float(arrival_s[-1] - arrival_s[0])
    if span_s <= 0.0 or (gaps_s < 0.0).any():
        return None
    mean_s = span_s / gaps_s.size
    # Rounded as sums: errors don't add up, and the mean is exact.
    ends = np.rint(np.ldexp(np.cumsum(gaps_s) / mean_s, UNIT_BITS)).astype(np.int64)
    gaps = np.concatenate(([1 << UNIT_BITS], np.diff(ends, prepend=0)))
    gaps.setflags(write=False)
    return TraceClock(
        gaps, 1.0 / mean_s, hashlib.sha256(gaps.astype("<i8", copy=False).tobytes()).hexdigest()
    )
