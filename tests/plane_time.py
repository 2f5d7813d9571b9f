"""The longest plane of an iteration, in plain arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

from fastq.model.iteration_time import Plane


def longest_plane_ps(
    planes: Iterable[Plane], prefill: float, decoding: float, kv: float, attention: float
) -> float:
    return max(
        plane.base_ps
        + plane.prefill_token_ps * prefill
        + plane.decode_seq_ps * decoding
        + plane.kv_token_ps * kv
        + plane.attention_ps * attention
        for plane in planes
    )
