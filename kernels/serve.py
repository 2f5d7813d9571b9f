"""Step 2 of an iteration: the running requests get their tokens and blocks, or the newest is preempted."""

from __future__ import annotations

from typing import Any

from fastq.kernels._jit import device, device_call
from fastq.kernels._layout import (
    BATCH_ATTENTION2,
    BATCH_PREFILL,
    BATCH_PREFILL_KV,
    BUCKET,
    CACHED,
    CHUNK,
    DECODING,
    EMITTED,
    EVENT_PREEMPT,
    FAILED_AT,
    FIRST_TOKEN_NS,
    FREE_BLOCKS,
    FRESH,
    GROWTH_FREE,
    ITERATION,
    NONE,
    PHASE,
    PREEMPTED,
    PREEMPTED_DECODING,
    PREEMPTIONS,
    PREFILLING,
    PROMPT,
    RECOMPUTED_TOKENS,
    STACKED,
    TARGET,
    Record,
    State,
)
from fastq.kernels.lookahead import plan, unplan_decoding
from fastq.kernels.measures import measure_redone
from fastq.kernels.memory import blocks_of
from fastq.kernels.recorder import record_event
from fastq.kernels.running import decoding_kv, leave_decoding, newest, remaining_decodes, remove
from fastq.kernels.slots import at, i64, index_of, time_at
from fastq.kernels.wheel import take_off


@device
def serve_running(
    p: Any, state: State, record: Record, saturated: bool, lookahead: bool, recording: bool, terms: bool
) -> tuple[int, int, int, int]:
    """Give every running request its tokens of this iteration and the blocks they need.

    By the order of admission only the newest can be short of budget, and preempting from the newest until
    what is left fits gives the same set as serving one by one.

    Returns
    -------
    tuple
        Of the running requests' prefill: tokens, twice the attention work, and KV tokens held after it; and how
        many requests were preempted.
    """
    x = state.x
    seqs = state.seqs
    need = i64(state.growth[index_of(x[PHASE])])
    prefill = 0
    attention2 = 0
    prefill_kv = 0
    for i in range(x[PREFILLING]):
        slot = i64(state.prefilling[index_of(i)])
        cached = i64(seqs[at(slot, CACHED)])
        left = i64(seqs[at(slot, TARGET)]) - cached
        whole = min(p.prefill_chunk, left)
        chunk = min(whole, p.token_budget - x[DECODING] - prefill)
        seqs[at(slot, CHUNK)] = chunk
        prefill += chunk
        attention2 += chunk * (2 * cached + chunk)
        prefill_kv += cached + chunk
        if p.admission != GROWTH_FREE:
            need += blocks_of(p, cached + chunk) - blocks_of(p, cached)
        if lookahead and chunk < whole:
            decodes = remaining_decodes(p, state, slot)
            plan(p, state, cached, whole, i64(seqs[at(slot, TARGET)]), decodes, -1)
            plan(p, state, cached, chunk, i64(seqs[at(slot, TARGET)]), decodes, 1)
            x[FAILED_AT] = NONE
    preempted = 0
    if need > x[FREE_BLOCKS]:
        x[BATCH_PREFILL] = prefill
        x[BATCH_ATTENTION2] = attention2
        x[BATCH_PREFILL_KV] = prefill_kv
        while need > x[FREE_BLOCKS]:
            need = preempt_newest(p, state, record, need, saturated, lookahead, recording, terms)
            preempted += 1
        prefill = x[BATCH_PREFILL]
        attention2 = x[BATCH_ATTENTION2]
        prefill_kv = x[BATCH_PREFILL_KV]
    x[FREE_BLOCKS] -= need
    return prefill, attention2, prefill_kv, preempted


@device_call
def preempt_newest(
    p: Any,
    state: State,
    record: Record,
    need: int,
    saturated: bool,
    lookahead: bool,
    recording: bool,
    terms: bool,
) -> int:
    """Preempt the most recently admitted request; the blocks that the others need in this iteration."""
    x = state.x
    seqs = state.seqs
    slot = newest(state)
    remove(state, slot)
    if i64(seqs[at(slot, CHUNK)]) != 0:
        held = i64(seqs[at(slot, CACHED)])
        chunk = i64(seqs[at(slot, CHUNK)])
        x[PREFILLING] -= 1
        x[BATCH_PREFILL] -= chunk
        x[BATCH_ATTENTION2] -= chunk * (2 * held + chunk)
        x[BATCH_PREFILL_KV] -= held + chunk
        need -= blocks_of(p, held + chunk) - blocks_of(p, held)
        if lookahead:
            plan(p, state, held, chunk, i64(seqs[at(slot, TARGET)]), remaining_decodes(p, state, slot), -1)
    else:
        held = decoding_kv(p, state, slot)
        if terms:
            x[PREEMPTED_DECODING] += 1
        need -= blocks_of(p, held + 1) - blocks_of(p, held)
        take_off(state, slot)
        leave_decoding(p, state, slot, held)
        forget_fresh(state, slot)
        if lookahead:
            unplan_decoding(
                p, state, held, (i64(seqs[at(slot, BUCKET)]) - int(x[ITERATION]) + 1) & p.wheel_mask
            )
        seqs[at(slot, EMITTED)] = held - i64(seqs[at(slot, PROMPT)]) + 1 - p.paper
    if p.restart != 0:
        seqs[at(slot, EMITTED)] = 0
        state.times[time_at(slot, FIRST_TOKEN_NS)] = NONE
    if saturated:
        lose(p, state, slot, held, terms)
    seqs[at(slot, PREEMPTED)] += 1
    x[FREE_BLOCKS] += blocks_of(p, held)
    x[PREEMPTIONS] += 1
    x[RECOMPUTED_TOKENS] += held
    x[FAILED_AT] = NONE
    state.stack[index_of(x[STACKED])] = slot
    x[STACKED] += 1
    if recording:
        record_event(state, record, EVENT_PREEMPT, slot, held)
    return need


@device
def lose(p: Any, state: State, slot: int, held: int, terms: bool) -> None:
    """Count what ``slot``, preempted with ``held`` tokens, did since its admission, where nothing of it is kept."""
    seqs = state.seqs
    target = i64(seqs[at(slot, TARGET)])
    if held < target:
        measure_redone(p, state.x, held, 0, 0, 0, terms)
    elif i64(seqs[at(slot, EMITTED)]) == 0:
        decodes = held - target
        measure_redone(p, state.x, target, 1, decodes, target * decodes + decodes * (decodes + 1) // 2, terms)


@device
def forget_fresh(state: State, slot: int) -> None:
    """Drop ``slot`` from those that await their first token at the end of this iteration."""
    x = state.x
    for i in range(x[FRESH]):
        if i64(state.fresh[i]) == slot:
            x[FRESH] -= 1
            state.fresh[i] = state.fresh[x[FRESH]]
            break
