"""Traces: the lengths of requests that somebody recorded, from CSV, Parquet or JSON Lines.

The columns are ``prompt_tokens`` and ``output_tokens``, and ``arrival_s`` where there is one; those of the
Azure LLM inference traces (``ContextTokens``, ``GeneratedTokens``, ``TIMESTAMP``) do as well. Other columns
are ignored.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from numbers import Integral
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from fastq.errors import SpecError
from fastq.model.lengths import MAX_LENGTH_TOKENS, LengthLaw, column, law
from fastq.model.trace_bulk import read_bulk
from fastq.model.trace_clock import trace_clock
from fastq.model.trace_columns import ARRIVAL_COLUMN, COLUMNS, TIMESTAMP_COLUMN, find_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_LENGTH = f"a whole number of tokens between 1 and {MAX_LENGTH_TOKENS:,}"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in the order of the file.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths, int32, tokens.
    arrival_s
        Arrival times, s; from the first row on where the file has timestamps; ``None`` where it has neither.
    name
        Name of the file.
    clock_start
        The moment at which ``arrival_s`` is 0, in UTC; ``None`` where the file has no timestamps.
    """

    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    arrival_s: NDArray[np.float64] | None
    name: str
    clock_start: datetime | None = None

    def law(self) -> LengthLaw:
        """Return the joint law of its lengths: every request is as likely as any other."""
        made = law(column(self.prompt_tokens), column(self.output_tokens), joint=True, name=self.name)
        return made if self.arrival_s is None else replace(made, clock=trace_clock(self.arrival_s))


class _Row(NamedTuple):
    """Values as they stand, with where; a moment in place of an arrival where the file has timestamps."""

    where: str
    prompt: object
    output: object
    arrival: object
    moment: datetime | None


def read_trace(path: Path) -> Trace:
    """Read a trace; the ending of its name tells the format.

    Raises
    ------
    SpecError
        If the file can't be read, has no such columns, or holds a length that is not a whole number of tokens
        from 1 to 1,048,576. A request that made no output token (cancelled, or failed) is no request of the
        model: the message counts such rows.
    """
    rows_of = _FORMATS.get(path.suffix.lower())
    if rows_of is None:
        raise SpecError(
            f"a trace is a file whose name ends in one of {', '.join(_FORMATS)}",
            source=str(path),
            value=path.suffix,
        )
    try:
        with path.open("rb") as opened:
            file: IO[bytes] = opened if opened.seekable() else io.BytesIO(opened.read())
            found = read_bulk(path, file)
            if found is not None:
                return Trace(
                    found.prompt_tokens, found.output_tokens, found.arrival_s, path.name, found.clock_start
                )
            file.seek(0)
            return _collected(path, rows_of(path, file))
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"the trace can't be read: {reason}", source=str(path)) from error


def _collected(path: Path, rows: Iterable[_Row]) -> Trace:
    import numpy as np

    prompts: list[int] = []
    outputs: list[int] = []
    arrivals: list[float] = []
    clock_start: datetime | None = None
    empty: list[_Row] = []
    for row in rows:
        prompt = _length(path, row, "prompt_tokens", row.prompt)
        output = _length(path, row, "output_tokens", row.output)
        if prompt == 0 or output == 0:
            empty.append(row)
        prompts.append(prompt)
        outputs.append(output)
        if row.moment is not None:
            clock_start = clock_start or row.moment
            arrivals.append((row.moment - clock_start).total_seconds())
        elif row.arrival is not None:
            arrivals.append(_arrival(path, row))
    if not prompts:
        raise SpecError("the trace holds no request", source=str(path))
    if empty:
        first, key, value = empty[0], *_first_zero(empty[0])
        others = f" ({len(empty):,} rows of {len(prompts):,} have a length of 0)" if len(empty) > 1 else ""
        raise SpecError(
            f"must be {_LENGTH}{others}; remove requests without a prompt or an output, they use no decoding",
            source=f"{path}, {first.where}",
            key=key,
            value=value,
        )
    if arrivals and len(arrivals) != len(prompts):
        raise SpecError(
            "some rows have an arrival time and some do not", source=str(path), key=ARRIVAL_COLUMN
        )
    return Trace(
        np.array(prompts, dtype=np.int32),
        np.array(outputs, dtype=np.int32),
        np.array(arrivals, dtype=np.float64) if arrivals else None,
        path.name,
        clock_start,
    )


def _first_zero(row: _Row) -> tuple[str, object]:
    prompt_is_zero = _whole(row.prompt) == 0
    return ("prompt_tokens", row.prompt) if prompt_is_zero else ("output_tokens", row.output)


def _length(path: Path, row: _Row, key: str, value: object) -> int:
    """Return a length, 0 included: rows without tokens are counted before they are refused."""
    length = _whole(value)
    if length is None or not 0 <= length <= MAX_LENGTH_TOKENS:
        raise SpecError(f"must be {_LENGTH}", source=f"{path}, {row.where}", key=key, value=value)
    return length


def _whole(value: object) -> int | None:
    """Return a whole number, also one written as text or as 128.0; ``None`` for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) <= 18:
            return int(text)
    number = _real(value)
    return int(number) if number is not None and number.is_integer() else None


def _real(value: object) -> float | None:
    """Return a finite number, also one written as text; ``None`` for anything else."""
    if isinstance(value, str):
        if not value.isascii() or "_" in value:
            return None
    elif isinstance(value, bool) or not isinstance(value, (Integral, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _arrival(path: Path, row: _Row) -> float:
    arrival_s = _real(row.arrival)
    if arrival_s is None:
        raise SpecError(
            "must be a finite number of seconds",
            source=f"{path}, {row.where}",
            key=ARRIVAL_COLUMN,
            value=row.arrival,
        )
    return arrival_s


def _csv_rows(path: Path, file: IO[bytes]) -> Iterator[_Row]:
    reader = csv.reader(_text_lines(path, file), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = find_columns(path, "line 1", header)
        positions = {name: header.index(name) for name in columns if name}
        number = 0
        for cells in reader:
            if not cells:
                continue
            number += 1
            where = f"row {number:,} (line {reader.line_num:,})"
            if len(cells) != len(header):
                raise SpecError(
                    f"{len(cells)} values where the header has {len(header)} columns",
                    source=f"{path}, {where}",
                    key=columns.prompt,
                    value=",".join(cells),
                )
            arrival = cells[positions[columns.arrival]] if columns.arrival else None
            yield _Row(
                where,
                cells[positions[columns.prompt]],
                cells[positions[columns.output]],
                *_when(path, where, columns.arrival, arrival),
            )
    except csv.Error as error:
        raise SpecError(f"not CSV: {error}", source=f"{path}, line {reader.line_num:,}") from error


def _json_rows(path: Path, file: IO[bytes]) -> Iterator[_Row]:
    number = 0
    for line_number, line in enumerate(_text_lines(path, file), start=1):
        if not line.strip():
            continue
        number += 1
        where = f"row {number:,} (line {line_number:,})"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"not JSON: {error}", source=f"{path}, {where}", value=line.strip()) from error
        if not isinstance(entry, dict):
            raise SpecError(
                'every line must be an object such as {"prompt_tokens": 512, "output_tokens": 128}',
                source=f"{path}, {where}",
                value=entry,
            )
        columns = find_columns(path, where, list(entry))
        arrival = entry.get(columns.arrival) if columns.arrival else None
        when = _when(path, where, columns.arrival, arrival)
        yield _Row(where, entry[columns.prompt], entry[columns.output], *when)


def _text_lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """Decode a file line by line, so that an error tells its line."""
    for number, line in enumerate(file, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise SpecError(
                f"not text in UTF-8: {error.reason}", source=f"{path}, line {number:,}", value=line
            ) from error
        yield text


def _parquet_rows(path: Path, file: IO[bytes]) -> Iterator[_Row]:
    names, table = _parquet_columns(path, file)
    columns = find_columns(path, "", names)
    arrivals = table[columns.arrival] if columns.arrival else [None] * len(table[columns.prompt])
    for number, (prompt, output, arrival) in enumerate(
        zip(table[columns.prompt], table[columns.output], arrivals, strict=True), start=1
    ):
        where = f"row {number:,}"
        yield _Row(where, prompt, output, *_when(path, where, columns.arrival, arrival))


def _parquet_columns(path: Path, file: IO[bytes]) -> tuple[list[str], dict[str, list[object]]]:
    import pyarrow.parquet as pq

    wanted = set(COLUMNS)
    # A damaged file makes the decoder raise errors of many kinds; whatever it says, the file is at fault.
    try:
        parquet = pq.ParquetFile(file)
        names = [str(name) for name in parquet.schema_arrow.names]
        table = parquet.read(columns=sorted(wanted.intersection(names)))
        values = {name: cast("list[object]", table.column(name).to_pylist()) for name in table.column_names}
    except Exception as error:
        raise SpecError(f"not a readable Parquet file: {error}", source=str(path)) from error
    return names, values


def _when(path: Path, where: str, column_name: str, value: object) -> tuple[object, datetime | None]:
    """Return an arrival time as it stands, or the moment of a timestamp; one without a zone is in UTC."""
    if column_name != TIMESTAMP_COLUMN:
        return (value if value is not None or not column_name else math.nan), None
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise SpecError(
            "must be a date and time such as 2023-11-16 18:17:03.9799600",
            source=f"{path}, {where}",
            key=TIMESTAMP_COLUMN,
            value=value,
        )
    return None, moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


_FORMATS: dict[str, Callable[[Path, IO[bytes]], Iterator[_Row]]] = {
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
}
