"""Marks on points that call for care, and their entries in the key: a window too short, precision not reached."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.plot.labels import STATUS_WORDS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fastq.plot.selection import Selection
    from fastq.plot.style import Size

STATUS_MARKS = {"short": "^", "capped": "o", "nonergodic": "X", "metastable": "D"}
"""Marker of each status that calls for care."""

_SIZE_EM = 0.42
_PITCH_EM = 2.0

Steps = tuple[int, int]
"""How many cells, up and across, share one mark."""


def sharing(cells: tuple[int, int], room_em: tuple[float, float]) -> Steps:
    """Return how many cells must share a mark so that marks can be told apart.

    Parameters
    ----------
    cells
        How many there are, up and across.
    room_em
        Height and width of the panel in units of the text size.
    """
    up, across = (math.ceil(_PITCH_EM * count / length) for count, length in zip(cells, room_em, strict=True))
    return up, across


def thinned(marked: NDArray[np.bool_], steps: Steps) -> NDArray[np.bool_]:
    """Return which of the marked cells keep their mark: no two within a step, and one near every marked cell.

    Cells of a lattice come first, so that a region is covered evenly; a cell far from all of these keeps its own.
    """
    kept = np.zeros_like(marked)
    covered = np.zeros_like(marked)
    up, across = steps
    row, column = np.nonzero(marked)
    on_lattice = (row % up == up // 2) & (column % across == across // 2)
    order = np.argsort(~on_lattice, kind="stable")
    for i, j in zip(row[order].tolist(), column[order].tolist(), strict=True):
        if not covered[i, j]:
            kept[i, j] = True
            covered[max(0, i - up + 1) : i + up, max(0, j - across + 1) : j + across] = True
    return kept


def draw_marks(
    axes: Axes,
    status: NDArray[np.object_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    steps: Steps,
    size: Size,
) -> None:
    """Mark the points of a panel.

    Parameters
    ----------
    axes
        The panel.
    status
        Status of each point, shape (rows, columns).
    x, y
        Where each stands, of that shape.
    steps
        How many points share a mark.
    size
        Width and letters.
    """
    for name in STATUS_MARKS:
        kept = thinned(np.asarray(status == name), steps)
        if kept.any():
            axes.plot(x[kept], y[kept], zorder=4, **_look(name, size))


def marks_key(selection: Selection, steps: Steps, size: Size) -> list[tuple[Artist, str]]:
    """Return an entry for each kind of mark that the picture holds."""
    from matplotlib.lines import Line2D

    every = [selection.words("status", facet) for facet in selection.facets]
    key: list[tuple[Artist, str]] = []
    for name in STATUS_MARKS:
        marked = [np.asarray(status == name) for status in every]
        if any(cells.any() for cells in marked):
            fewer = any(thinned(cells, steps).sum() < cells.sum() for cells in marked)
            words = f"{STATUS_WORDS[name]}, thinned out" if fewer else STATUS_WORDS[name]
            key.append((Line2D([], [], **_look(name, size)), words))
    return key


def _look(name: str, size: Size) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": STATUS_MARKS[name],
        "markersize": _SIZE_EM * size.font_pt,
        "markerfacecolor": "white",
        "markeredgecolor": "black",
        "markeredgewidth": 0.5 * size.scale,
    }
