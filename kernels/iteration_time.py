"""Iteration time: the largest of several planes, and what is added to it, in whole picoseconds."""

from __future__ import annotations

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    BASE,
    CACHED,
    CHUNK,
    DECODING,
    DECODING_KV,
    I64,
    JUMP,
    JUMP_BEYOND,
    MIXED,
    PER_ATTENTION,
    PER_DECODE_SEQ,
    PER_FINISHED_PROMPT,
    PER_KV_TOKEN,
    PER_MIXED_KV_TOKEN,
    PER_PREFILL_KV_TOKEN,
    PER_PREFILL_SEQ,
    PER_PREFILL_TOKEN,
    PREFILLING,
    PREFILLS,
    TARGET,
    State,
)
from fastq.kernels.slots import at, i64, index_of


@device
def iteration_ps(planes: I64, prefill: int, decoding: int, kv_tokens: int, attention2: int) -> int:
    """Duration of one iteration by its planes, ps.

    Parameters
    ----------
    planes
        (planes, PLANE_COLUMNS) coefficients, ps.
    prefill
        Prefill tokens in the batch.
    decoding
        Decoding requests.
    kv_tokens
        KV tokens that they hold, those being written included.
    attention2
        Twice the attention work of the prefill, sum of chunk x (2 x cached before + chunk).
    """
    if planes.shape[0] == 1:
        return plane_ps(planes, 0, prefill, decoding, kv_tokens, attention2)
    longest = 0
    for k in range(planes.shape[0]):
        longest = max(longest, plane_ps(planes, k, prefill, decoding, kv_tokens, attention2))
    return longest


@device
def plane_ps(planes: I64, k: int, prefill: int, decoding: int, kv_tokens: int, attention2: int) -> int:
    """What plane ``k`` says of the duration, ps."""
    return (
        planes[k, BASE]
        + planes[k, PER_PREFILL_TOKEN] * prefill
        + planes[k, PER_DECODE_SEQ] * decoding
        + planes[k, PER_KV_TOKEN] * kv_tokens
        + (planes[k, PER_ATTENTION] * attention2) // 2
    )


@device
def terms_ps(planes: I64, state: State, prefill: int, cached: int) -> int:
    """What is added to the largest plane for the batch that has been composed, ps.

    Its decoding requests count the tokens being written.

    Parameters
    ----------
    planes
        As above.
    prefill
        Prefill tokens in the batch.
    cached
        Tokens of its prompts that were cached before their chunks.
    """
    x = state.x
    added = jump_ps(planes, prefill + x[DECODING])
    if prefill > 0:
        added += (
            planes[0, PREFILLS]
            + planes[0, PER_PREFILL_SEQ] * x[PREFILLING]
            + planes[0, PER_PREFILL_KV_TOKEN] * cached
        )
        if planes[0, PER_FINISHED_PROMPT] != 0:
            added += planes[0, PER_FINISHED_PROMPT] * finishing(state)
        if x[DECODING] > 0:
            added += planes[0, MIXED] + planes[0, PER_MIXED_KV_TOKEN] * x[DECODING_KV]
    return added


@device
def jump_ps(planes: I64, tokens: int) -> int:
    """What a batch of so many tokens takes longer than one below the jump, ps."""
    return planes[0, JUMP] if tokens > planes[0, JUMP_BEYOND] else 0


@device
def finishing(state: State) -> int:
    """Prompts whose last chunk is in the batch."""
    finished = 0
    for i in range(state.x[PREFILLING]):
        slot = i64(state.prefilling[index_of(i)])
        cached = i64(state.seqs[at(slot, CACHED)]) + i64(state.seqs[at(slot, CHUNK)])
        if cached >= i64(state.seqs[at(slot, TARGET)]):
            finished += 1
    return finished
