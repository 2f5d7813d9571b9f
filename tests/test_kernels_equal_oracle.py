"""The kernels equal the oracle, event for event, compiled and in plain Python."""

from __future__ import annotations

import dataclasses

import numpy as np
import oracle
import pytest
from drawn import points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_python import plain_advance
from stream_reference import starts_aged, stream

from fastq.analysis.replication import occupied_part
from fastq.closed_forms import closed_forms
from fastq.engine.encode import Encoded, encode
from fastq.engine.record import RawRecording, record_raw
from fastq.engine.window import read_window
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance
from fastq.model.point import Point
from fastq.model.run import Run
from fastq.model.scheduler import Admission

NO_HISTOGRAM = occupied_part(np.zeros(1, np.int64))
KINDS = {
    "admit": layout.EVENT_ADMIT,
    "first_token": layout.EVENT_FIRST_TOKEN,
    "finish": layout.EVENT_FINISH,
    "preempt": layout.EVENT_PREEMPT,
}
FLOW = tuple(admission for admission in Admission if admission is not Admission.LOOKAHEAD)

runs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**64 - 1),
        "replication": st.integers(0, 3),
        "warmup_requests": st.integers(0, 10),
        "requests": st.integers(1, 25),
        "aged": st.integers(1, 12),
        "load": st.sampled_from([0.05, 0.5, 1.0, 3.0]),
        "iteration_rows": st.sampled_from([50, 100_000]),
    }
)


def oracle_config(point: Point) -> oracle.Config:
    replica = point.replica
    return oracle.Config(
        kv_capacity_tokens=replica.kv_capacity_tokens,
        block_size=replica.block_size,
        max_num_seqs=replica.max_num_seqs,
        max_num_batched_tokens=replica.max_num_batched_tokens,
        prefill_chunk_tokens=replica.prefill_chunk_tokens,
        watermark_blocks=replica.watermark_blocks,
        max_model_len=replica.max_model_len,
        admission=str(point.scheduler.admission),
        preemption=str(point.scheduler.preemption),
        token_convention=str(point.scheduler.token_convention),
        planes=tuple(dataclasses.astuple(plane) for plane in point.iteration_time.planes),
        terms=oracle.Terms(*dataclasses.astuple(point.iteration_time.terms)),
    )


def rate_at(point: Point, load: float) -> float:
    """``load`` times the service rate of theory, within what a clock of nanoseconds can tell apart."""
    return min(max(load * closed_forms(point).theory_rate_rps, 1e-3), 1e6)


def assert_work_equal(raw: RawRecording, window: oracle.Window, *, terms: bool) -> None:
    window_of = read_window(raw.registers.tolist(), [NO_HISTOGRAM])
    sums = window.sums
    counted = 7 if terms else 4
    assert window_of.executed[:counted] == (
        sums["prefill_tokens"],
        sums["decodes"],
        sums["decode_kv_tokens"],
        sums["attention2"],
        *(window.prefills if terms else ()),
    )
    assert window_of.redone[:counted] == window.redone[:counted]
    blocks = window.blocks_by_stop
    assert window_of.stopped_kv_blocks == blocks["kv"]
    assert window_of.stopped_limit_blocks == blocks["seqs"] + blocks["tokens"]
    for name in ("kv", "seqs", "tokens"):
        assert getattr(window_of, f"stopped_{name}") == window.stops.count(name)


def assert_equal(raw: RawRecording, trace: oracle.Trace, *, saturated: bool, terms: bool) -> None:
    assert raw.iterations.tolist() == [list(vars(iteration).values()) for iteration in trace.iterations]
    ours = {tuple(event) for event in raw.events.tolist()}
    assert len(ours) == len(raw.events)
    theirs = {(e.iteration, KINDS[e.kind], e.request_index, e.value) for e in trace.events}
    assert ours == theirs
    finished = {row[layout.REQ_INDEX]: row for row in raw.requests.tolist()}
    assert len(finished) == len(raw.requests) == len(trace.completed)
    for done in trace.completed:
        row = list(finished[done.index])
        expected = list(vars(done).values())
        if done.first_token_ns is None:  # aged: before the start
            row[layout.REQ_FIRST_TOKEN_NS] = None
        assert row == expected
    x = raw.registers
    window = trace.window
    assert window is not None
    assert x[layout.COMPLETED] - x[layout.START_COMPLETED] == window.completed
    assert x[layout.ITERATION] - x[layout.START_ITERATION] == window.iterations
    elapsed_ps = (x[layout.NOW_NS] - x[layout.START_NS]) * 1000 + x[layout.NOW_PS] - x[layout.START_PS]
    assert elapsed_ps == window.elapsed_ns * 1000 + window.elapsed_ps
    sums = window.sums
    assert x[layout.SUM_RUNNING] == sums["running"]
    assert x[layout.SUM_KV_TOKENS] == sums["kv_tokens"]
    assert x[layout.SUM_BLOCKS] == sums["used_blocks"]
    assert x[layout.PREEMPTIONS] == sums["preempted"]
    assert x[layout.RECOMPUTED_TOKENS] == window.recomputed_tokens
    assert x[layout.IDLE_NS] == window.idle_ns
    if saturated:
        assert_work_equal(raw, window, terms=terms)
    else:
        assert x[layout.SUM_WAITING] == sums["waiting"]
        assert x[layout.MAX_WAITING] == window.max_waiting
        assert x[layout.START_BACKLOG] == window.backlog_start
        assert x[layout.ARRIVED] - x[layout.COMPLETED] == window.backlog_end


def check(point: Point, drawn: dict, *, saturated: bool, plain: bool) -> None:
    run = Run(seed=drawn["seed"])
    encoded: Encoded = encode(point, run, mean_running=drawn["aged"])
    rate = None if saturated else rate_at(point, drawn["load"])
    aged = drawn["aged"] if saturated and starts_aged(encoded, drawn["replication"]) else 0
    requests = stream(
        encoded,
        seed=drawn["seed"],
        replication=drawn["replication"],
        arrival_rate_rps=rate,
        aged_requests=aged,
    )
    trace = oracle.simulate(
        oracle_config(point),
        requests,
        saturated=saturated,
        warmup_requests=drawn["warmup_requests"],
        window_requests=drawn["requests"],
    )
    make = plain_advance if plain else compiled_advance
    raw = record_raw(
        encoded,
        make(saturated, encoded.lookahead, True, encoded.terms),
        arrival_rate_rps=rate,
        replication=drawn["replication"],
        warmup_requests=drawn["warmup_requests"],
        requests=drawn["requests"],
        iteration_rows=drawn["iteration_rows"],
    )
    assert_equal(raw, trace, saturated=saturated, terms=encoded.terms)


many = settings(max_examples=520, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])
@many
@given(point=points(FLOW), drawn=runs)
def test_compiled_equals_oracle(saturated, point, drawn):
    check(point, drawn, saturated=saturated, plain=False)


@pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])
@many
@given(point=points((Admission.LOOKAHEAD,)), drawn=runs)
def test_compiled_lookahead_equals_oracle(saturated, point, drawn):
    check(point, drawn, saturated=saturated, plain=False)


@pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])
@few
@given(point=points(), drawn=runs)
def test_plain_python_equals_oracle(saturated, point, drawn):
    check(point, drawn, saturated=saturated, plain=True)
