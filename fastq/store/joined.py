"""Two data sets side by side: which point of one is which of the other, by what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.errors import SpecError, StoreError
from fastq.store.layout import block_file
from fastq.store.location import open_location
from fastq.store.manifest import only_value, require_manifest
from fastq.store.reader import damaged, finished_blocks, read_blocks, verify_blocks
from fastq.store.schema import AxisColumn, schema_of, table_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pyarrow as pa
    import pyarrow.compute as pc
    from numpy.typing import NDArray

    from fastq.store.location import Location
    from fastq.store.manifest import Manifest

    Rows = NDArray[np.int64]
    Key = tuple[object, ...]

_DIGITS = 12
"""Values of an axis are the same where so many digits agree: two ways to write a grid differ in the last ones."""

_MAX_SHOWN = 6


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set that is open for reading.

    Parameters
    ----------
    location, manifest
        Where it is, and what it holds.
    blocks
        Those that are finished, in order.
    """

    location: Location
    manifest: Manifest
    blocks: tuple[int, ...]

    @property
    def name(self) -> str:
        """Path or URI, for messages."""
        return self.location.show()

    def table(self, table: str, wanted: Sequence[str], rows: pc.Expression | None = None) -> pa.Table:
        """Read columns of finished blocks; those that the release that wrote them did not have are null.

        Parameters
        ----------
        table
            One that the data set holds.
        wanted
            Names that the registry knows.
        rows
            Those to keep.
        """
        import pyarrow as pa

        present = self._columns(table)
        found = read_blocks(
            self.location,
            self.manifest,
            table,
            self.blocks,
            [name for name in wanted if name in present],
            rows,
        )
        columns = {column.name: column for column in table_columns(table, self.manifest.axes)}
        for position, name in enumerate(wanted):
            if name not in present:
                field = schema_of([columns[name]], {}).field(0)
                found = found.add_column(position, field, pa.array([None] * found.num_rows, field.type))
        return found

    def _columns(self, table: str) -> set[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        name = block_file(table, self.blocks[0])
        try:
            with self.location.open(name) as file:
                return set(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.location, name, str(error)) from error


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Which row of the points of one data set is which of the other.

    Parameters
    ----------
    axes
        Axes that both have, by which points are told apart, by case names too where both have cases.
    old_rows, new_rows
        Rows of the same points, in the order of the old ones.
    only_old, only_new
        Rows of points that the other does not have.
    """

    axes: tuple[AxisColumn, ...]
    old_rows: Rows
    new_rows: Rows
    only_old: Rows
    only_new: Rows


def open_data_set(place: str | os.PathLike[str]) -> DataSet:
    """Open a data set of which at least one block is finished."""
    location = open_location(place)
    manifest = require_manifest(location)
    blocks = tuple(sorted(finished_blocks(location, manifest)))
    if not blocks:
        raise StoreError(
            f"{location.show()} holds no finished block yet; 'fastq status {location.show()}' says how far it is."
        )
    verify_blocks(location, manifest, blocks)
    return DataSet(location, manifest, blocks)


def join(old: DataSet, new: DataSet, old_points: pa.Table, new_points: pa.Table) -> Joined:
    """Find the points that two data sets share: those of one case name and the same values on all shared axes.

    An axis that only one of them has tells its points apart by the value that the other one has throughout.

    Parameters
    ----------
    old, new
        The data sets.
    old_points, new_points
        Their points: ``point``, ``case`` and the axes, in any order of rows.

    Raises
    ------
    SpecError
        No point is in both, or points of one can't be told apart by what the other says of them.
    """
    shared = tuple(axis for axis in old.manifest.axes if axis.key in _axis_keys(new))
    names = [_case_names(each) for each in (old, new)]
    has_cases = bool(names[0] and names[1])
    for own, other, cases in ((old, new, names[0]), (new, old, names[1])):
        if not has_cases and len(cases) > 1:
            raise SpecError(
                f"its points are of the cases {_shown(cases)}, and {other.name} has no cases, so that nothing tells "
                "which of them to compare. Sweep one of the cases alone, or the same cases into both.",
                source=own.name,
            )
    kept_old = _held(old, old_points, new)
    kept_new = _held(new, new_points, old)
    columns = [*(["case"] if has_cases else []), *(axis.key for axis in shared)]
    old_keys, new_keys = _keys(old_points, columns, kept_old), _keys(new_points, columns, kept_new)
    both = [(row, new_keys[key]) for key, row in old_keys.items() if key in new_keys]
    if not both:
        raise SpecError(_nothing_shared(old, new, columns), source=f"{old.name} and {new.name}")
    old_rows, new_rows = (np.array(rows, np.int64) for rows in zip(*both, strict=True))
    return Joined(
        axes=shared,
        old_rows=old_rows,
        new_rows=new_rows,
        only_old=np.setdiff1d(np.arange(old_points.num_rows), old_rows),
        only_new=np.setdiff1d(np.arange(new_points.num_rows), new_rows),
    )


def axes_of_one(own: DataSet, other: DataSet) -> tuple[str, ...]:
    """Name the axes, ``case`` included, that ``own`` has and ``other`` has not."""
    cases = ("case",) if _case_names(own) and not _case_names(other) else ()
    return (*cases, *(axis.key for axis in own.manifest.axes if axis.key not in _axis_keys(other)))


def _held(own: DataSet, points: pa.Table, other: DataSet) -> Rows:
    """Rows that can be told apart by shared axes: where ``own`` has another axis, those at the other's value of it."""
    keep = np.ones(points.num_rows, np.bool_)
    for axis in own.manifest.axes:
        if axis.key in _axis_keys(other):
            continue
        values = [same_value(value) for value in points.column(axis.key).to_pylist()]
        if len(set(values)) == 1:
            continue
        there = only_value(other.manifest, axis.key)
        if there is None or same_value(there[0]) not in values:
            seen = _shown(dict.fromkeys(_text(value) for value in values))
            says = "does not say one" if there is None else f"has {_text(there[0])} throughout"
            raise SpecError(
                f"its points differ in this axis ({seen}), and {other.name} {says}, so that nothing tells which of "
                "them to compare. Sweep one of those values alone, or the same axis into both.",
                source=own.name,
                key=axis.key,
            )
        keep &= np.array([value == same_value(there[0]) for value in values])
    return np.flatnonzero(keep)


def _keys(points: pa.Table, columns: Sequence[str], rows: Rows) -> dict[Key, int]:
    values = [points.column(name).take(rows).to_pylist() for name in columns]
    return {tuple(same_value(column[place]) for column in values): int(row) for place, row in enumerate(rows)}


def same_value(value: Any) -> Any:
    """Return what all spellings of one value of an axis, or of one rate, have in common."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _axis_keys(data_set: DataSet) -> set[str]:
    return {axis.key for axis in data_set.manifest.axes}


def _case_names(data_set: DataSet) -> list[str]:
    return list(data_set.manifest.document["cases"])


def _text(value: object) -> str:
    return "unlimited" if value is None else str(value)


def _shown(words: Any) -> str:
    listed = list(words)
    return ", ".join(listed[:_MAX_SHOWN]) + (", ..." if len(listed) > _MAX_SHOWN else "")


def _nothing_shared(old: DataSet, new: DataSet, columns: Sequence[str]) -> str:
    told = f"the same {' and '.join(columns)}" if columns else "the same settings"
    unfinished = any(len(each.blocks) < each.manifest.blocks for each in (old, new))
    more = " One of them is not finished: 'fastq status' says how far it is." if unfinished else ""
    return f"no point of one has {told} as a point of the other, so there is nothing to compare.{more}"
