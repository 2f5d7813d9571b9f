"""Simulated against theory: every point of a data set, whatever its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastq.errors import SpecError
from fastq.plot import style
from fastq.plot.axis import log_ticks
from fastq.plot.caption import Caption
from fastq.plot.key import columns_that_fit, key_height_em, write_key
from fastq.plot.labels import BINDING_WORDS, STATUS_WORDS, tick_label
from fastq.plot.selection import numbers, texts
from fastq.plot.status_marks import STATUS_MARKS

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.boundary_words import BoundaryWords
    from fastq.plot.key import Key
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
_MOST_KEY_COLUMNS = 4
_MOST_WITH_BARS = 400
_MOST_AS_SHAPES = 20_000
"""More points than this are drawn as pixels, in vector files too."""
_SMALLEST_MARK_PT, _LARGEST_MARK_PT = 1.6, 3.6
_ROOM = 1.15
_RATIO_ROOM = 0.02
_MOST_TICKS = 7


def draw_against_theory(
    table: pa.Table, *, title: str, note: str, size: Size, boundary: BoundaryWords
) -> Figure:
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
        Words for the service rate and for what limits it.

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

    points = _points(table)
    with style.pen(size):
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        key = _key(points, boundary, size)
        columns = columns_that_fit([words for _, words in key], _MOST_KEY_COLUMNS, size.width_em)
        key_em = key_height_em(len(key), columns)
        height_em = _PANEL_HEIGHT_EM + key_em + caption.height_em + _AROUND_EM
        engine = ConstrainedLayoutEngine(w_pad=0.5 * em, h_pad=0.35 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, em * height_em), layout=engine)
        grid = figure.add_gridspec(2, 2, height_ratios=(_PANEL_HEIGHT_EM, key_em))
        _draw_rates(figure.add_subplot(grid[0, 0]), points, boundary.name, size)
        _draw_ratios(figure.add_subplot(grid[0, 1]), points, size)
        write_key(figure.add_subplot(grid[1, :]), key, columns, handletextpad=0.4)
        caption.write(figure)
        style.settle(figure)
    return figure


class _Points(NamedTuple):
    """Columns of the points that have a rate."""

    rate: Numbers
    low: Numbers
    high: Numbers
    theory: Numbers
    binding: NDArray[np.object_]
    status: NDArray[np.object_]

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of an axis on which all rates have room."""
        lowest, highest = min(self.rate.min(), self.theory.min()), max(self.rate.max(), self.theory.max())
        return float(lowest) / _ROOM, float(highest) * _ROOM


def _points(table: pa.Table) -> _Points:
    rates = ("service_rate_rps", "service_rate_low_rps", "service_rate_high_rps", "theory_rate_rps")
    rate, low, high, theory = (numbers(table, name) for name in rates)
    there = np.isfinite(rate) & (rate > 0) & np.isfinite(theory)
    if not there.any():
        raise SpecError("none of these points can run, so there is no rate to draw")
    binding, status = (texts(table, name)[there] for name in ("binding", "status"))
    return _Points(rate[there], low[there], high[there], theory[there], binding, status)


def _draw_rates(axes: Axes, points: _Points, boundary: str, size: Size) -> None:
    axes.plot(points.ends, points.ends, color=style.INK, linewidth=0.8 * size.scale)
    _draw(axes, points, np.ones_like(points.theory), size)
    _dress(axes, "y", points.ends)
    axes.set_title(f"{boundary} (requests/s)")


def _draw_ratios(axes: Axes, points: _Points, size: Size) -> None:
    axes.axhline(1, color=style.INK, linewidth=0.8 * size.scale)
    _draw(axes, points, points.theory, size)
    ratios = points.rate / points.theory
    axes.set_ylim(max(0.0, ratios.min() - _RATIO_ROOM), max(1.0, ratios.max()) + _RATIO_ROOM)
    axes.set_title("Simulated ÷ theory")


def _draw(axes: Axes, points: _Points, unit: Numbers, size: Size) -> None:
    """Draw the rates in units of ``unit`` against those of theory."""
    x, y, low, high = points.theory, points.rate / unit, points.low / unit, points.high / unit
    few = len(x) <= _MOST_WITH_BARS
    mark_pt = np.interp(len(x), (50, 2000), (_LARGEST_MARK_PT, _SMALLEST_MARK_PT)) * size.scale
    careful = np.isin(points.status, list(STATUS_MARKS))
    for name, (colour, marker) in BINDING_MARKS.items():
        for kind, face in ((~careful, colour), (careful, "white")):
            chosen = (points.binding == name) & kind
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
    _dress(axes, "x", points.ends)
    axes.set_xlabel("Theory, self-consistent (requests/s)")
    axes.grid()
    axes.set_axisbelow(True)


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


def _key(points: _Points, boundary: BoundaryWords, size: Size) -> Key:
    from matplotlib.lines import Line2D

    mark: dict[str, Any] = {"linestyle": "", "markersize": 4 * size.scale}
    key: Key = [
        (Line2D([], [], color=colour, marker=marker, **mark), f"{boundary.limited_by} {BINDING_WORDS[name]}")
        for name, (colour, marker) in BINDING_MARKS.items()
        if (points.binding == name).any()
    ]
    careful = [STATUS_WORDS[name] for name in STATUS_MARKS if (points.status == name).any()]
    if careful:
        hollow = Line2D([], [], color=style.FAINT, marker="o", markerfacecolor="white", **mark)
        key.append((hollow, f"open: {', '.join(careful)}"))
    key.append((Line2D([], [], color=style.INK, linewidth=0.8 * size.scale), "equal"))
    return key
