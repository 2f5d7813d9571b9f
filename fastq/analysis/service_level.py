"""The largest rate at which all service-level objectives are met.

Each replication is a system of its own: with its draws held fixed, faster arrivals are the same requests closer
together, and its quantiles rise with the rate but for ripples. So each has a rate at which its first objective fails,
found by bisection, and these rates are independent: their mean has Student's interval. No objective is met beyond
the boundary of stability in the long run, so the search ends there, whatever a finite run would still show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fastq.analysis.intervals import Interval, mean_interval
from fastq.analysis.quantiles import quantile
from fastq.analysis.rate_search import search_rate
from fastq.analysis.replication import NS_PER_S, PS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastq.analysis.replication import Replication
    from fastq.model.slo import Objective

    RunAt = Callable[[int, float], Replication]

LEAST_SHARE = 0.01
"""Of the boundary of stability: objectives that fail here are taken to fail at any rate."""

STABILITY = "stability"


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """The boundary that the objectives draw.

    Parameters
    ----------
    rate
        Requests/s with its 95% interval; ``None`` where they can't be met.
    limit
        Name of the objective that fails first in most replications; ``stability`` where all are met up to the
        boundary of stability.
    """

    rate: Interval | None
    limit: str


def service_level(
    objectives: Sequence[Objective],
    run_at: RunAt,
    *,
    replications: int,
    stable_rate_rps: float,
    edges: NDArray[np.int64],
) -> ServiceLevel:
    """Search the largest rate that meets all objectives.

    Parameters
    ----------
    objectives
        At least one.
    run_at
        Runs a replication, by number, at an arrival rate, requests/s.
    replications
        At least two.
    stable_rate_rps
        Boundary of stability, requests/s.
    edges
        Of the histogram bins of latencies, ns.
    """

    def failing(number: int, rate_rps: float) -> str | None:
        replication = run_at(number, rate_rps)
        for objective in objectives:
            found = quantile(replication.latencies[objective.latency], edges, objective.share)
            if found is not None and found / NS_PER_S > objective.at_most_ps / PS_PER_S:
                return objective.name
        return None

    least_rps = LEAST_SHARE * stable_rate_rps
    searches = [
        search_rate(partial(failing, number), least_rps, stable_rate_rps) for number in range(replications)
    ]
    limits = [limit or STABILITY for _, limit in searches]
    limit = max(sorted(set(limits)), key=limits.count)
    rates = [rate or 0.0 for rate, _ in searches]
    if rates.count(0.0) * 2 > replications:
        return ServiceLevel(None, limit)
    return ServiceLevel(_within(mean_interval(rates), stable_rate_rps), limit)


def _within(interval: Interval, stable_rate_rps: float) -> Interval:
    """Between 0 and the boundary of stability."""
    return Interval(
        interval.estimate, max(0.0, interval.low), min(max(interval.high, interval.estimate), stable_rate_rps)
    )
