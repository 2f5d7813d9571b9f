"""Step 3 of an iteration: waiting requests are admitted in order, up to the first that does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.kernels._jit import device, device_call
from fastq.kernels._layout import (
    ADMIT_CHUNK,
    ADMIT_PEAK,
    ARRIVAL_NS,
    CACHED,
    CHUNK,
    DECODING,
    EMITTED,
    EVENT_ADMIT,
    FIRST_TOKEN_NS,
    FREE_BLOCKS,
    HEAD_ARRIVAL_NS,
    HEAD_EMITTED,
    HEAD_INDEX,
    HEAD_OUTPUT,
    HEAD_PROMPT,
    HEAD_READY,
    INDEX,
    ITERATION,
    MAX_RUNNING,
    NO_SLOT,
    NONE,
    NOW_NS,
    OUTPUT,
    PREEMPTED,
    PREFILLING,
    PROMPT,
    RUNNING,
    SCHEDULED_NS,
    STACKED,
    STOP,
    STOP_KV,
    STOP_NOTHING,
    STOP_SEQS,
    STOP_SINCE,
    STOP_SINCE_BLOCKS,
    STOP_TOKENS,
    STOPPED_KV,
    STOPPED_KV_BLOCKS,
    STOPPED_LIMIT_BLOCKS,
    STOPPED_SEQS,
    STOPPED_TOKENS,
    SUM_BLOCKS,
    TARGET,
    WAITING,
    Record,
    State,
    Tables,
)
from fastq.kernels.lookahead import fits_ahead, plan
from fastq.kernels.memory import blocks_of
from fastq.kernels.queue import pop_head, ready_backlog_head, ready_head
from fastq.kernels.recorder import record_event
from fastq.kernels.running import append_newest, take_slot
from fastq.kernels.slots import at, i64, index_of, time_at

if TYPE_CHECKING:
    from fastq.kernels._layout import I64


@device
def admit_waiting(
    p: Any,
    tables: Tables,
    state: State,
    record: Record,
    prefill: int,
    attention2: int,
    prefill_kv: int,
    saturated: bool,
    lookahead: bool,
    recording: bool,
) -> tuple[int, int, int, int]:
    """Admit from the front of the queue while there is budget, a sequence slot, and memory.

    Takes and returns what the batch prefills: tokens, twice the attention work, and KV tokens held after it; and
    returns 1 where the next iteration admits nothing either unless a request arrives, finishes or is
    preempted, else 0.
    """
    x = state.x
    seqs = state.seqs
    steady = 0
    stop = STOP_NOTHING
    while True:
        again = x[STACKED] > 0
        slot = NO_SLOT
        if again:
            slot = i64(state.stack[index_of(x[STACKED] - 1)])
            prompt = i64(seqs[at(slot, PROMPT)])
            output = i64(seqs[at(slot, OUTPUT)])
            emitted = i64(seqs[at(slot, EMITTED)])
        else:
            if saturated:
                ready_backlog_head(p, tables, state)
            else:
                if x[WAITING] == 0:
                    steady = 1
                    break
                ready_head(p, tables, state)
            prompt = x[HEAD_PROMPT]
            output = x[HEAD_OUTPUT]
            emitted = x[HEAD_EMITTED]
        if x[RUNNING] >= p.max_num_seqs:
            steady = 1
            stop = STOP_SEQS
            break
        budget = p.token_budget - x[DECODING] - prefill
        if budget <= 0:
            stop = STOP_TOKENS
            steady = 1 if prefill == 0 else 0
            break
        target = prompt + emitted
        chunk = min(p.prefill_chunk, target, budget)
        if lookahead:
            taken = blocks_of(p, chunk)
            decodes = output - emitted - 1 + p.paper
            if not fits_ahead(p, state, chunk, target, decodes):
                stop = STOP_KV
                break
            plan(p, state, 0, chunk, target, decodes, 1)
        else:
            taken = blocks_if_fits(p, state, chunk, target, prompt + output - 1 + p.paper)
            if taken == NONE:
                steady = 1
                stop = STOP_KV
                break
        if again:
            x[STACKED] -= 1
        else:
            slot = take_slot(state)
            new_request(state, slot, prompt, output, emitted, saturated, recording)
            if saturated:
                x[HEAD_READY] = 0
            else:
                pop_head(state)
        seqs[at(slot, TARGET)] = target
        seqs[at(slot, CACHED)] = 0
        seqs[at(slot, CHUNK)] = chunk
        append_newest(state, slot)
        state.prefilling[index_of(x[PREFILLING])] = slot
        x[PREFILLING] += 1
        x[FREE_BLOCKS] -= taken
        prefill += chunk
        attention2 += chunk * chunk
        prefill_kv += chunk
        if recording:
            record_event(state, record, EVENT_ADMIT, slot, target)
    if saturated and stop != x[STOP]:
        note_stop(x, stop)
    x[MAX_RUNNING] = max(x[MAX_RUNNING], x[RUNNING])
    return prefill, attention2, prefill_kv, steady


@device_call
def note_stop(x: I64, stop: int) -> None:
    """From this iteration on it is ``stop`` that ends admission; count those since it changed, and their blocks."""
    before = x[STOP]
    iterations = x[ITERATION] - x[STOP_SINCE]
    blocks = x[SUM_BLOCKS] - x[STOP_SINCE_BLOCKS]
    if before == STOP_KV:
        x[STOPPED_KV] += iterations
        x[STOPPED_KV_BLOCKS] += blocks
    elif before == STOP_SEQS:
        x[STOPPED_SEQS] += iterations
        x[STOPPED_LIMIT_BLOCKS] += blocks
    elif before == STOP_TOKENS:
        x[STOPPED_TOKENS] += iterations
        x[STOPPED_LIMIT_BLOCKS] += blocks
    x[STOP] = stop
    x[STOP_SINCE] = x[ITERATION]
    x[STOP_SINCE_BLOCKS] = x[SUM_BLOCKS]


@device
def blocks_if_fits(p: Any, state: State, chunk: int, target: int, largest: int) -> int:
    """Blocks that admitting a request takes now; ``NONE`` where it does not fit.

    Parameters
    ----------
    chunk, target, largest
        KV tokens of its first chunk, of its whole prefill, and in its last iteration.
    """
    x = state.x
    if p.admission == ADMIT_PEAK:
        reserved = blocks_of(p, largest)
        return reserved if reserved <= x[FREE_BLOCKS] else NONE
    required = blocks_of(p, chunk if p.admission == ADMIT_CHUNK else target)
    reserve = p.watermark_blocks if x[RUNNING] > 0 else 0
    return blocks_of(p, chunk) if required <= x[FREE_BLOCKS] - reserve else NONE


@device
def new_request(
    state: State,
    slot: int,
    prompt: int,
    output: int,
    emitted: int,
    saturated: bool,
    recording: bool,
) -> None:
    """Fill ``slot`` with the request at the head of the queue, scheduled for the first time now."""
    x = state.x
    seqs = state.seqs
    seqs[at(slot, PROMPT)] = prompt
    seqs[at(slot, OUTPUT)] = output
    seqs[at(slot, EMITTED)] = emitted
    seqs[at(slot, PREEMPTED)] = 0
    if saturated and not recording:
        return
    times = state.times
    times[time_at(slot, INDEX)] = x[HEAD_INDEX]
    times[time_at(slot, ARRIVAL_NS)] = x[NOW_NS] if saturated else x[HEAD_ARRIVAL_NS]
    times[time_at(slot, SCHEDULED_NS)] = x[NOW_NS]
    # A request that starts aged has emitted its first token before the start.
    times[time_at(slot, FIRST_TOKEN_NS)] = NONE if emitted == 0 else x[NOW_NS]
