"""Invariants of recorded runs of drawn configurations, checked in every iteration.

What the scheduler decided (whom it admits and preempts) is taken from the recording; the rest is derived from it
again, request by request: that each running request advances by what it is due, the memory it holds, when it
emits its first token and leaves, and the clock.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import pytest
from builders import rate_at, with_digest
from drawn import points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import Request
from stream_reference import starts_aged, stream

from fastq.engine.encode import encode
from fastq.engine.record import RawRecording, record_raw
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance
from fastq.model.point import Point
from fastq.model.run import Run
from fastq.model.scheduler import Admission, TokenConvention

UNLIMITED = 10**15
PS_PER_NS = 1000

runs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**64 - 1),
        "replication": st.integers(0, 3),
        "requests": st.integers(20, 100),
        "aged": st.integers(1, 12),
        "load": st.sampled_from([0.1, 0.7, 1.0, 2.0]),
    }
)
drawn_runs = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
both_arrivals = pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])


class Iteration(NamedTuple):
    """The columns of a recorded iteration, in their order."""

    start_ns: int
    duration_ps: int
    prefill_tokens: int
    decoding: int
    decoding_kv: int
    attention2: int
    running: int
    waiting: int
    kv_tokens: int
    blocks: int
    preempted: int


@dataclass(frozen=True)
class Recorded:
    """A run from its start, and the requests that were offered to it: the accepted ones, by index."""

    point: Point
    raw: RawRecording
    iterations: list[Iteration]
    offered: dict[int, Request]

    @property
    def paper(self) -> bool:
        return self.point.scheduler.token_convention is TokenConvention.PAPER

    def events(self, kind: int) -> dict[int, list[tuple[int, int]]]:
        """(request, value) of the events of one kind, by iteration."""
        found = defaultdict(list)
        for iteration, this, request, value in self.raw.events.tolist():
            if this == kind:
                found[iteration].append((request, value))
        return found

    def largest_kv(self, request: int) -> int:
        lengths = self.offered[request]
        return lengths.prompt + lengths.output - (0 if self.paper else 1)


def recorded(point: Point, drawn: dict, *, saturated: bool) -> Recorded:
    """Record a run of ``point`` from its start."""
    point = with_digest(point)
    encoded = encode(point, Run(seed=drawn["seed"]), mean_running=drawn["aged"])
    rate_rps = None if saturated else rate_at(point, drawn["load"])
    raw = record_raw(
        encoded,
        compiled_advance(saturated, encoded.lookahead, True, encoded.terms),
        arrival_rate_rps=rate_rps,
        replication=drawn["replication"],
        warmup_requests=0,
        requests=drawn["requests"],
    )
    requests = stream(
        encoded,
        seed=drawn["seed"],
        replication=drawn["replication"],
        arrival_rate_rps=rate_rps,
        aged_requests=drawn["aged"] if saturated and starts_aged(encoded, drawn["replication"]) else 0,
    )
    longest = point.replica.max_model_len or UNLIMITED
    end_ns, last_seen = int(raw.registers[layout.NOW_NS]), int(raw.events[:, layout.EV_REQUEST].max())
    offered = {}
    for request in requests:
        if request.index > last_seen and (saturated or request.arrival_ns > end_ns):
            break
        if request.prompt + request.output <= longest:
            offered[request.index] = request
    return Recorded(point, raw, [Iteration(*row) for row in raw.iterations.tolist()], offered)


@dataclass
class Holding:
    """A running request: tokens that it prefills, and tokens of KV that it holds."""

    request: int
    target: int
    kv: int = 0


@both_arrivals
@drawn_runs
@given(point=points(), drawn=runs)
def test_every_running_request_advances_within_budget_and_memory(saturated, point, drawn):
    run = recorded(point, drawn, saturated=saturated)
    admitted, preempted = run.events(layout.EVENT_ADMIT), run.events(layout.EVENT_PREEMPT)
    finished, first_tokens = run.events(layout.EVENT_FINISH), run.events(layout.EVENT_FIRST_TOKEN)
    running: list[Holding] = []
    for number, iteration in enumerate(run.iterations):
        for request, lost in preempted[number]:
            newest = running.pop()
            assert (newest.request, newest.kv) == (request, lost), "the most recently admitted gives way"
        assert not (preempted[number] and admitted[number])
        running += [Holding(request, target) for request, target in admitted[number]]
        assert iteration.preempted == len(preempted[number])
        assert iteration.running == len(running) <= (point.replica.max_num_seqs or UNLIMITED)
        assert_batch(run, iteration, running)
        assert_memory(run, iteration, running)
        emitting = {
            holding.request
            for holding in running
            if holding.target == run.offered[holding.request].prompt
            and holding.kv == holding.target + (1 if run.paper else 0)
        }
        assert {request for request, _ in first_tokens[number]} == emitting
        leaving = {holding.request for holding in running if holding.kv == run.largest_kv(holding.request)}
        assert {request for request, _ in finished[number]} == leaving
        running = [holding for holding in running if holding.request not in leaving]


def assert_batch(run: Recorded, iteration: Iteration, running: list[Holding]) -> None:
    """Let every running request take its tokens; the batch is what they take."""
    left = run.point.replica.max_num_batched_tokens or UNLIMITED
    prefill = decoding = decoding_kv = attention2 = chunks = ended = cached = 0
    for holding in running:
        missing = holding.target - holding.kv
        due = min(run.point.replica.prefill_chunk_tokens, missing) if missing > 0 else 1
        tokens = min(due, left)
        assert tokens >= 1, "every running request advances"
        assert tokens == due or holding is running[-1], "only the last admitted can get less"
        left -= tokens
        if missing > 0:
            prefill += tokens
            attention2 += tokens * (2 * holding.kv + tokens)
            chunks += 1
            ended += tokens == missing
            cached += holding.kv
        else:
            decoding += 1
            decoding_kv += holding.kv + 1
        holding.kv += tokens
    assert iteration.prefill_tokens == prefill
    assert (iteration.decoding, iteration.decoding_kv) == (decoding, decoding_kv)
    assert iteration.attention2 == attention2
    terms = run.point.iteration_time.terms
    added = (
        terms.prefill_seq_ps * chunks
        + terms.finished_prompt_ps * ended
        + terms.prefill_kv_token_ps * cached
        + terms.prefill_ps * (prefill > 0)
        + (terms.mixed_ps + terms.mixed_kv_token_ps * decoding_kv) * (prefill > 0 and decoding > 0)
        + terms.jump_ps * (prefill + decoding > terms.jump_beyond_tokens)
    )
    assert iteration.duration_ps == added + max(
        plane.base_ps
        + plane.prefill_token_ps * prefill
        + plane.decode_seq_ps * decoding
        + plane.kv_token_ps * decoding_kv
        + plane.attention_ps * attention2 // 2
        for plane in run.point.iteration_time.planes
    )


def assert_memory(run: Recorded, iteration: Iteration, running: list[Holding]) -> None:
    """The blocks in use are those of the running requests, or what they reserve, and fit."""
    reserves = run.point.scheduler.admission is Admission.PEAK
    held = [run.largest_kv(holding.request) if reserves else holding.kv for holding in running]
    assert iteration.kv_tokens == sum(holding.kv for holding in running)
    assert iteration.blocks == sum(-(-tokens // run.point.replica.block_size) for tokens in held)
    assert iteration.blocks <= run.point.replica.kv_blocks


@both_arrivals
@drawn_runs
@given(point=points(), drawn=runs)
def test_requests_are_conserved_and_first_scheduled_in_order_of_arrival(saturated, point, drawn):
    run = recorded(point, drawn, saturated=saturated)
    admitted, finished = run.events(layout.EVENT_ADMIT), run.events(layout.EVENT_FINISH)
    scheduled: dict[int, int] = {}
    left = 0
    arrivals = sorted(request.arrival_ns for request in run.offered.values())
    arrived = 0
    for number, iteration in enumerate(run.iterations):
        for request, _ in admitted[number]:
            scheduled.setdefault(request, iteration.start_ns)
        if saturated:
            arrived = len(scheduled)
        while not saturated and arrived < len(arrivals) and arrivals[arrived] <= iteration.start_ns:
            arrived += 1
        assert arrived == left + iteration.running + iteration.waiting
        left += len(finished[number])
    in_order = list(run.offered)[: len(scheduled)]
    assert list(scheduled) == in_order, "first come first served, and nobody is left out"
    rows = run.raw.requests.tolist()
    assert len(rows) == left == len({row[layout.REQ_INDEX] for row in rows})
    for row in rows:
        request = run.offered[row[layout.REQ_INDEX]]
        assert (row[layout.REQ_PROMPT], row[layout.REQ_OUTPUT]) == (request.prompt, request.output)
        assert row[layout.REQ_SCHEDULED_NS] == scheduled[request.index]
        assert row[layout.REQ_ARRIVAL_NS] == (scheduled[request.index] if saturated else request.arrival_ns)
        assert row[layout.REQ_ARRIVAL_NS] <= row[layout.REQ_SCHEDULED_NS] <= row[layout.REQ_FIRST_TOKEN_NS]
        assert row[layout.REQ_FIRST_TOKEN_NS] <= row[layout.REQ_FINISH_NS]


@both_arrivals
@drawn_runs
@given(point=points(), drawn=runs)
def test_the_clock_adds_up_but_for_idle_jumps(saturated, point, drawn):
    run = recorded(point, drawn, saturated=saturated)
    finished = run.events(layout.EVENT_FINISH)
    arrivals = sorted(request.arrival_ns for request in run.offered.values())
    first = run.iterations[0]
    assert first.start_ns == (0 if saturated else arrivals[0])
    carried_ps = idle_ns = 0
    ends = {}
    for number, iteration in enumerate(run.iterations):
        total_ps = carried_ps + iteration.duration_ps
        end_ns, carried_ps = iteration.start_ns + total_ps // PS_PER_NS, total_ps % PS_PER_NS
        ends[number] = end_ns
        if number + 1 == len(run.iterations):
            assert (run.raw.registers[layout.NOW_NS], run.raw.registers[layout.NOW_PS]) == (
                end_ns,
                carried_ps,
            )
            break
        following = run.iterations[number + 1].start_ns
        if following != end_ns:
            assert iteration.waiting == 0
            assert iteration.running == len(finished[number]), "a jump leaves nobody running"
            assert following == next(arrival for arrival in arrivals if arrival > end_ns)
            idle_ns += following - end_ns
            carried_ps = 0
    if not saturated:
        idle_ns += arrivals[0]
    assert run.raw.registers[layout.IDLE_NS] == idle_ns
    leaves = {request: number for number, gone in finished.items() for request, _ in gone}
    for row in run.raw.requests.tolist():
        assert row[layout.REQ_FINISH_NS] == ends[leaves[row[layout.REQ_INDEX]]]


@both_arrivals
@drawn_runs
@given(point=points((Admission.PEAK,)), drawn=runs)
def test_nothing_is_preempted_under_peak(saturated, point, drawn):
    assert_never_preempts(recorded(point, drawn, saturated=saturated))


@both_arrivals
@drawn_runs
@given(point=points((Admission.LOOKAHEAD,)), drawn=runs)
def test_nothing_is_preempted_under_lookahead_without_a_token_budget(saturated, point, drawn):
    free = replace(point, replica=replace(point.replica, max_num_batched_tokens=None))
    assert_never_preempts(recorded(free, drawn, saturated=saturated))


def assert_never_preempts(run: Recorded) -> None:
    assert not run.events(layout.EVENT_PREEMPT)
    assert run.raw.registers[layout.PREEMPTIONS] == 0
    assert all(row[layout.REQ_PREEMPTIONS] == 0 for row in run.raw.requests.tolist())
    starts = [iteration.start_ns for iteration in run.iterations]
    assert all(before <= after for before, after in pairwise(starts))
