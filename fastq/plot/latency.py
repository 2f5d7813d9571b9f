"""Latency against arrival rate: percentiles with their intervals up to the stability boundary, and beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.plot import style
from fastq.plot.axis import log_ticks
from fastq.plot.caption import Caption
from fastq.plot.key import key_height_em, write_key
from fastq.plot.labels import tick_label
from fastq.store.short_latencies import is_short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.markers import MarkerStyle
    from numpy.typing import NDArray

    from fastq.plot.key import Key
    from fastq.plot.style import Size

    Numbers = NDArray[np.float64]

LATENCIES = (
    ("ttft_s", "Time to first token (s)", 1.0),
    ("tpot_s", "Time per output token (ms)", 1e3),
    ("e2e_s", "Arrival to last token (s)", 1.0),
)
"""Column, words, and units of the axis in a second, of each panel."""

PERCENTILES = (
    ("p50", "median", style.OKABE_ITO["blue"], style.LINE_STYLES[0], "o"),
    ("p90", "90th percentile", style.OKABE_ITO["orange"], style.LINE_STYLES[1], "s"),
    ("p99", "99th percentile", style.OKABE_ITO["purple"], style.LINE_STYLES[2], "^"),
)
"""Column ending, words, colour, dashes and marker of each curve."""

_BOUNDARY, _BOUNDARY_ALPHA = style.INK, 0.25
_THEORY = style.OKABE_ITO["vermilion"]
_BEYOND = "#F1F1F1"
_PANEL_HEIGHT_EM = 18.0
_AROUND_EM = 5.5
_BESIDE_EM = 3.5
_ROOM_PER_TICK_EM = 3.0
_HEIGHT_PER_TICK_EM = 2.2
_KEY_COLUMNS = 3
_LEAST_SPAN = 2.0
_ROOM = 1.25
_ROOM_SHARE = 0.06
_LOG_RATE_SPAN = 4.0
"""Rates that go this far beyond the boundary get a logarithmic axis."""


def draw_latencies(
    rates: Sequence[Mapping[str, Any]], point: Mapping[str, Any], *, title: str, note: str, size: Size
) -> Figure:
    """Draw a panel for each latency over one axis of arrival rates.

    Parameters
    ----------
    rates
        Rows of the table of rates of one point: at least one.
    point
        Its row of the table of points: the simulated boundary with its interval, and that of theory.
    title
        Title of the picture.
    note
        Lines below it: what was run.
    size
        Width and letters.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style.pen(size):
        rows = sorted(rates, key=lambda row: float(row["arrival_rate_rps"]))
        shown = [each for each in LATENCIES if any(row[f"{each[0]}_p50"] is not None for row in rows)]
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        key = _key(rows, size)
        key_em = key_height_em(len(key), _KEY_COLUMNS)
        engine = ConstrainedLayoutEngine(w_pad=0.35 * em, h_pad=0.35 * em, wspace=0.0, hspace=0.0)
        height_em = _PANEL_HEIGHT_EM + key_em + caption.height_em + _AROUND_EM
        figure = Figure(figsize=(size.width_in, em * height_em), layout=engine)
        grid = figure.add_gridspec(2, len(shown), height_ratios=(_PANEL_HEIGHT_EM, key_em))
        ends = _rate_ends(rows, point)
        room_em = size.width_em / len(shown) - _BESIDE_EM
        for number, (column, words, units) in enumerate(shown):
            panel = figure.add_subplot(grid[0, number])
            panel.set_title(words)
            _draw_boundary(panel, point, ends)
            _draw_percentiles(panel, rows, column, units, size)
            _dress_rates(panel, ends, room_em)
        write_key(figure.add_subplot(grid[1, :]), key, _KEY_COLUMNS, handlelength=2.8)
        caption.write(figure)
        style.settle(figure)
    return figure


def is_settled(row: Mapping[str, Any]) -> bool:
    """Whether the queue is shown to be stable at this rate, so that its latency is one that lasts."""
    return bool(row["verdict"] == "stable")


def offered_rps(point: Mapping[str, Any], column: str) -> float:
    """Return a rate of a point as arrivals, rejected requests included: what the axis shows."""
    return float(point[column]) / (1 - float(point["rejected_share"]))


def _rate_ends(rows: Sequence[Mapping[str, Any]], point: Mapping[str, Any]) -> tuple[float, float]:
    """Return the ends of the axis of rates: logarithmic where the first is above 0."""
    boundary = offered_rps(point, "service_rate_rps")
    least, most = float(rows[0]["arrival_rate_rps"]), float(rows[-1]["arrival_rate_rps"])
    if most > _LOG_RATE_SPAN * boundary:
        return min(least, boundary) / _ROOM, most * _ROOM
    return 0.0, 1.06 * max(most, boundary, offered_rps(point, "theory_rate_rps"))


def _draw_boundary(axes: Axes, point: Mapping[str, Any], ends: tuple[float, float]) -> None:
    low, middle, high = (offered_rps(point, f"service_rate{end}_rps") for end in ("_low", "", "_high"))
    axes.axvspan(high, ends[1], color=_BEYOND, linewidth=0, zorder=0)
    axes.axvspan(low, high, color=_BOUNDARY, alpha=_BOUNDARY_ALPHA, linewidth=0, zorder=1)
    axes.axvline(middle, color=_BOUNDARY, zorder=1)
    axes.axvline(
        offered_rps(point, "theory_rate_rps"), color=_THEORY, linestyle=style.LINE_STYLES[1], zorder=1
    )


def _draw_percentiles(
    axes: Axes, rows: Sequence[Mapping[str, Any]], column: str, units: float, size: Size
) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    rate_rps = _numbers(rows, "arrival_rate_rps")
    settled = np.array([is_settled(row) for row in rows])
    drawn = []
    for ending, _, colour, dashes, marker in PERCENTILES:
        y, low, high = (units * _numbers(rows, f"{column}_{ending}{end}") for end in ("", "_low", "_high"))
        drawn += [y, low, high]
        for kind, face in ((settled, colour), (~settled, "white")):
            if not kind.any():
                continue
            axes.errorbar(
                rate_rps[kind],
                y[kind],
                yerr=np.maximum(0, np.vstack((y - low, high - y)))[:, kind],
                color=colour,
                linestyle=dashes if face == colour else "",
                marker=marker,
                markersize=4 * size.scale,
                markerfacecolor=face,
                elinewidth=0.9 * size.scale,
                capsize=1.6 * size.scale,
                capthick=0.9 * size.scale,
                zorder=3,
            )
        short = [is_short(row["short_latencies"], f"{column}_{ending}") for row in rows]
        for at in zip(rate_rps[short].tolist(), high[short].tolist(), strict=True):
            axes.annotate(
                "?",
                at,
                (-2 * size.scale, 0),
                textcoords="offset points",
                ha="right",
                fontweight="bold",
                color=colour,
            )
    values = np.concatenate(drawn)
    values = values[np.isfinite(values) & (values > 0)]
    least, most = float(values.min()), float(values.max())
    stretch = max(_ROOM, (_LEAST_SPAN * least / most) ** 0.5, (most / least) ** _ROOM_SHARE)
    bottom, top = least / stretch, most * stretch
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    ticks, minor = log_ticks(bottom, top, int(_PANEL_HEIGHT_EM / _HEIGHT_PER_TICK_EM))
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(FixedLocator(minor))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _dress_rates(axes: Axes, ends: tuple[float, float], room_em: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    most = int(room_em / _ROOM_PER_TICK_EM)
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    if ends[0] > 0:
        axes.set_xscale("log")
        ticks, minor = log_ticks(*ends, most)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(FixedLocator(minor))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
    axes.set_xlim(*ends)
    axes.set_xlabel("Arrival rate (requests/s)")


def _numbers(rows: Sequence[Mapping[str, Any]], column: str) -> Numbers:
    return np.array([np.nan if row[column] is None else row[column] for row in rows], dtype=np.float64)


def _key(rows: Sequence[Mapping[str, Any]], size: Size) -> Key:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    key: Key = [
        (Line2D([], [], color=colour, linestyle=dashes, marker=marker), words)
        for _, words, colour, dashes, marker in PERCENTILES
    ]
    band = Patch(facecolor=_BOUNDARY, alpha=_BOUNDARY_ALPHA, linewidth=0)
    key.append(((band, Line2D([], [], color=_BOUNDARY)), "simulated boundary, 95% interval"))
    key.append((Line2D([], [], color=_THEORY, linestyle=style.LINE_STYLES[1]), "theory's boundary"))
    key.append(
        (Patch(facecolor=_BEYOND, edgecolor=style.GRID_LINE, linewidth=0.5), "beyond it a backlog grows")
    )
    others = list(dict.fromkeys(str(row["verdict"]) for row in rows if not is_settled(row)))
    if others:
        mark = Line2D(
            [],
            [],
            color=style.FAINT,
            linestyle="",
            marker="o",
            markerfacecolor="white",
            markersize=4 * size.scale,
        )
        key.append((mark, f"{', '.join(others)}: of a finite run"))
    if any(row["short_latencies"] for row in rows):
        mark = Line2D(
            [], [], color=style.FAINT, linestyle="", marker=_question_mark(), markersize=6 * size.scale
        )
        key.append((mark, "too few bursts for its interval to hold"))
    return key


def _question_mark() -> MarkerStyle:
    """Return the mark for a key that looks like the text beside an interval."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    sign = TextPath((0, 0), "?", prop=FontProperties(family="DejaVu Sans"))
    box = sign.get_extents()
    return MarkerStyle(Path(sign.vertices - (box.p0 + box.p1) / 2, sign.codes))
