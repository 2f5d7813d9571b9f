"""No spec is taken whose numbers a simulation could not hold."""

from __future__ import annotations

import tomllib

import pytest
from spec_documents import FULL, error_of, point_of, spec_of

from fastq.errors import SpecError
from fastq.model.concurrency import most_at_once
from fastq.model.load import parse_spec


def test_no_sum_of_picoseconds_can_overflow():
    error = error_of(
        replica__kv_capacity_tokens=2**31 - 1,
        iteration_time={"planes": [{"base_ms": 1, "kv_token_ns": 500}]},
    )
    assert "2,147,483,647 KV tokens" in str(error)
    axis = {"replica.kv_capacity_tokens": {"geometric": [1000, 2**31 - 1, 50]}}
    planes = {"planes": [{"base_ms": 1, "kv_token_ns": 500}]}
    assert error_of(grid=axis, iteration_time=planes).key == "iteration_time"


@pytest.mark.parametrize("limits", [[2, 2_000_000], [2_000_000, 2]])
def test_the_longest_request_counts_wherever_it_stands_on_its_axis(limits):
    changes = {
        "workload": {"prompt_tokens": {"constant": 1_000_000}, "output_tokens": {"constant": 1}},
        "replica": {"kv_capacity_tokens": 2_000_000, "max_num_batched_tokens": 2_000_000},
        "iteration_time": {"planes": [{"base_ms": 1, "attention_ps": 1e7}]},
        "run": {"infeasible": "skip"},
    }
    assert error_of(grid={"replica.max_model_len": limits}, **changes).key == "iteration_time"
    assert len(spec_of(grid={"replica.max_model_len": [2, 3]}, **changes)) == 2


UNLIMITED = {
    "replica__max_num_seqs": "unlimited",
    "replica__max_num_batched_tokens": "unlimited",
    "replica__prefill_chunk_tokens": 512,
}


@pytest.mark.parametrize(
    ("changes", "at_once"),
    [
        ({"replica__kv_capacity_tokens": 2**31 - 1}, (2**27 - 1) // 7 + 1),
        ({"grid": {"replica.kv_capacity_tokens": [10**4, 2**30, 10**5]}}, 2**26 // 7 + 1),
        ({"replica__kv_capacity_tokens": 2**29, "replica__max_num_seqs": 2**22 + 1}, 2**22 + 1),
        ({"replica__kv_capacity_tokens": 2**29, "replica__max_num_batched_tokens": 2**22 + 1}, 2**22 + 1),
        (
            {"replica__kv_capacity_tokens": 2**29, "grid": {"replica.max_num_seqs": [1, "unlimited", 3]}},
            2**25 // 7 + 1,
        ),
        (
            {"replica__kv_capacity_tokens": 2**29, "grid": {"replica.prefill_chunk_tokens": [512, 16, 64]}},
            2**25 + 1,
        ),
        ({"replica__kv_capacity_tokens": 2**29, "grid": {"replica.block_size": [2048, 100, 64]}}, 5_368_710),
        (
            {"replica__kv_capacity_tokens": 2**26, "grid": {"workload.prompt_scale": [1, 0.01, 2]}},
            2**22 + 1,
        ),
    ],
)
def test_no_simulation_keeps_room_for_more_requests_than_memory_holds(changes, at_once):
    error = error_of(**{**UNLIMITED, **changes})
    assert error.key == "replica.max_num_seqs"
    assert f"{at_once:,} requests" in str(error)
    assert "4,194,304" in str(error)


def test_room_for_requests_is_bounded_by_any_one_limit():
    roomy = {**UNLIMITED, "replica__kv_capacity_tokens": 2**31 - 1}
    for limit in ({"replica__max_num_seqs": 2**22}, {"replica__max_num_batched_tokens": 2**22}):
        point = point_of(**{**roomy, **limit})
        assert most_at_once(point.law, point.replica) == 2**22
    point = point_of(replica__kv_capacity_tokens=1000, replica__block_size=8)
    assert most_at_once(point.law, point.replica) == 125 // 13 + 1
    point = point_of(replica__kv_capacity_tokens=1000, replica__prefill_chunk_tokens=20)
    assert most_at_once(point.law, point.replica) == 62 // 2 + 1
    point = point_of(replica__kv_capacity_tokens=1000, replica__max_num_batched_tokens=20)
    assert most_at_once(point.law, point.replica) == 20


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ({"requests": 4001}, "run.requests = 4,001"),
        ({"requests": 10, "warmup_requests": 4001}, "run.warmup_requests = 4,001"),
        ({"requests": 10, "max_requests": 4001, "precision": 0.1}, "run.max_requests = 4,001"),
    ],
)
def test_simulated_times_are_within_what_the_clock_holds(run, named):
    rates = {"rate_rps": [1, 1e-6, 2]}
    error = error_of(run={"measure": ["rates"], **run}, arrivals=rates)
    assert error.key == "arrivals.rate_rps"
    assert error.value == 1e-6
    assert named in str(error)
    assert "4e+09 s" in str(error)
    fewer = {name: 4000 if value == 4001 else value for name, value in run.items()}
    spec_of(run={"measure": ["rates"], **fewer}, arrivals=rates)
    spec_of(run=run, arrivals=rates)
    spec_of(run={"requests": 10, "max_requests": 4001, "measure": ["rates"]}, arrivals=rates)


def test_squares_of_the_prompts_fit_their_register():
    document = tomllib.loads(FULL)
    document["workload"]["prompt_tokens"] = {"constant": 2**20}
    document["replica"]["kv_capacity_tokens"] = 2**22
    document["run"] = {"requests": 2**21}
    document.pop("grid")
    assert parse_spec(document).run.requests == 2**21
    document["run"] = {"requests": 2**21 + 1}
    with pytest.raises(SpecError, match=r"run\.requests = 2097153: with prompts of up to 1,048,576 tokens"):
        parse_spec(document)
    document["run"] = {"requests": 1000, "precision": 0.01, "max_requests": 2**22}
    with pytest.raises(SpecError, match=r"run\.max_requests"):
        parse_spec(document)


def test_lengths_are_bounded_after_scaling():
    error = error_of(workload__prompt_scale=20_000)
    assert error.key == "workload.prompt_scale"
    assert "1,048,576" in str(error)
    assert error_of(grid={"workload.prompt_scale": [1, 20_000]}).key == "workload.prompt_scale"
    assert error_of(cases=[{"name": "a", "workload.output_scale": 200_000}]).key == "workload.output_scale"
