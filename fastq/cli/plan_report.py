"""The readable report of ``fastq plan``: aligned text, or Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.cli.markdown_table import markdown_table
from fastq.cli.short_mark import SHORT_MARK, SHORT_NOTE
from fastq.cli.text_table import ends, indent, number, render, seconds
from fastq.engine.plan_result import SIMULATED
from fastq.model.point import POISSON, REPLAY
from fastq.store.short_latencies import is_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.analysis.intervals import Interval
    from fastq.engine.plan_result import PlannedOption, PlanResult, ReplicaFigures
    from fastq.model.plan import Demand

_BINDING = {"kv": "KV memory", "seqs": "sequence limit", "tokens": "token budget"}
_STATUS_NOTES = {
    "nonergodic": "replications keep to rates of their own; the interval of the boundary is their range",
    "metastable": "the boundary is that under a backlog; up to a larger rate the start decides",
    "short": "few requests for so many running; raise run.requests",
    "capped": "run.precision was not reached; raise run.max_requests",
}
_OWN_SPEED = 2.0
"""A replay within this factor of the speed of the recording is taken for it."""

_LATENCIES = {
    "TTFT median": "ttft_s_p50",
    "TTFT 99%": "ttft_s_p99",
    "TPOT median": "tpot_s_p50",
    "TPOT 99%": "tpot_s_p99",
}
_MARK = "*"
_WORDS = {"target_load": "target load", "stability": "limits, in some runs"}


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with its title; the columns ``left`` hold words."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[int]

    def text(self) -> str:
        return f"{self.title}\n" + indent(render(self.rows, header=self.header, left=self.left))

    def markdown(self) -> str:
        return f"## {self.title}\n\n{markdown_table(self.header, self.rows, self.left)}"


def report(result: PlanResult, *, markdown: bool) -> str:
    """Return the plan as a person reads it.

    Parameters
    ----------
    result
        The plan, worked out.
    markdown
        Whether tables are Markdown's.
    """
    planned = [option for option in result.options if option.infeasible is None]
    known = [option for option in result.options if option.figures is not None]
    tables = [_fleets(result, planned)] if planned else []
    if known:
        tables.append(_replicas(result, known))
    if any(option.latencies for option in planned):
        tables.append(_latencies(planned))
    if any(option.day is not None or option.price_per_gpu_hour is not None for option in planned):
        tables.append(_costs(result, planned))
    if any(option.day is not None for option in planned):
        tables.append(_hours(result, planned))
    blocks = [_heading(result, markdown=markdown)]
    blocks += [table.markdown() if markdown else table.text() for table in tables]
    remarks = _remarks(result)
    if remarks:
        blocks.append("".join(f"* {line}\n" if markdown else f"{line}\n" for line in remarks))
    return "\n".join(blocks)


def _heading(result: PlanResult, *, markdown: bool) -> str:
    plan = result.plan
    demand, limits = plan.demand, plan.limits
    title = plan.title or plan.source
    growth = f" (growth {demand.growth:g} included)" if demand.growth != 1 else ""
    lines = [
        f"demand: {number(demand.peak_rps)} requests/s at the peak{growth}"
        + (f"; workload {demand.mixture}" if demand.mixture else ""),
        f"limits: load at most {limits.target_load:g} of the boundary"
        + "".join(f", {one.latency} {one.text}" for one in limits.objectives)
        + f"; by the lower ends of {_percent(limits.confidence)} intervals",
        f"arrivals: {_arrivals(demand)}",
        f"figures: {SIMULATED if result.origin == SIMULATED else f'interpolated in {result.origin}'}; ± is what the "
        "simulation leaves open, not what the times of the replica do",
    ]
    if markdown:
        return f"# {title}\n\n" + "".join(f"* {line}\n" for line in lines)
    return f"{title}\n" + indent("\n".join(lines))


def _arrivals(demand: Demand) -> str:
    process = demand.arrivals.process
    if process == POISSON:
        return "Poisson, split among the replicas at random"
    if process == REPLAY:
        return (
            "those of the trace, at the rate of the peak, dealt out to the replicas in turn (another hour of your "
            "traffic is not in the ±)"
        )
    return f"{process}, coefficient of variation {demand.arrivals.interarrival_cv:g}, dealt out to the replicas in turn"


def _fleets(result: PlanResult, planned: Sequence[PlannedOption]) -> _Table:
    limited = any(option.fleet is not None and option.fleet.headroom_to_limits for option in planned)
    header = ["", "option", "GPUs", "replicas", "load", "sized by", "one less fails", "growth to boundary"]
    header += ["growth to limits"] if limited else []
    rows = []
    for option in planned:
        fleet, figures = option.fleet, option.figures
        if fleet is None or figures is None:
            continue
        count = f"{fleet.replicas:,}"
        if fleet.replicas_at_best < fleet.replicas:
            count += f" ({fleet.replicas_at_best:,} at best)"
        row = [
            _MARK if option is result.cheapest else "",
            option.name,
            f"{option.gpus:,}",
            count,
            number(fleet.load.estimate, 3),
            _worded(figures.capacity.sized_by),
            ", ".join(map(_worded, fleet.fewer_fail)) or "-",
            _growth(fleet.headroom_to_boundary),
        ]
        row += [_growth(fleet.headroom_to_limits)] if limited else []
        rows.append(row)
    return _Table("Fleet at the peak", header, rows, frozenset({0, 1, 5, 6}))


def _replicas(result: PlanResult, known: Sequence[PlannedOption]) -> _Table:
    limits = result.plan.limits
    interval = f"{_percent(limits.confidence)} interval"
    header = ["option", "boundary/s", interval, "/ theory", "what binds"]
    header += ["limits met to/s", interval, "then fails"] if limits.objectives else []
    interpolated = result.origin != SIMULATED
    header += ["interpolation"] if interpolated else []
    rows = []
    for option in known:
        figures = option.figures
        if figures is None:
            continue
        capacity = figures.capacity
        row = [
            option.name,
            *_rate(capacity.boundary),
            number(capacity.boundary.estimate / figures.forms.theory_rate_rps),
        ]
        row.append(_BINDING[figures.forms.binding])
        if limits.objectives and capacity.limits is not None:
            then = "none, up to stability" if capacity.limit == "stability" else _worded(str(capacity.limit))
            row += [*_rate(capacity.limits), then]
        row += [_error(figures)] if interpolated else []
        rows.append(row)
    return _Table("One replica", header, rows, frozenset({0, 4, 7} if limits.objectives else {0, 4}))


def _latencies(planned: Sequence[PlannedOption]) -> _Table:
    rows = [
        [
            option.name,
            number(option.fleet.rate_rps),
            *(_latency(option, column) for column in _LATENCIES.values()),
            option.verdict or "-",
        ]
        for option in planned
        if option.fleet is not None
    ]
    header = ["option", "requests/s", *_LATENCIES, "queue"]
    return _Table("One replica at the peak", header, rows, frozenset({0, len(header) - 1}))


def _costs(result: PlanResult, planned: Sequence[PlannedOption]) -> _Table:
    priced = planned[0].price_per_gpu_hour is not None
    daily = planned[0].day is not None
    currency = result.plan.currency or "cost"
    header = ["option"]
    header += [f"{currency}/hour", "/million tokens", "/million output tokens"] if priced else []
    header += ["GPU-hours a day", "following the hours", "saved"] if daily else []
    header += [f"{currency}/day", "following the hours"] if daily and priced else []
    rows = []
    for option in planned:
        row = [option.name]
        if priced:
            row += [
                _money(option.cost_per_hour),
                _money(option.cost_per_million_tokens, 4),
                _money(option.cost_per_million_output_tokens, 4),
            ]
        fixed, following = option.fixed_gpu_hours_per_day, option.following_gpu_hours_per_day
        if fixed is not None and following is not None:
            row += [f"{fixed:,}", f"{following:,}", f"{1 - following / fixed:.0%}"]
            if option.price_per_gpu_hour is not None:
                row += [_money(fixed * option.price_per_gpu_hour), _money(option.following_cost_per_day)]
        rows.append(row)
    return _Table("Cost" if priced else "A day", header, rows, frozenset({0}))


def _hours(result: PlanResult, planned: Sequence[PlannedOption]) -> _Table:
    hourly_rps = result.plan.demand.hourly_rps or ()
    rows = [
        [
            f"{hour:02d}",
            number(rate_rps),
            *(f"{option.day.replicas[hour]:,}" for option in planned if option.day is not None),
        ]
        for hour, rate_rps in enumerate(hourly_rps)
    ]
    header = ["hour", "requests/s", *(option.name for option in planned if option.day is not None)]
    return _Table("Replicas that each hour takes", header, rows, frozenset({0}))


def _remarks(result: PlanResult) -> list[str]:
    lines = []
    cheapest = result.cheapest
    if cheapest is None:
        lines.append("No option is feasible.")
    else:
        priced = cheapest.price_per_gpu_hour is not None
        lines.append(f"Marked {_MARK}: {cheapest.name}, {'the cheapest' if priced else 'the fewest GPUs'}.")
        if priced:
            over = "over the day" if cheapest.day is not None else "at the peak"
            lines.append(
                f"Tokens: cost on the fixed fleet {over}, of all tokens (prompt and output), and if output tokens "
                "alone bear it."
            )
    if any(
        option.fleet and option.fleet.replicas_at_best < option.fleet.replicas for option in result.options
    ):
        lines.append("At best: with the estimates themselves in place of the lower ends of their intervals.")
    lines += [
        f"{option.name} is infeasible: {option.infeasible}." for option in result.options if option.infeasible
    ]
    figures = {option.name: option.figures for option in result.options if option.figures is not None}
    for status, note in _STATUS_NOTES.items():
        names = [name for name, each in figures.items() if each.status == status]
        lines += [f"{'; '.join(names)}: {note}."] if names else []
    if any(
        is_short(option.short_latencies, column)
        for option in result.options
        for column in _LATENCIES.values()
    ):
        lines.append(SHORT_NOTE.replace("\n", " "))
    lines += _replayed(result.plan.demand)
    if result.plan.limits.objectives and result.origin == SIMULATED and figures:
        requests = f"{result.plan.run.requests:,} requests"
        lines.append(
            f"Limits of latencies are judged over whole rounds of the trace, {requests} at least."
            if result.plan.demand.clock is not None
            else f"Limits of latencies are judged over {requests} from an empty start; longer windows see longer "
            "queues, so the rates that meet them fall a little as run.requests grow."
        )
    rejected = {
        name: each.forms.rejected_share for name, each in figures.items() if each.forms.rejected_share > 0
    }
    if rejected:
        shares = ", ".join(f"{share:.2g} of the requests by {name}" for name, share in rejected.items())
        if len(set(rejected.values())) == 1 and len(rejected) == len(result.options):
            shares = f"{next(iter(rejected.values())):.2g} of the requests by every option"
        lines.append(f"Rejected as longer than replica.max_model_len: {shares}; rates are of accepted ones.")
    return [*lines, *(f"Note: {note}." for note in result.notes)]


def _replayed(demand: Demand) -> list[str]:
    """Say so where a trace is replayed much faster or slower than it was recorded, or could be replayed."""
    clock = demand.clock
    if clock is None:
        if demand.recorded_clock is None or demand.is_shared:
            return []
        return [
            'The trace has arrival times: with demand.arrivals.process = "trace" the plan is for its bursts, too.'
        ]
    lines = [
        "What a replica can be given ripples with their number, as other requests follow one another in its turns: "
        "one more may not leave more in hand."
    ]
    times = demand.peak_rps / clock.mean_rate_rps
    if not 1 / _OWN_SPEED <= times <= _OWN_SPEED:
        swings = "shorter" if times > 1 else "longer"
        lines.append(
            f"The trace is replayed {times:.3g} times as fast as it was recorded: its bursts and lulls are as deep as "
            f"they were, and that much {swings}. More users who have nothing to do with each other make shallower ones."
        )
    return lines


def _rate(interval: Interval) -> tuple[str, str]:
    if interval.high <= 0:
        return "none", ""
    return number(interval.estimate), ends(interval.low, interval.high)


def _error(figures: ReplicaFigures) -> str:
    error = figures.interpolation_error
    return "on the grid" if not error else f"±{error:.2%}"


def _latency(option: PlannedOption, column: str) -> str:
    interval = option.latencies.get(column)
    if interval is None:
        return "-"
    text = seconds(interval.estimate)
    half = max(interval.high - interval.estimate, interval.estimate - interval.low)
    share = half / interval.estimate if interval.estimate else 0.0
    mark = SHORT_MARK if is_short(option.short_latencies, column) else ""
    return (text if share < 0.005 else f"{text} ±{share:.0%}") + mark


def _growth(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    half = (interval.high - interval.low) / 2
    return f"{interval.estimate:+.0%}" if half < 0.005 else f"{interval.estimate:+.0%} ±{half:.0%}"


def _money(amount: float | None, digits: int = 2) -> str:
    return "-" if amount is None else f"{amount:,.{digits}f}"


def _worded(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " ", 1).replace("_", "."))


def _percent(share: float) -> str:
    return f"{100 * share:.6g}%"
