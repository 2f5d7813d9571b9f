"""Logs that can't be fitted, and why: wrong units, batches that can't be, too little variety."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from fastq.errors import SpecError

if TYPE_CHECKING:
    from fastq.calibration.iteration_log import IterationLog

MIN_DISTINCT_BATCHES = 12
"""Fewest different batches that are fitted: five coefficients, and some to judge them by."""

_MEDIAN_S = (2e-4, 5.0)
_ROW_S = (1e-6, 1e3)
_TYPICAL_S = 0.03
_UNITS = {
    "ns": ("nanoseconds", 1e-9),
    "us": ("microseconds", 1e-6),
    "ms": ("milliseconds", 1e-3),
    "s": ("seconds", 1.0),
}


def check_log(log: IterationLog) -> None:
    """Refuse a log that no iteration time can be fitted to.

    Raises
    ------
    SpecError
        If the times are of no size that an iteration has, a batch is empty or decodes without KV tokens, or
        there are too few different batches.
    """
    _check_unit(log)
    _check_batches(log)
    _check_variety(log)


def _check_unit(log: IterationLog) -> None:
    typical_s = float(np.median(log.seconds))
    key = "seconds" if log.time_column is None else log.time_column.name
    if not _MEDIAN_S[0] <= typical_s <= _MEDIAN_S[1]:
        raise SpecError(
            f"the median iteration would take {_shown(typical_s)}; {_advice(log, typical_s)}",
            source=log.name,
            key=key,
        )
    odd = np.flatnonzero((log.seconds < _ROW_S[0]) | (log.seconds > _ROW_S[1]))
    if odd.size:
        row = int(odd[0])
        raise SpecError(
            f"an iteration of {_shown(float(log.seconds[row]))} ({odd.size:,} rows like it), where "
            f"the median is {_shown(typical_s)}: remove rows that are no iterations",
            source=f"{log.name}, row {row + 1:,}",
            key=key,
        )


def _advice(log: IterationLog, typical_s: float) -> str:
    """Say which unit the numbers probably stand in, given what they were read as."""
    if log.time_column is None:
        return (
            f"iterations take {_shown(_MEDIAN_S[0])} to {_shown(_MEDIAN_S[1])}: is the file what it was read as, "
            f"{log.form}?"
        )
    name, unit = log.time_column.name, log.time_column.unit
    read_as, read_s = _UNITS[unit]
    times_s = {meant: typical_s * meant_s / read_s for meant, (_, meant_s) in _UNITS.items() if meant != unit}
    meant, time_s = min(times_s.items(), key=lambda each: abs(np.log10(each[1] / _TYPICAL_S)))
    if not _MEDIAN_S[0] <= time_s <= _MEDIAN_S[1]:
        return (
            f"read as {read_as}, and in no other unit would the numbers be iterations either, which take "
            f"{_shown(_MEDIAN_S[0])} to {_shown(_MEDIAN_S[1])}: is it the column of the iteration time?"
        )
    return (
        f"{_shown(time_s)} would be an iteration. Are these {_UNITS[meant][0]} read as {read_as}? Then name their "
        f"unit: --column {shlex.quote(f'time_{meant}={name}')}"
    )


def _shown(time_s: float) -> str:
    for unit_s, unit in ((1e-6, "ns"), (1e-3, "µs"), (1.0, "ms")):
        if time_s < unit_s:
            return f"{time_s / unit_s * 1000:.3g} {unit}"
    return f"{time_s:,.4g} s"


def _check_batches(log: IterationLog) -> None:
    problems = (
        (
            (log.prefill_tokens == 0) & (log.decode_seqs == 0),
            "prefill_tokens",
            "neither prefill nor decode: an empty batch is no iteration; remove such rows",
        ),
        (
            log.kv_tokens < log.decode_seqs,
            "kv_tokens",
            "fewer KV tokens than decoding requests, and each holds one at least: kv_tokens is the "
            "sum over the decoding requests, not the mean",
        ),
    )
    for bad, key, message in problems:
        rows = np.flatnonzero(bad)
        if rows.size:
            row = int(rows[0])
            raise SpecError(
                f"{message} ({rows.size:,} rows of {log.rows:,}; the first has "
                f"{log.prefill_tokens[row]:g} prefill tokens, {log.decode_seqs[row]:g} decoding "
                f"requests, {log.kv_tokens[row]:g} KV tokens)",
                source=f"{log.name}, row {row + 1:,}",
                key=key,
            )


def _check_variety(log: IterationLog) -> None:
    columns = [log.prefill_tokens, log.decode_seqs, log.kv_tokens]
    if log.attention is not None:
        columns.append(log.attention)
    distinct = int(np.unique(np.stack(columns, axis=1), axis=0).shape[0])
    if distinct >= MIN_DISTINCT_BATCHES:
        return
    if distinct == 1:
        message = (
            f"all {log.rows:,} rows are one and the same batch; its time says nothing of any other: "
            "log iterations of different size"
            if log.rows > 1
            else "there is one row only"
        )
    else:
        message = f"only {distinct} different batches among {log.rows:,} rows"
    raise SpecError(f"{message} (at least {MIN_DISTINCT_BATCHES} are needed)", source=log.name, key="rows")
