"""Rows and events of a recorded replication: every iteration, every finished request, every decision."""

from __future__ import annotations

from typing import Any

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    ARRIVAL_NS,
    DECODING,
    EV_ITERATION,
    EV_KIND,
    EV_REQUEST,
    EV_VALUE,
    FIRST_TOKEN_NS,
    INDEX,
    ITERATION,
    NOW_NS,
    OUTPUT,
    PREEMPTED,
    PROMPT,
    REC_ATTENTION2,
    REC_BLOCKS,
    REC_DECODING,
    REC_DECODING_KV,
    REC_DURATION_PS,
    REC_KV_TOKENS,
    REC_PREEMPTED,
    REC_PREFILL,
    REC_RUNNING,
    REC_START_NS,
    REC_WAITING,
    RECORDED_EVENTS,
    RECORDED_ITERATIONS,
    RECORDED_REQUESTS,
    REQ_ARRIVAL_NS,
    REQ_FINISH_NS,
    REQ_FIRST_TOKEN_NS,
    REQ_INDEX,
    REQ_OUTPUT,
    REQ_PREEMPTIONS,
    REQ_PROMPT,
    REQ_SCHEDULED_NS,
    RUNNING,
    SCHEDULED_NS,
    STACKED,
    WAITING,
    Record,
    State,
)
from fastq.kernels.slots import at, time_at

EVENTS_PER_SLOT = 4
"""No request meets more events than this in one iteration."""


@device
def has_room(state: State, record: Record) -> bool:
    """Whether one more iteration, whatever happens in it, can be recorded."""
    x = state.x
    slots = state.free.shape[0]
    return bool(
        x[RECORDED_ITERATIONS] < record.iterations.shape[0]
        and x[RECORDED_REQUESTS] + slots <= record.requests.shape[0]
        and x[RECORDED_EVENTS] + EVENTS_PER_SLOT * slots <= record.events.shape[0]
    )


@device
def record_event(state: State, record: Record, kind: int, slot: int, value: int) -> None:
    """Note an event of the request in ``slot``."""
    x = state.x
    row = x[RECORDED_EVENTS]
    record.events[row, EV_ITERATION] = x[ITERATION]
    record.events[row, EV_KIND] = kind
    record.events[row, EV_REQUEST] = state.times[time_at(slot, INDEX)]
    record.events[row, EV_VALUE] = value
    x[RECORDED_EVENTS] = row + 1


@device
def record_request(state: State, record: Record, slot: int) -> None:
    """Note the request in ``slot``, which finishes now."""
    x = state.x
    row = x[RECORDED_REQUESTS]
    out = record.requests
    out[row, REQ_INDEX] = state.times[time_at(slot, INDEX)]
    out[row, REQ_ARRIVAL_NS] = state.times[time_at(slot, ARRIVAL_NS)]
    out[row, REQ_PROMPT] = state.seqs[at(slot, PROMPT)]
    out[row, REQ_OUTPUT] = state.seqs[at(slot, OUTPUT)]
    out[row, REQ_SCHEDULED_NS] = state.times[time_at(slot, SCHEDULED_NS)]
    out[row, REQ_FIRST_TOKEN_NS] = state.times[time_at(slot, FIRST_TOKEN_NS)]
    out[row, REQ_FINISH_NS] = x[NOW_NS]
    out[row, REQ_PREEMPTIONS] = state.seqs[at(slot, PREEMPTED)]
    x[RECORDED_REQUESTS] = row + 1


@device
def record_iteration(
    p: Any,
    state: State,
    record: Record,
    start_ns: int,
    duration_ps: int,
    prefill: int,
    decoding_kv: int,
    attention2: int,
    kv_tokens: int,
    free_blocks: int,
    preempted: int,
) -> None:
    """Note one iteration."""
    x = state.x
    row = x[RECORDED_ITERATIONS]
    out = record.iterations
    out[row, REC_START_NS] = start_ns
    out[row, REC_DURATION_PS] = duration_ps
    out[row, REC_PREFILL] = prefill
    out[row, REC_DECODING] = x[DECODING]
    out[row, REC_DECODING_KV] = decoding_kv
    out[row, REC_ATTENTION2] = attention2
    out[row, REC_RUNNING] = x[RUNNING]
    out[row, REC_WAITING] = x[WAITING] + x[STACKED]
    out[row, REC_KV_TOKENS] = kv_tokens
    out[row, REC_BLOCKS] = p.kv_blocks - free_blocks
    out[row, REC_PREEMPTED] = preempted
    x[RECORDED_ITERATIONS] = row + 1
