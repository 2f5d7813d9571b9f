"""The timing wheel: which decoding requests finish in which iteration.

Place ``i & wheel_mask`` holds those that finish in iteration i, linked through their slots.
"""

from __future__ import annotations

from fastq.kernels._jit import device
from fastq.kernels._layout import BUCKET, LINK, State
from fastq.kernels.slots import at, i64, index_of


@device
def hang(state: State, slot: int, bucket: int) -> None:
    """Put ``slot`` into ``bucket``."""
    state.seqs[at(slot, BUCKET)] = bucket
    state.seqs[at(slot, LINK)] = state.wheel[index_of(bucket)]
    state.wheel[index_of(bucket)] = slot


@device
def take_off(state: State, slot: int) -> None:
    """Take ``slot`` out of its bucket."""
    bucket = i64(state.seqs[at(slot, BUCKET)])
    after = state.seqs[at(slot, LINK)]
    other = i64(state.wheel[index_of(bucket)])
    if other == slot:
        state.wheel[index_of(bucket)] = after
        return
    while i64(state.seqs[at(other, LINK)]) != slot:
        other = i64(state.seqs[at(other, LINK)])
    state.seqs[at(other, LINK)] = after
