"""One replication: the loop over iterations, and how it starts, pauses and ends.

A replica's whole state is a :class:`State`; ``advance`` carries it to a number of completions and can be called
again to carry it further. The four flags of :func:`make_advance` are all that is compiled apart; every
policy is a number in the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    ARRIVED,
    CLOCK_FULL,
    CLOCK_LIMIT_NS,
    COMPLETED,
    DONE,
    FAILED_AT,
    FREE_BLOCKS,
    FREE_SLOTS,
    HALF_COMPLETED,
    HALF_NS,
    HALF_OF,
    HALF_PS,
    HEAD_INDEX,
    IDLE_NS,
    IN_WINDOW,
    ITERATION,
    NEXT_ARRIVAL_NS,
    NEXT_INDEX,
    NO_SLOT,
    NONE,
    NOW_NS,
    NOW_PS,
    OLDER,
    PAUSED,
    RECORD_FULL,
    RUNNING,
    STACKED,
    START_COMPLETED,
    STARTED,
    STOP,
    STOP_NOTHING,
    SUM_ATTENTION2,
    SUM_FULL,
    SUM_LIMIT,
    WAITING,
    Record,
    State,
    Tables,
)
from fastq.kernels.admit import admit_waiting, note_stop
from fastq.kernels.measures import open_window, warmup_over
from fastq.kernels.queue import absorb_arrivals, draw_backlog, draw_next
from fastq.kernels.recorder import has_room
from fastq.kernels.serve import serve_running
from fastq.kernels.slots import at
from fastq.kernels.step import can_coast, coast, end_iteration, run_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.kernels._layout import I64

    Advance = Callable[[Any, Tables, State, Record, int, int], int]


@device
def start(p: Any, tables: Tables, state: State, saturated: bool, terms: bool) -> None:
    """An empty replica at time 0."""
    x = state.x
    for k in range(x.shape[0]):
        x[k] = 0
    x[STARTED] = 1
    x[FREE_BLOCKS] = p.kv_blocks
    state.seqs[at(NO_SLOT, OLDER)] = NO_SLOT
    x[FAILED_AT] = NONE
    x[HALF_OF] = NONE
    x[HEAD_INDEX] = NONE
    x[NEXT_INDEX] = NONE
    slots = state.free.shape[0]
    for k in range(slots):
        state.free[k] = slots - k
    x[FREE_SLOTS] = slots
    for k in range(state.wheel.shape[0]):
        state.wheel[k] = NO_SLOT
    for k in range(state.profile.shape[0]):
        state.profile[k] = 0
    for k in range(state.growth.shape[0]):
        state.growth[k] = 0
    if saturated:
        draw_backlog(p, tables, state)
    else:
        draw_next(p, tables, state)
        absorb_arrivals(p, tables, state)
    open_window(state, terms)
    if not warmup_over(p, x):
        x[IN_WINDOW] = 0


@device
def note_half(x: I64, requests: int) -> None:
    """Note how far the window is when half of ``requests`` have completed in it."""
    x[HALF_OF] = requests
    x[HALF_COMPLETED] = x[COMPLETED] - x[START_COMPLETED]
    x[HALF_NS] = x[NOW_NS]
    x[HALF_PS] = x[NOW_PS]


@device
def await_arrivals(p: Any, tables: Tables, state: State) -> None:
    """Let arrivals join; with nothing to do, jump to the next one."""
    x = state.x
    absorb_arrivals(p, tables, state)
    if x[RUNNING] == 0 and x[WAITING] + x[STACKED] == 0:
        x[IDLE_NS] += x[NEXT_ARRIVAL_NS] - x[NOW_NS]
        x[NOW_NS] = x[NEXT_ARRIVAL_NS]
        x[NOW_PS] = 0
        absorb_arrivals(p, tables, state)


def make_advance(saturated: bool, lookahead: bool, recording: bool, terms: bool) -> Advance:
    """The loop for one kind of replication.

    Parameters
    ----------
    saturated
        An infinite backlog instead of an arrival process; latencies are not measured.
    lookahead
        Admission keeps the profile of future memory.
    recording
        Every iteration, request and event is written to the record.
    terms
        Something is added to the largest plane: loops that ask for it would be slower by a few percent without it too.

    Returns
    -------
    Callable
        ``advance(p, tables, state, record, requests, steps)``: runs to the end of the iteration in which
        ``requests`` have completed inside the window, noting the clock where half of them have, or for
        ``steps`` iterations and arrivals, about; returns ``DONE``, ``PAUSED``, ``RECORD_FULL`` (empty the
        record and call again), ``CLOCK_FULL`` or ``SUM_FULL``.
    """

    def advance(p: Any, tables: Tables, state: State, record: Record, requests: int, steps: int) -> int:
        x = state.x
        if x[STARTED] == 0:
            start(p, tables, state, saturated, terms)
        pause_at = x[ITERATION] + x[ARRIVED] + steps
        goal = requests // 2 if x[HALF_OF] != requests else requests
        while True:
            if x[IN_WINDOW] != 0 and x[COMPLETED] - x[START_COMPLETED] >= goal:
                if x[HALF_OF] != requests:
                    note_half(x, requests)
                    goal = requests
                    continue
                if not saturated:
                    absorb_arrivals(p, tables, state)
                return DONE
            if x[ITERATION] + x[ARRIVED] >= pause_at:
                return PAUSED
            if x[NOW_NS] >= CLOCK_LIMIT_NS:
                return CLOCK_FULL
            if saturated and x[SUM_ATTENTION2] >= SUM_LIMIT:
                return SUM_FULL
            if recording and not has_room(state, record):
                return RECORD_FULL
            if not saturated:
                await_arrivals(p, tables, state)
            prefill, attention2, prefill_kv, preempted = serve_running(
                p, state, record, saturated, lookahead, recording, terms
            )
            if preempted == 0:
                prefill, attention2, prefill_kv, steady = admit_waiting(
                    p, tables, state, record, prefill, attention2, prefill_kv, saturated, lookahead, recording
                )
            else:
                steady = 0
                if saturated and x[STOP] != STOP_NOTHING:
                    note_stop(x, STOP_NOTHING)
            run_batch(
                p,
                tables,
                state,
                record,
                prefill,
                attention2,
                prefill_kv,
                preempted,
                saturated,
                recording,
                terms,
            )
            finished = end_iteration(p, state, record, saturated, lookahead, recording, terms)
            while True:
                if finished > 0 and x[IN_WINDOW] == 0 and warmup_over(p, x):
                    if not saturated:
                        absorb_arrivals(p, tables, state)
                    open_window(state, terms)
                    break
                if finished > 0 and x[IN_WINDOW] != 0 and x[COMPLETED] - x[START_COMPLETED] >= goal:
                    break
                if not can_coast(state, steady, finished, saturated):
                    break
                finished = coast(p, tables, state, record, saturated, lookahead, recording, terms)
                if finished == 0:
                    break

    return advance
