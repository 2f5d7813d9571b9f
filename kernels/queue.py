"""The waiting queue, first come first served, of a stream that can be drawn again by index: no storage.

Two clocks walk the same stream: ``NEXT_`` is the next request to arrive, ``HEAD_`` the first one waiting. Both
skip the requests that are rejected for their length. Preempted requests stand before the waiting ones; as the
most recently admitted is always the one preempted, they form a stack in order of admission.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import (
    ARRIVED,
    HEAD_ARRIVAL_NS,
    HEAD_EMITTED,
    HEAD_INDEX,
    HEAD_OUTPUT,
    HEAD_PROMPT,
    HEAD_READY,
    NEXT_ARRIVAL_NS,
    NEXT_EMITTED,
    NEXT_INDEX,
    NEXT_OUTPUT,
    NEXT_PROMPT,
    NOW_NS,
    SPARE_FIRST,
    SPARE_SECOND,
    WAITING,
    State,
    Tables,
)
from fastq.kernels.draws import (
    STREAM_AGE,
    STREAM_BACKLOG,
    arriving,
    below,
    lengths,
    words_of,
)


@device
def draw_next(p: Any, tables: Tables, state: State) -> None:
    """Move ``NEXT_`` on to the following accepted request."""
    x = state.x
    index = x[NEXT_INDEX]
    arrival = x[NEXT_ARRIVAL_NS]
    while True:
        index += 1
        gap, prompt, output = arriving(p, tables, index)
        arrival += gap
        if prompt + output <= p.max_total_tokens:
            break
    x[NEXT_INDEX] = index
    x[NEXT_ARRIVAL_NS] = arrival
    x[NEXT_PROMPT] = prompt
    x[NEXT_OUTPUT] = output


@device
def absorb_arrivals(p: Any, tables: Tables, state: State) -> None:
    """Let every request that has arrived by now join the queue."""
    x = state.x
    while x[NEXT_ARRIVAL_NS] <= x[NOW_NS]:
        if x[WAITING] == 0:
            x[HEAD_INDEX] = x[NEXT_INDEX]
            x[HEAD_ARRIVAL_NS] = x[NEXT_ARRIVAL_NS]
            x[HEAD_PROMPT] = x[NEXT_PROMPT]
            x[HEAD_OUTPUT] = x[NEXT_OUTPUT]
            x[HEAD_READY] = 1
        x[WAITING] += 1
        x[ARRIVED] += 1
        draw_next(p, tables, state)


@device
def ready_head(p: Any, tables: Tables, state: State) -> None:
    """Draw the first waiting request again, where the queue has moved on since it was last drawn."""
    x = state.x
    if x[HEAD_READY] != 0:
        return
    index = x[HEAD_INDEX]
    arrival = x[HEAD_ARRIVAL_NS]
    while True:
        index += 1
        gap, prompt, output = arriving(p, tables, index)
        arrival += gap
        if prompt + output <= p.max_total_tokens:
            break
    x[HEAD_INDEX] = index
    x[HEAD_ARRIVAL_NS] = arrival
    x[HEAD_PROMPT] = prompt
    x[HEAD_OUTPUT] = output
    x[HEAD_READY] = 1


@device
def draw_backlog(p: Any, tables: Tables, state: State) -> None:
    """Move ``NEXT_`` on in an infinite backlog: no clock, and the first requests may have a random age."""
    x = state.x
    index = x[NEXT_INDEX]
    while True:
        index += 1
        if index & 1 == 0:
            words = words_of(p, index >> 1, STREAM_BACKLOG)
            prompt, output = lengths(p, tables, words[0], words[1])
            x[SPARE_FIRST] = words[2]
            x[SPARE_SECOND] = words[3]
        else:
            prompt, output = lengths(p, tables, np.uint64(x[SPARE_FIRST]), np.uint64(x[SPARE_SECOND]))
        if prompt + output <= p.max_total_tokens:
            break
    x[NEXT_INDEX] = index
    x[NEXT_PROMPT] = prompt
    x[NEXT_OUTPUT] = output
    x[NEXT_EMITTED] = 0
    if index < p.aged_requests:
        x[NEXT_EMITTED] = below(words_of(p, index, STREAM_AGE)[0], output)


@device
def ready_backlog_head(p: Any, tables: Tables, state: State) -> None:
    """Have the backlog's first request at hand; the one behind it is drawn ahead, off the critical path."""
    x = state.x
    if x[HEAD_READY] != 0:
        return
    x[HEAD_INDEX] = x[NEXT_INDEX]
    x[HEAD_PROMPT] = x[NEXT_PROMPT]
    x[HEAD_OUTPUT] = x[NEXT_OUTPUT]
    x[HEAD_EMITTED] = x[NEXT_EMITTED]
    x[HEAD_READY] = 1
    draw_backlog(p, tables, state)


@device
def pop_head(state: State) -> None:
    """Take the first waiting request off the queue."""
    x = state.x
    x[WAITING] -= 1
    x[HEAD_READY] = 0
