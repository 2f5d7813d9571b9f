"""The loop, compiled for the CPU: one entry for each kind of replication, compiled when first asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastq.kernels._jit import device, entry, source_digest
from fastq.kernels._layout import State
from fastq.kernels.trajectory import make_advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.kernels._layout import I64, Record, Tables

    AdvanceAll = Callable[[Any, Tables, State, Record, int, int, I64], None]


@cache
def compiled_advance(saturated: bool, lookahead: bool, recording: bool, terms: bool) -> AdvanceAll:
    """The compiled loop of :func:`make_advance` over replications, which releases the GIL and is cached on disk.

    Returns
    -------
    Callable
        ``advance_all(params, tables, states, record, requests, steps, status)``: carries each row of
        ``params`` (R,) and ``states``, arrays of R rows, on by one call of the loop, which leaves why it returned in
        ``status`` (R,).
    """
    advance = device(make_advance(saturated, lookahead, recording, terms))
    digest = source_digest()
    kind = (saturated, lookahead, recording, terms)

    def advance_all(
        params: Any, tables: Tables, states: State, record: Record, requests: int, steps: int, status: I64
    ) -> None:
        # Named so that this function's cache entry changes with any kernel source and with the kind.
        _ = digest, kind
        for r in range(params.shape[0]):
            state = State(
                states.x[r],
                states.seqs[r],
                states.times[r],
                states.wheel[r],
                states.growth[r],
                states.prefilling[r],
                states.stack[r],
                states.fresh[r],
                states.free[r],
                states.profile[r],
                states.histograms[r],
            )
            status[r] = advance(params[r], tables, state, record, requests, steps)

    return entry(advance_all)
