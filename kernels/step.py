"""Step 4 of an iteration: the batch runs, tokens come out, requests finish. And many like iterations at once."""

from __future__ import annotations

from typing import Any

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    BASE,
    CACHED,
    CHUNK,
    COMPLETED,
    DECODING,
    DECODING_KV,
    EMITTED,
    EVENT_FINISH,
    EVENT_FIRST_TOKEN,
    FIRST_TOKEN_NS,
    FREE_BLOCKS,
    FRESH,
    HIST_ITERATION,
    ITERATION,
    LINK,
    MAX_WAITING,
    NEXT_ARRIVAL_NS,
    NO_SLOT,
    NONE,
    NOW_NS,
    NOW_PS,
    PER_DECODE_SEQ,
    PER_KV_TOKEN,
    PHASE,
    PREEMPTED,
    PREFILLING,
    RECORDED_ITERATIONS,
    RUNNING,
    STACKED,
    SUM_ATTENTION2,
    SUM_BLOCKS,
    SUM_KV_TOKENS,
    SUM_PREFILL,
    SUM_PREFILL_KV,
    SUM_PREFILLING,
    SUM_RUNNING,
    SUM_WAITING,
    TARGET,
    UNLIMITED,
    WAITING,
    Record,
    State,
    Tables,
)
from fastq.kernels.histogram import count
from fastq.kernels.iteration_time import iteration_ps, jump_ps, terms_ps
from fastq.kernels.measures import measure_latencies, measure_redone
from fastq.kernels.memory import blocks_of
from fastq.kernels.recorder import record_event, record_iteration, record_request
from fastq.kernels.running import (
    largest_kv,
    leave_decoding,
    phase_after,
    release_slot,
    remaining_decodes,
    remove,
    start_decoding,
)
from fastq.kernels.slots import at, i64, index_of, time_at

PS_PER_NS = 1000
MAX_REMAINDER_PS = 1 << 61
MAX_COAST = 1 << 12
"""Most iterations taken at once: of 1000 s each, the longest there are, they stay below 2^62 ps."""


@device
def pass_time(state: State, duration_ps: int, timed: bool) -> None:
    """Move the clock on; what is below a nanosecond is carried.

    Where nobody reads the clock between iterations (not ``timed``) whole nanoseconds pile up in the remainder.
    """
    x = state.x
    total = x[NOW_PS] + duration_ps
    if not timed and total < MAX_REMAINDER_PS:
        x[NOW_PS] = total
        return
    whole = total // PS_PER_NS
    x[NOW_NS] += whole
    x[NOW_PS] = total - whole * PS_PER_NS


@device
def run_batch(
    p: Any,
    tables: Tables,
    state: State,
    record: Record,
    prefill: int,
    attention2: int,
    prefill_kv: int,
    preempted: int,
    saturated: bool,
    recording: bool,
    terms: bool,
) -> None:
    """Run the batch that has been composed: the clock and the sums over iterations."""
    x = state.x
    x[DECODING_KV] += x[DECODING]
    duration = iteration_ps(tables.planes, prefill, x[DECODING], x[DECODING_KV], attention2)
    if terms:
        duration += terms_ps(tables.planes, state, prefill, prefill_kv - prefill)
    kv_tokens = x[DECODING_KV] + prefill_kv
    x[SUM_RUNNING] += x[RUNNING]
    x[SUM_KV_TOKENS] += kv_tokens
    x[SUM_BLOCKS] += p.kv_blocks - x[FREE_BLOCKS]
    if saturated:
        x[SUM_PREFILL] += prefill
        x[SUM_PREFILLING] += x[PREFILLING]
        x[SUM_PREFILL_KV] += prefill_kv
        x[SUM_ATTENTION2] += attention2
    else:
        waiting = x[WAITING] + x[STACKED]
        x[SUM_WAITING] += waiting
        x[MAX_WAITING] = max(x[MAX_WAITING], waiting)
    count(state.histograms, HIST_ITERATION, duration)
    if recording:
        record_iteration(
            p,
            state,
            record,
            x[NOW_NS],
            duration,
            prefill,
            x[DECODING_KV],
            attention2,
            kv_tokens,
            x[FREE_BLOCKS],
            preempted,
        )
    pass_time(state, duration, not saturated or recording)


@device
def finish(
    p: Any, state: State, record: Record, slot: int, held: int, saturated: bool, recording: bool
) -> None:
    """Let the request in ``slot`` leave and free the blocks of the ``held`` tokens that it holds or has reserved."""
    x = state.x
    x[FREE_BLOCKS] += blocks_of(p, held)
    remove(state, slot)
    x[COMPLETED] += 1
    if not saturated:
        measure_latencies(state, slot)
    if recording:
        record_event(state, record, EVENT_FINISH, slot, 0)
        record_request(state, record, slot)
    release_slot(state, slot)


@device
def finish_bucket(p: Any, state: State, record: Record, saturated: bool, recording: bool) -> int:
    """Let the decoding requests whose last iteration this was leave; how many did."""
    bucket = state.x[ITERATION] & i64(p.wheel_mask)
    slot = i64(state.wheel[index_of(bucket)])
    state.wheel[index_of(bucket)] = NO_SLOT
    finished = 0
    while slot != NO_SLOT:
        after = i64(state.seqs[at(slot, LINK)])
        held = largest_kv(p, state, slot)
        leave_decoding(p, state, slot, held)
        finish(p, state, record, slot, held, saturated, recording)
        finished += 1
        slot = after
    return finished


@device
def first_token(state: State, record: Record, slot: int, saturated: bool, recording: bool) -> None:
    """The request in ``slot`` emits a token, its first unless it has been preempted since."""
    if saturated and not recording:
        return
    if state.times[time_at(slot, FIRST_TOKEN_NS)] == NONE:
        state.times[time_at(slot, FIRST_TOKEN_NS)] = state.x[NOW_NS]
        if recording:
            record_event(state, record, EVENT_FIRST_TOKEN, slot, 0)


@device
def prefilled_again(p: Any, state: State, slot: int, terms: bool) -> None:
    """Count the prefill of ``slot``, which ends now, where it only restores the cache of a preempted request.

    Its end emits a token (engine convention), as the decode iteration would have done that it stands for.
    """
    seqs = state.seqs
    if i64(seqs[at(slot, EMITTED)]) == 0 or i64(seqs[at(slot, PREEMPTED)]) == 0:
        return
    target = i64(seqs[at(slot, TARGET)])
    replaced = 1 - p.paper
    measure_redone(p, state.x, target, 1, -replaced, -replaced * target, terms)


@device
def end_iteration(
    p: Any, state: State, record: Record, saturated: bool, lookahead: bool, recording: bool, terms: bool
) -> int:
    """Emit tokens, let requests finish or start to decode, and move on; how many finished."""
    x = state.x
    seqs = state.seqs
    for i in range(x[FRESH]):
        first_token(state, record, i64(state.fresh[index_of(i)]), saturated, recording)
    x[FRESH] = 0
    finished = finish_bucket(p, state, record, saturated, recording)
    kept = 0
    for i in range(x[PREFILLING]):
        slot = i64(state.prefilling[index_of(i)])
        cached = i64(seqs[at(slot, CACHED)]) + i64(seqs[at(slot, CHUNK)])
        if cached < i64(seqs[at(slot, TARGET)]):
            seqs[at(slot, CACHED)] = cached
            state.prefilling[index_of(kept)] = slot
            kept += 1
            continue
        remaining = remaining_decodes(p, state, slot)
        if saturated:
            prefilled_again(p, state, slot, terms)
        if p.paper == 0:
            first_token(state, record, slot, saturated, recording)
        elif not saturated or recording:
            state.fresh[index_of(x[FRESH])] = slot
            x[FRESH] += 1
        if remaining > 0:
            start_decoding(p, state, slot, remaining)
        else:
            finish(p, state, record, slot, largest_kv(p, state, slot), saturated, recording)
            finished += 1
    x[PREFILLING] = kept
    if lookahead:
        state.profile[x[ITERATION] & p.wheel_mask] = 0
    x[ITERATION] += 1
    x[PHASE] = phase_after(p, x[PHASE])
    return finished


@device
def can_coast(state: State, steady: int, finished: int, saturated: bool) -> bool:
    """Whether the next iterations only decode, until one finishes, a request arrives or blocks run short.

    ``steady`` is what admission last returned, ``finished`` how many requests finished since.
    """
    x = state.x
    if steady == 0 or x[PREFILLING] != 0 or x[FRESH] != 0 or x[DECODING] == 0:
        return False
    return bool(finished == 0 or (not saturated and x[WAITING] + x[STACKED] == 0))


@device
def coast(
    p: Any,
    tables: Tables,
    state: State,
    record: Record,
    saturated: bool,
    lookahead: bool,
    recording: bool,
    terms: bool,
) -> int:
    """Run iterations that only decode, with the state in local variables; how many requests finished.

    Ends after the iteration in which a request finishes, before one for which blocks run short, before one that starts
    at or after the next arrival, and after :data:`MAX_COAST`.
    """
    x = state.x
    planes = tables.planes
    decoding = x[DECODING]
    kv = x[DECODING_KV]
    free = x[FREE_BLOCKS]
    phase = x[PHASE]
    first = x[ITERATION]
    limit = MAX_COAST
    if recording:
        limit = min(MAX_COAST, record.iterations.shape[0] - x[RECORDED_ITERATIONS])
    bucket_hit = False
    until = 0
    if not saturated:
        until = min(x[NEXT_ARRIVAL_NS] - x[NOW_NS], UNLIMITED << 8) * PS_PER_NS - x[NOW_PS]
    single = planes.shape[0] == 1
    per_iteration = planes[0, PER_KV_TOKEN] * decoding
    jump = 0
    if terms:
        jump = jump_ps(planes, decoding)
    duration = jump + planes[0, BASE] + planes[0, PER_DECODE_SEQ] * decoding + planes[0, PER_KV_TOKEN] * kv
    elapsed = 0
    free_sum = 0
    ran = 0
    while ran < limit and (saturated or elapsed < until):
        need = i64(state.growth[index_of(phase)])
        if need > free:
            break
        free -= need
        free_sum += free
        if single:
            duration += per_iteration
        else:
            duration = jump + iteration_ps(planes, 0, decoding, kv + (ran + 1) * decoding, 0)
        if recording:
            start_ns = x[NOW_NS] + (x[NOW_PS] + elapsed) // PS_PER_NS
            held = kv + (ran + 1) * decoding
            record_iteration(p, state, record, start_ns, duration, 0, held, 0, held, free, 0)
        count(state.histograms, HIST_ITERATION, duration)
        elapsed += duration
        bucket_hit = state.wheel[index_of((first + ran) & i64(p.wheel_mask))] != NO_SLOT
        ran += 1
        if bucket_hit:
            break
        phase = phase_after(p, phase)
    if ran == 0:
        return 0
    if lookahead:
        for k in range(ran):
            state.profile[(first + k) & p.wheel_mask] = 0
    x[DECODING_KV] = kv + ran * decoding
    x[FREE_BLOCKS] = free
    x[SUM_RUNNING] += ran * decoding
    if not saturated:
        x[SUM_WAITING] += ran * (x[WAITING] + x[STACKED])
    x[SUM_KV_TOKENS] += ran * kv + decoding * (ran * (ran + 1) // 2)
    x[SUM_BLOCKS] += ran * p.kv_blocks - free_sum
    pass_time(state, elapsed, not saturated or recording)
    finished = 0
    if bucket_hit:
        # What finishes belongs to the last iteration that ran.
        x[ITERATION] = first + ran - 1
        finished = finish_bucket(p, state, record, saturated, recording)
        phase = phase_after(p, phase)
    x[ITERATION] = first + ran
    x[PHASE] = phase
    return finished
