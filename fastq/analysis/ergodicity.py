"""Do replications agree in the long run, or does the start decide?

Where a replication's two halves agree with each other far better than replications do with one another, more
time within a replication does not bring them together: their spread does not shrink with run length.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.analysis.replication import Replication

FALSE_ALARM = 1e-5
"""Chance of calling an ergodic point nonergodic, where halves are independent."""

MIN_RELATIVE_SPREAD = 0.01
"""Replications closer together than this agree, whatever the test says: exact cycles make it infinitely sharp."""


def is_nonergodic(replications: Sequence[Replication]) -> bool:
    """Whether the throughputs of replications differ by more than the halves of each one do.

    An F test of the variance between replications against that between the halves of one. A window too small to
    have two halves says nothing.
    """
    if any(not 0 < r.half_elapsed_ps < r.elapsed_ps for r in replications):
        return False
    first = [r.half_requests / r.half_elapsed_ps for r in replications]
    second = [(r.requests - r.half_requests) / (r.elapsed_ps - r.half_elapsed_ps) for r in replications]
    whole = [r.requests / r.elapsed_ps for r in replications]
    centre = sum(whole) / len(whole)
    if max(whole) - min(whole) <= MIN_RELATIVE_SPREAD * centre:
        return False
    between = sum((rate - centre) ** 2 for rate in whole) / (len(whole) - 1)
    # The difference of two parts in shares h and 1 - h of the window has the variance of the whole / h (1 - h).
    shares = [r.half_elapsed_ps / r.elapsed_ps for r in replications]
    within = sum((a - b) ** 2 * h * (1 - h) for a, b, h in zip(first, second, shares, strict=True)) / len(
        whole
    )
    return between > _critical_ratio(len(whole)) * within


@cache
def _critical_ratio(replications: int) -> float:
    from scipy.special import fdtri

    return float(fdtri(replications - 1, replications, 1 - FALSE_ALARM))
