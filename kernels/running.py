"""The running set: slots in order of admission, and the timing wheel that knows when each finishes.

All decoding requests grow by one token an iteration, so one counter a residue of the block size says how many
of them need a block, and nothing is touched request by request until it finishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    BUCKET,
    CHUNK,
    DECODING,
    DECODING_KV,
    EMITTED,
    FREE_SLOTS,
    GROWTH_FREE,
    ITERATION,
    NEWER,
    NO_SLOT,
    OLDER,
    OUTPUT,
    PHASE,
    PROMPT,
    RESIDUE,
    RUNNING,
    TARGET,
    State,
)
from fastq.kernels.memory import whole_blocks
from fastq.kernels.slots import at, i64, index_of
from fastq.kernels.wheel import hang

if TYPE_CHECKING:
    import numpy as np


@device
def take_slot(state: State) -> int:
    """A slot that is not in use."""
    x = state.x
    x[FREE_SLOTS] -= 1
    return i64(state.free[index_of(x[FREE_SLOTS])])


@device
def release_slot(state: State, slot: int) -> None:
    """Give ``slot`` back."""
    x = state.x
    state.free[index_of(x[FREE_SLOTS])] = slot
    x[FREE_SLOTS] += 1


@device
def newest(state: State) -> int:
    """The most recently admitted request's slot; row 0, which is no slot's, holds the ends of the running set."""
    return i64(state.seqs[at(NO_SLOT, OLDER)])


@device
def append_newest(state: State, slot: int) -> None:
    """Add ``slot`` to the running set as its most recently admitted."""
    before = newest(state)
    state.seqs[at(slot, OLDER)] = before
    state.seqs[at(slot, NEWER)] = NO_SLOT
    state.seqs[at(before, NEWER)] = slot
    state.seqs[at(NO_SLOT, OLDER)] = slot
    state.x[RUNNING] += 1


@device
def remove(state: State, slot: int) -> None:
    """Take ``slot`` out of the running set."""
    older = i64(state.seqs[at(slot, OLDER)])
    newer = i64(state.seqs[at(slot, NEWER)])
    state.seqs[at(older, NEWER)] = newer
    state.seqs[at(newer, OLDER)] = older
    state.x[RUNNING] -= 1


@device
def largest_kv(p: Any, state: State, slot: int) -> int:
    """KV tokens that the request in ``slot`` holds in its last iteration."""
    return i64(state.seqs[at(slot, PROMPT)]) + i64(state.seqs[at(slot, OUTPUT)]) - 1 + p.paper


@device
def start_decoding(p: Any, state: State, slot: int, remaining: int) -> None:
    """Let ``slot``, whose prefill ended in this iteration, decode in the ``remaining`` > 0 iterations that follow."""
    x = state.x
    seqs = state.seqs
    held = i64(seqs[at(slot, TARGET)])
    seqs[at(slot, CHUNK)] = 0
    hang(state, slot, (x[ITERATION] + remaining) & i64(p.wheel_mask))
    x[DECODING] += 1
    x[DECODING_KV] += held
    if p.admission != GROWTH_FREE:
        needs_block = residue(p, x[PHASE], held)
        seqs[at(slot, RESIDUE)] = needs_block
        state.growth[needs_block] += 1


@device
def residue(p: Any, phase: int, held: int) -> np.uint64:
    """Class of a decoding request that holds ``held`` > 0 tokens at the end of the iteration of ``phase``.

    The class is that of the later iterations in which it needs a block: those whose phase equals it. It is
    unsigned because it only serves as an index, which then needs no sign check.
    """
    last = p.block_size - 1
    tokens = held - 1 + last - phase
    found: np.uint64 = index_of(last - (tokens - whole_blocks(p, tokens) * p.block_size))
    return found


@device
def phase_after(p: Any, phase: int) -> int:
    """Phase of the iteration after that of ``phase``: iterations are counted modulo the block size.

    Counting up, it compiles to a conditional move; counting down, to a branch that no processor foresees.
    """
    after = phase + 1
    return after if after < p.block_size else 0


@device
def decoding_kv(p: Any, state: State, slot: int) -> int:
    """KV tokens that decoding ``slot`` holds before the iteration under way."""
    x = state.x
    left = (i64(state.seqs[at(slot, BUCKET)]) - x[ITERATION] + 1) & p.wheel_mask
    return largest_kv(p, state, slot) - left


@device
def leave_decoding(p: Any, state: State, slot: int, held: int) -> None:
    """Take decoding ``slot``, which holds ``held`` tokens, off the counters; its bucket is the caller's to change."""
    x = state.x
    x[DECODING] -= 1
    x[DECODING_KV] -= held
    if p.admission != GROWTH_FREE:
        state.growth[index_of(state.seqs[at(slot, RESIDUE)])] -= 1


@device
def remaining_decodes(p: Any, state: State, slot: int) -> int:
    """Decode iterations that follow the prefill of ``slot``: the prefill's end emits a token, or (paper) none."""
    return i64(state.seqs[at(slot, OUTPUT)]) - i64(state.seqs[at(slot, EMITTED)]) - 1 + p.paper
