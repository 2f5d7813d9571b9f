"""Traces without a fault, read a column at a time: a million requests in a second or two.

What is read here equals what :mod:`fastq.model.trace` reads row by row. Whatever looks unusual (an odd number,
a quote, a damaged file) is left to the rows, which know more spellings and can say where a fault is.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

from fastq.model.lengths import MAX_LENGTH_TOKENS
from fastq.model.trace_columns import COLUMNS, TIMESTAMP_COLUMN, TraceColumns, find_columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Unusual(Exception):
    """The rows have to be looked at one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class BulkColumns:
    """Columns of a trace, in the order of the file.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths, int32, tokens, from 1 to the longest that there may be.
    arrival_s
        Arrival times, s, finite; ``None`` where the file has none.
    clock_start
        The moment at which ``arrival_s`` is 0, in UTC; ``None`` where the file has no timestamps.
    """

    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    arrival_s: NDArray[np.float64] | None
    clock_start: datetime | None


def read_bulk(path: Path, file: IO[bytes]) -> BulkColumns | None:
    """Read a trace whose every row is plain and right; ``None``: read it row by row.

    Parameters
    ----------
    path
        Its name; the ending tells the format.
    file
        Its content, from the start.
    """
    # Whatever a damaged file makes the decoders raise, the rows tell it better.
    try:
        columns, table = _READERS[path.suffix.lower()](path, file)
        prompts, outputs = _lengths(table[columns.prompt]), _lengths(table[columns.output])
        if not columns.arrival:
            return BulkColumns(prompts, outputs, None, None)
        times = table[columns.arrival]
        if columns.arrival == TIMESTAMP_COLUMN:
            return BulkColumns(prompts, outputs, *_clock(times))
        return BulkColumns(prompts, outputs, _finite(times), None)
    except Exception:
        return None


def _csv(path: Path, file: IO[bytes]) -> tuple[TraceColumns, pa.Table]:
    """Read plain CSV: no quotes below the header, no odd ends of lines. Cells stay text."""
    import pyarrow as pa
    import pyarrow.csv as pc

    content = file.read()
    header, _, rows = content.partition(b"\n")
    if b'"' in rows or content.count(b"\r") != content.count(b"\r\n"):
        raise _Unusual
    if not content.isascii():
        content.decode("utf-8")
    names = [name.strip() for name in next(csv.reader([header.decode("utf-8-sig").rstrip()], strict=True))]
    columns = find_columns(path, "", names)
    found = pc.read_csv(
        io.BytesIO(content),
        read_options=pc.ReadOptions(column_names=[str(place) for place in range(len(names))], skip_rows=1),
        parse_options=pc.ParseOptions(quote_char=False, double_quote=False),
        convert_options=pc.ConvertOptions(
            include_columns=list(dict.fromkeys(str(names.index(name)) for name in columns if name)),
            column_types={str(place): pa.string() for place in range(len(names))},
        ),
    )
    return columns, found.rename_columns([names[int(place)] for place in found.column_names])


def _parquet(path: Path, file: IO[bytes]) -> tuple[TraceColumns, pa.Table]:
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    names = [str(name) for name in parquet.schema_arrow.names]
    columns = find_columns(path, "", names)
    return columns, parquet.read(columns=sorted(set(COLUMNS).intersection(names)))


def _json_lines(path: Path, file: IO[bytes]) -> tuple[TraceColumns, pa.Table]:
    """Read objects line by line, all with one set of columns."""
    import pyarrow as pa

    columns: TraceColumns | None = None
    known = frozenset(COLUMNS)
    cells: dict[str, list[Any]] = {}
    for line in file.read().decode("utf-8-sig").split("\n"):
        if not line.strip():
            continue
        entry = json.loads(line)
        if not isinstance(entry, dict):
            raise _Unusual
        if columns is None:
            columns = find_columns(path, "", list(entry))
            cells = {name: [] for name in columns if name}
        if known.intersection(entry) != cells.keys():
            raise _Unusual
        for name, column in cells.items():
            column.append(entry[name])
    if columns is None:
        raise _Unusual
    kinds = {name: set(map(type, column)) for name, column in cells.items()}
    if any(len(kind) > 1 and kind != {int, float} for kind in kinds.values()):
        raise _Unusual
    mixed = {name: len(kind) > 1 for name, kind in kinds.items()}
    return columns, pa.table(
        {name: list(map(float, column)) if mixed[name] else column for name, column in cells.items()}
    )


_READERS: dict[str, Callable[[Path, IO[bytes]], tuple[TraceColumns, pa.Table]]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}


def _lengths(cells: pa.ChunkedArray[Any]) -> NDArray[np.int32]:
    """Return lengths that are written as digits, or as numbers that are whole."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(cells.type):
        if not pc.all(pc.ascii_is_decimal(cells)).as_py():
            raise _Unusual
        cells = pc.cast(cells, pa.int64())
    numbers = _numbers(cells)
    if not (numbers.size and numbers.min() >= 1 and numbers.max() <= MAX_LENGTH_TOKENS):
        raise _Unusual
    lengths = numbers.astype(np.int32)
    if not np.array_equal(lengths, numbers):
        raise _Unusual
    return lengths


def _finite(cells: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Return finite numbers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(cells.type):
        cells = pc.cast(cells, pa.float64())
    times = _numbers(cells).astype(np.float64)
    if not np.isfinite(times).all():
        raise _Unusual
    return times


def _numbers(cells: pa.ChunkedArray[Any]) -> NDArray[Any]:
    import pyarrow as pa

    kind = cells.type
    if cells.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise _Unusual
    return cells.to_numpy()


def _clock(cells: pa.ChunkedArray[Any]) -> tuple[NDArray[np.float64], datetime]:
    """Return seconds from the first timestamp on, to the microsecond, and that timestamp."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(cells.type):
        zoned = pc.ends_with(cells, "Z").to_numpy().any()
        cells = pc.cast(cells, pa.timestamp("ns", "UTC" if zoned else None))
    if cells.null_count or not pa.types.is_timestamp(cells.type):
        raise _Unusual
    nanoseconds = pc.cast(pc.cast(cells, pa.timestamp("ns", cells.type.tz)), pa.int64()).to_numpy()
    microseconds = nanoseconds // 1000
    start = int(microseconds[0])
    return (microseconds - start) / 1e6, _EPOCH + timedelta(microseconds=start)
