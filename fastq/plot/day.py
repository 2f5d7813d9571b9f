"""A plan over the day: what arrives, what the fleets can take, and where queues would blow up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.engine.plan_result import SIMULATED
from fastq.plot import style
from fastq.plot.caption import Caption
from fastq.plot.labels import tick_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastq.analysis.fleet import Capacity, Day
    from fastq.engine.plan_result import PlannedOption, PlanResult
    from fastq.plot.style import Size

_HEIGHTS_EM = (17.0, 9.0)
_DEMAND = style.OKABE_ITO["blue"]
_FOLLOWING = style.OKABE_ITO["orange"]
_FIXED = style.OKABE_ITO["green"]
_BOUNDARY = style.OKABE_ITO["vermilion"]
_HOUR_TICKS = range(0, 25, 3)


def draw_day(result: PlanResult, option: PlannedOption, *, size: Size) -> Figure:
    """Draw demand against the capacity of both fleets, and below it the load of a replica, hour by hour.

    Parameters
    ----------
    result
        The plan, worked out.
    option
        What to draw: feasible, and with a day.
    size
        Width and letters.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.

    Raises
    ------
    ValueError
        If the option has no day.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    day, figures = option.day, option.figures
    if day is None or figures is None:
        raise ValueError(f"option {option.name!r} has no day to draw")
    with style.pen(size):
        em = size.font_pt / 72
        caption = Caption(_title(result, option), _note(result, option), size)
        height = em * (sum(_HEIGHTS_EM) + caption.height_em + 10)
        engine = ConstrainedLayoutEngine(w_pad=0.35 * em, h_pad=0.35 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, height), layout=engine)
        rates, loads = figure.subplots(2, 1, sharex=True, height_ratios=_HEIGHTS_EM)
        _draw_rates(rates, day, figures.capacity, size)
        _draw_loads(loads, day, figures.capacity, size)
        for axes in (rates, loads):
            axes.set_xlim(0, len(day.demand_rps))
            axes.set_xticks(_HOUR_TICKS)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        loads.set_xlabel("Hour of the day")
        caption.write(figure)
        style.settle(figure)
    return figure


def _draw_rates(axes: Axes, day: Day, capacity: Capacity, size: Size) -> None:
    from matplotlib.ticker import FuncFormatter

    fixed = max(day.replicas)
    boundary = capacity.boundary
    following = [count * capacity.at_most_rps for count in day.replicas]
    edges = np.arange(len(day.demand_rps) + 1)
    axes.stairs(day.demand_rps, edges, fill=True, color=_DEMAND, alpha=0.25)
    axes.fill_between(
        [0, len(day.demand_rps)],
        fixed * boundary.low,
        fixed * boundary.high,
        color=_BOUNDARY,
        alpha=0.3,
        linewidth=0,
    )
    _steps(axes, following, _FOLLOWING, "within limits, fleet that follows the hours", size)
    _steps(axes, day.demand_rps, _DEMAND, "demand", size)
    of_all = f"{fixed:,} replica{'s' if fixed > 1 else ''}"
    at_most_rps = fixed * capacity.at_most_rps
    _level(axes, day, at_most_rps, _FIXED, style.LINE_STYLES[1], f"within limits, {of_all} all day")
    _level(axes, day, fixed * boundary.estimate, _BOUNDARY, style.LINE_STYLES[2], f"boundary of {of_all}")
    axes.set_ylim(0, 1.06 * fixed * boundary.high)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.set_ylabel("Accepted requests/s")
    _key(axes)


def _draw_loads(axes: Axes, day: Day, capacity: Capacity, size: Size) -> None:
    from matplotlib.ticker import PercentFormatter

    boundary_rps = capacity.boundary.estimate
    fixed = max(day.replicas)
    of_fixed = [rate / (fixed * boundary_rps) for rate in day.demand_rps]
    of_following = [
        rate / (count * boundary_rps) if count else 0.0
        for rate, count in zip(day.demand_rps, day.replicas, strict=True)
    ]
    at_most = capacity.at_most_rps / boundary_rps
    axes.axhline(at_most, color=style.INK, linewidth=0.8 * size.scale, linestyle=(0, (1, 1.5)))
    axes.annotate(
        f"at most {at_most:.0%}",
        (0.005, at_most),
        xycoords=("axes fraction", "data"),
        xytext=(0, 0.2 * size.font_pt),
        textcoords="offset points",
        va="bottom",
        fontsize=0.9 * size.font_pt,
    )
    _steps(axes, of_following, _FOLLOWING, "following", size)
    _steps(axes, of_fixed, _FIXED, f"{fixed:,} all day", size, style.LINE_STYLES[1])
    axes.set_ylim(0, 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("Load of a replica\n(of its boundary)")
    _key(axes)


def _steps(
    axes: Axes, values: Sequence[float], colour: str, label: str, size: Size, dashes: object = "-"
) -> None:
    edges = np.arange(len(values) + 1)
    width = 1.3 * size.scale
    axes.stairs(values, edges, color=colour, linestyle=dashes, linewidth=width, label=label, baseline=None)


def _level(axes: Axes, day: Day, rate_rps: float, colour: str, dashes: object, label: str) -> None:
    axes.plot([0, len(day.demand_rps)], [rate_rps, rate_rps], color=colour, linestyle=dashes, label=label)


def _key(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=2,
        borderaxespad=0.2,
        borderpad=0,
        handlelength=2.4,
        columnspacing=1.4,
    )


def _title(result: PlanResult, option: PlannedOption) -> str:
    title = result.plan.title or result.plan.source
    return (
        f"{title}: {option.gpus:,} × {option.name}"
        if option.gpus_per_replica == 1
        else f"{title}: {option.name}"
    )


def _note(result: PlanResult, option: PlannedOption) -> str:
    day, figures, plan = option.day, option.figures, result.plan
    if day is None or figures is None:
        return ""
    boundary = figures.capacity.boundary
    limits = "".join(f", {one.latency} {one.text}" for one in plan.limits.objectives)
    return (
        f"Each replica of {option.gpus_per_replica:,} GPU{'s' if option.gpus_per_replica > 1 else ''}: boundary "
        f"{boundary.estimate:.4g} requests/s ({boundary.low:.4g} to {boundary.high:.4g} at "
        f"{100 * plan.limits.confidence:.6g}%). Limits: load at most {plan.limits.target_load:g}{limits}.\n"
        f"{'Simulated' if result.origin == SIMULATED else f'Interpolated in {result.origin}'}. "
        f"GPU-hours a day: {option.fixed_gpu_hours_per_day:,} fixed, {option.following_gpu_hours_per_day:,} following."
    )
