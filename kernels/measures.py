"""What is summed over the window of a replication, and the latencies of a request."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    ARRIVAL_NS,
    ARRIVED,
    COMPLETED,
    DECODING,
    E2E_LOW,
    FIRST_TOKEN_NS,
    HIST_E2E,
    HIST_TPOT,
    HIST_TTFT,
    HIST_WAIT,
    I64,
    IDLE_NS,
    IN_WINDOW,
    ITERATION,
    MAX_RUNNING,
    NOW_NS,
    NOW_PS,
    OUTPUT,
    PREEMPTED_DECODING,
    REDONE_ATTENTION2,
    REDONE_CACHED,
    REDONE_CHUNKS,
    REDONE_DECODE_KV,
    REDONE_DECODES,
    REDONE_FINISHED,
    REDONE_PREFILL,
    SCHEDULED_NS,
    START_BACKLOG,
    START_COMPLETED,
    START_DECODING,
    START_ITERATION,
    START_NS,
    START_PS,
    STOP_SINCE,
    STOP_SINCE_BLOCKS,
    TPOT_COUNT,
    TPOT_LOW,
    TTFT_LOW,
    WAIT_LOW,
    WARMUP_COMPLETED,
    State,
)
from fastq.kernels.histogram import count
from fastq.kernels.slots import at, i64, time_at

LIMB_BITS = 40
"""A latency sum is low + high x 2^40, ns."""
_LIMB_MASK = (1 << LIMB_BITS) - 1
_LOW, _HIGH = range(2)

MIN_WARMUP_REQUESTS = 1000
WARMUP_PER_RUNNING = 10


@device
def add_latency(x: I64, first: int, value: int) -> None:
    """Add ``value``, ns, to the sum whose registers start at ``first``."""
    low = x[first + _LOW] + value
    x[first + _HIGH] += low >> LIMB_BITS
    x[first + _LOW] = low & _LIMB_MASK


@device
def measure_latencies(state: State, slot: int) -> None:
    """Count wait, TTFT, TPOT and E2E of the request in ``slot``, which finishes now."""
    x = state.x
    histograms = state.histograms
    now = x[NOW_NS]
    arrival = state.times[time_at(slot, ARRIVAL_NS)]
    first_token = state.times[time_at(slot, FIRST_TOKEN_NS)]
    wait = state.times[time_at(slot, SCHEDULED_NS)] - arrival
    add_latency(x, WAIT_LOW, wait)
    count(histograms, HIST_WAIT, wait)
    add_latency(x, TTFT_LOW, first_token - arrival)
    count(histograms, HIST_TTFT, first_token - arrival)
    add_latency(x, E2E_LOW, now - arrival)
    count(histograms, HIST_E2E, now - arrival)
    steps = i64(state.seqs[at(slot, OUTPUT)]) - 1
    if steps > 0:
        tpot = i64(np.uint64(now - first_token) // np.uint64(steps))
        x[TPOT_COUNT] += 1
        add_latency(x, TPOT_LOW, tpot)
        count(histograms, HIST_TPOT, tpot)


@device
def measure_redone(
    p: Any, x: I64, prefill: int, finished: int, decodes: int, decode_kv: int, terms: bool
) -> None:
    """Count work that a request takes beyond what it would have taken had it never been preempted.

    Parameters
    ----------
    prefill
        Tokens prefilled, from an empty cache; in whole chunks, however the budget cut them.
    finished
        1 where that ended its prefill, else 0.
    decodes, decode_kv
        Iterations decoded, and the KV tokens held in them, summed.
    """
    x[REDONE_PREFILL] += prefill
    x[REDONE_ATTENTION2] += prefill * prefill
    x[REDONE_DECODES] += decodes
    x[REDONE_DECODE_KV] += decode_kv
    if terms:
        chunks = (prefill + p.prefill_chunk - 1) // p.prefill_chunk
        x[REDONE_FINISHED] += finished
        x[REDONE_CHUNKS] += chunks
        x[REDONE_CACHED] += p.prefill_chunk * (chunks * (chunks - 1) // 2)


@device
def warmup_over(p: Any, x: I64) -> bool:
    """Whether the completions so far end the warm-up; where their number is open, it depends on how many have run."""
    if p.warmup_requests >= 0:
        return bool(x[COMPLETED] >= p.warmup_requests)
    return bool(x[COMPLETED] >= max(-p.warmup_requests, WARMUP_PER_RUNNING * x[MAX_RUNNING]))


@device
def open_window(state: State, terms: bool) -> None:
    """Start the window now, at the end of an iteration."""
    x = state.x
    x[IN_WINDOW] = 1
    x[STOP_SINCE] = x[ITERATION]
    x[STOP_SINCE_BLOCKS] = 0
    x[START_NS] = x[NOW_NS]
    x[START_PS] = x[NOW_PS]
    x[START_ITERATION] = x[ITERATION]
    x[START_COMPLETED] = x[COMPLETED]
    x[WARMUP_COMPLETED] = x[COMPLETED]
    x[START_BACKLOG] = x[ARRIVED] - x[COMPLETED]
    for k in range(IDLE_NS, TPOT_COUNT + 1):
        x[k] = 0
    if terms:
        x[START_DECODING] = x[DECODING]
        for k in range(PREEMPTED_DECODING, REDONE_CACHED + 1):
            x[k] = 0
    histograms = state.histograms
    for row in range(histograms.shape[0]):
        for k in range(histograms.shape[1]):
            histograms[row, k] = 0
