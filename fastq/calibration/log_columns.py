"""Logs with a row an iteration: which column is which, and in which unit the time stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.iteration_log import (
    CACHED_TOKENS,
    EXTRAS,
    FINISHING_PROMPTS,
    PREFILL_SEQS,
    IterationLog,
    TimeColumn,
    source_file,
)
from fastq.calibration.table_file import read_table_file
from fastq.errors import SpecError
from fastq.model.reading import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastq.calibration.table_file import TableFile

ALIASES: dict[str, tuple[str, ...]] = {
    "prefill_tokens": (
        "prefill_tokens",
        "num_prefill_tokens",
        "context_tokens",
        "num_context_tokens",
        "num_ctx_tokens",
        "prompt_tokens",
    ),
    "decode_seqs": (
        "decode_seqs",
        "num_decode_seqs",
        "decode_requests",
        "num_decode_requests",
        "decode_tokens",
        "num_decode_tokens",
        "generation_requests",
        "num_generation_requests",
    ),
    "kv_tokens": ("kv_tokens", "decode_kv_tokens", "num_kv_tokens", "kv_cache_tokens", "total_kv_tokens"),
    "attention": ("attention", "attention_work", "prefill_attention"),
    PREFILL_SEQS: (
        PREFILL_SEQS,
        "num_prefill_seqs",
        "prefill_requests",
        "num_prefill_requests",
        "context_requests",
        "num_context_requests",
        "num_ctx_requests",
    ),
    FINISHING_PROMPTS: (FINISHING_PROMPTS, "prompts_finishing", "finished_prompts"),
    CACHED_TOKENS: (CACHED_TOKENS, "prefill_cached_tokens", "num_computed_tokens", "kv_prefill"),
}
"""Names by which a column is found; the first is ours."""

_TIME_STEMS = ("time", "iteration", "iteration_time", "step", "step_time", "latency", "duration", "elapsed")
UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in a unit that a name of a column can end in."""

TIME_ALIASES = ("seconds", *(f"{stem}_{unit}" for stem in _TIME_STEMS for unit in UNITS_S))
"""Names of the iteration time; the ending is its unit."""

_REQUIRED = ("prefill_tokens", "decode_seqs", "kv_tokens")
_TIME_TARGETS = ("seconds", *(f"time_{unit}" for unit in UNITS_S))


def read_log(path: Path, renamed: Mapping[str, str], kept: Mapping[str, str]) -> IterationLog:
    """Read a log that has a row an iteration.

    Parameters
    ----------
    path
        CSV, Parquet or JSON Lines.
    renamed
        Our name of a column: its name in the file. For the time, ``seconds`` (the unit by the ending of the name in
        the file, else seconds) or ``time_ms``, ``time_us``, ``time_ns``, ``time_s``.
    kept
        Name of a column in the file: the value that a row must have to be read.

    Raises
    ------
    SpecError
        If the file can't be read, or a column is missing, is there twice, or holds what is no number.
    """
    _check_targets(renamed)
    table = rows_where(read_table_file(path), kept)
    names = _found(table, renamed)
    time = _time(table, renamed)
    columns = {ours: table.numbers(theirs) for ours, theirs in names.items()}
    for ours, values in columns.items():
        _check_amounts(table, names[ours], values)
    seconds = table.numbers(time.name) * UNITS_S[time.unit]
    _check_times(table, time.name, seconds)
    return IterationLog(
        columns["prefill_tokens"],
        columns["decode_seqs"],
        columns["kv_tokens"],
        columns.get("attention"),
        seconds,
        path.name,
        "iteration log",
        (source_file(path),),
        {name: columns[name] for name in EXTRAS if name in columns},
        time_column=time,
    )


def rows_where(table: TableFile, kept: Mapping[str, str]) -> TableFile:
    """Return the rows in which each of some columns has a given value, compared as text."""
    rows = list(range(table.rows))
    for name, value in kept.items():
        words = [str(word).strip() for word in table.words(name)]
        rows = [row for row in rows if words[row] == value]
        if not rows:
            held = sorted(set(words))
            raise SpecError(
                f"no row has this value{'' if len(kept) == 1 else ' besides the others'}; the column holds "
                f"{', '.join(held[:12])}{', ...' if len(held) > 12 else ''}",
                source=table.source,
                key=f"--where {name}",
                value=value,
            )
    return table if len(rows) == table.rows else table.take(rows)


def _check_targets(renamed: Mapping[str, str]) -> None:
    ours = (*ALIASES, *_TIME_TARGETS)
    for name in renamed:
        if name not in ours:
            meant = nearest(name, ours)
            raise SpecError(
                f"must be OURS=THEIRS with OURS one of "
                f"{', '.join(ours)}{meant and f'; did you mean {meant}?'}",
                key="--column",
                value=name,
            )


def _found(table: TableFile, renamed: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the file of each of our columns that is there."""
    names = {}
    for ours, aliases in ALIASES.items():
        if ours in renamed:
            table.words(renamed[ours])
            names[ours] = renamed[ours]
            continue
        present = [alias for alias in aliases if alias in table.columns and alias not in renamed.values()]
        if len(present) > 1 and present[0] != ours:
            raise SpecError(
                f"several columns could be {ours}: {', '.join(present)}; say which, as in "
                f"--column {ours}={present[0]}",
                source=table.source,
                key=ours,
            )
        if present:
            names[ours] = present[0]
    missing = [ours for ours in _REQUIRED if ours not in names]
    if missing:
        raise SpecError(_missing(table, missing[0], ALIASES[missing[0]]), source=table.source, key=missing[0])
    return names


def _missing(table: TableFile, ours: str, aliases: Sequence[str]) -> str:
    return (
        f"this column is missing (names that are known: {', '.join(aliases)}; or give --column "
        f"{ours}=THEIRS); columns here: {', '.join(table.columns)[:300] or 'none'}"
    )


def _time(table: TableFile, renamed: Mapping[str, str]) -> TimeColumn:
    """Return the column of the iteration time and its unit."""
    targets = [target for target in _TIME_TARGETS if target in renamed]
    if len(targets) > 1:
        raise SpecError(
            f"the iteration time is given more than once, as {' and as '.join(targets)}; give it once",
            source=table.source,
            key="--column",
        )
    if targets:
        name = renamed[targets[0]]
        table.words(name)
        return TimeColumn(name, _unit(name if targets[0] == "seconds" else targets[0]))
    present = [alias for alias in TIME_ALIASES if alias in table.columns]
    if len(present) == 1:
        return TimeColumn(present[0], _unit(present[0]))
    if present:
        raise SpecError(
            f"several columns could be the iteration time: {', '.join(present)}; say which, as in "
            f"--column seconds={present[0]}",
            source=table.source,
            key="seconds",
        )
    raise SpecError(
        "the iteration time is missing (names that are known: seconds, or one of "
        f"{', '.join(_TIME_STEMS)} with the ending _s, _ms, _us or _ns; or give --column seconds=THEIRS, or "
        f"--column time_ms=THEIRS for milliseconds); columns here: "
        f"{', '.join(table.columns)[:300] or 'none'}",
        source=table.source,
        key="seconds",
    )


def _unit(name: str) -> str:
    ending = name.rpartition("_")[2] if "_" in name else ""
    return ending if ending in UNITS_S else "s"


def _check_amounts(table: TableFile, name: str, values: NDArray[np.float64]) -> None:
    bad = np.flatnonzero((values < 0) | (values > 2**50))
    if bad.size:
        others = f" ({bad.size:,} rows of {values.size:,})" if bad.size > 1 else ""
        raise SpecError(
            f"must be a number >= 0, of tokens or requests{others}",
            source=table.where(int(bad[0])),
            key=name,
            value=float(values[bad[0]]),
        )


def _check_times(table: TableFile, name: str, seconds: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(seconds <= 0)
    if bad.size:
        others = f" ({bad.size:,} rows of {seconds.size:,})" if bad.size > 1 else ""
        raise SpecError(
            f"an iteration takes more than no time{others}; remove rows that were not run or not timed",
            source=table.where(int(bad[0])),
            key=name,
            value=table.words(name)[int(bad[0])],
        )
