"""What a plan comes to: the fleet of each option, and the cheapest that keeps to all limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastq.analysis.fleet import MOST_SHARING, Capacity, Day, Fleet, cost_per_million, day, fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from fastq.analysis.intervals import Interval
    from fastq.closed_forms import ClosedForms
    from fastq.model.plan import Option, Plan

SIMULATED = "simulated"
"""Origin of figures that are not interpolated."""

LATENCY_COLUMNS = tuple(
    f"{latency}_s_{statistic}" for latency in ("wait", "ttft", "tpot", "e2e") for statistic in ("p50", "p90", "p99")
)  # fmt: skip
"""Latencies that are predicted, as columns of the table of rates call them."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaFigures:
    """What one replica can do, simulated or interpolated.

    Parameters
    ----------
    capacity
        Its boundaries.
    forms
        Its closed forms: theory's rate, what binds, the lengths and the share of requests that it accepts.
    status
        Of the simulated point: ``ok``, ``short``, ``capped`` or ``nonergodic``.
    interpolation_error
        Of the boundary, as a share of it; ``None`` where it was simulated.
    """

    capacity: Capacity
    forms: ClosedForms
    status: str
    interpolation_error: float | None = None

    @property
    def accepted_share(self) -> float:
        """Share of the demand that is not rejected by ``max_model_len``."""
        return 1 - self.forms.rejected_share


@dataclass(frozen=True, slots=True, eq=False)
class PlannedOption:
    """One option of a plan, worked out.

    Parameters
    ----------
    name, gpus_per_replica, price_per_gpu_hour
        As the plan gives them.
    infeasible
        Why no number of replicas will do, in words; ``None`` where one will.
    figures
        What a replica can do; ``None`` where it can't run.
    fleet, day
        Its fleet at the peak, and over the day where the plan tells the hours; ``None`` where infeasible.
    latencies
        By name of :data:`LATENCY_COLUMNS`, s, of a replica at the peak, with 95% intervals; empty where unknown.
    verdict
        On the queue at the peak: stable, unstable, metastable or undecided; ``None`` where it was not simulated.
    short_latencies
        Which of them rest on too few bursts for their intervals to hold, as the table of rates names them.
    """

    name: str
    gpus_per_replica: int
    price_per_gpu_hour: float | None
    infeasible: str | None
    figures: ReplicaFigures | None = None
    fleet: Fleet | None = None
    day: Day | None = None
    latencies: Mapping[str, Interval] = field(default_factory=dict)
    verdict: str | None = None
    short_latencies: str | None = None

    @property
    def gpus(self) -> int | None:
        """GPUs of the fleet."""
        return None if self.fleet is None else self.fleet.replicas * self.gpus_per_replica

    @property
    def cost_per_hour(self) -> float | None:
        """Cost of the fleet at the peak."""
        return self._cost(self.gpus)

    @property
    def fixed_gpu_hours_per_day(self) -> int | None:
        """GPU-hours of a day of the fleet sized for the peak."""
        return None if self.day is None else self.day.fixed_replica_hours * self.gpus_per_replica

    @property
    def following_gpu_hours_per_day(self) -> int | None:
        """GPU-hours of a day of a fleet that has in each hour what that hour takes."""
        return None if self.day is None else self.day.following_replica_hours * self.gpus_per_replica

    @property
    def following_cost_per_day(self) -> float | None:
        """Cost of a day of the fleet that follows the hours."""
        return self._cost(self.following_gpu_hours_per_day)

    @property
    def cost_per_million_tokens(self) -> float | None:
        """Cost of a million tokens, prompt and output, on the fixed fleet: over the day, or at the peak."""
        forms = None if self.figures is None else self.figures.forms
        return (
            None if forms is None else self._per_million(forms.mean_prompt_tokens + forms.mean_output_tokens)
        )

    @property
    def cost_per_million_output_tokens(self) -> float | None:
        """The same, where output tokens alone bear all the cost."""
        return None if self.figures is None else self._per_million(self.figures.forms.mean_output_tokens)

    def _cost(self, gpu_hours: int | None) -> float | None:
        if gpu_hours is None or self.price_per_gpu_hour is None:
            return None
        return gpu_hours * self.price_per_gpu_hour

    def _per_million(self, tokens_per_request: float) -> float | None:
        if self.fleet is None or self.cost_per_hour is None:
            return None
        if self.day is not None:
            hours = len(self.day.demand_rps)
            return cost_per_million(self.cost_per_hour * hours, self.day.requests, tokens_per_request)
        requests = self.fleet.rate_rps * self.fleet.replicas * 3600
        return cost_per_million(self.cost_per_hour, requests, tokens_per_request)


@dataclass(frozen=True, slots=True, eq=False)
class PlanResult:
    """A plan, worked out.

    Parameters
    ----------
    plan
        The question.
    options
        In the order of the plan file.
    origin
        Where the figures come from: :data:`SIMULATED`, or the data set that they are interpolated in.
    notes
        What a reader has to know of them.
    """

    plan: Plan
    options: tuple[PlannedOption, ...]
    origin: str
    notes: tuple[str, ...] = ()

    @property
    def cheapest(self) -> PlannedOption | None:
        """Option of the least cost an hour, or of the fewest GPUs where there are no prices; the first of equals."""
        feasible = [option for option in self.options if option.infeasible is None]
        return min(feasible, key=lambda one: (one.cost_per_hour or 0, one.gpus or 0), default=None)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary for each option, by the columns of :data:`fastq.store.plan_schema.OPTIONS`."""
        return [_row(option, cheapest=option is self.cheapest) for option in self.options]

    def table(self) -> pa.Table:
        """Return the rows as a table; units and meanings stand in the field metadata."""
        import pyarrow as pa

        from fastq.store.plan_schema import OPTIONS
        from fastq.store.schema import schema_of

        return pa.Table.from_pylist(self.rows(), schema=schema_of(OPTIONS, {"origin": self.origin}))


def sized(plan: Plan, option: Option, figures_among: Callable[[int], ReplicaFigures]) -> PlannedOption:
    """Work out the fleet of an option, without its latencies.

    Parameters
    ----------
    plan, option
        The question.
    figures_among
        What one replica can do where so many share the arrivals; the same for any number, where these are split at
        random.
    """
    demand, accepted = plan.demand, figures_among(1).accepted_share

    def capacity_among(replicas: int) -> Capacity:
        return figures_among(replicas).capacity

    peak = fleet(demand.peak_rps * accepted, capacity_among)
    figures = figures_among(MOST_SHARING if peak is None else peak.replicas)
    reason, hours = None, None
    if peak is None:
        reason = (
            _unreachable(plan, figures.capacity) or "no number of replicas that share its bursts is enough"
        )
    elif demand.hourly_rps is not None:
        hours = day([rate * accepted for rate in demand.hourly_rps], capacity_among)
    return PlannedOption(
        name=option.name,
        gpus_per_replica=option.gpus_per_replica,
        price_per_gpu_hour=option.price_per_gpu_hour,
        infeasible=reason,
        figures=figures,
        fleet=peak,
        day=hours,
    )


def cannot_run(option: Option, reason: str) -> PlannedOption:
    """Return an option whose replica can't serve every request."""
    return PlannedOption(option.name, option.gpus_per_replica, option.price_per_gpu_hour, reason)


def _unreachable(plan: Plan, capacity: Capacity) -> str | None:
    """Say why a replica may be given no rate at all."""
    if capacity.at_most_rps > 0:
        return None
    if capacity.limits is not None and capacity.limits.high > 0 and capacity.boundary.low > 0:
        what = f"the rate that meets {_worded(plan, capacity.limit)}"
    elif capacity.limits is not None and capacity.boundary.low > 0:
        return (
            f"no rate meets {_worded(plan, capacity.limit)}: it fails already where requests hardly ever meet"
        )
    else:
        what = "the boundary of stability"
    return (
        f"at {plan.limits.confidence:g} confidence the interval of {what} reaches down to 0: raise run.requests or "
        "run.replications"
    )


def _worded(plan: Plan, limit: str | None) -> str:
    """Return a limit in words, as ``ttft p99 <= 2 s``; all of them where none fails first."""
    objectives = plan.limits.objectives
    named = [objective for objective in objectives if objective.name == limit] or objectives
    return ", ".join(f"{objective.latency} {objective.text}" for objective in named)


def _row(option: PlannedOption, *, cheapest: bool) -> dict[str, Any]:
    figures, fleet_ = option.figures, option.fleet
    capacity = None if figures is None else figures.capacity
    forms = None if figures is None else figures.forms
    day_ = option.day
    return {
        "option": option.name,
        "choice": "infeasible" if option.infeasible else "cheapest" if cheapest else "feasible",
        "infeasible": option.infeasible,
        "gpus_per_replica": option.gpus_per_replica,
        "replicas": None if fleet_ is None else fleet_.replicas,
        "replicas_at_best": None if fleet_ is None else fleet_.replicas_at_best,
        "gpus": option.gpus,
        "sized_by": None if capacity is None or fleet_ is None else capacity.sized_by,
        "fewer_fail": None if fleet_ is None else ", ".join(fleet_.fewer_fail) or None,
        "rate_rps": None if fleet_ is None else fleet_.rate_rps,
        **_ends("load", None if fleet_ is None else fleet_.load),
        **_ends("headroom_to_boundary", None if fleet_ is None else fleet_.headroom_to_boundary),
        **_ends("headroom_to_limits", None if fleet_ is None else fleet_.headroom_to_limits),
        **_ends("boundary_rps", None if capacity is None else capacity.boundary),
        **_ends("limits_rps", None if capacity is None else capacity.limits),
        "limit": None if capacity is None else capacity.limit,
        "theory_rate_rps": None if forms is None else forms.theory_rate_rps,
        "binding": None if forms is None else forms.binding,
        "rejected_share": None if forms is None else forms.rejected_share,
        "status": None if figures is None else figures.status,
        "interpolation_error": None if figures is None else figures.interpolation_error,
        "verdict": option.verdict,
        "short_latencies": option.short_latencies,
        "price_per_gpu_hour": option.price_per_gpu_hour,
        "cost_per_hour": option.cost_per_hour,
        "cost_per_million_tokens": option.cost_per_million_tokens,
        "cost_per_million_output_tokens": option.cost_per_million_output_tokens,
        "fixed_gpu_hours_per_day": option.fixed_gpu_hours_per_day,
        "following_gpu_hours_per_day": option.following_gpu_hours_per_day,
        "following_cost_per_day": option.following_cost_per_day,
        "replicas_by_hour": None if day_ is None else " ".join(map(str, day_.replicas)),
        **{
            name: value
            for column in LATENCY_COLUMNS
            for name, value in _ends(column, option.latencies.get(column)).items()
        },
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
