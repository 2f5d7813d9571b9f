"""Step 3 of an iteration: waiting requests are admitted in order, up to the first that does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    ADMIT_CHUNK,
    ADMIT_PEAK,
    ARRIVAL_NS,
    BATCH_ATTENTION2,
    BATCH_PREEMPTED,
    BATCH_PREFILL,
    BATCH_PREFILL_KV,
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
    STEADY,
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


@device
def admit_waiting(
    p: Any,
    tables: Tables,
    state: State,
    record: Record,
    saturated: bool,
    lookahead: bool,
    recording: bool,
) -> None:
    """Admit from the front of the queue while there is budget, a sequence slot, and memory.

    ``STEADY`` is left at 1 where the next iteration admits nothing either unless a request arrives, finishes
    or is preempted.
    """
    x = state.x
    seqs = state.seqs
    x[STEADY] = 0
    if x[BATCH_PREEMPTED] != 0:
        return
    while True:
        again = x[STACKED] > 0
        slot = NO_SLOT
        if again:
            slot = np.int64(state.stack[x[STACKED] - 1])
            prompt = np.int64(seqs[slot, PROMPT])
            output = np.int64(seqs[slot, OUTPUT])
            emitted = np.int64(seqs[slot, EMITTED])
        else:
            if saturated:
                ready_backlog_head(p, tables, state)
            else:
                if x[WAITING] == 0:
                    x[STEADY] = 1
                    break
                ready_head(p, tables, state)
            prompt = x[HEAD_PROMPT]
            output = x[HEAD_OUTPUT]
            emitted = x[HEAD_EMITTED]
        if x[RUNNING] >= p.max_num_seqs:
            x[STEADY] = 1
            break
        budget = p.token_budget - x[DECODING] - x[BATCH_PREFILL]
        if budget <= 0:
            x[STEADY] = 1 if x[BATCH_PREFILL] == 0 else 0
            break
        target = prompt + emitted
        chunk = min(p.prefill_chunk, target, budget)
        taken = blocks_of(p, chunk)
        if lookahead:
            decodes = output - emitted - 1 + p.paper
            if not fits_ahead(p, state, chunk, target, decodes):
                break
            plan(p, state, 0, chunk, target, decodes, 1)
        else:
            reserve = p.watermark_blocks if x[RUNNING] > 0 else 0
            required = taken
            if p.admission == ADMIT_PEAK:
                taken = blocks_of(p, prompt + output - 1 + p.paper)
                required = taken
                reserve = 0
            elif p.admission != ADMIT_CHUNK:
                required = blocks_of(p, target)
            if required > x[FREE_BLOCKS] - reserve:
                x[STEADY] = 1
                break
        if again:
            x[STACKED] -= 1
        else:
            slot = take_slot(state)
            new_request(state, slot, prompt, output, emitted, saturated)
            if saturated:
                x[HEAD_READY] = 0
            else:
                pop_head(state)
        seqs[slot, TARGET] = target
        seqs[slot, CACHED] = 0
        seqs[slot, CHUNK] = chunk
        append_newest(state, slot)
        state.prefilling[x[PREFILLING]] = slot
        x[PREFILLING] += 1
        x[FREE_BLOCKS] -= taken
        x[BATCH_PREFILL] += chunk
        x[BATCH_ATTENTION2] += chunk * chunk
        x[BATCH_PREFILL_KV] += chunk
        if recording:
            record_event(state, record, EVENT_ADMIT, slot, target)
    x[MAX_RUNNING] = max(x[MAX_RUNNING], x[RUNNING])


@device
def new_request(
    state: State, slot: int, prompt: int, output: int, emitted: int, saturated: bool
) -> None:
    """Fill ``slot`` with the request at the head of the queue, scheduled for the first time now."""
    x = state.x
    seqs = state.seqs
    seqs[slot, PROMPT] = prompt
    seqs[slot, OUTPUT] = output
    seqs[slot, EMITTED] = emitted
    seqs[slot, PREEMPTED] = 0
    times = state.times
    times[slot, INDEX] = x[HEAD_INDEX]
    times[slot, ARRIVAL_NS] = x[NOW_NS] if saturated else x[HEAD_ARRIVAL_NS]
    times[slot, SCHEDULED_NS] = x[NOW_NS]
    # A request that starts aged has emitted its first token before the start.
    times[slot, FIRST_TOKEN_NS] = NONE if emitted == 0 else x[NOW_NS]
