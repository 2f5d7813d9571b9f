"""Names of the columns of a trace, and which of those in a file they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROMPT_COLUMNS = ("prompt_tokens", "ContextTokens")
OUTPUT_COLUMNS = ("output_tokens", "GeneratedTokens")
ARRIVAL_COLUMN = "arrival_s"
TIMESTAMP_COLUMN = "TIMESTAMP"
COLUMNS = (*PROMPT_COLUMNS, *OUTPUT_COLUMNS, ARRIVAL_COLUMN, TIMESTAMP_COLUMN)
"""All names that mean something; other columns are ignored."""


class TraceColumns(NamedTuple):
    """Names of the columns of a trace; ``arrival`` is empty where there is none."""

    prompt: str
    output: str
    arrival: str


def find_columns(path: Path, where: str, names: Sequence[str]) -> TraceColumns:
    """Find the columns of a trace among all names of a file.

    Raises
    ------
    SpecError
        If lengths of either kind are missing, or stand there more than once.
    """
    found = []
    for wanted in (PROMPT_COLUMNS, OUTPUT_COLUMNS):
        present = [name for name in wanted if name in names]
        if len(present) != 1 or names.count(present[0]) != 1:
            problem = (
                "appears more than once" if present else f"is missing (or {wanted[1]}, as in Azure's traces)"
            )
            raise SpecError(
                f"column {wanted[0]} {problem}; columns here: {', '.join(map(str, names))[:200] or 'none'}",
                source=f"{path}{where and ', ' + where}",
                key=wanted[0],
            )
        found.append(present[0])
    arrival = next((name for name in (ARRIVAL_COLUMN, TIMESTAMP_COLUMN) if name in names), "")
    return TraceColumns(found[0], found[1], arrival)
