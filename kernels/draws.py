"""The draws of a request, as a pure function of (key, replication, request index).

One counter gives four words. With an arrival process they are one request's: the first and last make its
interarrival time, the second and third its lengths. In an infinite backlog, where nothing arrives, they are the
lengths of two requests. The age of a request that stands at the start comes from a counter of its own, and so does
the row of a trace that a replay begins at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.kernels._jit import device, device_call
from fastq.kernels.rng import philox
from fastq.kernels.slots import i64

if TYPE_CHECKING:
    from fastq.kernels._layout import I64, Tables

Words = tuple[np.uint64, np.uint64, np.uint64, np.uint64]

STREAM_REQUEST = np.uint64(0)
STREAM_AGE = np.uint64(1)
STREAM_BACKLOG = np.uint64(2)
STREAM_REPLAY = np.uint64(3)

_WORD = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)

# A quantile table has two halves, for u below and above 1/2, each mirrored so that small values of v are its
# tail: 53 octaves of v with 64 entries each, and one more entry for the right edge.
OCTAVES = 53
ENTRIES_PER_OCTAVE = 64
HALF_ENTRIES = OCTAVES * ENTRIES_PER_OCTAVE + 1
GAP_UNIT_BITS = 24  # entries are in 2^-24 of the mean

_HALF = np.uint64(1 << 31)
_LOW_31 = np.uint64((1 << 31) - 1)
_TO_53_BITS = np.uint64(10)
_ONE = np.uint64(1)
_ENTRY_SHIFT = 52 - 6  # the mantissa's top 6 bits number the entry within the octave
_FRACTION_SHIFT = _ENTRY_SHIFT - 32
_FRACTION_MASK = (1 << 32) - 1
_EXPONENT_ZERO = 1023 << 6


@device
def words_of(p: Any, counter: int, stream: np.uint64) -> Words:
    """Four words of ``counter`` in ``stream``."""
    i = np.uint64(counter)
    return philox(
        i & _WORD,
        i >> _WORD_BITS,
        np.uint64(p.replication),
        stream,
        np.uint64(p.key_low),
        np.uint64(p.key_high),
    )


@device
def below(word: np.uint64, n: int) -> int:
    """An integer in [0, n) from a word of 32 bits; n <= 2^31."""
    return i64((word * np.uint64(n)) >> _WORD_BITS)


@device
def lengths(p: Any, tables: Tables, first_word: np.uint64, second_word: np.uint64) -> tuple[int, int]:
    """Prompt and output length, tokens; the second word only counts where the two are independent."""
    first = below(first_word, tables.prompts.size)
    if p.joint != 0:
        return i64(tables.prompts[first]), i64(tables.outputs[first])
    second = below(second_word, tables.outputs.size)
    return i64(tables.prompts[first]), i64(tables.outputs[second])


@device
def quantile(table: I64, high: np.uint64, low: np.uint64) -> int:
    """The table's quantile at the number that 64 bits make, interpolated in integers.

    The position in an octave-spaced table is read from the exponent and mantissa of a 53-bit integer in
    double precision, which is exact.
    """
    tail = high & _LOW_31
    offset = 0
    if high & _HALF:
        tail = _LOW_31 - tail
        low = _WORD - low
        offset = HALF_ENTRIES
    v = (((tail << _WORD_BITS) | low) >> _TO_53_BITS) | _ONE
    bits = np.float64(v).view(np.int64)
    entry = offset + (bits >> _ENTRY_SHIFT) - _EXPONENT_ZERO
    fraction = (bits >> _FRACTION_SHIFT) & _FRACTION_MASK
    left = table[entry]
    return i64(left + (((table[entry + 1] - left) * fraction) >> 32))


@device
def in_ns(p: Any, unit: int) -> int:
    """An interarrival time in ns, from 2^-24 of the mean."""
    return i64((unit * p.gap_mantissa + (1 << (p.gap_shift - 1))) >> p.gap_shift)


@device
def gap_ns(p: Any, tables: Tables, words: Words) -> int:
    """Interarrival time before the request, ns."""
    return in_ns(p, quantile(tables.gaps, words[0], words[3]))


@device_call
def replayed(p: Any, tables: Tables, index: int) -> tuple[int, int, int]:
    """The same of a replay: it goes through the rows of the tables, in strides, and on from the last to the first.

    Back at its first row with others left out, it goes on with the next, as the replica that gets those does.
    """
    row = (p.replay_from + index * p.replay_stride + index // p.replay_lap) % tables.gaps.size
    return in_ns(p, tables.gaps[row]), i64(tables.prompts[row]), i64(tables.outputs[row])


@device
def arriving(p: Any, tables: Tables, index: int) -> tuple[int, int, int]:
    """Interarrival time before a request, ns, and its lengths, tokens."""
    if p.replay_stride != 0:
        return replayed(p, tables, index)
    words = words_of(p, index, STREAM_REQUEST)
    prompt, output = lengths(p, tables, words[1], words[2])
    return gap_ns(p, tables, words), prompt, output
