"""The memory that the running set will need, iteration by iteration, where lengths are known.

``profile[i & mask]`` holds the blocks of iteration i as foreseen now: one whole chunk an iteration while a
request is in prefill, one token while it decodes. Admission in arrival order under this check is MC-Benchmark
of P. Jaillet et al., arXiv 2502.07115.
"""

from __future__ import annotations

from typing import Any

from fastq.kernels._jit import device, device_call
from fastq.kernels._layout import FAILED_AT, ITERATION, NONE, State
from fastq.kernels.memory import blocks_of


@device
def prefill_iterations(p: Any, left: int, first_chunk: int) -> int:
    """Iterations to prefill ``left`` tokens when the first takes ``first_chunk`` and the others a whole chunk."""
    return 1 + (left - first_chunk + p.prefill_chunk - 1) // p.prefill_chunk


@device
def foreseen_kv(p: Any, cached: int, first_chunk: int, target: int, prefills: int, ahead: int) -> int:
    """KV tokens held ``ahead`` iterations from now by a request that prefills ``first_chunk`` now."""
    if ahead < prefills:
        return min(target, cached + first_chunk + ahead * p.prefill_chunk)
    return target + ahead - prefills + 1


@device_call
def plan(p: Any, state: State, cached: int, first_chunk: int, target: int, decodes: int, sign: int) -> None:
    """Add (``sign`` 1) or take back (-1) what a request in prefill will hold from this iteration on."""
    now = state.x[ITERATION]
    prefills = prefill_iterations(p, target - cached, first_chunk)
    for ahead in range(prefills + decodes):
        blocks = blocks_of(p, foreseen_kv(p, cached, first_chunk, target, prefills, ahead))
        state.profile[(now + ahead) & p.wheel_mask] += sign * blocks


@device_call
def unplan_decoding(p: Any, state: State, held: int, left: int) -> None:
    """Take back what a decoding request that holds ``held`` tokens would hold in its ``left`` iterations."""
    now = state.x[ITERATION]
    for ahead in range(left):
        state.profile[(now + ahead) & p.wheel_mask] -= blocks_of(p, held + 1 + ahead)


@device_call
def fits_ahead(p: Any, state: State, first_chunk: int, target: int, decodes: int) -> bool:
    """Whether a new request keeps every future iteration within memory.

    The iteration at which the last check of the same request failed is looked at first: it mostly fails again.
    """
    x = state.x
    now = x[ITERATION]
    prefills = prefill_iterations(p, target, first_chunk)
    length = prefills + decodes
    ahead = x[FAILED_AT] - now
    if 0 <= ahead < length:
        blocks = blocks_of(p, foreseen_kv(p, 0, first_chunk, target, prefills, ahead))
        if state.profile[(now + ahead) & p.wheel_mask] + blocks > p.kv_blocks:
            return False
    for ahead in range(length):
        blocks = blocks_of(p, foreseen_kv(p, 0, first_chunk, target, prefills, ahead))
        if state.profile[(now + ahead) & p.wheel_mask] + blocks > p.kv_blocks:
            x[FAILED_AT] = now + ahead
            return False
    x[FAILED_AT] = NONE
    return True
