"""The stability boundary over two axes: simulated rate, its ratio to theory, and what binds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastq.plot import cells, style
from fastq.plot.boundary_words import SATURATED
from fastq.plot.caption import Caption
from fastq.plot.facet_title import LINE_EM, title_lines
from fastq.plot.labels import BINDING_WORDS, tick_label
from fastq.plot.ratio_scale import ABOVE_HATCH, ratio_scale
from fastq.plot.status_marks import draw_marks, marks_key, sharing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.boundary_words import BoundaryWords
    from fastq.plot.selection import Facet, Selection
    from fastq.plot.status_marks import Steps
    from fastq.plot.style import Size

    Key = list[tuple[Artist, str]]

BINDING_LOOK = {"kv": ("#D3E9F8", ""), "seqs": ("#F3BE55", "...."), "tokens": ("#2B9C7C", "\\\\\\\\")}
"""Face colour and hatching of each binding constraint: three lightnesses, told apart in grey too."""

_PANEL_HEIGHT_EM = 17.0
_KEY_HEIGHT_EM = 4.8
_KEY_COLUMNS = 3
_LINE_EM = 1.6
_LOG_RATE_SPAN = 8.0
_MOST_BAND_TICKS = 6
_COLUMNS_OF_RATES = 2
_UNMET_HATCH = "..."
_NUMBERS_EM = 3.0
"""Room beside the panels that tick labels of numbers take."""


def draw_boundary_map(
    selection: Selection, *, title: str, note: str, size: Size, boundary: BoundaryWords = SATURATED
) -> Figure:
    """Draw a row of three panels for each facet.

    Parameters
    ----------
    selection
        What to draw.
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
        rows = len(selection.facets)
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        marks = _marks_key(selection, size)
        marks_em = _LINE_EM * math.ceil(len(marks) / _KEY_COLUMNS)
        heights = [_PANEL_HEIGHT_EM] * rows + [_KEY_HEIGHT_EM] + [marks_em] * bool(marks)
        titles = [title_lines(facet.settings, _panel_width_em(selection, size)) for facet in selection.facets]
        around_em = 0.5 * rows + LINE_EM * sum(map(len, titles)) + caption.height_em + 5.7
        engine = ConstrainedLayoutEngine(w_pad=0.35 * em, h_pad=0.3 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, em * (sum(heights) + around_em)), layout=engine)
        grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
        columns: tuple[_Column, ...] = (
            _Rate(selection, boundary.name),
            _Ratio(selection),
            _Binding(selection, boundary.what_limits),
        )
        for column, kind in enumerate(columns):
            for row, facet in enumerate(selection.facets):
                axes = figure.add_subplot(grid[row, column])
                kind.draw(axes, facet, size)
                _frame(axes, selection, facet, size, row=row, column=column)
                if row == 0:
                    axes.set_title(kind.heading, fontweight="bold", pad=_pad_pt(titles[row], size))
                if column == 0:
                    _write_title(axes, titles[row], size)
            kind.explain(figure.add_subplot(grid[rows, column]), size)
        if marks:
            _write_key(figure.add_subplot(grid[rows + 1, :]), marks, columns=_KEY_COLUMNS)
        caption.write(figure)
        if rows > 1:
            figure.supylabel(selection.y.label, fontsize=size.font_pt)
        style.settle(figure)
    return figure


class _Column(Protocol):
    """One quantity: a panel for each facet, and a key below them."""

    heading: str

    def draw(self, axes: Axes, facet: Facet, size: Size) -> None: ...

    def explain(self, axes: Axes, size: Size) -> None: ...


class _Rate:
    """Simulated boundary in colour, with curves of equal rate: solid simulated, dashed theory."""

    def __init__(self, selection: Selection, heading: str) -> None:
        from matplotlib.cm import ScalarMappable

        self.selection, self.heading = selection, heading
        values = selection.numbers("service_rate_rps", selection.rows)
        self.norm, self.levels = _rate_scale(values[np.isfinite(values)])
        self.look = ScalarMappable(self.norm, style.colour_map("viridis"))

    def draw(self, axes: Axes, facet: Facet, size: Size) -> None:
        rate = self.selection.grid("service_rate_rps", facet)
        cells.colour_cells(axes, self.selection, rate, self.look)
        if cells.curves_fit(self.selection):
            theory = self.selection.grid("theory_rate_rps", facet)
            cells.draw_dashed_curves(axes, self.selection, theory, self.levels, size)
            cells.draw_curves(axes, self.selection, rate, self.levels, size)
        elif cells.values_fit(self.selection):
            cells.write_values(
                axes, self.selection, rate, "#.3g", size, _panel_width_em(self.selection, size)
            )
        x, y = cells.places_of_marks(self.selection)
        status = self.selection.words("status", facet)
        draw_marks(axes, status, x, y, _steps(self.selection, size), size)

    def explain(self, axes: Axes, size: Size) -> None:
        _colour_bar(axes, self.look, "requests/s", size)


class _Ratio:
    """Simulated rate over the closed form, in bands of colour."""

    heading = "Simulated ÷ theory"

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        rate, theory = (
            selection.numbers(f"{name}_rate_rps", selection.rows) for name in ("service", "theory")
        )
        self.scale = ratio_scale(rate / theory)
        self.look = self.scale.look()

    def draw(self, axes: Axes, facet: Facet, size: Size) -> None:
        ratio = self.selection.grid("service_rate_rps", facet) / self.selection.grid("theory_rate_rps", facet)
        cells.colour_cells(axes, self.selection, ratio, self.look)
        cells.fill_cells(axes, self.selection, ratio >= self.scale.above_one, "none", ABOVE_HATCH)
        if cells.values_fit(self.selection):
            cells.write_values(
                axes, self.selection, ratio, ".3f", size, _panel_width_em(self.selection, size)
            )

    def explain(self, axes: Axes, size: Size) -> None:
        bar = _colour_bar(axes, self.look, "1 = the closed form; hatched above", size)
        bar.set_ticks(self.scale.ticks(_MOST_BAND_TICKS))
        bar.ax.axvspan(
            self.scale.above_one,
            self.scale.bounds[-1],
            facecolor="none",
            edgecolor=style.INK,
            linewidth=0,
            hatch=ABOVE_HATCH,
        )


class _Binding:
    """Which of memory, sequences and tokens holds the rate down, by the closed form."""

    def __init__(self, selection: Selection, heading: str) -> None:
        self.selection, self.heading = selection, heading

    def draw(self, axes: Axes, facet: Facet, size: Size) -> None:
        binding = self.selection.words("binding", facet)
        binding[_skipped(self.selection, facet)] = ""
        for name, (face, hatch) in BINDING_LOOK.items():
            cells.fill_cells(axes, self.selection, binding == name, face, hatch)
        cells.outline_regions(axes, self.selection, binding, size)
        for name, words in BINDING_WORDS.items():
            room = (_panel_width_em(self.selection, size), _PANEL_HEIGHT_EM)
            cells.name_region(axes, self.selection, binding == name, words, room)

    def explain(self, axes: Axes, size: Size) -> None:
        held = _kinds(self.selection, "binding")
        key: Key = [
            (cells.swatch(face, hatch, size), BINDING_WORDS[name])
            for name, (face, hatch) in BINDING_LOOK.items()
            if name in held
        ]
        _write_key(axes, key, columns=1)


def _rate_scale(values: NDArray[np.float64]) -> tuple[Normalize, list[float]]:
    """Return the colour scale of the rates, and the levels that get a curve."""
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator

    if len(values) == 0:
        return Normalize(0, 1), []
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Normalize(0.9 * low, 1.1 * high), []
    if low <= 0 or high / low < _LOG_RATE_SPAN:
        inside = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        return Normalize(low, high), [float(level) for level in inside if low < level < high]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if high / low < 500 else (1,)
    levels = [digit * 10.0**decade for decade in decades for digit in digits]
    return LogNorm(low, high), [level for level in levels if low < level < high]


def _kinds(selection: Selection, column: str) -> set[str]:
    return {
        str(kind)
        for facet in selection.facets
        for kind in np.unique(selection.words(column, facet).astype(str))
    }


def _skipped(selection: Selection, facet: Facet) -> NDArray[np.bool_]:
    return np.asarray(selection.words("status", facet) == "skipped")


def _unmet(selection: Selection, facet: Facet) -> NDArray[np.bool_]:
    """Points that ran, and have no rate: none meets the objectives."""
    ran = selection.present(facet) & ~_skipped(selection, facet)
    return ran & np.isnan(selection.grid("service_rate_rps", facet))


def _steps(selection: Selection, size: Size) -> Steps:
    """Return how many cells share a mark: each has its own where each has its value written into it."""
    if cells.values_fit(selection):
        return 1, 1
    return sharing(
        (len(selection.y.values), len(selection.x.values)),
        (_PANEL_HEIGHT_EM, _panel_width_em(selection, size)),
    )


def _panel_width_em(selection: Selection, size: Size) -> float:
    return (size.width_em - 6 - max(0.0, selection.y.labels_em - _NUMBERS_EM)) / 3 - 1


def _frame(axes: Axes, selection: Selection, facet: Facet, size: Size, *, row: int, column: int) -> None:
    """Give a panel its scales, and its cells without a value their look."""
    cells.fill_cells(axes, selection, _skipped(selection, facet), style.SKIPPED_FACE, style.SKIPPED_HATCH)
    if column < _COLUMNS_OF_RATES:
        cells.fill_cells(axes, selection, _unmet(selection, facet), "white", _UNMET_HATCH)
    axes.spines[["top", "right"]].set_visible(True)
    rows = len(selection.facets)
    selection.x.dress(axes, "x", labelled=row == rows - 1, room_em=_panel_width_em(selection, size))
    selection.y.dress(axes, "y", labelled=column == 0, room_em=_PANEL_HEIGHT_EM)
    if rows > 1:
        axes.set_ylabel("")


def _pad_pt(title: list[str], size: Size) -> float:
    """Return how far above a panel the heading of its column stands, so that all headings are on one line."""
    return (0.7 + LINE_EM * len(title)) * size.font_pt


def _write_title(axes: Axes, title: list[str], size: Size) -> None:
    """Write the settings of a facet above a panel."""
    axes.annotate(
        "\n".join(title),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 0.45 * size.font_pt),
        textcoords="offset points",
        ha="left",
        va="bottom",
    )


def _marks_key(selection: Selection, size: Size) -> Key:
    """Return what the key at the bottom shows: only what the picture holds."""
    from matplotlib.lines import Line2D

    key: Key = []
    if cells.curves_fit(selection):
        key.append((Line2D([], [], color="black", linewidth=0.9 * size.scale), "equal rate, simulated"))
        key.append((cells.dashed_line(size), "equal rate, theory"))
    if "skipped" in _kinds(selection, "status"):
        key.append((cells.swatch(style.SKIPPED_FACE, style.SKIPPED_HATCH, size), "a request can never fit"))
    if any(_unmet(selection, facet).any() for facet in selection.facets):
        key.append((cells.swatch("white", _UNMET_HATCH, size), "no rate meets the objectives"))
    if any(not selection.present(facet).all() for facet in selection.facets):
        key.append((cells.swatch("white", "", size), "not run yet"))
    key.extend(marks_key(selection, _steps(selection, size), size))
    return key


def _write_key(axes: Axes, key: Key, *, columns: int) -> None:
    axes.axis("off")
    if key:
        handles, words = zip(*key, strict=True)
        legend = axes.legend(
            handles,
            words,
            loc="upper left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
            borderpad=0,
            ncols=columns,
            handlelength=2.2,
            handleheight=1.1,
            labelspacing=0.45,
            columnspacing=1.6,
        )
        legend.set_in_layout(False)


def _colour_bar(axes: Axes, look: ScalarMappable, words: str, size: Size) -> Colorbar:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.axis("off")
    bar = axes.figure.colorbar(look, cax=axes.inset_axes((0.0, 0.78, 1.0, 0.22)), orientation="horizontal")
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_linewidth(0.5 * size.scale)
    bar.set_label(words)
    bar.ax.set_in_layout(False)
    return bar
