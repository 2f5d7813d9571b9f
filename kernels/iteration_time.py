"""Iteration time: the largest of several planes, in whole picoseconds."""

from __future__ import annotations

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    BASE,
    I64,
    PER_ATTENTION,
    PER_DECODE_SEQ,
    PER_KV_TOKEN,
    PER_PREFILL_TOKEN,
)


@device
def iteration_ps(planes: I64, prefill: int, decoding: int, kv_tokens: int, attention2: int) -> int:
    """Duration of one iteration, ps.

    Parameters
    ----------
    planes
        (planes, 5) coefficients, ps.
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
