"""Tables of numbers and words from CSV, Parquet or JSON Lines, with the place of every row."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

Cells = list[object]


@dataclass(frozen=True, slots=True, eq=False)
class TableFile:
    """A table as it stands in a file.

    Parameters
    ----------
    source
        The file.
    columns
        Values of each column; text where the file holds text.
    lines
        Line of each row; empty for files without lines.
    """

    source: str
    columns: dict[str, Cells]
    lines: Sequence[int] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), []))

    def where(self, row: int) -> str:
        """Return file, row (from 1) and line."""
        line = f" (line {self.lines[row]:,})" if self.lines else ""
        return f"{self.source}, row {row + 1:,}{line}"

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers, float64.

        Raises
        ------
        SpecError
            If there is no such column, or a value is no finite number.
        """
        import numpy as np

        values = self.words(name)
        numbers = np.empty(len(values), dtype=np.float64)
        for row, value in enumerate(values):
            number = _real(value)
            if number is None:
                raise SpecError("must be a finite number", source=self.where(row), key=name, value=value)
            numbers[row] = number
        return numbers

    def words(self, name: str) -> Cells:
        """Return a column as it stands.

        Raises
        ------
        SpecError
            If there is no such column.
        """
        if name not in self.columns:
            raise SpecError(
                f"there is no such column; columns here: {', '.join(self.columns)[:300] or 'none'}",
                source=self.source,
                key=name,
            )
        return self.columns[name]

    def take(self, rows: Sequence[int]) -> TableFile:
        """Return some of the rows."""
        return TableFile(
            self.source,
            {name: [values[row] for row in rows] for name, values in self.columns.items()},
            [self.lines[row] for row in rows] if self.lines else (),
        )


def read_table_file(path: Path, wanted: Sequence[str] | None = None) -> TableFile:
    """Read a table; the ending of its name tells the format.

    Parameters
    ----------
    path
        The file: ``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``.
    wanted
        Columns to read; all where it is ``None``. Columns that are not there are left to whoever asks for them.

    Raises
    ------
    SpecError
        If the file can't be read, is of no such format, or has a row that does not fit its header.
    """
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise SpecError(
            f"a table is a file whose name ends in one of {', '.join(FORMATS)}",
            source=str(path),
            value=path.suffix,
        )
    try:
        with path.open("rb") as file:
            table = reader(path, file, wanted)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"can't be read: {reason}", source=str(path)) from error
    if not table.rows:
        raise SpecError("the table holds no row", source=str(path))
    return table


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file, nothing else of it; empty for other formats.

    Raises
    ------
    SpecError
        If the file can't be read.
    """
    if path.suffix.lower() != ".csv":
        return []
    try:
        with path.open("rb") as file:
            return [name.strip() for name in next(csv.reader([_decoded(path, 1, file.readline())]), [])]
    except OSError as error:
        raise SpecError(f"can't be read: {error.strerror or error}", source=str(path)) from error


def _csv_table(path: Path, file: IO[bytes], wanted: Sequence[str] | None) -> TableFile:
    reader = csv.reader(
        (_decoded(path, number, line) for number, line in enumerate(file, start=1)), strict=True
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        columns: dict[str, Cells] = {
            name: [] for name in header if name and (wanted is None or name in wanted)
        }
        kept = [(position, columns[name]) for position, name in enumerate(header) if name in columns]
        lines: list[int] = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise SpecError(
                    f"{len(cells)} values where the header has {len(header)} columns",
                    source=f"{path}, row {len(lines) + 1:,} (line {reader.line_num:,})",
                    value=",".join(cells),
                )
            lines.append(reader.line_num)
            for position, column in kept:
                column.append(cells[position])
    except csv.Error as error:
        raise SpecError(f"not CSV: {error}", source=f"{path}, line {reader.line_num:,}") from error
    return TableFile(str(path), columns, lines)


def _check_header(path: Path, header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1 and name})
    if twice:
        raise SpecError("appears more than once in the header", source=f"{path}, line 1", key=twice[0])


def _json_table(path: Path, file: IO[bytes], wanted: Sequence[str] | None) -> TableFile:
    columns: dict[str, Cells] = {}
    lines: list[int] = []
    for number, data in enumerate(file, start=1):
        text = _decoded(path, number, data)
        if not text.strip():
            continue
        where = f"{path}, row {len(lines) + 1:,} (line {number:,})"
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"not JSON: {error}", source=where, value=text.strip()) from error
        if not isinstance(entry, dict):
            raise SpecError("every line must be an object with the same keys", source=where, value=entry)
        entry = {name: value for name, value in entry.items() if wanted is None or name in wanted}
        if not lines:
            columns = {name: [] for name in entry}
        if entry.keys() != columns.keys():
            odd = sorted(entry.keys() ^ columns.keys())[0]
            raise SpecError(
                "some lines have this key and some do not; every line needs the same keys",
                source=where,
                key=odd,
            )
        lines.append(number)
        for name, value in entry.items():
            columns[name].append(value)
    return TableFile(str(path), columns, lines)


def _parquet_table(path: Path, file: IO[bytes], wanted: Sequence[str] | None) -> TableFile:
    import pyarrow.parquet as pq

    # A damaged file makes the decoder raise errors of many kinds; whatever it says, the file is at fault.
    try:
        parquet = pq.ParquetFile(file)
        names = [str(name) for name in parquet.schema_arrow.names if wanted is None or str(name) in wanted]
        table = parquet.read(columns=names)
        columns: dict[str, Cells] = {name: list(table.column(name).to_pylist()) for name in names}
    except Exception as error:
        raise SpecError(f"not a readable Parquet file: {error}{_pointer(path)}", source=str(path)) from error
    return TableFile(str(path), columns)


def _pointer(path: Path) -> str:
    """Say so where a file is only the pointer that Git LFS leaves in its place."""
    with path.open("rb") as file:
        is_pointer = file.read(24).startswith(b"version https://git-lfs")
    return (
        "; it is the pointer of Git LFS, not the file: run 'git lfs pull' where it came from"
        if is_pointer
        else ""
    )


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"not text in UTF-8: {error.reason}", source=f"{path}, line {number:,}", value=line
        ) from error


def _real(value: object) -> float | None:
    """Return a finite number, also one written as text; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


FORMATS: dict[str, Callable[[Path, IO[bytes], Sequence[str] | None], TableFile]] = {
    ".csv": _csv_table,
    ".parquet": _parquet_table,
    ".jsonl": _json_table,
    ".ndjson": _json_table,
}
"""Readers by the ending of the name."""
