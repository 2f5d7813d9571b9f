"""One axis of a picture: where its values stand, where its cells end, which ticks it has."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.plot.labels import axis_label, setting_label, tick_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fastq.model.point import Scalar

_LOG_SPAN = 4.0
"""Two or more values that span this factor, and are spread more evenly so, get a logarithmic axis."""

_LETTERS_A_LINE = 22
_EM_PER_LETTER = 0.62

_ALWAYS_TICKED = 3
"""So few values each get a tick, however odd."""


@dataclass(frozen=True, slots=True, eq=False)
class PlotAxis:
    """The values of one grid axis, in drawing order.

    Parameters
    ----------
    key
        Dotted key.
    values
        Distinct values, as in the data set.
    kind
        ``log``, ``linear`` or ``category``; categories stand at 0, 1, 2, ..., the first on top.
    positions
        Coordinate of each value, shape (n,).
    edges
        Where the cell of each value ends, shape (n + 1,).
    """

    key: str
    values: tuple[Scalar, ...]
    kind: str
    positions: NDArray[np.float64]
    edges: NDArray[np.float64]

    @property
    def numeric(self) -> bool:
        """Whether distances along the axis mean something."""
        return self.kind != "category"

    @property
    def label(self) -> str:
        """The axis in words, with its unit."""
        return axis_label(self.key)

    def within_cells(self, share: float) -> NDArray[np.float64]:
        """Return the coordinate in each cell at a share of the way from its lower edge to its upper one."""
        if self.kind == "log":
            return np.asarray(self.edges[:-1] ** (1 - share) * self.edges[1:] ** share, dtype=np.float64)
        return np.asarray(self.edges[:-1] + share * np.diff(self.edges), dtype=np.float64)

    def dress(self, axes: Axes, side: str, *, labelled: bool, room_em: float) -> None:
        """Give one side of a panel its scale, limits, ticks and label.

        Parameters
        ----------
        axes
            The panel.
        side
            ``x`` or ``y``.
        labelled
            Whether tick labels and the axis label are written.
        room_em
            Length of that side in units of the text size.
        """
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

        across = side == "x"
        axis = axes.xaxis if across else axes.yaxis
        if self.kind == "log":
            (axes.set_xscale if across else axes.set_yscale)("log")
        ticks, minor = self._ticks(room_em, across=across)
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(FixedLocator(minor) if minor else NullLocator())
        axis.set_minor_formatter(NullFormatter())
        if labelled:
            names = dict(zip(self.positions.tolist(), self.values, strict=True))
            if self.numeric:
                axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))
            else:
                letters = self._letters_a_line(room_em) if across else _LETTERS_A_LINE
                axis.set_major_formatter(
                    FuncFormatter(lambda value, _: "\n".join(self._lines(names[value], letters)))
                )
                if across and self._widest(letters) * len(self.values) > room_em:
                    axis.set_tick_params(labelrotation=35)
            (axes.set_xlabel if across else axes.set_ylabel)(self.label)
        else:
            axis.set_major_formatter(NullFormatter())
        ends = float(self.edges[0]), float(self.edges[-1])
        if across:
            axes.set_xlim(*ends)
        else:
            axes.set_ylim(*(ends if self.numeric else ends[::-1]))

    @property
    def labels_em(self) -> float:
        """Width of the widest tick label of a category upwards, in units of the text size; 0 of a number."""
        return 0.0 if self.numeric else 0.9 * self._widest(_LETTERS_A_LINE)

    def _widest(self, letters: int) -> float:
        lines = [line for value in self.values for line in self._lines(value, letters)]
        return _EM_PER_LETTER * max(map(len, lines)) + 1

    def _lines(self, value: Scalar, letters: int) -> list[str]:
        """Break the name of a category into lines that leave the panels their room, no number from its unit."""
        kept = re.sub(r"(?<=\d) | (?=[A-Z]\b)", "\N{NO-BREAK SPACE}", setting_label(self.key, value))
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(kept, letters)] or [""]

    def _letters_a_line(self, room_em: float) -> int:
        """Return how long a line may be so that names stand side by side; more where they're turned anyway."""
        fitting = int((room_em / len(self.values) - 1) / _EM_PER_LETTER)
        words = [
            word for value in self.values for word in re.split(r"[\s-]+", setting_label(self.key, value))
        ]
        return fitting if fitting >= max(map(len, words)) else _LETTERS_A_LINE

    def _ticks(self, room_em: float, *, across: bool) -> tuple[list[float], list[float]]:
        if self.kind == "category":
            return self.positions.tolist(), []
        low, high = float(self.edges[0]), float(self.edges[-1])
        most = max(2, int(room_em / (3.6 if across else 2.2)))
        positions = self.positions.tolist()
        few = len(positions) <= _ALWAYS_TICKED
        if few or (len(positions) <= min(most, 8) and all(_is_short(value) for value in positions)):
            return positions, []
        if self.kind == "linear":
            return _round_ticks(low, high, min(most, 6)), []
        return log_ticks(low, high, min(most, 8))


def plot_axis(key: str, values: Sequence[Scalar]) -> PlotAxis:
    """Return the axis of these distinct values; numbers are sorted, other values keep their order.

    Parameters
    ----------
    key
        Dotted key.
    values
        Distinct values; null means unlimited.
    """
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        order: tuple[Scalar, ...] = (*(v for v in values if v is not None), *(v for v in values if v is None))
        if len(numbers) + (None in values) == len(values):
            order = (*sorted(numbers), None)
        steps = np.arange(len(order) + 1, dtype=np.float64)
        return PlotAxis(key, order, "category", steps[:-1], np.subtract(steps, 0.5))
    order = tuple(sorted(numbers))
    positions = np.array(order, dtype=float)
    if _is_geometric(positions):
        edges = np.asarray(np.exp(_edges(np.log(positions))), dtype=np.float64)
        return PlotAxis(key, order, "log", positions, edges)
    return PlotAxis(key, order, "linear", positions, _edges(positions))


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    ends = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.array([ends[0], *middle.tolist(), ends[1]], dtype=np.float64)


def _is_geometric(values: NDArray[np.float64]) -> bool:
    if len(values) < 2 or values[0] <= 0 or values[-1] / values[0] < _LOG_SPAN:
        return False
    if len(values) == 2:
        return True
    even = np.diff(values)
    ratios = np.diff(np.log(values))
    return bool(np.std(ratios) / np.mean(ratios) < np.std(even) / np.mean(even))


def _is_short(value: float) -> bool:
    """Whether the tick label says the value exactly, in at most five characters."""
    text = tick_label(value).replace(",", "")
    factor = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1.0)
    return len(text) <= 5 and math.isclose(float(text.rstrip("kMG")) * factor, value, rel_tol=1e-9)


def log_ticks(low: float, high: float, most: int) -> tuple[list[float], list[float]]:
    """Return at most so many round values for the ticks of a logarithmic axis, and those of the minor ticks."""
    if high < _LOG_SPAN * low:
        return _round_ticks(low, high, most), []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [digit * 10.0**decade for decade in decades for digit in range(1, 10)]
    inside = [value for value in fine if low <= value <= high]
    for digits in (range(1, 10), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        chosen = [v for v in (d * 10.0**decade for decade in decades for d in digits) if low <= v <= high]
        if 2 <= len(chosen) <= most:
            return chosen, inside
    return inside[:: max(1, -(-len(inside) // most))], inside


def _round_ticks(low: float, high: float, most: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]
