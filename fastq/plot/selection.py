"""Which rows of a data set a picture shows: chosen by --where, cut into facets by the axes left over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.errors import SpecError
from fastq.plot.axis import PlotAxis, plot_axis
from fastq.plot.labels import facet_label, value_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.model.point import Scalar

MAX_FACETS = 6
"""Most facets in one picture."""

_CLOSE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Facet:
    """The rows of one combination of the axes that are not drawn.

    Parameters
    ----------
    settings
        The value of each of these axes, in words.
    rows
        Row numbers in the table.
    x_index, y_index
        Which value of the drawn axes each row has.
    """

    settings: tuple[str, ...]
    rows: NDArray[np.int64]
    x_index: NDArray[np.int64]
    y_index: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What is drawn.

    Parameters
    ----------
    table
        All rows of the data set.
    x, y
        The drawn axes; ``y`` has one value where only x is drawn.
    facets
        One or more sets of rows.
    chosen
        What --where fixed, in words.
    """

    table: pa.Table
    x: PlotAxis
    y: PlotAxis
    facets: tuple[Facet, ...]
    chosen: str

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of all facets."""
        return np.concatenate([facet.rows for facet in self.facets])

    def numbers(self, column: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a column of these rows, null as NaN."""
        return numbers(self.table, column)[rows]

    def grid(self, column: str, facet: Facet) -> NDArray[np.float64]:
        """Return a column of a facet as an array of shape (len(y), len(x)), NaN where null or missing."""
        cells = np.full((len(self.y.values), len(self.x.values)), np.nan)
        cells[facet.y_index, facet.x_index] = self.numbers(column, facet.rows)
        return cells

    def words(self, column: str, facet: Facet) -> NDArray[np.object_]:
        """Return a text column of a facet as an array of shape (len(y), len(x)); '' where null or missing."""
        cells = np.full((len(self.y.values), len(self.x.values)), "", dtype=object)
        cells[facet.y_index, facet.x_index] = texts(self.table, column)[facet.rows]
        return cells

    def present(self, facet: Facet) -> NDArray[np.bool_]:
        """Return which cells of a facet have a row at all, shape (len(y), len(x))."""
        cells = np.zeros((len(self.y.values), len(self.x.values)), dtype=bool)
        cells[facet.y_index, facet.x_index] = True
        return cells


def select(
    table: pa.Table,
    axes: Mapping[str, Sequence[Scalar]],
    *,
    x: str,
    y: str | None,
    where: Mapping[str, str],
    source: str = "",
) -> Selection:
    """Choose rows and cut them into facets.

    Parameters
    ----------
    table
        The points.
    axes
        Key and values of each axis of the grid, slowest first: what a finished data set would hold.
    x, y
        Keys of the drawn axes.
    where
        Values, as typed, that other axes are held at.
    source
        The data set, for messages.

    Raises
    ------
    SpecError
        Where an axis or a value doesn't exist, nothing is left, or too many facets are.
    """
    for option, key in (("--x", x), ("--y", y)):
        if key is not None:
            _refuse_unknown(axes, key, option, source)
    if x == y:
        raise SpecError("--x and --y must be two different axes", source=source, key="--y", value=y)
    if twice := [key for key in where if key in (x, y)]:
        raise SpecError(
            "this axis is drawn, so it can't be held at one value",
            source=source,
            key="--where",
            value=twice[0],
        )
    rows, chosen = hold(table, axes, where, source=source)
    coded = {key: _encode(table, key, values) for key, values in axes.items()}
    rest = [key for key in axes if key not in (x, y, *where) and len(coded[key][1]) > 1]
    x_axis, x_index = _drawn(x, coded[x], rows)
    y_axis, y_index = (
        _drawn(y, coded[y], rows) if y is not None else (plot_axis("", [0]), np.zeros_like(rows))
    )
    facets = _facets(rows, x_index, y_index, rest, coded, source)
    return Selection(table, x_axis, y_axis, facets, chosen)


def hold(
    table: pa.Table, axes: Mapping[str, Sequence[Scalar]], where: Mapping[str, str], *, source: str = ""
) -> tuple[NDArray[np.int64], str]:
    """Choose the rows that have these values; return their numbers, and the values in words.

    Parameters
    ----------
    table, axes
        As for :func:`select`.
    where
        Values, as typed, by axis.
    source
        The data set, for messages.

    Raises
    ------
    SpecError
        Where an axis or a value doesn't exist, or nothing is left.
    """
    keep = np.ones(table.num_rows, dtype=bool)
    words = []
    for key, text in where.items():
        _refuse_unknown(axes, key, "--where", source)
        codes, values = _encode(table, key, axes[key])
        place = _find(values, text, key, source)
        keep &= codes == place
        words.append(facet_label(key, values[place]))
    rows = np.flatnonzero(keep)
    if len(rows) == 0:
        raise SpecError("no finished point has these values", source=source, key="--where", value=dict(where))
    return rows, ", ".join(words)


def _refuse_unknown(axes: Mapping[str, Sequence[Scalar]], key: str, option: str, source: str) -> None:
    if key not in axes:
        raise SpecError(
            f"no such axis; this data set has: {_listed(list(axes))}", source=source, key=option, value=key
        )


def numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as floats, null as NaN."""
    import pyarrow as pa

    return np.asarray(table.column(column).cast(pa.float64()).to_numpy(), dtype=np.float64)


def texts(table: pa.Table, column: str) -> NDArray[np.object_]:
    """Return a column as text, null as ''."""
    return np.array(
        ["" if text is None else text for text in table.column(column).to_pylist()], dtype=np.object_
    )


def _encode(table: pa.Table, key: str, values: Sequence[Scalar]) -> tuple[NDArray[np.int64], list[Scalar]]:
    """Return, for each row, the place of its value among all values of the axis; and these values."""
    encoded = table.column(key).combine_chunks().dictionary_encode(null_encoding="encode")
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    found = encoded.dictionary.to_pylist()
    every = list(dict.fromkeys((*values, *found)))
    place = {value: position for position, value in enumerate(every)}
    return np.array([place[value] for value in found], dtype=np.int64)[codes], every


def _drawn(
    key: str, coded: tuple[NDArray[np.int64], list[Scalar]], rows: NDArray[np.int64]
) -> tuple[PlotAxis, NDArray[np.int64]]:
    codes, values = coded
    axis = plot_axis(key, values)
    place = {value: position for position, value in enumerate(axis.values)}
    return axis, np.array([place[value] for value in values], dtype=np.int64)[codes[rows]]


def _facets(
    rows: NDArray[np.int64],
    x_index: NDArray[np.int64],
    y_index: NDArray[np.int64],
    rest: list[str],
    coded: dict[str, tuple[NDArray[np.int64], list[Scalar]]],
    source: str,
) -> tuple[Facet, ...]:
    if not rest:
        return (Facet((), rows, x_index, y_index),)
    codes = np.column_stack([coded[key][0][rows] for key in rest])
    kinds, which = np.unique(codes, axis=0, return_inverse=True)
    if len(kinds) > MAX_FACETS:
        widest = max(rest, key=lambda key: len(coded[key][1]))
        values = [_as_typed(value) for value in coded[widest][1]]
        raise SpecError(
            f"the axes left over ({_listed(rest)}) make {len(kinds)} facets, and a picture holds "
            f"{MAX_FACETS}; hold some of them at one value, as in --where {widest}={values[0]} "
            f"({widest} has {_some(values, 8)})",
            source=source,
        )
    facets = []
    for number, kind in enumerate(kinds):
        mine = which.ravel() == number
        settings = tuple(facet_label(key, coded[key][1][code]) for key, code in zip(rest, kind, strict=True))
        facets.append(Facet(settings, rows[mine], x_index[mine], y_index[mine]))
    return tuple(facets)


def _find(values: Sequence[Scalar], text: str, key: str, source: str) -> int:
    for position, value in enumerate(values):
        if _same(value, text):
            return position
    raise SpecError(
        f"the axis has no such value; it has {_some(_nearest_first(values, text), 8)}",
        source=source,
        key=f"--where {key}",
        value=text,
    )


def _same(value: Scalar, text: str) -> bool:
    if value is None:
        return text == "unlimited"
    if isinstance(value, str):
        return value == text
    try:
        number = float(text.replace("_", "").replace(",", ""))
    except ValueError:
        return False
    return math.isclose(float(value), number, rel_tol=_CLOSE) or value_label(value) == value_label(number)


def _nearest_first(values: Sequence[Scalar], text: str) -> list[str]:
    """Return the values as they are typed, the likeliest to be meant first."""
    try:
        meant = float(text)
    except ValueError:
        return [_as_typed(value) for value in values]
    far = [abs(value - meant) if isinstance(value, int | float) else math.inf for value in values]
    return [_as_typed(values[place]) for place in sorted(range(len(values)), key=lambda place: far[place])]


def _as_typed(value: Scalar) -> str:
    return value if isinstance(value, str) else value_label(value).replace(",", "")


def _some(values: Sequence[str], most: int) -> str:
    return ", ".join(values[:most]) + (", ..." if len(values) > most else "")


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys) if keys else "none"
