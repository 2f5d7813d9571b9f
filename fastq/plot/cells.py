"""Marks on a panel of grid cells: colours, curves of equal value, hatched regions, names of regions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from fastq.plot import style
from fastq.plot.labels import tick_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.patheffects import AbstractPathEffect
    from numpy.typing import NDArray

    from fastq.plot.selection import Selection
    from fastq.plot.style import Size

_FEWEST_FOR_CURVES = 4
_MOST_WRITTEN = 8
_BESIDE_VALUE = (0.9, 0.75)
"""Where a mark stands in a cell that holds a value too: shares of its width and height."""

_VALUE_SCALE, _SMALLEST_VALUE_SCALE = 0.85, 0.5
_EM_PER_DIGIT = 0.61
_VALUE_PAD_EM = 0.35
"""What a value takes in its cell, in units of its own text size; largest and smallest size of it."""

_RASTER_CELLS = 4_000
_SMALLEST_NAMED = 0.015
_SHORTEST_LABELLED = 0.08
"""Length of a curve, in sides of its panel."""

_LABEL_SHARES = (0.5, 0.35, 0.65, 0.2, 0.8)
_LABEL_ROOM = np.array([0.11, 0.07])
"""What a label takes of its panel's width and height."""

_DASHES = (0, (3, 2))
_LABEL_BOX = {
    "boxstyle": "round,pad=0.12,rounding_size=0.2",
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.9,
}


def colour_cells(axes: Axes, selection: Selection, values: NDArray[np.float64], look: ScalarMappable) -> None:
    """Colour each cell by its value, shape (len(y), len(x)); NaN stays empty."""
    axes.pcolormesh(
        selection.x.edges,
        selection.y.edges,
        np.ma.masked_invalid(values),
        norm=cast("Normalize", look.norm),
        cmap=look.cmap,
        rasterized=values.size > _RASTER_CELLS,
        linewidth=0,
        antialiased=False,
    )


def curves_fit(selection: Selection) -> bool:
    """Whether curves of equal value mean something: two numeric axes with enough values."""
    numeric = selection.x.numeric and selection.y.numeric
    return numeric and min(len(selection.x.values), len(selection.y.values)) >= _FEWEST_FOR_CURVES


def values_fit(selection: Selection) -> bool:
    """Whether, in place of curves, the value is written into each cell: they are few enough to hold it."""
    few = len(selection.x.values) <= _MOST_WRITTEN and len(selection.y.values) <= 2 * _MOST_WRITTEN
    return few and not curves_fit(selection)


def places_of_marks(selection: Selection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of each cell's mark, shape (len(y), len(x)): the middle, or beside the value."""
    across, up = _BESIDE_VALUE if values_fit(selection) else (0.5, 0.5)
    x, y = np.meshgrid(selection.x.within_cells(across), selection.y.within_cells(up))
    return x, y


def draw_curves(
    axes: Axes, selection: Selection, values: NDArray[np.float64], levels: list[float], size: Size
) -> None:
    """Draw solid black curves of equal value, each labelled with it."""
    masked = np.ma.masked_invalid(values)
    inside = [level for level in levels if masked.count() and masked.min() < level < masked.max()]
    if inside:
        drawn = axes.contour(
            selection.x.positions,
            selection.y.positions,
            masked,
            levels=inside,
            colors="black",
            linewidths=0.9 * size.scale,
        )
        # The box of a label hides the line: what is cut out of it would be measured before the panels have their sizes.
        labels = drawn.clabel(
            fmt=tick_label,
            fontsize=0.85 * size.font_pt,
            inline=False,
            manual=_label_places([max(each, key=len) for each in drawn.allsegs if each], selection),
        )
        for text in labels or ():
            text.set_bbox(_LABEL_BOX)
            text.set_rotation(0)


def _label_places(curves: list[NDArray[np.float64]], selection: Selection) -> list[tuple[float, float]]:
    """Return a vertex for the label of each curve: half the way along it, or as near to that as others leave room.

    Lengths are as one sees them, on logarithmic axes by ratios. Curves that are too short get none.
    """
    log = np.array([axis.kind == "log" for axis in (selection.x, selection.y)])
    edges = np.stack([selection.x.edges[[0, -1]], selection.y.edges[[0, -1]]], axis=1)
    places: list[tuple[float, float]] = []
    taken: list[NDArray[np.float64]] = []
    for curve in curves:
        seen, ends = (np.where(log, np.log(np.where(log, each, 1.0)), each) for each in (curve, edges))
        seen = (seen - ends[0]) / (ends[1] - ends[0])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(seen, axis=0).T))])
        if along[-1] < _SHORTEST_LABELLED:
            continue
        for share in _LABEL_SHARES:
            vertex = int(np.searchsorted(along, along[-1] * share))
            if all((np.abs(seen[vertex] - other) > _LABEL_ROOM).any() for other in taken):
                taken.append(seen[vertex])
                places.append((float(curve[vertex][0]), float(curve[vertex][1])))
                break
    return places


def draw_dashed_curves(
    axes: Axes, selection: Selection, values: NDArray[np.float64], levels: list[float], size: Size
) -> None:
    """Draw the same curves for another quantity: dashed, white with a dark rim, without labels."""
    masked = np.ma.masked_invalid(values)
    inside = [level for level in levels if masked.count() and masked.min() < level < masked.max()]
    if inside:
        drawn = axes.contour(
            selection.x.positions,
            selection.y.positions,
            masked,
            levels=inside,
            colors="white",
            linestyles=[_DASHES],
            linewidths=0.9 * size.scale,
        )
        drawn.set_path_effects(_rim(size))


def swatch(face: str, hatch: str, size: Size) -> Patch:
    """Return an entry for a key that looks like :func:`fill_cells`."""
    from matplotlib.patches import Patch

    return Patch(facecolor=face, hatch=hatch, edgecolor=style.INK, linewidth=0.5 * size.scale)


def dashed_line(size: Size) -> Line2D:
    """Return an entry for a key that looks like :func:`draw_dashed_curves`."""
    from matplotlib.lines import Line2D

    line = Line2D([], [], color="white", linestyle=_DASHES, linewidth=0.9 * size.scale)
    line.set_path_effects(_rim(size))
    return line


def write_values(
    axes: Axes, selection: Selection, values: NDArray[np.float64], form: str, size: Size, room_em: float
) -> None:
    """Write the value into each cell of a panel ``room_em`` wide, in a format such as ``.3g``.

    Letters are as small as the narrowest cell needs; nothing is written where they could not be read.
    """
    there = np.argwhere(np.isfinite(values))
    longest = max((len(format(values[row, column], form)) for row, column in there), default=1)
    share = min(_VALUE_SCALE, room_em / len(selection.x.values) / (_EM_PER_DIGIT * longest + _VALUE_PAD_EM))
    if share < _SMALLEST_VALUE_SCALE:
        return
    for row, column in there:
        axes.text(
            middle(selection.x.edges, column, column, log=selection.x.kind == "log"),
            middle(selection.y.edges, row, row, log=selection.y.kind == "log"),
            format(values[row, column], form),
            ha="center",
            va="center",
            fontsize=share * size.font_pt,
            bbox=_LABEL_BOX,
        )


def fill_cells(axes: Axes, selection: Selection, cells: NDArray[np.bool_], face: str, hatch: str) -> None:
    """Give cells a face colour and hatching, run by run along x: hatching goes on across the runs."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    x, y = selection.x.edges, selection.y.edges
    runs: list[Rectangle] = []
    for row, line in enumerate(cells):
        turns = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
        runs.extend(
            Rectangle((x[start], y[row]), x[stop] - x[start], y[row + 1] - y[row])
            for start, stop in zip(turns[::2], turns[1::2], strict=True)
        )
    if not runs:
        return
    plain = PatchCollection(runs, facecolor=face, edgecolor=face, linewidth=0.2)
    axes.add_collection(plain, autolim=False)
    if hatch:
        hatched = PatchCollection(runs, facecolor="none", edgecolor=style.INK, linewidth=0, hatch=hatch)
        axes.add_collection(hatched, autolim=False)


def outline_regions(axes: Axes, selection: Selection, kinds: NDArray[np.object_], size: Size) -> None:
    """Draw a line wherever neighbouring cells are of different kinds."""
    from matplotlib.collections import LineCollection

    x, y = selection.x.edges, selection.y.edges
    upright = [
        [(x[j + 1], y[i]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(kinds[:, 1:] != kinds[:, :-1])
    ]
    level = [[(x[j], y[i + 1]), (x[j + 1], y[i + 1])] for i, j in np.argwhere(kinds[1:] != kinds[:-1])]
    lines = LineCollection(
        upright + level, colors=style.INK, linewidths=0.8 * size.scale, capstyle="projecting"
    )
    axes.add_collection(lines, autolim=False)


def name_region(
    axes: Axes, selection: Selection, cells: NDArray[np.bool_], words: str, room_em: tuple[float, float]
) -> None:
    """Write a name into the largest region of these cells, where it is deepest.

    Parameters
    ----------
    axes
        The panel.
    selection
        What is drawn.
    cells
        The cells of that kind, shape (len(y), len(x)).
    words
        The name; a narrow region gets it in two lines, or its first letter.
    room_em
        Width and height of the panel in units of the text size.
    """
    from scipy import ndimage

    labels, count = ndimage.label(cells)
    if count == 0:
        return
    areas = ndimage.sum_labels(cells, labels, index=range(1, count + 1))
    region = np.pad(labels == 1 + int(np.argmax(areas)), 1)
    if region.sum() < _SMALLEST_NAMED * cells.size:
        return
    cell_em = (room_em[1] / cells.shape[0], room_em[0] / cells.shape[1])
    depth = ndimage.distance_transform_edt(region, sampling=cell_em)
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(depth)), region.shape))
    left, right = _run(region[row], column)
    low, high = _run(region[:, (left + right) // 2], row)
    wide, tall = (right - left + 1) * cell_em[1], (high - low + 1) * cell_em[0]
    axes.text(
        middle(selection.x.edges, left - 1, right - 1, log=selection.x.kind == "log"),
        middle(selection.y.edges, row - 1, row - 1, log=selection.y.kind == "log"),
        _fitting(words, wide, tall),
        ha="center",
        va="center",
        linespacing=1.05,
        bbox={
            "boxstyle": "round,pad=0.25,rounding_size=0.3",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.9,
        },
    )


def middle(edges: NDArray[np.float64], first: int, last: int, *, log: bool) -> float:
    """Return where the middle of the cells first to last is drawn."""
    low, high = float(edges[first]), float(edges[last + 1])
    return math.sqrt(low * high) if log else (low + high) / 2


def _rim(size: Size) -> list[AbstractPathEffect]:
    """Return the path effects that make a white line stand out on any ground."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=1.9 * size.scale, foreground=style.INK), Normal()]


def _run(line: NDArray[np.bool_], place: int) -> tuple[int, int]:
    first = last = place
    while line[first - 1]:
        first -= 1
    while line[last + 1]:
        last += 1
    return first, last


def _fitting(words: str, wide_em: float, tall_em: float) -> str:
    em_per_letter = 0.6
    if wide_em > em_per_letter * len(words) + 1.2:
        return words
    longest = max(len(word) for word in words.split())
    if wide_em > em_per_letter * longest + 1.2 and tall_em > 4:
        return words.replace(" ", "\n")
    return words[0].upper()
