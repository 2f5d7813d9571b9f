"""Between the points of a grid: multilinear interpolation, with an error that the grid itself tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Scalar = str | int | float | None

_EXACT = 1e-12
"""Values of an axis that differ by less, relatively, are one."""


class Lines(NamedTuple):
    """Lines of an axis and the weight of each.

    Parameters
    ----------
    indices
        On the axis: one, or two.
    weights
        They add up to 1.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def nearest(self) -> int:
        """Index of the line of the largest weight; the first of equals."""
        return self.indices[max(range(len(self.indices)), key=self.weights.__getitem__)]


@dataclass(frozen=True, slots=True)
class Bracket:
    """Where a value lies on an axis.

    Parameters
    ----------
    lines
        The line that it is on, or those on both sides.
    wider
        The lines on both sides once a near one is left out; ``None`` where the value is on a line or there are
        no more than two.
    at_the_end
        Whether the nearest line is the last, so that the other is left out.
    """

    lines: Lines
    wider: Lines | None
    at_the_end: bool = False

    @property
    def exact(self) -> bool:
        """Whether the value is on a line."""
        return len(self.lines.indices) == 1


def on_line(index: int) -> Bracket:
    """Return the place on a line of an axis."""
    return Bracket(Lines((index,), (1.0,)), None)


def bracket(values: Sequence[Scalar], value: Scalar) -> Bracket | None:
    """Find a value on an axis; ``None`` where it is neither on a line nor between two.

    Parameters
    ----------
    values
        Of the axis, each once. Words, and ``None`` for "unlimited", lie between no others.
    value
        What is looked for.
    """
    for index, line in enumerate(values):
        if _same(line, value):
            return on_line(index)
    if not isinstance(value, int | float):
        return None
    numbers = sorted(
        (float(line), index) for index, line in enumerate(values) if isinstance(line, int | float)
    )
    above = next((place for place, (line, _) in enumerate(numbers) if line > value), 0)
    if above == 0:
        return None
    scale = math.log if _geometric([line for line, _ in numbers]) else float
    at = scale(value)
    coordinates = [scale(line) for line, _ in numbers]
    indices = [index for _, index in numbers]
    below = above - 1
    nearest, other = sorted((below, above), key=lambda place: abs(coordinates[place] - at))
    wider, at_the_end = None, False
    for left_out in (nearest, other):
        kept = below + above - left_out
        beyond = left_out - 1 if left_out == below else left_out + 1
        if 0 <= beyond < len(numbers):
            low, high = sorted((beyond, kept))
            wider, at_the_end = _between(coordinates, indices, low, high, at), left_out == other
            break
    return Bracket(_between(coordinates, indices, below, above, at), wider, at_the_end)


def interpolate(field: NDArray[np.float64], brackets: Sequence[Bracket]) -> tuple[float, float]:
    """Interpolate between the lines of each axis.

    Parameters
    ----------
    field
        Values on the grid, a dimension an axis; NaN where there is none.
    brackets
        Where to look, one an axis.

    Returns
    -------
    float
        The interpolant; NaN where a point that it needs has no value.
    float
        Its error, summed over the axes on which it is between lines: how far it moves when the nearest line that
        can be spared is left out; where an axis has only two lines, or the wider points have no values, how far
        it is from the farther of the two. Where the field is a parabola the move is at least twice the error, and
        at least the error where the other line was left out, so that move counts twice.
    """
    lines = [each.lines for each in brackets]
    value = _weighted(field, lines)
    error = 0.0
    for axis, each in enumerate(brackets):
        if each.exact:
            continue
        moved = math.nan if each.wider is None else _weighted(field, _replaced(lines, axis, each.wider))
        if math.isnan(moved):
            ends = (
                _weighted(field, _replaced(lines, axis, on_line(index).lines)) for index in each.lines.indices
            )
            error += max(abs(end - value) for end in ends)
        else:
            error += abs(moved - value) * (2 if each.at_the_end else 1)
    return value, error


def farthest(field: NDArray[np.float64], brackets: Sequence[Bracket], value: float) -> float:
    """Return how far the farthest of the grid points around a place is from a value."""
    return float(np.abs(corners(field, brackets) - value).max())


def corners(field: NDArray[np.float64], brackets: Sequence[Bracket]) -> NDArray[np.float64]:
    """Return the values at all grid points around a place."""
    return field[np.ix_(*(each.lines.indices for each in brackets))]


def _same(line: Scalar, value: Scalar) -> bool:
    if isinstance(line, int | float) and isinstance(value, int | float):
        return math.isclose(line, value, rel_tol=_EXACT)
    return line == value


def _geometric(numbers: Sequence[float]) -> bool:
    """Whether increasing numbers are spaced more evenly in their logarithm than as they are; two of them are."""
    if numbers[0] <= 0:
        return False
    return _unevenness(np.log(numbers)) <= _unevenness(np.array(numbers))


def _unevenness(coordinates: NDArray[np.float64]) -> float:
    steps = np.diff(coordinates)
    return float(steps.std() / steps.mean())


def _between(coordinates: Sequence[float], indices: Sequence[int], low: int, high: int, at: float) -> Lines:
    weight = (at - coordinates[low]) / (coordinates[high] - coordinates[low])
    return Lines((indices[low], indices[high]), (1 - weight, weight))


def _replaced(lines: Sequence[Lines], axis: int, by: Lines) -> list[Lines]:
    return [*lines[:axis], by, *lines[axis + 1 :]]


def _weighted(field: NDArray[np.float64], lines: Sequence[Lines]) -> float:
    near = field[np.ix_(*(each.indices for each in lines))]
    for each in lines:
        near = np.tensordot(np.array(each.weights), near, axes=(0, 0))
    return float(near)
