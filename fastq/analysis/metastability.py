"""The largest rate that a system sustains from an empty start, where a backlog would serve less.

Under a backlog a system may complete fewer requests than it can serve: it admits greedily, preempts, and does work
again. Started empty at a rate between the two it may stay small. So each replication has a rate at which, from an
empty start, its unfinished requests begin to grow as an overload of the backlog's throughput must make them; it is
found by bisection, and these rates are independent: their mean has Student's interval. A run tells of its own
length only: what is sustained for so many requests may tip later. Once it has tipped the queue grows as it would under
a backlog, so what it has grown by tells when it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from fastq.analysis.intervals import mean_interval
from fastq.analysis.rate_search import Searches
from fastq.analysis.replication import PS_PER_S
from fastq.analysis.verdict import HELD_SHARE, LEAST_GAP, VERDICT_CONFIDENCE

if TYPE_CHECKING:
    from fastq.analysis.intervals import Interval
    from fastq.analysis.rate_search import Found
    from fastq.analysis.replication import Replication


@dataclass(frozen=True, slots=True)
class ColdRate:
    """Largest rate that is sustained from an empty start.

    Parameters
    ----------
    rate, decisive
        Requests/s with its 95% interval, and with the wider one that verdicts are read off.
    apart
        Whether it is surely above the throughput under a backlog; else it is taken to be that.
    tip_s
        Time from the empty start until the queue began to grow, at the lowest rate at which a replication tipped:
        the median over those that did; ``None`` where none did, or the rates are not apart.
    """

    rate: Interval
    decisive: Interval
    apart: bool
    tip_s: float | None = None


def cold_rate(*, replications: int, saturated: Interval, theory_rate_rps: float) -> Searches[ColdRate]:
    """Search the largest rate, of accepted requests, that is sustained from an empty start.

    Parameters
    ----------
    replications
        At least two.
    saturated
        Throughput under a backlog, requests/s.
    theory_rate_rps
        No policy serves more.
    """
    least_rps = (1 + LEAST_GAP) * saturated.high
    alike = ColdRate(saturated, saturated, apart=False)
    tipped: dict[int, tuple[float, float]] = {}

    def failing(number: int, rate_rps: float, replication: Replication) -> str | None:
        growth_rps = replication.backlog_growth * PS_PER_S / replication.elapsed_ps
        if growth_rps <= HELD_SHARE * (rate_rps - saturated.high):
            return None
        tip = rate_rps, _tip_s(replication, rate_rps - saturated.estimate)
        tipped[number] = min(tip, tipped.get(number, tip))
        return "overload"

    def conclude(found: list[Found]) -> ColdRate:
        rates = [saturated.estimate if rate is None else rate for rate, _ in found]
        decisive = mean_interval(rates, confidence=VERDICT_CONFIDENCE)
        if decisive.low <= least_rps:
            return alike
        tips_s = [time_s for _, time_s in tipped.values()]
        return ColdRate(mean_interval(rates), decisive, apart=True, tip_s=median(tips_s) if tips_s else None)

    if least_rps >= theory_rate_rps:
        return Searches(0, least_rps, theory_rate_rps, failing, lambda _: alike)
    return Searches(replications, least_rps, theory_rate_rps, failing, conclude)


def _tip_s(replication: Replication, overload_rps: float) -> float:
    """When the queue of ``replication`` began to grow by ``overload_rps``, seconds from its start."""
    growing_s = min(replication.backlog_growth / overload_rps, replication.elapsed_ps / PS_PER_S)
    return (replication.warmup_elapsed_ps + replication.elapsed_ps) / PS_PER_S - growing_s
