"""A simulated quantity along an axis with its 95% interval: error bars, or a band where points are crowded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.plot import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fastq.plot.axis import PlotAxis
    from fastq.plot.style import Size

_COLOUR = style.OKABE_ITO["blue"]
_BAND_ALPHA = 0.3
_ROOM_PER_POINT_EM = 1.0
_BELOW_THEORY = 1.8
"""Drawing order of a band and its line: theory, a line among lines, comes later."""


def is_crowded(axis: PlotAxis, room_em: float) -> bool:
    """Whether error bars at all values of a numeric axis would run together on a panel of that width."""
    return axis.numeric and len(axis.values) * _ROOM_PER_POINT_EM > room_em


def draw_interval(
    axes: Axes,
    axis: PlotAxis,
    values: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    size: Size,
    *,
    crowded: bool,
    marked: NDArray[np.bool_],
) -> None:
    """Draw a quantity along the axis.

    Parameters
    ----------
    axes
        The panel.
    axis
        Its x axis; points of a numeric one are joined.
    values
        The quantity at each of its values, and the ends of its interval; NaN where missing.
    size
        Width and letters.
    crowded
        Whether a band takes the place of markers and error bars, except at points that no line joins.
    marked
        Which points get another marker in place of the ordinary one.
    """
    x = axis.positions
    y, low, high = values
    shown = np.ones(len(x), dtype=bool)
    if crowded:
        axes.fill_between(x, low, high, color=_COLOUR, alpha=_BAND_ALPHA, linewidth=0, zorder=_BELOW_THEORY)
        axes.plot(x, y, color=_COLOUR, zorder=_BELOW_THEORY)
        shown = is_alone(y)
    axes.errorbar(
        x[shown],
        y[shown],
        yerr=np.abs(np.vstack((y - low, high - y)))[:, shown],
        color=_COLOUR,
        marker="o",
        markevery=~marked[shown],
        linestyle="-" if axis.numeric and not crowded else "",
        elinewidth=0.9 * size.scale,
        capsize=1.6 * size.scale,
        capthick=0.9 * size.scale,
        zorder=3,
    )


def interval_sign(*, crowded: bool) -> Artist | tuple[Artist, ...]:
    """Return an entry for a key that looks like :func:`draw_interval`."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if crowded:
        return Patch(facecolor=_COLOUR, alpha=_BAND_ALPHA, linewidth=0), Line2D([], [], color=_COLOUR)
    return Line2D([], [], color=_COLOUR, marker="o")


def is_alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values have no neighbour that a line could join them to."""
    there = np.concatenate(([False], np.isfinite(values), [False]))
    return np.asarray(there[1:-1] & ~there[:-2] & ~there[2:])
