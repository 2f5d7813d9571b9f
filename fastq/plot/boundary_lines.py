"""The stability boundary along one axis: simulated rate beside theory, what binds, and their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.plot import cells, style
from fastq.plot.boundary_map import BINDING_LOOK
from fastq.plot.boundary_words import SATURATED
from fastq.plot.caption import Caption
from fastq.plot.facet_title import LINE_EM, title_lines
from fastq.plot.interval import draw_interval, interval_sign, is_alone, is_crowded
from fastq.plot.key import key_height_em, write_key
from fastq.plot.labels import BINDING_WORDS, tick_label
from fastq.plot.status_marks import STATUS_MARKS, draw_marks, marks_key, sharing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.boundary_words import BoundaryWords
    from fastq.plot.key import Key
    from fastq.plot.selection import Facet, Selection
    from fastq.plot.status_marks import Steps
    from fastq.plot.style import Size


_MOST_COLUMNS = 3
_KEY_COLUMNS = 3
_MARGIN_EM = 4.5
_HEIGHTS_EM = (16.0, 1.5, 7.0)
_LOG_RATE_SPAN = 8.0
_RATIO_ROOM = 0.002
"""The panel of the ratio shows at least so much on either side of 1, however near theory the simulation comes."""
_THEORIES = (
    ("theory_rate_rps", "theory", style.OKABE_ITO["vermilion"], style.LINE_STYLES[1]),
    ("theory_stable_rps", "proved stable below", style.OKABE_ITO["green"], style.LINE_STYLES[2]),
    ("paper_rate_rps", "theory, KV memory alone", style.FAINT, style.LINE_STYLES[3]),
)
"""Column, name, colour and dashes of each closed form."""


def draw_boundary_lines(
    selection: Selection, *, title: str, note: str, size: Size, boundary: BoundaryWords = SATURATED
) -> Figure:
    """Draw, for each facet, the rates, a strip that says what binds, and simulated over theory.

    Parameters
    ----------
    selection
        What to draw; its y axis has one value.
    title
        Title of the picture.
    note
        Lines below it: what was run.
    size
        Width and letters.
    boundary
        Words for the service rate of the selection and for what limits it.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style.pen(size):
        columns = min(_MOST_COLUMNS, len(selection.facets))
        rows = -(-len(selection.facets) // columns)
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        room_em = (size.width_em - _MARGIN_EM) / columns - 1
        key = _key(selection, boundary, room_em, size)
        heights = [*_HEIGHTS_EM * rows, key_height_em(len(key), _KEY_COLUMNS)]
        titles = [title_lines(facet.settings, room_em) for facet in selection.facets]
        titles_em = LINE_EM * sum(
            max(map(len, titles[first : first + columns])) for first in range(0, len(titles), columns)
        )
        around_em = 3.8 * rows + titles_em + caption.height_em + 1.5
        engine = ConstrainedLayoutEngine(w_pad=0.35 * em, h_pad=0.3 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, em * (sum(heights) + around_em)), layout=engine)
        grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
        share: tuple[Axes, Axes] | tuple[None, None] = (None, None)
        for number, facet in enumerate(selection.facets):
            row, column = divmod(number, columns)
            rates = figure.add_subplot(grid[3 * row, column], sharey=share[0])
            strip = figure.add_subplot(grid[3 * row + 1, column])
            ratio = figure.add_subplot(grid[3 * row + 2, column], sharey=share[1])
            share = (rates, ratio)
            _draw_rates(rates, selection, facet, room_em, size)
            _draw_strip(strip, selection, facet, room_em)
            _draw_ratio(ratio, selection, facet, room_em, size)
            rates.set_title("\n".join(titles[number]))
            for axes in (rates, strip, ratio):
                selection.x.dress(axes, "x", labelled=axes is ratio, room_em=room_em)
                axes.tick_params(labelleft=column == 0)
            if column == 0:
                rates.set_ylabel(f"{boundary.name}\n(requests/s)")
                ratio.set_ylabel("Simulated\n÷ theory")
        foot = figure.add_subplot(grid[-1, :])
        write_key(foot, key, _KEY_COLUMNS, handlelength=2.6, handleheight=1.1)
        caption.write(figure)
        style.settle(figure)
    return figure


def _draw_rates(axes: Axes, selection: Selection, facet: Facet, room_em: float, size: Size) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    x = selection.x.positions
    joined = selection.x.numeric
    for column, _, colour, dashes in _THEORIES:
        y = _along(selection, facet, column)
        if joined:
            axes.plot(x, y, color=colour, linestyle=dashes)
        alone = is_alone(y) if joined else np.isfinite(y)
        axes.plot(
            x[alone],
            y[alone],
            color=colour,
            linestyle="",
            marker="_",
            markersize=12 * size.scale,
            markeredgewidth=1.3 * size.scale,
        )
    _draw_simulated(axes, selection, facet, np.ones(len(x)), room_em, size)
    shown = [selection.numbers(name, selection.rows) for name in ("service_rate_high_rps", "theory_rate_rps")]
    values = np.concatenate(shown)
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) and values.max() / values.min() > _LOG_RATE_SPAN:
        axes.set_yscale("log")
        axes.set_ylim(values.min() / 1.3, 2 * values.max())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif len(values):
        axes.set_ylim(0, 1.3 * values.max())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _draw_ratio(axes: Axes, selection: Selection, facet: Facet, room_em: float, size: Size) -> None:
    theory = _along(selection, facet, "theory_rate_rps")
    axes.axhline(1, color=_THEORIES[0][2], linestyle=_THEORIES[0][3])
    _draw_simulated(axes, selection, facet, theory, room_em, size)
    axes.update_datalim([(0, 1 - _RATIO_ROOM), (0, 1 + _RATIO_ROOM)], updatex=False)
    axes.autoscale_view(scalex=False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _draw_simulated(
    axes: Axes, selection: Selection, facet: Facet, unit: NDArray[np.float64], room_em: float, size: Size
) -> None:
    """Draw the simulated boundary in multiples of ``unit``, with marks on points that call for care."""
    rate, low, high = (
        _along(selection, facet, f"service_rate{end}_rps") / unit for end in ("", "_low", "_high")
    )
    crowded = is_crowded(selection.x, room_em)
    status, steps = selection.words("status", facet), _steps(selection, room_em)
    marked = np.isin(status[0], list(STATUS_MARKS))
    draw_interval(axes, selection.x, (rate, low, high), size, crowded=crowded, marked=marked)
    draw_marks(axes, status, selection.x.positions[None, :], rate[None, :], steps, size)


def _steps(selection: Selection, room_em: float) -> Steps:
    """Return how many points share a mark: each has its own where each has its error bar."""
    if not is_crowded(selection.x, room_em):
        return 1, 1
    return sharing((1, len(selection.x.values)), (_HEIGHTS_EM[-1], room_em))


def _draw_strip(axes: Axes, selection: Selection, facet: Facet, room_em: float) -> None:
    """Show what binds at each value, as a band of colour, hatching and words."""
    axes.set_ylim(float(selection.y.edges[0]), float(selection.y.edges[-1]))
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    binding = selection.words("binding", facet)
    skipped = np.asarray(selection.words("status", facet) == "skipped")
    binding[skipped] = ""
    for name, (face, hatch) in BINDING_LOOK.items():
        cells.fill_cells(axes, selection, binding == name, face, hatch)
        cells.name_region(axes, selection, binding == name, BINDING_WORDS[name], (room_em, _HEIGHTS_EM[1]))
    cells.fill_cells(axes, selection, skipped, style.SKIPPED_FACE, style.SKIPPED_HATCH)


def _along(selection: Selection, facet: Facet, column: str) -> NDArray[np.float64]:
    """Return a column at each value of the x axis, NaN where missing."""
    return np.asarray(selection.grid(column, facet)[0])


def _key(selection: Selection, boundary: BoundaryWords, room_em: float, size: Size) -> Key:
    from matplotlib.lines import Line2D

    key: Key = [
        (interval_sign(crowded=is_crowded(selection.x, room_em)), "simulated, 95% interval"),
        *(
            (Line2D([], [], color=colour, linestyle=dashes), words)
            for column, words, colour, dashes in _THEORIES
            if np.isfinite(selection.numbers(column, selection.rows)).any()
        ),
    ]
    key.extend(marks_key(selection, _steps(selection, room_em), size))
    held = {str(kind) for facet in selection.facets for kind in selection.words("binding", facet).ravel()}
    key.extend(
        (cells.swatch(face, hatch, size), f"{boundary.limited_by} {BINDING_WORDS[name]}")
        for name, (face, hatch) in BINDING_LOOK.items()
        if name in held
    )
    if any((selection.words("status", facet) == "skipped").any() for facet in selection.facets):
        key.append((cells.swatch(style.SKIPPED_FACE, style.SKIPPED_HATCH, size), "a request can never fit"))
    return key
