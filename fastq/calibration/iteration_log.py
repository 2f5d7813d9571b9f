"""A log of iterations: what was in each batch and how long it took, whatever file it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

PREFILL_SEQS = "prefill_seqs"
FINISHING_PROMPTS = "finishing_prompts"
CACHED_TOKENS = "cached_tokens"
EXTRAS = (PREFILL_SEQS, FINISHING_PROMPTS, CACHED_TOKENS)
"""Columns beyond those of an iteration time: prompts in prefill, prompts whose last chunk is in the batch,
and tokens that the prompts in prefill had cached before their chunks."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read.

    Parameters
    ----------
    name
        Name without its directory.
    sha256
        Of its bytes, hexadecimal.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column that a table's iteration times were read from.

    Parameters
    ----------
    name
        Its name in the file.
    unit
        What its numbers were taken for: s, ms, us or ns.
    """

    name: str
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class IterationLog:
    """Iterations, one an entry of each column.

    Parameters
    ----------
    prefill_tokens
        P, prompt tokens in the batch, float64.
    decode_seqs
        D, decoding requests in it, float64.
    kv_tokens
        K, KV tokens that those requests hold in it, float64.
    attention
        A, sum over prefill chunks of chunk x (cached before it + chunk / 2), float64; ``None`` where the log does
        not tell it.
    seconds
        Iteration time, s, float64.
    extras
        Further columns by name, those of :data:`EXTRAS` that the log has.
    name
        What was read, for people.
    form
        What kind of file it was, for people.
    files
        The files that were read.
    kv_capacity_tokens
        KV capacity that the log tells, tokens; ``None`` where it does not.
    gpus
        Cards of the replica that the log tells; ``None`` where it does not.
    notes
        How columns came about and what was left out, a sentence each.
    time_column
        Where the times stand in a table that a user may name columns of; ``None`` in files of a form of their own.
    """

    prefill_tokens: NDArray[np.float64]
    decode_seqs: NDArray[np.float64]
    kv_tokens: NDArray[np.float64]
    attention: NDArray[np.float64] | None
    seconds: NDArray[np.float64]
    name: str
    form: str
    files: tuple[SourceFile, ...]
    extras: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    kv_capacity_tokens: int | None = None
    gpus: int | None = None
    notes: tuple[str, ...] = ()
    time_column: TimeColumn | None = None

    @property
    def rows(self) -> int:
        """Number of iterations."""
        return int(self.seconds.size)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> IterationLog:
        """Return some of the iterations."""
        return replace(
            self,
            prefill_tokens=self.prefill_tokens[rows],
            decode_seqs=self.decode_seqs[rows],
            kv_tokens=self.kv_tokens[rows],
            attention=None if self.attention is None else self.attention[rows],
            seconds=self.seconds[rows],
            extras={name: values[rows] for name, values in self.extras.items()},
        )


def held_against(log: IterationLog, kv_capacity_tokens: int | None) -> IterationLog:
    """Note how many batches hold more KV tokens than the replica would have room for."""
    if kv_capacity_tokens is None:
        return log
    beyond = int((log.kv_tokens > kv_capacity_tokens).sum())
    if not beyond:
        return log
    return replace(
        log,
        notes=(
            *log.notes,
            f"{beyond:,} batches hold more than the given capacity of {kv_capacity_tokens:,} KV tokens: is it that of "
            "another engine?",
        ),
    )


def source_file(path: Path) -> SourceFile:
    """Return the name of a file and the SHA-256 of its bytes.

    Raises
    ------
    SpecError
        If the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return SourceFile(path.name, hashlib.file_digest(file, "sha256").hexdigest())
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"can't be read: {reason}", source=str(path)) from error
