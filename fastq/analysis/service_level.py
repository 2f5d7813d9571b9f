"""The largest rate at which all service-level objectives are met.

Each replication is a system of its own: with its draws held fixed, faster arrivals are the same requests closer
together, and its quantiles rise with the rate but for ripples. So each has a rate at which its first objective fails,
found by bisection, and these rates are independent: their mean has Student's interval. No objective is met beyond
the boundary of stability in the long run, so the search ends there, whatever a finite run would still show.

A run starts empty and is finite: near the boundary it has not seen the longest queues, and the rate found is a
little high. It falls as windows grow; the interval tells of noise, not of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.analysis.intervals import Interval, mean_interval
from fastq.analysis.quantiles import quantile
from fastq.analysis.rate_search import Searches
from fastq.analysis.replication import NS_PER_S, PS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastq.analysis.rate_search import Found
    from fastq.analysis.replication import Replication
    from fastq.model.slo import Objective

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
    *,
    replications: int,
    stable_rate: Interval,
    edges: NDArray[np.int64],
) -> Searches[ServiceLevel]:
    """Search the largest rate, of accepted requests, that meets all objectives.

    Parameters
    ----------
    objectives
        At least one.
    replications
        At least two.
    stable_rate
        Boundary of stability, requests/s, with its interval.
    edges
        Of the histogram bins of latencies, ns.
    """

    def failing(_: int, __: float, replication: Replication) -> str | None:
        for objective in objectives:
            found = quantile(replication.latencies[objective.latency], edges, objective.share)
            if found is not None and found / NS_PER_S > objective.at_most_ps / PS_PER_S:
                return objective.name
        return None

    def conclude(found: list[Found]) -> ServiceLevel:
        limits = [limit or STABILITY for _, limit in found]
        limit = max(sorted(set(limits)), key=limits.count)
        if limits.count(STABILITY) == replications:
            return ServiceLevel(stable_rate, limit)
        rates = [rate or 0.0 for rate, _ in found]
        if rates.count(0.0) * 2 > replications:
            return ServiceLevel(None, limit)
        mean = mean_interval(rates)
        return ServiceLevel(
            Interval(mean.estimate, max(0.0, mean.low), min(mean.high, stable_rate.high)), limit
        )

    most_rps = stable_rate.estimate
    return Searches(replications, LEAST_SHARE * most_rps, most_rps, failing, conclude)
