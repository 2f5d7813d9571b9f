"""Rates of a point that are searched, on the CPU, replication by replication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.analysis.intervals import Interval
from fastq.analysis.metastability import ColdRate, cold_rate
from fastq.analysis.service_level import ServiceLevel, service_level
from fastq.engine.bins import bin_edges
from fastq.engine.ensemble import Ensemble

if TYPE_CHECKING:
    from fastq.analysis.rate_search import Each
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


def search_rates(
    prepared: PreparedPoint, saturated: Saturated, stop: StopFlag | None, each: Each = map
) -> Searched:
    """Search what the measures of the run ask for.

    Rates are of accepted requests; ``each`` may run several replications at a time. Every backend comes here: a
    bisection runs one replication after another, which is no work for a GPU.
    """
    run, forms = prepared.run, prepared.forms
    requests: list[int] = []

    def run_at(number: int, accepted_rate_rps: float) -> Replication:
        ensemble = Ensemble(prepared.encoded, [number], accepted_rate_rps / (1 - forms.rejected_share))
        (replication,) = ensemble.run_to(run.requests, stop)
        requests.append(replication.requests)
        return replication

    cold = level = None
    if "metastability" in run.measure:
        cold = cold_rate(
            run_at,
            replications=run.replications,
            saturated=saturated.service_rate,
            theory_rate_rps=forms.theory_rate_rps,
            each=each,
        )
    if prepared.objectives:
        stable = saturated.service_rate
        if saturated.status == "nonergodic":
            stable = Interval(stable.low, stable.low, stable.low)
        level = service_level(
            prepared.objectives,
            run_at,
            replications=run.replications,
            stable_rate=stable,
            edges=bin_edges(),
            each=each,
        )
    return Searched(level, cold, sum(requests))
