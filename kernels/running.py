"""The running set: slots in order of admission, and the timing wheel that knows when each finishes.

All decoding requests grow by one token an iteration, so one counter a residue of the block size says how many
of them need a block, and nothing is touched request by request until it finishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    BUCKET,
    CACHED,
    DECODING,
    DECODING_KV,
    EMITTED,
    FREE_SLOTS,
    GROWTH_FREE,
    ITERATION,
    LINK,
    NEWER,
    NEWEST,
    NO_SLOT,
    OLDER,
    OUTPUT,
    PHASE,
    PROMPT,
    RUNNING,
    TARGET,
    State,
)
from fastq.kernels.memory import whole_blocks


@device
def take_slot(state: State) -> int:
    """A slot that is not in use."""
    x = state.x
    x[FREE_SLOTS] -= 1
    return np.int64(state.free[x[FREE_SLOTS]])


@device
def release_slot(state: State, slot: int) -> None:
    """Give ``slot`` back."""
    x = state.x
    state.free[x[FREE_SLOTS]] = slot
    x[FREE_SLOTS] += 1


@device
def append_newest(state: State, slot: int) -> None:
    """Add ``slot`` to the running set as its most recently admitted."""
    x = state.x
    newest = x[NEWEST]
    state.seqs[slot, OLDER] = newest
    state.seqs[slot, NEWER] = NO_SLOT
    if newest != NO_SLOT:
        state.seqs[newest, NEWER] = slot
    x[NEWEST] = slot
    x[RUNNING] += 1


@device
def remove(state: State, slot: int) -> None:
    """Take ``slot`` out of the running set."""
    x = state.x
    older = np.int64(state.seqs[slot, OLDER])
    newer = np.int64(state.seqs[slot, NEWER])
    if older != NO_SLOT:
        state.seqs[older, NEWER] = newer
    if newer != NO_SLOT:
        state.seqs[newer, OLDER] = older
    else:
        x[NEWEST] = older
    x[RUNNING] -= 1


@device
def largest_kv(p: Any, state: State, slot: int) -> int:
    """KV tokens that the request in ``slot`` holds in its last iteration."""
    return np.int64(state.seqs[slot, PROMPT]) + np.int64(state.seqs[slot, OUTPUT]) - 1 + p.paper


@device
def start_decoding(p: Any, state: State, slot: int, remaining: int) -> None:
    """Let ``slot``, whose prefill ended in this iteration, decode in the ``remaining`` > 0 iterations that follow."""
    x = state.x
    seqs = state.seqs
    held = np.int64(seqs[slot, TARGET])
    bucket = (x[ITERATION] + remaining) & p.wheel_mask
    seqs[slot, CACHED] = NO_SLOT
    seqs[slot, BUCKET] = bucket
    seqs[slot, LINK] = state.wheel[bucket]
    state.wheel[bucket] = slot
    x[DECODING] += 1
    x[DECODING_KV] += held
    if p.admission != GROWTH_FREE:
        state.growth[residue(p, x[PHASE], held)] += 1


@device
def residue(p: Any, phase: int, held: int) -> int:
    """Class of a decoding request that holds ``held`` > 0 tokens at the end of the iteration of ``phase``.

    The class is that of the later iterations in which it needs a block: those whose phase equals it.
    """
    tokens = held - 1 + phase
    return tokens - whole_blocks(p, tokens) * p.block_size


@device
def decoding_kv(p: Any, state: State, slot: int) -> int:
    """KV tokens that decoding ``slot`` holds before the iteration under way."""
    x = state.x
    left = (np.int64(state.seqs[slot, BUCKET]) - x[ITERATION] + 1) & p.wheel_mask
    return largest_kv(p, state, slot) - left


@device
def stop_decoding(p: Any, state: State, slot: int, held: int) -> None:
    """Take ``slot``, which holds ``held`` tokens before the iteration under way, off the wheel and the counters."""
    x = state.x
    bucket = np.int64(state.seqs[slot, BUCKET])
    other = np.int64(state.wheel[bucket])
    if other == slot:
        state.wheel[bucket] = state.seqs[slot, LINK]
    else:
        while np.int64(state.seqs[other, LINK]) != slot:
            other = np.int64(state.seqs[other, LINK])
        state.seqs[other, LINK] = state.seqs[slot, LINK]
    x[DECODING] -= 1
    x[DECODING_KV] -= held
    if p.admission != GROWTH_FREE:
        # Before this iteration the phase was one higher.
        state.growth[residue(p, x[PHASE] + 1, held)] -= 1


@device
def remaining_decodes(p: Any, state: State, slot: int) -> int:
    """Decode iterations that follow the prefill of ``slot``: the prefill's end emits a token, or (paper) none."""
    return np.int64(state.seqs[slot, OUTPUT]) - np.int64(state.seqs[slot, EMITTED]) - 1 + p.paper
