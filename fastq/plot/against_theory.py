"""Simulated against theory: every point of a data set, whatever its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.errors import SpecError
from fastq.plot import style
from fastq.plot.axis import log_ticks
from fastq.plot.caption import Caption
from fastq.plot.labels import BINDING_WORDS, STATUS_WORDS, tick_label
from fastq.plot.selection import numbers, texts
from fastq.plot.status_marks import STATUS_MARKS

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from fastq.plot.style import Size

    Numbers = NDArray[np.float64]

BINDING_MARKS = {
    "kv": (style.OKABE_ITO["blue"], "o"),
    "seqs": (style.OKABE_ITO["orange"], "s"),
    "tokens": (style.OKABE_ITO["purple"], "^"),
}
"""Colour and marker of what binds."""

_PANEL_HEIGHT_EM = 25.0
_AROUND_EM = 5.5
_KEY_COLUMNS = 4
_MOST_WITH_BARS = 400
_MOST_AS_SHAPES = 20_000
"""More points than this are drawn as pixels, in vector files too."""
_SMALLEST_MARK_PT, _LARGEST_MARK_PT = 1.6, 3.6
_ROOM = 1.15
_RATIO_ROOM = 0.02
_MOST_TICKS = 7


def draw_against_theory(table: pa.Table, *, title: str, note: str, size: Size, boundary: str) -> Figure:
    """Draw the simulated rate against that of theory, and their ratio, a mark for each point.

    Parameters
    ----------
    table
        Points with ``service_rate_rps`` and the ends of its interval, ``theory_rate_rps``, ``binding`` and
        ``status``; those without a rate are left out.
    title
        Title of the picture.
    note
        Lines below it: what was run.
    size
        Width and letters.
    boundary
        What the service rate is called.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.

    Raises
    ------
    SpecError
        Where no point has a rate.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style.pen(size):
        rate, low, high, theory = (
            numbers(table, name)
            for name in (
                "service_rate_rps",
                "service_rate_low_rps",
                "service_rate_high_rps",
                "theory_rate_rps",
            )
        )
        there = np.isfinite(rate) & (rate > 0) & np.isfinite(theory)
        if not there.any():
            raise SpecError("none of these points can run, so there is no rate to draw")
        rate, low, high, theory = (values[there] for values in (rate, low, high, theory))
        binding, status = (texts(table, name)[there] for name in ("binding", "status"))
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        key = _key(binding, status, size)
        key_em = 1.6 * -(-len(key) // _KEY_COLUMNS)
        height_em = _PANEL_HEIGHT_EM + key_em + caption.height_em + _AROUND_EM
        engine = ConstrainedLayoutEngine(w_pad=0.5 * em, h_pad=0.35 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, em * height_em), layout=engine)
        grid = figure.add_gridspec(2, 2, height_ratios=(_PANEL_HEIGHT_EM, key_em))
        against, ratio = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        ends = float(min(rate.min(), theory.min())) / _ROOM, float(max(rate.max(), theory.max())) * _ROOM
        against.plot(ends, ends, color=style.INK, linewidth=0.8 * size.scale)
        ratio.axhline(1, color=style.INK, linewidth=0.8 * size.scale)
        for axes, unit in ((against, np.ones_like(theory)), (ratio, theory)):
            _draw(axes, theory, (rate / unit, low / unit, high / unit), binding, status, size)
            _dress(axes, "x", ends)
            axes.set_xlabel("Theory, self-consistent (requests/s)")
            axes.grid()
            axes.set_axisbelow(True)
        _dress(against, "y", ends)
        against.set_title(f"{boundary} (requests/s)")
        ratio.set_title("Simulated ÷ theory")
        least, most = float((rate / theory).min()), float((rate / theory).max())
        ratio.set_ylim(max(0.0, least - _RATIO_ROOM), max(1.0, most) + _RATIO_ROOM)
        foot = figure.add_subplot(grid[1, :])
        foot.axis("off")
        foot.legend(
            handles=key,
            loc="upper left",
            borderaxespad=0,
            borderpad=0,
            ncols=_KEY_COLUMNS,
            handletextpad=0.4,
            columnspacing=1.8,
        ).set_in_layout(False)
        caption.write(figure)
        style.settle(figure)
    return figure


def _draw(
    axes: Axes,
    x: Numbers,
    values: tuple[Numbers, Numbers, Numbers],
    binding: NDArray[np.object_],
    status: NDArray[np.object_],
    size: Size,
) -> None:
    y, low, high = values
    few = len(x) <= _MOST_WITH_BARS
    mark_pt = np.interp(len(x), (50, 2000), (_LARGEST_MARK_PT, _SMALLEST_MARK_PT)) * size.scale
    careful = np.isin(status, list(STATUS_MARKS))
    for name, (colour, marker) in BINDING_MARKS.items():
        for kind, face in ((~careful, colour), (careful, "white")):
            chosen = (binding == name) & kind
            if few:
                bars = np.maximum(0, np.vstack((y - low, high - y)))[:, chosen]
                axes.errorbar(
                    x[chosen], y[chosen], yerr=bars, linestyle="", color=colour, elinewidth=0.9 * size.scale
                )
            axes.plot(
                x[chosen],
                y[chosen],
                linestyle="",
                marker=marker,
                color=colour,
                markersize=mark_pt,
                markerfacecolor=face,
                markeredgewidth=0.4 * size.scale,
                alpha=1.0 if few else 0.7,
                rasterized=len(x) > _MOST_AS_SHAPES,
            )


def _dress(axes: Axes, side: str, ends: tuple[float, float]) -> None:
    """Give one side a logarithmic axis of rates."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xscale if side == "x" else axes.set_yscale)("log")
    (axes.set_xlim if side == "x" else axes.set_ylim)(*ends)
    ticks, minor = log_ticks(*ends, _MOST_TICKS)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axis.set_minor_formatter(NullFormatter())


def _key(binding: NDArray[np.object_], status: NDArray[np.object_], size: Size) -> list[Line2D]:
    from matplotlib.lines import Line2D

    marks = [
        Line2D(
            [], [], linestyle="", color=colour, marker=marker, markersize=4 * size.scale,
            label=f"limited by {BINDING_WORDS[name]}",
        )
        for name, (colour, marker) in BINDING_MARKS.items()
        if (binding == name).any()
    ]  # fmt: skip
    careful = [STATUS_WORDS[name] for name in STATUS_MARKS if (status == name).any()]
    if careful:
        marks.append(
            Line2D(
                [], [], linestyle="", color=style.FAINT, marker="o", markerfacecolor="white",
                markersize=4 * size.scale, label=f"open: {', '.join(careful)}",
            )
        )  # fmt: skip
    marks.append(Line2D([], [], color=style.INK, linewidth=0.8 * size.scale, label="equal"))
    return marks
