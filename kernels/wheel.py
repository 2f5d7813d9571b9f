"""The timing wheel: which decoding requests finish in which iteration.

Bucket ``i & wheel_mask`` holds those that finish in iteration i, linked through their slots. One mark a bucket
says which hold any, so that the next to finish is found 32 iterations at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import BUCKET, ITERATION, LINK, MARKS_PER_WORD_BITS, NO_SLOT, State
from fastq.kernels.slots import at, i64, index_of

_PLACE_MASK = (1 << MARKS_PER_WORD_BITS) - 1
_MARKS_PER_WORD = 1 << MARKS_PER_WORD_BITS
_WORD = 0xFFFFFFFF
_LOW_31 = 0x7FFFFFFF
_EXPONENT_SHIFT = 52
_EXPONENT_ZERO = 1023


@device
def hang(state: State, slot: int, bucket: int) -> None:
    """Put ``slot`` into ``bucket``."""
    state.seqs[at(slot, BUCKET)] = bucket
    state.seqs[at(slot, LINK)] = state.wheel[index_of(bucket)]
    state.wheel[index_of(bucket)] = slot
    word = index_of(bucket >> MARKS_PER_WORD_BITS)
    state.marks[word] = i64(state.marks[word]) | (1 << (bucket & _PLACE_MASK))


@device
def take_off(state: State, slot: int) -> None:
    """Take ``slot`` out of its bucket."""
    bucket = i64(state.seqs[at(slot, BUCKET)])
    after = state.seqs[at(slot, LINK)]
    other = i64(state.wheel[index_of(bucket)])
    if other != slot:
        while i64(state.seqs[at(other, LINK)]) != slot:
            other = i64(state.seqs[at(other, LINK)])
        state.seqs[at(other, LINK)] = after
        return
    state.wheel[index_of(bucket)] = after
    if i64(after) == NO_SLOT:
        clear(state, bucket)


@device
def clear(state: State, bucket: int) -> None:
    """Leave ``bucket`` empty."""
    state.wheel[index_of(bucket)] = NO_SLOT
    word = index_of(bucket >> MARKS_PER_WORD_BITS)
    state.marks[word] = i64(state.marks[word]) & (_WORD ^ (1 << (bucket & _PLACE_MASK)))


@device
def iterations_to_finish(p: Any, state: State) -> int:
    """Iterations from the next one to that in which the next decoding request finishes, both included."""
    bucket = state.x[ITERATION] & i64(p.wheel_mask)
    place = bucket & _PLACE_MASK
    word = bucket >> MARKS_PER_WORD_BITS
    last = state.marks.shape[0] - 1
    following = (word + 1) & last
    # Two words side by side, so that a word's end is rarely met; one bit is left out to stay positive.
    both = i64(state.marks[index_of(word)]) | (i64(state.marks[index_of(following)]) & _LOW_31) << 32
    marks = both >> place
    if marks != 0:
        return 1 + lowest(marks)
    ahead = 1 + _MARKS_PER_WORD - place
    while i64(state.marks[index_of(following)]) == 0:
        following = (following + 1) & last
        ahead += _MARKS_PER_WORD
    return ahead + lowest(i64(state.marks[index_of(following)]))


@device
def lowest(marks: int) -> int:
    """Place of the lowest mark of ``marks`` > 0, from the exponent of a double, which is exact."""
    return i64((np.float64(marks & -marks).view(np.int64) >> _EXPONENT_SHIFT) - _EXPONENT_ZERO)
