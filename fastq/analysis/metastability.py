"""The largest rate that a system sustains from an empty start, where a backlog would serve less.

Under a backlog a system may complete fewer requests than it can serve: it admits greedily, preempts, and does work
again. Started empty at a rate between the two it may stay small. So each replication has a rate at which, from an
empty start, its unfinished requests begin to grow as an overload of the backlog's throughput must make them; it is
found by bisection, and these rates are independent: their mean has Student's interval. A run tells of its own
length only: what is sustained for so many requests may tip later.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastq.analysis.intervals import mean_interval
from fastq.analysis.rate_search import search_rate
from fastq.analysis.replication import PS_PER_S
from fastq.analysis.verdict import HELD_SHARE, LEAST_GAP, is_metastable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.analysis.intervals import Interval
    from fastq.analysis.replication import Replication


def cold_rate(
    run_at: Callable[[int, float], Replication],
    *,
    replications: int,
    saturated: Interval,
    theory_rate_rps: float,
) -> Interval:
    """Search the largest rate that is sustained from an empty start.

    Parameters
    ----------
    run_at
        Runs a replication, by number, from empty at a rate, requests/s.
    replications
        At least two.
    saturated
        Throughput under a backlog, requests/s.
    theory_rate_rps
        No policy serves more.

    Returns
    -------
    Interval
        ``saturated`` itself where the two can't be told apart.
    """
    least_rps = (1 + LEAST_GAP) * saturated.high

    def failing(number: int, rate_rps: float) -> str | None:
        replication = run_at(number, rate_rps)
        growth_rps = replication.backlog_growth * PS_PER_S / replication.elapsed_ps
        return "overload" if growth_rps > HELD_SHARE * (rate_rps - saturated.high) else None

    if least_rps >= theory_rate_rps:
        return saturated
    found = [
        search_rate(partial(failing, number), least_rps, theory_rate_rps)[0] for number in range(replications)
    ]
    if all(rate is None for rate in found):
        return saturated
    cold = mean_interval([saturated.estimate if rate is None else rate for rate in found])
    return cold if is_metastable(saturated, cold) else saturated
