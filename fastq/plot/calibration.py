"""A fitted iteration time against what was measured, and how far it is off by kind of batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.plot import style
from fastq.plot.caption import Caption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.style import Size

_PANEL_HEIGHT_EM = 24
_MARKERS = (("blue", "o"), ("orange", "s"), ("green", "^"))
_MOST_DOTS = 4000
_CENTRAL = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST_RANGE = 0.05
_SHOWN = 0.99
_MOST_DECADES = 2.2


def draw_calibration(
    measured_s: NDArray[np.float64],
    fitted_s: NDArray[np.float64],
    kinds: Mapping[str, NDArray[np.bool_]],
    *,
    title: str,
    note: str,
    size: Size,
) -> Figure:
    """Draw fitted over measured times, and their relative errors by kind of batch.

    Parameters
    ----------
    measured_s, fitted_s
        Iteration times, s, one a batch.
    kinds
        Name of a kind of batch: which they are; three at most.
    title
        Title of the picture.
    note
        Lines below it.
    size
        Width and letters.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    held = {name: rows for name, rows in kinds.items() if rows.any()}
    looks = dict(zip(kinds, _MARKERS, strict=False))
    with style.pen(size):
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        height = em * (_PANEL_HEIGHT_EM + caption.height_em)
        engine = ConstrainedLayoutEngine(w_pad=0.5 * em, h_pad=0.5 * em, wspace=0.03, hspace=0.0)
        figure = Figure(figsize=(size.width_in, height), layout=engine)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.1)})
        _draw_times(left, measured_s, fitted_s, held, looks, size)
        _draw_errors(right, measured_s, fitted_s, held, looks, size)
        caption.write(figure)
        style.settle(figure)
    return figure


def _draw_times(
    axes: Axes,
    measured_s: NDArray[np.float64],
    fitted_s: NDArray[np.float64],
    kinds: Mapping[str, NDArray[np.bool_]],
    looks: Mapping[str, tuple[str, str]],
    size: Size,
) -> None:
    for name, rows in kinds.items():
        colour, marker = looks[name]
        shown = _thinned(np.flatnonzero(rows))
        axes.plot(
            1e3 * measured_s[shown],
            1e3 * fitted_s[shown],
            linestyle="none",
            marker=marker,
            markersize=2.6 * size.scale,
            markerfacecolor="none",
            markeredgecolor=style.OKABE_ITO[colour],
            markeredgewidth=0.6 * size.scale,
            label=name,
        )
    ends = 1e3 * np.array([min(measured_s.min(), fitted_s.min()), max(measured_s.max(), fitted_s.max())])
    ends *= np.array([0.9, 1.1])
    axes.plot(ends, ends, color=style.INK, linewidth=0.7 * size.scale, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal", adjustable="box")
    for axis in (axes.xaxis, axes.yaxis):
        _ticks(axis, ends)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.set_xlabel("Measured iteration time (ms)")
    axes.set_ylabel("Fitted iteration time (ms)")
    axes.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.3)


def _draw_errors(
    axes: Axes,
    measured_s: NDArray[np.float64],
    fitted_s: NDArray[np.float64],
    kinds: Mapping[str, NDArray[np.bool_]],
    looks: Mapping[str, tuple[str, str]],
    size: Size,
) -> None:
    """Draw each error as a dot, with bars from 5% to 95% and from 25% to 75% of them, and their median."""
    errors = fitted_s / measured_s - 1
    generator = np.random.default_rng(0)
    for place, (name, rows) in enumerate(kinds.items()):
        colour = style.OKABE_ITO[looks[name][0]]
        shown = _thinned(np.flatnonzero(rows))
        beside = place + 0.16 + 0.26 * generator.random(shown.size)
        axes.plot(
            beside,
            errors[shown],
            linestyle="none",
            marker=looks[name][1],
            markersize=1.8 * size.scale,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=0.5 * size.scale,
        )
        low, lower, middle, upper, high = np.quantile(errors[rows], _CENTRAL)
        axes.plot([place, place], [low, high], color=style.INK, linewidth=0.8 * size.scale)
        axes.plot(
            [place, place], [lower, upper], color=style.INK, linewidth=3.2 * size.scale, solid_capstyle="butt"
        )
        axes.plot(
            [place],
            [middle],
            marker="o",
            markersize=3.4 * size.scale,
            markerfacecolor="white",
            markeredgecolor=style.INK,
            markeredgewidth=0.8 * size.scale,
        )
    axes.axhline(0.0, color=style.INK, linewidth=0.7 * size.scale, zorder=0)
    reach = max(_LEAST_RANGE, min(1.08 * np.abs(errors).max(), 1.8 * np.quantile(np.abs(errors), _SHOWN)))
    axes.set_ylim(-min(reach, 1.0), reach)
    outside = int((np.abs(errors) > reach).sum())
    if outside:
        axes.annotate(
            f"{outside:,} {'batch' if outside == 1 else 'batches'} further off",
            (0.99, 0.99),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=0.9 * size.font_pt,
            color=style.FAINT,
        )
    axes.set_xlim(-0.35, len(kinds) - 0.4)
    axes.set_xticks(
        np.arange(len(kinds)) + 0.15, [f"{name}\n({int(rows.sum()):,})" for name, rows in kinds.items()]
    )
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}%" if round(100 * value) else "0")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_ylabel("Fitted over measured, less 1")


def _ticks(axis: object, ends: NDArray[np.float64]) -> None:
    """Mark 1, 2 and 5 times the powers of ten, or the powers alone over many decades."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import FixedLocator, NullFormatter

    assert isinstance(axis, Axis)
    powers = 10.0 ** np.arange(np.floor(np.log10(ends[0])), np.ceil(np.log10(ends[1])) + 1)
    steps = (1, 2, 5) if np.log10(ends[1] / ends[0]) < _MOST_DECADES else (1,)
    places = [step * power for power in powers for step in steps if ends[0] <= step * power <= ends[1]]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(NullFormatter())


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if rows.size <= _MOST_DOTS:
        return rows
    return rows[np.linspace(0, rows.size - 1, _MOST_DOTS).round().astype(np.int64)]
