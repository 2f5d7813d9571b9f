"""Record types and named positions that kernels and the host share.

Every quantity is an integer. Times are nanoseconds (``_NS``) or picoseconds (``_PS``), lengths and memory are
tokens or blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]

UNLIMITED = 1 << 40
"""Stands for a limit that is never reached (tokens or requests)."""

NONE = -1
"""No time, no iteration."""

NO_SLOT = 0
"""No slot: they count from 1, so that arrays of any width can say so."""

PARAMS = np.dtype(
    [
        ("kv_blocks", np.int64),  # blocks of KV memory
        ("block_size", np.int64),  # tokens per block
        ("block_multiplier", np.int64),  # n // block_size == (n x multiplier) >> shift
        ("block_shift", np.int64),
        ("max_num_seqs", np.int64),  # running requests
        ("token_budget", np.int64),  # tokens per iteration
        ("prefill_chunk", np.int64),  # prompt tokens of one request per iteration
        ("watermark_blocks", np.int64),  # blocks an admission leaves free while anything is running
        ("max_total_tokens", np.int64),  # prompt + output beyond this is rejected
        ("admission", np.int64),  # one of the ADMIT_ codes
        ("restart", np.int64),  # 1: a preempted request loses its output, 0: it keeps it
        ("paper", np.int64),  # 1: the first token follows a decode iteration, 0: the prefill
        ("joint", np.int64),  # 1: the length tables are pairs, 0: independent marginals
        ("aged_requests", np.int64),  # first requests that start at a random age
        ("gap_mantissa", np.int64),  # mean interarrival time, ns: mantissa x 2^(24 - shift)
        ("gap_shift", np.int64),
        ("replay_stride", np.int64),  # rows from one replayed request to the next; 0: requests are drawn
        ("replay_lap", np.int64),  # requests until it is back at its first row, with others left out
        ("replay_from", np.int64),  # row of the first
        ("key_low", np.int64),  # 64-bit key of the generator, in two words of 32 bits
        ("key_high", np.int64),
        ("replication", np.int64),  # counter word of the generator
        ("warmup_requests", np.int64),  # completions before the window; below 0: so many at least
        ("wheel_mask", np.uint32),  # length of the timing wheel - 1, a power of two - 1
    ],
    align=True,
)

ADMIT_CHUNK, ADMIT_PROMPT, ADMIT_PEAK, ADMIT_LOOKAHEAD = 0, 1, 2, 3
GROWTH_FREE = ADMIT_PEAK
"""The admission that reserves all its blocks at once, so that decoding needs none."""

# Columns of ``planes``, ps per unit (attention: ps per two units, halved after the product).
BASE, PER_PREFILL_TOKEN, PER_DECODE_SEQ, PER_KV_TOKEN, PER_ATTENTION = range(5)
# Those of what is added to the largest plane, in the first row, ps per unit; and the batch size, tokens, beyond which
# the jump counts.
PER_PREFILL_SEQ, PER_FINISHED_PROMPT, PER_PREFILL_KV_TOKEN, PREFILLS = range(5, 9)
MIXED, PER_MIXED_KV_TOKEN, JUMP, JUMP_BEYOND = range(9, 13)
PLANE_COLUMNS = 13

# What stopped the last admission: nothing (the queue was empty, or something was preempted), or a resource.
STOP_NOTHING, STOP_KV, STOP_SEQS, STOP_TOKENS = 0, 1, 2, 3

# Why ``advance`` returned.
DONE, PAUSED, RECORD_FULL, CLOCK_FULL, SUM_FULL = 0, 1, 2, 3, 4

CLOCK_LIMIT_NS = 1 << 62
"""A clock beyond this (146 years) could overflow in the next steps: no run of any use gets there."""

SUM_LIMIT = 1 << 62
"""The attention work of a window beyond this could overflow in the next step: how often preemption makes prompts be
prefilled again has no bound, so none on the number of requests keeps it below."""


def _numbered(names: str) -> tuple[int, ...]:
    return tuple(range(len(names.split())))


# Registers: the state of one replication that is not an array, and its sums over the window.
REGISTER_NAMES = """
    STARTED ITERATION NOW_NS NOW_PS FREE_BLOCKS RUNNING DECODING DECODING_KV PREFILLING
    PHASE FREE_SLOTS STACKED FRESH MAX_RUNNING COMPLETED
    WAITING HEAD_INDEX HEAD_PROMPT HEAD_OUTPUT HEAD_EMITTED HEAD_ARRIVAL_NS HEAD_READY
    NEXT_INDEX NEXT_PROMPT NEXT_OUTPUT NEXT_EMITTED NEXT_ARRIVAL_NS SPARE_FIRST SPARE_SECOND ARRIVED
    BATCH_PREFILL BATCH_ATTENTION2 BATCH_PREFILL_KV
    STOP STOP_SINCE STOP_SINCE_BLOCKS FAILED_AT HALF_OF HALF_COMPLETED HALF_NS HALF_PS
    IN_WINDOW START_NS START_PS START_ITERATION START_COMPLETED START_BACKLOG WARMUP_COMPLETED
    IDLE_NS SUM_RUNNING SUM_WAITING SUM_KV_TOKENS SUM_BLOCKS MAX_WAITING PREEMPTIONS RECOMPUTED_TOKENS
    STOPPED_KV STOPPED_SEQS STOPPED_TOKENS STOPPED_KV_BLOCKS STOPPED_LIMIT_BLOCKS
    SUM_PREFILL SUM_PREFILLING SUM_PREFILL_KV SUM_ATTENTION2
    REDONE_PREFILL REDONE_DECODES REDONE_DECODE_KV REDONE_ATTENTION2
    WAIT_LOW WAIT_HIGH
    TTFT_LOW TTFT_HIGH
    TPOT_LOW TPOT_HIGH
    E2E_LOW E2E_HIGH TPOT_COUNT
    RECORDED_ITERATIONS RECORDED_REQUESTS RECORDED_EVENTS
    START_DECODING PREEMPTED_DECODING REDONE_FINISHED REDONE_CHUNKS REDONE_CACHED
"""
(
    STARTED, ITERATION, NOW_NS, NOW_PS, FREE_BLOCKS, RUNNING, DECODING, DECODING_KV, PREFILLING,
    PHASE, FREE_SLOTS, STACKED, FRESH, MAX_RUNNING, COMPLETED,
    WAITING, HEAD_INDEX, HEAD_PROMPT, HEAD_OUTPUT, HEAD_EMITTED, HEAD_ARRIVAL_NS, HEAD_READY,
    NEXT_INDEX, NEXT_PROMPT, NEXT_OUTPUT, NEXT_EMITTED, NEXT_ARRIVAL_NS, SPARE_FIRST, SPARE_SECOND, ARRIVED,
    BATCH_PREFILL, BATCH_ATTENTION2, BATCH_PREFILL_KV,
    STOP, STOP_SINCE, STOP_SINCE_BLOCKS, FAILED_AT, HALF_OF, HALF_COMPLETED, HALF_NS, HALF_PS,
    IN_WINDOW, START_NS, START_PS, START_ITERATION, START_COMPLETED, START_BACKLOG, WARMUP_COMPLETED,
    IDLE_NS, SUM_RUNNING, SUM_WAITING, SUM_KV_TOKENS, SUM_BLOCKS, MAX_WAITING, PREEMPTIONS, RECOMPUTED_TOKENS,
    STOPPED_KV, STOPPED_SEQS, STOPPED_TOKENS, STOPPED_KV_BLOCKS, STOPPED_LIMIT_BLOCKS,
    SUM_PREFILL, SUM_PREFILLING, SUM_PREFILL_KV, SUM_ATTENTION2,
    REDONE_PREFILL, REDONE_DECODES, REDONE_DECODE_KV, REDONE_ATTENTION2,
    WAIT_LOW, WAIT_HIGH,
    TTFT_LOW, TTFT_HIGH,
    TPOT_LOW, TPOT_HIGH,
    E2E_LOW, E2E_HIGH, TPOT_COUNT,
    RECORDED_ITERATIONS, RECORDED_REQUESTS, RECORDED_EVENTS,
    START_DECODING, PREEMPTED_DECODING, REDONE_FINISHED, REDONE_CHUNKS, REDONE_CACHED,
) = _numbered(REGISTER_NAMES)  # fmt: skip
REGISTERS = len(REGISTER_NAMES.split())
REGISTERS_WITHOUT_TERMS = START_DECODING
"""How many are used where nothing is added to the planes of the iteration time."""

# Columns of ``seqs``, one row per slot of a running or preempted request, unsigned; row 0 is no slot's: it closes
# the ring of those running.
(
    PROMPT,  # prompt tokens
    OUTPUT,  # output tokens
    EMITTED,  # output tokens that had been emitted when it was last admitted
    TARGET,  # tokens to prefill: PROMPT + EMITTED
    CACHED,  # of them, cached so far, while it prefills
    CHUNK,  # tokens it prefills in the iteration under way, at least 1; 0 once it decodes
    BUCKET,  # its place on the timing wheel, once it decodes
    RESIDUE,  # its class in ``growth``, once it decodes
    LINK,  # next slot in the same bucket
    OLDER,  # slot admitted just before it, of those running
    NEWER,  # slot admitted just after it
    PREEMPTED,  # times preempted
) = range(12)
SEQ_COLUMN_BITS = 4  # rows of 16, so that one fills a cache line (on a GPU, 16 bits wide, a sector)
SEQ_COLUMNS = 1 << SEQ_COLUMN_BITS

# Columns of ``times``, one row per slot, int64; row 0 is no slot's.
INDEX, ARRIVAL_NS, SCHEDULED_NS, FIRST_TOKEN_NS = range(4)
TIME_COLUMN_BITS = 2
TIME_COLUMNS = 1 << TIME_COLUMN_BITS

# Rows of ``histograms``.
HIST_ITERATION, HIST_WAIT, HIST_TTFT, HIST_TPOT, HIST_E2E = range(5)

# Columns of the recorder's tables.
REC_START_NS, REC_DURATION_PS, REC_PREFILL, REC_DECODING, REC_DECODING_KV, REC_ATTENTION2 = range(6)
REC_RUNNING, REC_WAITING, REC_KV_TOKENS, REC_BLOCKS, REC_PREEMPTED = range(6, 11)
ITERATION_COLUMNS = 11
REQ_INDEX, REQ_ARRIVAL_NS, REQ_PROMPT, REQ_OUTPUT, REQ_SCHEDULED_NS, REQ_FIRST_TOKEN_NS = range(6)
REQ_FINISH_NS, REQ_PREEMPTIONS = range(6, 8)
REQUEST_COLUMNS = 8
EV_ITERATION, EV_KIND, EV_REQUEST, EV_VALUE = range(4)
EVENT_COLUMNS = 4
EVENT_ADMIT, EVENT_FIRST_TOKEN, EVENT_FINISH, EVENT_PREEMPT = range(4)


class Tables(NamedTuple):
    """What a replication reads and never writes."""

    prompts: I32  # (n,) prompt lengths, tokens
    outputs: I32  # (m,) output lengths, tokens
    gaps: I64  # interarrival quantiles of unit mean, in 2^-24 (see draws); to replay, the times themselves
    planes: I64  # (planes, PLANE_COLUMNS)


class State(NamedTuple):
    """One replication: registers and scratch arrays. A kernel can be stopped and resumed from it.

    The host keeps those of several replications as one, each array with a leading axis: see :func:`one_of`.
    """

    x: I64  # (REGISTERS,)
    seqs: U32  # ((slots + 1) x SEQ_COLUMNS,) a row a slot
    times: I64  # ((slots + 1) x TIME_COLUMNS,) a row a slot
    wheel: U32  # (wheel_mask + 1,) first slot of those that finish in an iteration
    growth: I32  # (block_size,) decoding requests by the iteration, modulo block_size, that needs a block
    prefilling: U32  # (slots,) slots in prefill, in order of admission
    stack: U32  # (slots,) preempted slots, the next to be admitted on top
    fresh: U32  # (slots,) slots whose prefill ended in the last iteration (paper convention)
    free: U32  # (slots,) slots not in use
    profile: I32  # (wheel_mask + 1,) blocks that the running set will hold, by iteration (lookahead)
    histograms: I64  # (rows, BINS)


def one_of(states: State, row: int) -> State:
    """The state of the replication in ``row`` of ``states``, on the host."""
    return State(*(array[row] for array in states))


class Record(NamedTuple):
    """What a recorded replication writes beside its sums."""

    iterations: I64  # (n, ITERATION_COLUMNS)
    requests: I64  # (n, REQUEST_COLUMNS)
    events: I64  # (n, EVENT_COLUMNS)
