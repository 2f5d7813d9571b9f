"""One replication has one outcome, however it is run: plain or compiled, in one go or in pieces, on any threads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from builders import PS_PER_MS, point, rate_at, uniform, with_digest
from drawn import points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_python import plain_advance

from fastq.engine.encode import Encoded, encode
from fastq.engine.ensemble import Ensemble
from fastq.engine.evaluate import evaluate_block, evaluate_point
from fastq.engine.record import record_raw
from fastq.engine.window import all_done
from fastq.errors import SpecError
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance
from fastq.model.iteration_time import Plane
from fastq.model.load import parse_spec
from fastq.model.run import Run
from fastq.model.scheduler import Admission

NO_RECORD = layout.Record(
    np.empty((0, layout.ITERATION_COLUMNS), np.int64),
    np.empty((0, layout.REQUEST_COLUMNS), np.int64),
    np.empty((0, layout.EVENT_COLUMNS), np.int64),
)
FLOW = tuple(admission for admission in Admission if admission is not Admission.LOOKAHEAD)

MEASURED = """
    ITERATION FREE_BLOCKS RUNNING DECODING DECODING_KV MAX_RUNNING COMPLETED ARRIVED
    START_ITERATION START_COMPLETED START_BACKLOG WARMUP_COMPLETED IDLE_NS SUM_RUNNING
    STOPPED_KV STOPPED_SEQS STOPPED_TOKENS STOPPED_KV_BLOCKS STOPPED_LIMIT_BLOCKS
    SUM_PREFILL SUM_PREFILLING SUM_PREFILL_KV SUM_ATTENTION2
    REDONE_PREFILL REDONE_DECODES REDONE_DECODE_KV REDONE_ATTENTION2
    SUM_WAITING SUM_KV_TOKENS SUM_BLOCKS MAX_WAITING PREEMPTIONS RECOMPUTED_TOKENS TPOT_COUNT
    WAIT_LOW WAIT_HIGH TTFT_LOW TTFT_HIGH TPOT_LOW TPOT_HIGH E2E_LOW E2E_HIGH
"""
"""Registers that are state of the replica or sums of the window."""

runs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**64 - 1),
        "replication": st.integers(0, 3),
        "warmup_requests": st.integers(0, 20),
        "requests": st.integers(1, 60),
        "aged": st.integers(1, 12),
        "load": st.sampled_from([0.05, 0.5, 1.0, 3.0]),
    }
)
few = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
more = settings(few, max_examples=100)
both_arrivals = pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])
both_admissions = pytest.mark.parametrize(
    "admissions", [FLOW, (Admission.LOOKAHEAD,)], ids=["flow", "lookahead"]
)


class Replica:
    """A replication that runs in one mode, as far as it is told."""

    def __init__(self, drawn_point, drawn, *, saturated: bool, plain: bool) -> None:
        system = with_digest(drawn_point)
        self.run = Run(seed=drawn["seed"], warmup_requests=drawn["warmup_requests"])
        self.encoded: Encoded = encode(system, self.run, mean_running=drawn["aged"])
        self.rate_rps = None if saturated else rate_at(system, drawn["load"])
        self.params = self.encoded.for_replications([drawn["replication"]], arrival_rate_rps=self.rate_rps)
        self.states = self.encoded.new_states(1, latencies=not saturated)
        self.state = layout.one_of(self.states, 0)
        make = plain_advance if plain else compiled_advance
        self.loop = make(saturated, self.encoded.lookahead, False, self.encoded.terms)

    def advance(self, requests: int, steps: int = layout.UNLIMITED) -> int:
        status = np.empty(1, np.int64)
        self.loop(self.params, self.encoded.tables, self.states, NO_RECORD, requests, steps, status)
        return int(status[0])


def named_registers(state: layout.State) -> dict[str, int]:
    return dict(zip(layout.REGISTER_NAMES.split(), state.x.tolist(), strict=True))


def assert_same(one: layout.State, other: layout.State) -> None:
    assert named_registers(one) == named_registers(other)
    assert np.array_equal(one.histograms, other.histograms)


@both_arrivals
@both_admissions
def test_plain_python_and_compiled_code_give_equal_bits(saturated, admissions):
    @few
    @given(drawn_point=points(admissions), drawn=runs)
    def check(drawn_point, drawn):
        plain, compiled = (
            Replica(drawn_point, drawn, saturated=saturated, plain=mode) for mode in (True, False)
        )
        assert plain.advance(drawn["requests"]) == compiled.advance(drawn["requests"]) == layout.DONE
        assert_same(plain.state, compiled.state)
        assert compiled.state.histograms[layout.HIST_ITERATION].sum() > 0

    check()


@both_arrivals
@both_admissions
def test_slices_add_up_to_an_unsliced_run(saturated, admissions):
    @more
    @given(drawn_point=points(admissions), drawn=runs, step=st.integers(1, 40))
    def check(drawn_point, drawn, step):
        sliced, whole = (Replica(drawn_point, drawn, saturated=saturated, plain=False) for _ in range(2))
        whole.advance(drawn["requests"])
        while (status := sliced.advance(drawn["requests"], step)) != layout.DONE:
            assert status == layout.PAUSED
        assert_same(sliced.state, whole.state)

    check()


@both_arrivals
@both_admissions
def test_a_run_that_is_carried_on_equals_a_longer_one(saturated, admissions):
    @more
    @given(drawn_point=points(admissions), drawn=runs)
    def check(drawn_point, drawn):
        n = drawn["requests"]
        carried, straight = (Replica(drawn_point, drawn, saturated=saturated, plain=False) for _ in range(2))
        carried.advance(n)
        carried.advance(2 * n)
        straight.advance(2 * n)
        assert_same(carried.state, straight.state)

    check()


@both_arrivals
@both_admissions
def test_recording_changes_nothing(saturated, admissions):
    """Every sum and the state of the replica are the same; notes on the batch under way are none of them."""

    @more
    @given(drawn_point=points(admissions), drawn=runs)
    def check(drawn_point, drawn):
        bare = Replica(drawn_point, drawn, saturated=saturated, plain=False)
        bare.advance(drawn["requests"])
        raw = record_raw(
            bare.encoded,
            compiled_advance(saturated, bare.encoded.lookahead, True, bare.encoded.terms),
            arrival_rate_rps=bare.rate_rps,
            replication=drawn["replication"],
            warmup_requests=drawn["warmup_requests"],
            requests=drawn["requests"],
            iteration_rows=64,
        )
        recorded = dict(zip(layout.REGISTER_NAMES.split(), raw.registers.tolist(), strict=True))
        assert measured(named_registers(bare.state)) == measured(recorded)

    check()


def measured(registers: dict[str, int]) -> dict[str, int]:
    """State and sums; a clock that nobody reads may keep whole nanoseconds in its remainder."""
    clocks = {name: registers[f"{name}_NS"] * 1000 + registers[f"{name}_PS"] for name in ("NOW", "START")}
    return clocks | {name: registers[name] for name in MEASURED.split()}


def small_system(admission: str = "prompt"):
    return point(
        uniform(10, 160),
        uniform(10, 160),
        kv_capacity_tokens=4096,
        block_size=16,
        admission=admission,
        max_num_batched_tokens=256,
        prefill_chunk_tokens=64,
        planes=[Plane(base_ps=8 * PS_PER_MS, prefill_token_ps=3 * 10**7, kv_token_ps=10**6)],
    )


def outcome(replication) -> dict:
    """Everything that a replication yields, comparable with ==."""

    def plain(value):
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, dict):
            return {name: plain(entry) for name, entry in value.items()}
        return value

    return plain(dataclasses.asdict(replication))


@pytest.mark.parametrize("plain", [True, False])
def test_a_sum_of_attention_work_that_could_overflow_stops_the_run(plain):
    drawn = {"seed": 1, "replication": 0, "warmup_requests": 0, "requests": 20, "aged": 1, "load": 1.0}
    system = point(uniform(5, 9), uniform(2, 6), max_num_seqs=2)
    replica = Replica(system, drawn, saturated=True, plain=plain)
    assert replica.advance(10) == layout.DONE
    replica.state.x[layout.SUM_ATTENTION2] = layout.SUM_LIMIT - 1
    assert replica.advance(100) == layout.SUM_FULL
    with pytest.raises(SpecError, match=r"run\.requests.*replications"):
        all_done([layout.DONE, layout.SUM_FULL])


@pytest.mark.parametrize("rate_rps", [None, 5.0])
@pytest.mark.parametrize("admission", ["prompt", "lookahead"])
def test_a_trajectory_carried_on_equals_a_longer_one(admission, rate_rps):
    """To n and then to 2n, or to 2n with its checkpoint at n: the same replication, checkpoints included."""
    encoded = encode(small_system(admission), Run(seed=9), mean_running=20)
    carried, straight = (Ensemble(encoded, [0, 1], rate_rps) for _ in range(2))
    short = carried.run_to(1500)[1]
    assert short.requests >= 1500 > short.half_requests >= 750
    long = straight.run_to(3000)[1]
    assert outcome(carried.run_to(3000)[1]) == outcome(long)
    assert long.half_requests == short.requests
    assert long.half_elapsed_ps == short.elapsed_ps


def test_a_trajectory_in_short_slices_equals_one_in_long_ones(monkeypatch):
    encoded = encode(small_system(), Run(seed=9), mean_running=20)
    whole = outcome(Ensemble(encoded, [0]).run_to(2000)[0])
    monkeypatch.setattr("fastq.engine.ensemble.STEPS_PER_SLICE", 17)
    assert outcome(Ensemble(encoded, [0]).run_to(2000)[0]) == whole


def test_replications_side_by_side_equal_replications_alone():
    encoded = encode(small_system(), Run(seed=9), mean_running=20)
    together = Ensemble(encoded, range(4), 5.0).run_to(500)
    alone = [Ensemble(encoded, [number], 5.0).run_to(500)[0] for number in range(4)]
    assert [outcome(one) for one in together] == [outcome(one) for one in alone]


def grid(**run):
    return parse_spec(
        {
            "workload": {"prompt_tokens": {"uniform": [10, 160]}, "output_tokens": {"uniform": [10, 160]}},
            "arrivals": {"load": [0.5, 0.9]},
            "replica": {"kv_capacity_tokens": 4096, "max_num_batched_tokens": 256},
            "iteration_time": {"planes": [{"base_ms": 8, "prefill_token_us": 30, "kv_token_ns": 1000}]},
            "run": {"requests": 400, "replications": 4, "measure": ["boundary", "rates"], **run},
            "grid": {
                "replica.kv_capacity_tokens": [8192, 1024, 2048],  # not in order of cost
                "scheduler.admission": ["prompt", "peak", "lookahead"],
            },
        },
        source="test",
    )


def test_tables_do_not_depend_on_threads():
    spec = grid()
    alone = evaluate_block(spec, 0, threads=1)
    assert len(alone.points["point"]) == 9
    for threads in (2, 5):
        assert evaluate_block(spec, 0, threads=threads) == alone
    result = evaluate_point(spec, 4, threads=2)
    assert result == evaluate_point(spec, 4)
    assert result.point == {name: column[4] for name, column in alone.points.items()}


def test_tables_do_not_depend_on_how_points_are_cut_into_blocks():
    spec = grid()
    whole = evaluate_block(spec, 0)
    parts = [evaluate_block(spec, block, block_points=4) for block in range(3)]
    for name, column in whole.points.items():
        assert [value for part in parts for value in part.points[name]] == column


def drawn_lengths(system, run: Run, replication: int) -> list[tuple[int, int]]:
    """Lengths of the first requests that a saturated replication serves."""
    encoded = encode(system, run, mean_running=1)
    raw = record_raw(
        encoded,
        compiled_advance(True, encoded.lookahead, True, encoded.terms),
        arrival_rate_rps=None,
        replication=replication,
        warmup_requests=0,
        requests=200,
    )
    rows = {row[layout.REQ_INDEX]: row for row in raw.requests.tolist()}
    return [(rows[k][layout.REQ_PROMPT], rows[k][layout.REQ_OUTPUT]) for k in range(50)]


def test_common_random_numbers_are_common_and_others_are_not():
    one, other = (
        dataclasses.replace(
            small_system(), replica=dataclasses.replace(small_system().replica, kv_capacity_tokens=kv)
        )
        for kv in (4096, 8192)
    )
    common, independent = Run(seed=3), Run(seed=3, common_random_numbers=False)
    assert drawn_lengths(one, common, 0) == drawn_lengths(other, common, 0)
    assert drawn_lengths(one, independent, 0) != drawn_lengths(other, independent, 0)
    assert drawn_lengths(one, independent, 0) != drawn_lengths(one, common, 0)
    # Independent draws belong to the values of a point: its place in a grid and its name don't matter.
    moved = dataclasses.replace(one, index=17, case="moved", axes={"replica.kv_capacity_tokens": 4096})
    assert drawn_lengths(one, independent, 0) == drawn_lengths(moved, independent, 0)


def test_of_equal_requests_no_replication_is_a_copy_of_another():
    equal = point([40], [60], kv_capacity_tokens=4096, block_size=16)
    encoded = encode(equal, Run(seed=2), mean_running=40)
    held = {replication.kv_tokens_sum for replication in Ensemble(encoded, range(8)).run_to(777)}
    assert len(held) == 8


def test_seeds_and_replications_differ():
    seen = [
        tuple(drawn_lengths(small_system(), Run(seed=seed), replication))
        for seed in (0, 1, 2**32, 2**63)
        for replication in (0, 2)
    ]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("requests", [1, 2, 100, 400])
def test_windows_as_short_as_one_lockstep_of_requests_have_rows(requests):
    """256 equal requests finish in one iteration: half of a short window may be empty, or all of it."""
    spec = parse_spec(
        {
            "workload": {"prompt_tokens": {"constant": 10}, "output_tokens": {"constant": 20}},
            "replica": {"kv_capacity_tokens": 65_536},
            "iteration_time": {"constant": "10 ms"},
            "run": {"requests": requests, "replications": 2},
        },
        source="test",
    )
    row = evaluate_point(spec, 0).point
    assert row["status"] == "short"
    assert row["service_rate_rps"] > 0


@pytest.mark.parametrize("common", [True, False])
def test_a_seed_decides_the_tables(common):
    one, again, other = (grid(seed=seed, common_random_numbers=common) for seed in (5, 5, 6))
    table = evaluate_point(one, 0)
    assert table == evaluate_point(again, 0)
    assert table.point["service_rate_rps"] != evaluate_point(other, 0).point["service_rate_rps"]
