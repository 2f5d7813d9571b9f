"""The stream of requests in big integers: an independent reading of how draws are made.

With an arrival process words 1 and 2 of a request's counter pick its lengths, words 0 and 3 the interarrival
time; a replay takes both from every nth row of the tables, beginning at one that a counter picks; back at that
before it has met all of them, it goes on with the next. In a backlog one counter picks the lengths of two requests,
from words 0 and 1, then 2 and 3. The quantile table has 64 entries an octave of the tail's mass in units of 2^-54,
for the lower half and then for the upper half.
"""

from __future__ import annotations

from collections.abc import Iterator

import philox_reference
from oracle import Request

from fastq.engine.encode import Encoded

OCTAVES, PER_OCTAVE = 53, 64
HALF = OCTAVES * PER_OCTAVE + 1
AGE_STREAM, BACKLOG_STREAM, REPLAY_STREAM = 1, 2, 3


def words(key: int, replication: int, index: int, stream: int = 0) -> tuple[int, ...]:
    counter = (index & 0xFFFFFFFF, index >> 32, replication, stream)
    return tuple(philox_reference.philox4x32_10(counter, (key & 0xFFFFFFFF, key >> 32)))


def pick(word: int, n: int) -> int:
    return word * n >> 32


def unit_gap(table: list[int], high: int, low: int) -> int:
    """Interpolated quantile at the 64-bit number high:low, in 2^-24 of the mean."""
    u = high << 32 | low
    upper = u >= 1 << 63
    if upper:
        u = (1 << 64) - 1 - u
    v = (u >> 10) | 1
    octave = v.bit_length() - 1
    # Position within the octave: 6 bits of entry and 32 bits of fraction, cut off.
    position = (v << 52 >> octave) - (1 << 52)
    entry, rest = divmod(position, 1 << 46)
    fraction = rest >> 14
    start = HALF * upper + octave * PER_OCTAVE + entry
    left, right = table[start], table[start + 1]
    return left + ((right - left) * fraction >> 32)


def starts_aged(encoded: Encoded, replication: int) -> bool:
    """Whether a saturated replication starts from random ages: odd ones, and of equal requests all but the first."""
    equal = all(len(set(table.tolist())) == 1 for table in (encoded.tables.prompts, encoded.tables.outputs))
    return replication % 2 == 1 or (equal and replication > 0)


def stream(
    encoded: Encoded, *, seed: int, replication: int, arrival_rate_rps: float | None, aged_requests: int
) -> Iterator[Request]:
    """Every request that replication draws, in order, rejected ones included."""
    params = encoded.for_replications([replication], arrival_rate_rps=arrival_rate_rps)
    mantissa, shift = int(params["gap_mantissa"][0]), int(params["gap_shift"][0])
    prompts, outputs = encoded.tables.prompts.tolist(), encoded.tables.outputs.tolist()
    gaps = encoded.tables.gaps.tolist()
    arrival_ns = index = 0
    stride = int(params["replay_stride"][0])
    replays = arrival_rate_rps is not None and stride > 0
    row = pick(words(seed, replication, 0, REPLAY_STREAM)[0], len(gaps)) if replays else 0
    first, met = row, set()
    while replays:
        arrival_ns += gaps[row] * mantissa + (1 << shift - 1) >> shift
        yield Request(index, arrival_ns, prompts[row], outputs[row], 0)
        met.add(row)
        index, row = index + 1, (row + stride) % len(gaps)
        if row == first and len(met) < len(gaps):
            first = row = first + 1 if first + 1 < len(gaps) else 0
            met = set()
    while True:
        if arrival_rate_rps is not None:
            w = words(seed, replication, index)
            pair = w[1:3]
        else:
            start = index % 2 * 2
            pair = words(seed, replication, index // 2, BACKLOG_STREAM)[start : start + 2]
        first = pick(pair[0], len(prompts))
        second = first if params["joint"][0] else pick(pair[1], len(outputs))
        prompt, output = prompts[first], outputs[second]
        emitted = 0
        if arrival_rate_rps is not None:
            arrival_ns += unit_gap(gaps, w[0], w[3]) * mantissa + (1 << shift - 1) >> shift
        elif index < aged_requests:
            emitted = pick(words(seed, replication, index, AGE_STREAM)[0], output)
        yield Request(index, arrival_ns, prompt, output, emitted)
        index += 1
