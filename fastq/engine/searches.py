"""Rates of a point that are searched, and the searches run on the CPU, replication by replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.analysis.intervals import Interval
from fastq.analysis.metastability import ColdRate, cold_rate
from fastq.analysis.rate_search import settle
from fastq.analysis.service_level import ServiceLevel, service_level
from fastq.engine.bins import bin_edges
from fastq.engine.ensemble import Ensemble

if TYPE_CHECKING:
    from fastq.analysis.rate_search import Each, Searches
    from fastq.analysis.replication import Replication
    from fastq.engine.blocks import StopFlag
    from fastq.engine.checkpoints import Saturated
    from fastq.engine.point_result import PreparedPoint


@dataclass(frozen=True, slots=True)
class Searched:
    """What was searched for; ``None`` where it was not asked for.

    Parameters
    ----------
    level
        Largest rate that meets all objectives, and which fails first beyond it.
    cold
        Largest rate that is sustained from an empty start.
    requests
        Completed in the windows of all that was run.
    """

    level: ServiceLevel | None = None
    cold: ColdRate | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """Searches that the run of a point asks for; ``None`` where it does not."""

    cold: Searches[ColdRate] | None
    level: Searches[ServiceLevel] | None


def sought(prepared: PreparedPoint, saturated: Saturated) -> Sought:
    """What to search, once it is known what the point does under a backlog; rates are of accepted requests."""
    run, forms = prepared.run, prepared.forms
    cold = level = None
    if "metastability" in run.measure:
        cold = cold_rate(
            replications=run.replications,
            saturated=saturated.service_rate,
            theory_rate_rps=forms.theory_rate_rps,
        )
    if prepared.objectives:
        stable = saturated.service_rate
        if saturated.status == "nonergodic":
            stable = Interval(stable.low, stable.low, stable.low)
        level = service_level(
            prepared.objectives, replications=run.replications, stable_rate=stable, edges=bin_edges()
        )
    return Sought(cold, level)


def offered_rate_rps(prepared: PreparedPoint, accepted_rate_rps: float) -> float:
    """Rate at which requests arrive, requests/s, where so many are accepted."""
    return accepted_rate_rps / (1 - prepared.forms.rejected_share)


def search_on_cpu(
    prepared: PreparedPoint, saturated: Saturated, stop: StopFlag | None, each: Each = map
) -> Searched:
    """Search what the measures of the run ask for; ``each`` may run several replications at a time."""
    requests: list[int] = []

    def run_at(number: int, accepted_rate_rps: float) -> Replication:
        ensemble = Ensemble(prepared.encoded, [number], offered_rate_rps(prepared, accepted_rate_rps))
        (replication,) = ensemble.run_to(prepared.requests_at_rates, stop)
        requests.append(replication.requests)
        return replication

    wanted = sought(prepared, saturated)
    return Searched(
        cold=None if wanted.cold is None else settle(wanted.cold, run_at, each),
        level=None if wanted.level is None else settle(wanted.level, run_at, each),
        requests=sum(requests),
    )
