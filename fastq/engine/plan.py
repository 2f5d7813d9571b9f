"""Plans by simulation: for each option the boundaries of a replica, then its latencies at the rate that it gets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from fastq.analysis.fleet import Capacity
from fastq.analysis.intervals import Interval, at_confidence
from fastq.closed_forms import closed_forms
from fastq.engine.backend import warm_up
from fastq.engine.evaluate import evaluate_point
from fastq.engine.plan_result import (
    LATENCY_COLUMNS,
    SIMULATED,
    PlannedOption,
    PlanResult,
    ReplicaFigures,
    cannot_run,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.engine.rows import Row
    from fastq.model.plan import Option, Plan
    from fastq.model.spec import Spec


def answer_by_simulation(
    plan: Plan, *, threads: int, backend: str = "auto", began: Callable[[int], None] | None = None
) -> PlanResult:
    """Work a plan out.

    Parameters
    ----------
    plan
        The question.
    threads
        Replications that run at a time.
    backend
        ``auto``, ``cpu`` or ``cuda``.
    began
        Told of the number of each option as its turn comes.

    Returns
    -------
    PlanResult
        Also where no option is feasible.
    """
    options = []
    for number, option in enumerate(plan.options):
        if began is not None:
            began(number)
        options.append(_answered(plan, option, threads, backend))
    return PlanResult(plan, tuple(options), SIMULATED)


def _answered(plan: Plan, option: Option, threads: int, backend: str) -> PlannedOption:
    @cache
    def row_among(replicas: int) -> Row:
        spec = plan.spec(option, replicas=replicas)
        return evaluate_point(spec, 0, threads=threads, backend=backend).point

    # Stability is a matter of the mean rate: only limits of latencies feel how arrivals come.
    turns_matter = plan.demand.is_shared and bool(plan.limits.objectives)

    def figures_among(replicas: int) -> ReplicaFigures:
        row = row_among(replicas if turns_matter else 1)
        return ReplicaFigures(_capacity(plan, row), forms, str(row["status"]))

    if row_among(1)["status"] == "skipped":
        return cannot_run(option, str(row_among(1)["skip_reason"]))
    forms = closed_forms(plan.spec(option).point(0))
    planned = sized(plan, option, figures_among)
    if planned.fleet is None:
        return planned
    spec = plan.spec(option, replicas=planned.fleet.replicas)
    rate_row = _at_rate(spec, planned.fleet.rate_rps / (1 - forms.rejected_share), threads, backend)
    return replace(
        planned,
        verdict=str(rate_row["verdict"]),
        short_latencies=rate_row["short_latencies"],
        latencies={
            name: Interval(rate_row[name], rate_row[f"{name}_low"], rate_row[f"{name}_high"])
            for name in LATENCY_COLUMNS
            if rate_row[name] is not None
        },
    )


def _capacity(plan: Plan, row: Row) -> Capacity:
    """Boundaries at the plan's confidence; where the start decides, the range stands as it is."""
    replications, confidence = plan.run.replications, plan.limits.confidence
    boundary = _interval(row, "service_rate")
    if row["status"] != "nonergodic":
        boundary = at_confidence(boundary, replications=replications, confidence=confidence)
    if row["slo_limit"] is None:
        return Capacity(boundary, None, None, plan.limits.target_load)
    limits = Interval(0.0, 0.0, 0.0)
    if row["slo_rate_rps"] is not None:
        found = at_confidence(_interval(row, "slo_rate"), replications=replications, confidence=confidence)
        limits = Interval(found.estimate, found.low, min(found.high, boundary.high))
    return Capacity(boundary, limits, str(row["slo_limit"]), plan.limits.target_load)


def _interval(row: Row, name: str) -> Interval:
    return Interval(*(float(row[f"{name}{end}_rps"]) for end in ("", "_low", "_high")))


def _at_rate(spec: Spec, offered_rps: float, threads: int, backend: str) -> Row:
    """Measure one arrival rate, requests/s, rejected ones included."""
    measured = spec.with_run(measure=["boundary"]).at_rates([offered_rps])
    return evaluate_point(measured, 0, threads=threads, backend=backend).rates[0]


def warm_up_plan(plan: Plan) -> None:
    """Compile, or load from the cache, the kernels that a plan needs."""
    for option in plan.options:
        warm_up(plan.spec(option).at_rates([1.0]))
