"""The service-level boundary of a point, simulated on the CPU replication by replication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.analysis.service_level import ServiceLevel, service_level
from fastq.engine.bins import bin_edges
from fastq.engine.ensemble import Ensemble

if TYPE_CHECKING:
    from fastq.analysis.replication import Replication
    from fastq.engine.blocks import StopFlag
    from fastq.engine.checkpoints import Saturated
    from fastq.engine.point_result import PreparedPoint


def search_service_level(
    prepared: PreparedPoint, saturated: Saturated, stop: StopFlag | None
) -> ServiceLevel | None:
    """Search the largest accepted rate at which the objectives of the spec are met; ``None`` without any.

    Every backend comes here: a bisection runs one replication at a time, which is no work for a GPU.
    """
    if not prepared.objectives:
        return None
    run, rejected = prepared.run, prepared.forms.rejected_share

    def run_at(number: int, accepted_rate_rps: float) -> Replication:
        ensemble = Ensemble(prepared.encoded, [number], accepted_rate_rps / (1 - rejected))
        return ensemble.run_to(run.requests, stop)[0]

    nonergodic = saturated.status == "nonergodic"
    return service_level(
        prepared.objectives,
        run_at,
        replications=run.replications,
        stable_rate_rps=saturated.service_rate.low if nonergodic else saturated.service_rate.estimate,
        edges=bin_edges(),
    )
