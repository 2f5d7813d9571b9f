"""A trace on one page: its rate over time, prompt against output, and the parts of its span."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastq.plot import style
from fastq.plot.caption import Caption
from fastq.plot.labels import duration_label, tick_label, value_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.analysis.drift import Part
    from fastq.analysis.workload_description import WorkloadDescription
    from fastq.model.trace import Trace
    from fastq.plot.style import Size

_RATE_HEIGHT_EM = 13.0
_LENGTHS_HEIGHT_EM = 27.0
_WINDOWS_S = (0.01, 0.1, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
_MOST_WINDOWS = 250
_FEWEST_IN_WINDOW = 4
_CELLS = 56
_CURVE_CELLS = 14
_FEWEST_IN_CELL = 20
_PERCENTILES = {10: (0, (1, 1)), 50: "-", 90: (0, (5, 1.5))}
_TIME_UNITS = ((120.0, 1.0, "s"), (10_800.0, 60.0, "min"), (259_200.0, 3600.0, "h"))
_DAY_S = 86400.0


def draw_workload(description: WorkloadDescription, trace: Trace, *, size: Size) -> Figure:
    """Draw a trace.

    Parameters
    ----------
    description
        Its figures.
    trace
        Its requests. Without arrival times only lengths are drawn.
    size
        Width and letters.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    arrivals, drift = description.arrivals, description.drift
    parts = drift.parts if drift is not None else ()
    words = {test.figure: test.words for test in drift.tests} if drift is not None else {}
    timed = arrivals is not None and arrivals.span_s > 0.0
    with style.pen(size):
        em = size.font_pt / 72
        caption = Caption(_title(description), _note(description), size)
        heights = [_RATE_HEIGHT_EM] * timed + [_LENGTHS_HEIGHT_EM]
        engine = ConstrainedLayoutEngine(w_pad=0.5 * em, h_pad=0.5 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, em * (sum(heights) + caption.height_em + 3)), layout=engine)
        rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        if arrivals is not None and trace.arrival_s is not None and timed:
            grid_s = arrivals.ties.grid_s or 0.0
            _draw_rate(
                figure.add_subplot(rows[0]), np.sort(trace.arrival_s), parts, grid_s, words.get("rate", "")
            )
        below = rows[-1].subgridspec(2, 2, width_ratios=(1.35, 1.0)) if parts else rows[-1].subgridspec(1, 1)
        lengths = figure.add_subplot(below[:, 0])
        _draw_lengths(figure, lengths, trace.prompt_tokens, trace.output_tokens, size)
        if parts:
            upper = figure.add_subplot(below[0, 1])
            lower = figure.add_subplot(below[1, 1], sharex=upper)
            means = {
                "prompt": [part.mean_prompt_tokens for part in parts],
                "output": [part.mean_output_tokens for part in parts],
            }
            for axes, kind in ((upper, "prompt"), (lower, "output")):
                _draw_parts(axes, parts, means[kind], kind, words[kind])
            upper.tick_params(labelbottom=False)
            lower.set_xlabel(_time_axis(lower, parts[-1].end_s - parts[0].start_s))
        caption.write(figure)
        style.settle(figure)
    return figure


def _title(description: WorkloadDescription) -> str:
    many = f"{description.requests:,} request{'s' * (description.requests != 1)}"
    over = "" if description.arrivals is None else f" in {duration_label(description.arrivals.span_s)}"
    return f"{description.name}: {many}{over}"


def _note(description: WorkloadDescription) -> str:
    lengths, arrivals = description.lengths, description.arrivals
    lines = [
        f"Mean prompt {_mean_label(lengths.prompt.mean_tokens)}, output {_mean_label(lengths.output.mean_tokens)} "
        f"tokens. KV area of decoding {value_label(round(lengths.decode_kv_area_tokens))} token-iterations a request; "
        f"the largest 1% of the requests take {lengths.longest_kv_share:.1%} of it."
    ]
    if arrivals is not None and arrivals.mean_rate_rps is not None and arrivals.interarrival_cv is not None:
        dispersion = ", ".join(
            f"{value_label(each.dispersion)} in {duration_label(each.window_s)}"
            for each in arrivals.windows
            if each.dispersion is not None
        )
        lines.append(
            f"{value_label(arrivals.mean_rate_rps)} requests/s, CV of interarrival times "
            f"{value_label(arrivals.interarrival_cv)}"
            + (f"; variance/mean of counts {dispersion} (Poisson: 1)." if dispersion else ".")
        )
        if arrivals.ties.grid_s is not None:
            lines.append(f"Arrivals lie on a grid of about {value_label(round(arrivals.ties.grid_s, 3))} s.")
    return "\n".join(lines)


def _mean_label(tokens: float) -> str:
    return f"{tokens:,.0f}" if tokens >= 1000.0 else value_label(tokens)


def _draw_rate(
    axes: Axes, ordered_s: NDArray[np.float64], parts: Sequence[Part], grid_s: float, words: str
) -> None:
    """Draw the rate in windows, and that of each part."""
    span_s = float(ordered_s[-1] - ordered_s[0])
    fine_s = max(span_s / _MOST_WINDOWS, _FEWEST_IN_WINDOW * span_s / ordered_s.size, 5.0 * grid_s)
    window_s = min(next((each for each in _WINDOWS_S if each >= fine_s), fine_s), span_s)
    edges_s = window_s * np.arange(int(span_s // window_s) + 1)
    counts, _ = np.histogram(ordered_s - ordered_s[0], edges_s)
    rates = counts / np.diff(edges_s)
    axes.stairs(rates, edges_s, color=style.OKABE_ITO["sky blue"], fill=True, alpha=0.55, linewidth=0)
    label = f"in windows of {duration_label(window_s)}"
    axes.stairs(rates, edges_s, color=style.OKABE_ITO["blue"], linewidth=0.6, label=label)
    if parts:
        starts_s = [part.start_s - parts[0].start_s for part in parts]
        axes.stairs(
            [part.rate_rps if part.rate_rps is not None else np.nan for part in parts],
            [*starts_s, parts[-1].end_s - parts[0].start_s],
            baseline=None,
            color=style.OKABE_ITO["vermilion"],
            label=f"in {len(parts)} parts of equally many requests ({words})",
        )
    axes.set_xlim(0, span_s)
    axes.set_ylim(0, 1.25 * float(rates.max()))
    axes.set_ylabel("Arrivals (requests/s)")
    axes.set_xlabel(_time_axis(axes, span_s))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(loc="upper right", ncols=2)


def _draw_lengths(
    figure: Figure, axes: Axes, prompts: NDArray[np.int32], outputs: NDArray[np.int32], size: Size
) -> None:
    """Draw how many requests have each pair of lengths, and percentiles of the output along the prompt."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    x, y = _cells(prompts, _CELLS), _cells(outputs, _CELLS)
    counts, _, _ = np.histogram2d(prompts, outputs, bins=(x, y))
    mesh = axes.pcolormesh(
        x,
        y,
        np.where(counts > 0, counts, np.nan).T,
        norm=LogNorm(1, max(2.0, float(counts.max()))),
        cmap=style.colour_map("viridis"),
        rasterized=True,
    )
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=30)
    bar.set_label("Requests in a cell")
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    bar.set_ticks(_log_ticks(*mesh.get_clim()))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    coarse = _cells(prompts, _CURVE_CELLS)
    place = np.searchsorted(coarse, prompts) - 1
    full = [cell for cell in range(coarse.size - 1) if np.count_nonzero(place == cell) >= _FEWEST_IN_CELL]
    middle = np.sqrt(coarse[1:] * coarse[:-1])[full]
    for percent, dashes in _PERCENTILES.items():
        curve = [np.percentile(outputs[place == cell], percent, method="inverted_cdf") for cell in full]
        axes.plot(middle, curve, color=style.INK, linestyle=dashes, label=f"{percent}%")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    for axis, bounds in ((axes.xaxis, x), (axes.yaxis, y)):
        axis.set_ticks(_log_ticks(float(bounds[0]), float(bounds[-1])))
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
        axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel("Prompt (tokens)")
    axes.set_ylabel("Output (tokens)")
    if len(full) > 1:
        axes.legend(
            title="Percentile of the output, by prompt",
            title_fontsize=0.9 * size.font_pt,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=3,
            borderaxespad=0.0,
            alignment="left",
        )


def _draw_parts(axes: Axes, parts: Sequence[Part], means: list[float], kind: str, words: str) -> None:
    """Draw the mean length of each part, and whether they differ."""
    from matplotlib.ticker import FuncFormatter

    starts_s = [part.start_s - parts[0].start_s for part in parts]
    end_s = parts[-1].end_s - parts[0].start_s
    overall = sum(mean * part.requests for mean, part in zip(means, parts, strict=True)) / sum(
        part.requests for part in parts
    )
    axes.axhline(overall, color=style.FAINT, linestyle=style.LINE_STYLES[1], linewidth=0.8)
    axes.stairs(means, [*starts_s, end_s], baseline=None, color=style.OKABE_ITO["vermilion"])
    axes.set_xlim(0, end_s)
    axes.set_ylim(0, 1.15 * max(means))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.set_ylabel(f"Mean {kind}\n(tokens)")
    axes.set_title(f"{words[0].upper()}{words[1:]}")
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _cells(lengths: NDArray[np.int32], most: int) -> NDArray[np.float64]:
    """Return bounds of cells, equal on a logarithmic axis as far as whole tokens allow; none falls between two."""
    low, high = int(lengths.min()), int(lengths.max()) + 1
    bounds = np.unique(np.round(np.geomspace(low, high, most + 1)))
    return np.asarray(bounds - 0.5)


def _log_ticks(low: float, high: float) -> list[float]:
    """Return a few round values from ``low`` to ``high`` for a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5)):
        ticks = [
            float(step * 10**decade)
            for decade in decades
            for step in steps
            if low <= step * 10**decade <= high
        ]
        if len(ticks) > 2:
            return ticks
    return [value for value in MaxNLocator(4, integer=True).tick_values(low, high) if low <= value <= high]


def _time_axis(axes: Axes, span_s: float) -> str:
    """Let an axis in seconds show a unit that suits it; return its label."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    factor_s, unit = next(
        ((factor_s, unit) for limit_s, factor_s, unit in _TIME_UNITS if span_s <= limit_s), (_DAY_S, "days")
    )
    round_values = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0.0, span_s / factor_s)
    shown = [value for value in round_values if value * factor_s <= span_s]
    axes.set_xticks([value * factor_s for value in shown])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value / factor_s)))
    return f"Time since the first request ({unit})"
