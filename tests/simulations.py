"""Replications of one point through the engine's own entry, for tests that compare them with theory."""

from __future__ import annotations

from fastq.analysis.replication import NS_PER_S, PS_PER_S, Replication
from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.model.point import Point
from fastq.model.run import Run


def replications(
    point: Point,
    *,
    rate_rps: float | None = None,
    count: int = 8,
    requests: int,
    warmup_requests: int | None = None,
    seed: int = 20_260_415,
) -> list[Replication]:
    """Replications 0, 1, ... of ``point``: at a rate from empty, or saturated with every other one aged."""
    run = Run(seed=seed, warmup_requests=warmup_requests)
    encoded = encode(point, run, mean_running=closed_forms(point).mean_running)
    return Ensemble(encoded, range(count), rate_rps).run_to(requests)


def mean_wait_s(replication: Replication) -> float:
    wait = replication.latencies["wait"]
    return wait.total / wait.count / NS_PER_S


def backlog_slope_rps(replication: Replication) -> float:
    return replication.backlog_growth * PS_PER_S / replication.elapsed_ps


def mean_iteration_s(replication: Replication) -> float:
    return replication.busy_ps / replication.iterations / PS_PER_S
