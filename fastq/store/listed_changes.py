"""What else changed from one data set to another, besides the simulated boundaries: a row for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.analysis.differences import log_ratios
from fastq.analysis.tolerance import margins
from fastq.store.compared_points import SKIPPED

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    import pyarrow as pa

    from fastq.store.compared_points import ComparedPoints

STABLE, UNDECIDED = "stable", "undecided"


def text_changes(left: ComparedPoints, right: ComparedPoints, identity: pa.Table, column: str) -> pa.Table:
    """Rows of points where a text changed; where a point can't run, its status alone says so."""
    old, new = left.words(column), right.words(column)
    if column == "status":
        for words, side in ((old, left), (new, right)):
            for row in np.flatnonzero(side.skipped):
                words[row] = f"{SKIPPED}: {side.points.column('skip_reason')[int(row)].as_py()}"
        changed = [row for row in range(len(old)) if old[row] != new[row]]
        both = left.skipped & right.skipped
        changed = [row for row in changed if not both[row]]
    else:
        changed = [
            row for row in range(len(old)) if old[row] != new[row] and None not in (old[row], new[row])
        ]
    return _changes(identity, changed, column, [old[row] for row in changed], [new[row] for row in changed])


def theory_changes(
    left: ComparedPoints, right: ComparedPoints, identity: pa.Table, tolerance: float
) -> pa.Table:
    """Rows of points whose theoretical rate changed by more than rounding."""
    old, new = left.numbers("theory_rate_rps"), right.numbers("theory_rate_rps")
    ratio = log_ratios(old, new)
    rows = np.flatnonzero(np.abs(ratio) > 0)
    beyond = np.abs(ratio[rows]) > margins(ratio[rows], tolerance)
    return _changes(
        identity,
        rows.tolist(),
        "theory_rate_rps",
        [repr(float(value)) for value in old[rows]],
        [repr(float(value)) for value in new[rows]],
        difference=np.expm1(ratio[rows]).tolist(),
        moved=beyond.tolist(),
    )


def verdict_changes(
    left: ComparedPoints, right: ComparedPoints, identity: pa.Table, within: Set[int]
) -> tuple[pa.Table, int, int]:
    """Rows of rates whose verdict changed, how many rates were compared, and how many are in one data set only.

    A move is one from or to stable. (Whether a queue that can grow does so, unstable, or is held by its start,
    metastable, is a matter of draws too.) It is none at points whose throughput under a backlog surely is ``within``
    the tolerance, given by their numbers in the old data set: the rate lies in the little between the two.
    """
    sides = left, right
    if any("rates" not in side.data_set.manifest.tables for side in sides):
        return _changes(identity, [], "verdict", [], []), 0, 0
    by_load = all(side.data_set.manifest.document["canonical"]["arrivals"]["load"] for side in sides)
    column = "load" if by_load else "arrival_rate_rps"
    old, new = (side.verdicts(column) for side in sides)
    numbers = left.points.column("point").to_pylist()
    shared = [key for key in old if key in new]
    changed = [key for key in shared if old[key] != new[key]]
    table = _changes(
        identity,
        [row for row, _ in changed],
        "verdict",
        [old[key] for key in changed],
        [new[key] for key in changed],
        moved=[_is_move(old[key], new[key]) and numbers[key[0]] not in within for key in changed],
        rates={column: [rate for _, rate in changed]},
    )
    return table, len(shared), len(old) + len(new) - 2 * len(shared)


def _is_move(old: str, new: str) -> bool:
    return UNDECIDED not in (old, new) and STABLE in (old, new)


def _changes(
    identity: pa.Table,
    rows: Sequence[int],
    column: str,
    old: Sequence[str | None],
    new: Sequence[str | None],
    *,
    difference: Sequence[float] | None = None,
    moved: Sequence[bool] | None = None,
    rates: dict[str, list[float]] | None = None,
) -> pa.Table:
    import pyarrow as pa

    table = identity.take(pa.array(rows, pa.int64()))
    unknown = [None] * len(rows)
    columns: dict[str, tuple[Sequence[Any], pa.DataType]] = {
        "load": ((rates or {}).get("load", unknown), pa.float64()),
        "arrival_rate_rps": ((rates or {}).get("arrival_rate_rps", unknown), pa.float64()),
        "column": ([column] * len(rows), pa.string()),
        "old": (old, pa.string()),
        "new": (new, pa.string()),
        "difference": (difference if difference is not None else unknown, pa.float64()),
        "moved": (moved if moved is not None else [False] * len(rows), pa.bool_()),
    }
    for name, (values, kind) in columns.items():
        table = table.append_column(name, pa.array(values, kind))
    return table
