"""The loop, compiled for the CPU: one entry for each kind of replication, compiled when first asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastq.kernels._jit import device, entry, source_digest
from fastq.kernels.trajectory import make_advance

if TYPE_CHECKING:
    from fastq.kernels._layout import Record, State, Tables
    from fastq.kernels.trajectory import Advance


@cache
def compiled_advance(saturated: bool, lookahead: bool, recording: bool) -> Advance:
    """The compiled loop of :func:`make_advance`, which releases the GIL and is cached on disk."""
    loop = device(make_advance(saturated, lookahead, recording))
    digest = source_digest()
    kind = (saturated, lookahead, recording)

    def advance(
        params: Any, tables: Tables, state: State, record: Record, requests: int, pause_at: int
    ) -> int:
        # Named so that this function's cache entry changes with any kernel source and with the kind.
        _ = digest, kind
        return loop(params[0], tables, state, record, requests, pause_at)

    return entry(advance)
