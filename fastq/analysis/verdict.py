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


VERDICT_CONFIDENCE = 0.999
"""Confidence of every interval that a verdict is read off."""

HELD_SHARE = 0.5
"""A queue that grows by less than this share of what an overload of its size must add is held by its start."""

LEAST_GAP = 0.03
"""Gap between the rates from an empty start and under a backlog, as a share of the latter, that noise can't make."""


def verdict_at(
    arrival_rate_rps: float,
    service_rate: Interval,
    backlog_slope: Interval,
    cold: Interval | None = None,
    *,
    nonergodic: bool,
) -> Verdict:
    """Verdict at a rate from the confidence interval of saturated throughput, never from a finite run's delays.

    Where the point is nonergodic the interval is the range over starts, and inside it the start decides. Above the
    interval unfinished requests must grow by the difference; where they surely don't, from an empty start,
    the system serves more from there than under a backlog: metastable. Where the largest rate that is sustained from
    an empty start was searched, that interval says so in place of the growth, and verdicts turn once as the rate
    rises.

    Parameters
    ----------
    arrival_rate_rps
        Accepted requests per second.
    service_rate
        Saturated throughput, requests/s, at :data:`VERDICT_CONFIDENCE`.
    backlog_slope
        Growth of unfinished requests from an empty start, requests/s, at :data:`VERDICT_CONFIDENCE`.
    cold
        Largest rate sustained from an empty start, requests/s, at :data:`VERDICT_CONFIDENCE`; ``None`` where it was
        not searched.
    nonergodic
        Whether replications under a backlog keep to rates of their own.
    """
    if arrival_rate_rps < service_rate.low:
        return Verdict.STABLE
    if arrival_rate_rps > service_rate.high:
        if cold is not None:
            if arrival_rate_rps > cold.high:
                return Verdict.UNSTABLE
            return Verdict.METASTABLE if arrival_rate_rps < cold.low else Verdict.UNDECIDED
        held = backlog_slope.high < HELD_SHARE * (arrival_rate_rps - service_rate.high)
        return Verdict.METASTABLE if held else Verdict.UNSTABLE
    return Verdict.METASTABLE if nonergodic else Verdict.UNDECIDED
