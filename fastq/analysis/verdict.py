"""Is the queue stable at a rate?"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.analysis.intervals import Interval


class Verdict(StrEnum):
    """What the evidence says of a rate."""

    STABLE = "stable"
    UNSTABLE = "unstable"
    METASTABLE = "metastable"
    UNDECIDED = "undecided"


def verdict_at(arrival_rate_rps: float, service_rate: Interval, *, nonergodic: bool) -> Verdict:
    """Verdict at a rate from the confidence interval of saturated throughput, never from a finite run's delays.

    Where the point is nonergodic the interval is the range over starts, and inside it the start decides.
    """
    if arrival_rate_rps < service_rate.low:
        return Verdict.STABLE
    if arrival_rate_rps > service_rate.high:
        return Verdict.UNSTABLE
    return Verdict.METASTABLE if nonergodic else Verdict.UNDECIDED
