"""Times measured over two sizes, read between them, and the batches that decode alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DECODING = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_CONTEXTS = tuple(round(2 ** (power / 2)) for power in range(12, 34))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Times over two sizes.

    Parameters
    ----------
    rows, columns
        The sizes, ascending.
    times
        Times, in whatever unit, rows x columns; NaN where none was measured.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    times: NDArray[np.float64]

    def at(self, row: NDArray[np.float64], column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate linearly in both sizes; NaN outside, or where a corner was not measured."""
        below_row, share_row = bracket(self.rows, row)
        below_column, share_column = bracket(self.columns, column)
        total = np.zeros(row.size)
        for step_row in (0, 1):
            for step_column in (0, 1):
                weight = np.abs(1 - step_row - share_row) * np.abs(1 - step_column - share_column)
                corner = self.times[
                    np.minimum(below_row + step_row, self.rows.size - 1),
                    np.minimum(below_column + step_column, self.columns.size - 1),
                ]
                total += np.where(weight > 0, weight * corner, 0.0)
        outside = (
            (row < self.rows[0])
            | (row > self.rows[-1])
            | (column < self.columns[0])
            | (column > self.columns[-1])
        )
        return np.where(outside, np.nan, total)


def grid_of(row: NDArray[np.float64], column: NDArray[np.float64], times: NDArray[np.float64]) -> Grid:
    """Make a grid of times that stand in a list; the mean where the same sizes were measured more than once."""
    rows, columns = np.unique(row), np.unique(column)
    place = np.searchsorted(rows, row), np.searchsorted(columns, column)
    total, count = np.zeros((rows.size, columns.size)), np.zeros((rows.size, columns.size))
    np.add.at(total, place, times)
    np.add.at(count, place, 1.0)
    return Grid(rows, columns, np.where(count > 0, total / np.maximum(count, 1), np.nan))


def decode_grid() -> NDArray[np.float64]:
    """Return batches that decode only: requests and KV tokens of each, rows x 2."""
    return np.array(
        [(requests, context) for requests in _DECODING for context in _CONTEXTS], dtype=np.float64
    )


def bracket(
    points: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the last point not above each value, and how far the value lies towards the next one, 0 to 1."""
    below = np.clip(np.searchsorted(points, value, side="right") - 1, 0, max(points.size - 2, 0))
    if points.size == 1:
        return below, np.zeros(value.size)
    width = points[below + 1] - points[below]
    return below, np.clip((value - points[below]) / width, 0.0, 1.0)
