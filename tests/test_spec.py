"""Specs: every key, its default and its precedence, and what a hash is made of."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastq.errors import SpecError
from fastq.model.catalogue import grid_names, load_replica, load_workload, replica_names, workload_names
from fastq.model.concurrency import most_at_once
from fastq.model.document import settable_keys
from fastq.model.duration import read_duration_ps
from fastq.model.iteration_time import Plane
from fastq.model.load import load_spec, parse_spec
from fastq.model.point import Arrivals, Rates
from fastq.model.reading import Place
from fastq.model.replica import Replica
from fastq.model.run import Run
from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention
from fastq.model.version import VERSION

FULL = """
title = "Llama-3-8B on one A100"

[workload]
prompt_tokens = { uniform = [10, 1600] }
output_tokens = { uniform = [10, 1600] }

[arrivals]
process = "poisson"
rate_rps = [1.0, 3.0, 5.0]

[replica]
kv_capacity_tokens = 131_000
max_num_batched_tokens = 2048

[iteration_time]
constant = "37.2 ms"

[scheduler]
preset = "vllm"

[run]
measure = ["boundary"]
seed = 1

[grid]
"replica.kv_capacity_tokens" = { geometric = [16_000, 512_000, 32] }
"workload.output_scale" = { linear = [0.25, 4.0, 16] }
"replica.max_num_seqs" = [64, 256, 1024]
"""

MINIMAL = """
[workload]
prompt_tokens = { constant = 100 }
output_tokens = { constant = 10 }
[replica]
kv_capacity_tokens = 10_000
[iteration_time]
constant = "10 ms"
"""

HERE = Path(__file__).resolve().parent


def document(text=MINIMAL, **changes):
    """Parse a spec and set dotted keys, written with two underscores; None removes one."""
    made = tomllib.loads(text)
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        if not leaf:
            made[section] = value
        elif value is None:
            made[section].pop(leaf)
        else:
            made.setdefault(section, {})[leaf] = value
    return made


def spec_of(text=MINIMAL, overrides=(), **changes):
    return parse_spec(document(text, **changes), source="spec.toml", overrides=overrides)


def point_of(text=MINIMAL, **changes):
    return spec_of(text, **changes).point(0)


def error_of(text=MINIMAL, overrides=(), **changes):
    with pytest.raises(SpecError) as caught:
        spec_of(text, overrides, **changes)
    return caught.value


def origins(spec, index=None):
    return {resolved.key: (resolved.value_text, resolved.origin) for resolved in spec.resolved(index)}


def test_the_full_spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(FULL, encoding="utf-8")
    spec = load_spec(path)
    assert spec.title == "Llama-3-8B on one A100"
    assert spec.source == str(path)
    assert len(spec) == 32 * 16 * 3
    assert spec.shape == (32, 16, 3)
    assert [axis.key for axis in spec.axes] == [
        "replica.kv_capacity_tokens",
        "workload.output_scale",
        "replica.max_num_seqs",
    ]
    assert spec.run == Run()
    last = spec.point(len(spec) - 1)
    assert last.case is None
    assert last.axes == {
        "replica.kv_capacity_tokens": 512_000,
        "workload.output_scale": 4.0,
        "replica.max_num_seqs": 1024,
    }
    assert last.arrivals == Arrivals("poisson", Rates((1.0, 3.0, 5.0)))
    assert last.replica == Replica(512_000, 16, 1024, 2048, 2048, 0.0, None)
    assert last.iteration_time.planes == (Plane(base_ps=37_200_000_000),)
    assert last.iteration_time.is_constant
    assert last.scheduler == Scheduler()
    assert last.law.prompt_tokens.tolist() == list(range(10, 1601))
    assert last.law.output_tokens.tolist() == list(range(40, 6401, 4))
    assert origins(spec)["replica.kv_capacity_tokens"] == ("16000, 17893, ..., 512000 (32 values)", "grid")
    assert origins(spec)["replica.max_num_batched_tokens"] == ("2048", "spec")
    assert origins(spec)["replica.prefill_chunk_tokens"] == ("2048", "default")
    assert origins(spec)["scheduler.admission"] == ("prompt", "preset vllm")
    assert origins(spec, len(spec) - 1)["replica.kv_capacity_tokens"] == ("512000", "grid")


def test_defaults():
    spec = spec_of()
    assert spec.run == Run(("boundary",), 1, 8, 20_000, None, None, 1_280_000, True, "error")
    point = spec.point(0)
    assert point.arrivals == Arrivals()
    assert point.replica == Replica(10_000, 16, 256, 2048, 2048, 0.0, None)
    assert point.scheduler == Scheduler(
        "vllm", Admission.PROMPT, Preemption.RECOMPUTE, TokenConvention.ENGINE
    )
    assert {key: origin for key, (_, origin) in origins(spec).items()} == {
        "workload.prompt_tokens": "spec",
        "workload.output_tokens": "spec",
        "workload.prompt_scale": "default",
        "workload.output_scale": "default",
        "replica.kv_capacity_tokens": "spec",
        "replica.block_size": "default",
        "replica.max_num_seqs": "default",
        "replica.max_num_batched_tokens": "default",
        "replica.prefill_chunk_tokens": "default",
        "replica.watermark": "default",
        "replica.max_model_len": "default",
        "iteration_time.constant": "spec",
        "scheduler.preset": "default",
        "scheduler.admission": "preset vllm",
        "scheduler.preemption": "preset vllm",
        "scheduler.token_convention": "preset vllm",
        "arrivals.process": "default",
        **{f"run.{name}": "default" for name in Run.__dataclass_fields__},
    }


def test_the_paper_preset_knows_no_limit_but_an_explicit_one():
    error = error_of(scheduler__preset="paper")
    assert error.key == "replica.prefill_chunk_tokens"
    assert "preset paper sets no token budget" in str(error)
    paper = point_of(scheduler__preset="paper", replica__prefill_chunk_tokens=512)
    assert paper.replica == Replica(10_000, 1, None, None, 512, 0.0, None)
    assert paper.scheduler == Scheduler(
        "paper", Admission.LOOKAHEAD, Preemption.RECOMPUTE, TokenConvention.PAPER
    )
    limited = point_of(
        scheduler={"preset": "paper", "token_convention": "engine"},
        replica={
            "kv_capacity_tokens": 10_000,
            "max_num_batched_tokens": 2048,
            "max_num_seqs": 4,
            "block_size": 16,
        },
    )
    assert limited.replica == Replica(10_000, 16, 4, 2048, 2048, 0.0, None)
    assert limited.scheduler.token_convention is TokenConvention.ENGINE


def test_an_unlimited_budget_needs_a_chunk():
    error = error_of(replica__max_num_batched_tokens="unlimited")
    assert error.key == "replica.prefill_chunk_tokens"
    chunked = point_of(replica__max_num_batched_tokens="unlimited", replica__prefill_chunk_tokens=64)
    assert (chunked.replica.max_num_batched_tokens, chunked.replica.prefill_chunk_tokens) == (None, 64)


def test_a_missing_chunk_is_found_anywhere_in_a_grid():
    axes = {"replica.max_num_seqs": [1, 2, 3], "replica.max_num_batched_tokens": [1024, "unlimited"]}
    assert error_of(grid=axes).key == "replica.prefill_chunk_tokens"
    assert error_of(grid={"scheduler.preset": ["vllm", "paper"]}).key == "replica.prefill_chunk_tokens"
    error = error_of(cases=[{"name": "a"}, {"name": "b", "scheduler.preset": "paper"}])
    assert "case 'b'" in str(error)


def test_the_chunk_follows_a_budget_that_varies():
    spec = spec_of(grid={"replica.max_num_batched_tokens": [512, 2048]})
    assert [point.replica.prefill_chunk_tokens for point in spec] == [512, 2048]
    assert origins(spec)["replica.prefill_chunk_tokens"] == ("replica.max_num_batched_tokens", "default")
    assert origins(spec, 1)["replica.prefill_chunk_tokens"] == ("2048", "default")


CATALOGUE = "rtx-4090-llama-3.1-8b"


def test_a_catalogue_fills_and_explicit_keys_override():
    filled = document(replica={"catalogue": CATALOGUE})
    del filled["iteration_time"]
    spec = parse_spec(filled)
    point = spec.point(0)
    entry = load_replica(CATALOGUE)
    assert point.replica.kv_capacity_tokens == entry["replica"]["kv_capacity_tokens"]
    assert len(point.iteration_time.planes) == len(entry["iteration_time"]["planes"])
    assert not point.iteration_time.is_constant
    assert origins(spec)["iteration_time.planes"][1] == f"catalogue {CATALOGUE}"
    overridden = spec_of(replica={"catalogue": CATALOGUE, "kv_capacity_tokens": 9_000})
    assert overridden.point(0).replica.kv_capacity_tokens == 9_000
    assert overridden.point(0).iteration_time.planes == (Plane(base_ps=10**10),)
    assert origins(overridden)["replica.kv_capacity_tokens"] == ("9000", "spec")
    assert "iteration_time.planes" not in origins(overridden)


def test_a_preset_goes_before_a_catalogue():
    point = point_of(
        replica={"catalogue": CATALOGUE, "prefill_chunk_tokens": 512}, scheduler={"preset": "paper"}
    )
    assert (point.replica.block_size, point.replica.max_num_seqs) == (1, None)


def test_catalogues_vary_along_an_axis():
    names = list(replica_names()[:2])
    made = document(grid={"replica.catalogue": names})
    made["iteration_time"] = {}
    del made["replica"]["kv_capacity_tokens"]
    spec = parse_spec(made)
    assert [point.axes["replica.catalogue"] for point in spec] == names
    for point in spec:
        entry = load_replica(str(point.axes["replica.catalogue"]))
        assert point.replica.kv_capacity_tokens == entry["replica"]["kv_capacity_tokens"]


def test_what_ships_loads():
    assert {"quickstart", "paper-table-1"} <= set(grid_names())
    for name in grid_names():
        spec = load_spec(name)
        assert spec.source == f"grid {name}"
        assert spec.first_infeasible() is None
    for name in workload_names():
        workload = load_workload(name)
        assert workload.law.name == name
        assert "licence" in workload.metadata


@pytest.mark.parametrize(
    ("text", "duration_ps"),
    [
        ("37.2 ms", 37_200_000_000),
        ("37.2ms", 37_200_000_000),
        (" 0.0372 s ", 37_200_000_000),
        ("37200 us", 37_200_000_000),
        ("37200 µs", 37_200_000_000),
        ("37200 μs", 37_200_000_000),
        ("3.72e7 ns", 37_200_000_000),
        ("0.5 min", 30 * 10**12),
        ("1.0005 ns", 1001),  # 1000.5 ps, halves up
        ("1.00049999 ns", 1000),
        (".1 ms", 100_000_000),
    ],
)
def test_durations_are_exact(text, duration_ps):
    assert read_duration_ps(text, Place("spec.toml", "iteration_time.constant")) == duration_ps


@given(st.decimals("0.000000001", "999", places=9))
def test_durations_are_exact_decimals(number):
    expected = Fraction(number) * 10**9
    assert read_duration_ps(f"{number} ms", Place("")) == int(expected + Fraction(1, 2))


@pytest.mark.parametrize(
    "value",
    [
        "37.2",
        "ms",
        "37.2 msec",
        "-1 ms",
        "0 ms",
        "0.4 ps",
        "17 min",
        "1e9 s",
        "1,5 ms",
        "nan s",
        "",
        37.2,
        37,
        None,
    ],
)
def test_bad_durations(value):
    error = error_of(iteration_time={"constant": value})
    assert error.key == "iteration_time.constant"
    assert "37.2 ms" in str(error)


def test_planes_are_exact():
    plane = {"base_ms": 11.86, "prefill_token_us": 57.716, "kv_token_ns": 80.583, "attention_ps": 3484.5}
    times = point_of(iteration_time={"planes": [plane, {"base_ms": 1}]}).iteration_time
    assert times.planes == (Plane(11_860_000_000, 57_716_000, 0, 80_583, 3485), Plane(10**9))
    text = origins(spec_of(iteration_time={"planes": [plane, {"base_ms": 1}]}))["iteration_time.planes"][0]
    assert text == "max(11.86 ms + 57.716 us P + 80.583 ns K + 3485 ps A, 1 ms)"


@pytest.mark.parametrize(
    ("planes", "key", "shown"),
    [
        ([], "iteration_time.planes", "list of 1 to 8"),
        ([{"base_ms": 1}] * 9, "iteration_time.planes", "list of 1 to 8"),
        ([{}], "iteration_time.planes", "base_ms > 0"),
        ([{"base_ms": 0}, {"decode_seq_us": 1}], "iteration_time.planes", "base_ms > 0"),
        ([{"base_ms": -1}], "iteration_time.planes[0].base_ms", ">= 0"),
        ([{"base_s": 1}], "iteration_time.planes[0].base_s", "did you mean base_ms"),
        ([{"base_ms": "1 ms"}], "iteration_time.planes[0].base_ms", "number"),
        ([{"base_ms": 1, "kv_token_ns": 1e9}], "iteration_time", "less than 1,000 s"),
    ],
)
def test_bad_planes(planes, key, shown):
    error = error_of(iteration_time={"planes": planes})
    assert error.key == key
    assert shown in str(error)


def test_planes_without_a_base_are_fine_where_no_batch_is_free():
    point = point_of(iteration_time={"planes": [{"prefill_token_us": 1}, {"kv_token_ns": 1}]})
    assert point.iteration_time.planes[0] == Plane(prefill_token_ps=10**6)


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


@pytest.mark.parametrize(
    ("changes", "key", "shown"),
    [
        ({"workload__prompt_tokens": None}, "workload.prompt_tokens", "is missing"),
        ({"workload": {}}, "workload.prompt_tokens", "workload.catalogue"),
        ({"replica__kv_capacity_tokens": None}, "replica.kv_capacity_tokens", "replica.catalogue"),
        ({"iteration_time__constant": None}, "iteration_time", "is missing"),
        ({"iteration_time__planes": [{"base_ms": 1}]}, "iteration_time.planes", "together"),
        ({"workload__catalogue": "azure-conv-2023"}, "workload.catalogue", "together"),
        ({"workload__prompt_tokens": 512}, "workload.prompt_tokens", "{ constant = n }"),
        ({"workload__prompt_scale": 0}, "workload.prompt_scale", ">="),
        ({"replica__kv_capacity_tokens": 0}, "replica.kv_capacity_tokens", "between 1 and 2,147,483,647"),
        ({"replica__kv_capacity_tokens": "unlimited"}, "replica.kv_capacity_tokens", "whole number"),
        ({"replica__kv_capacity_tokens": 2**31}, "replica.kv_capacity_tokens", "2147483648"),
        ({"replica__block_size": 1.5}, "replica.block_size", "1.5"),
        ({"replica__max_num_seqs": "many"}, "replica.max_num_seqs", '"unlimited"'),
        ({"replica__watermark": 1}, "replica.watermark", "< 1"),
        ({"replica__watermark": -0.1}, "replica.watermark", ">= 0"),
        ({"replica__kv_capacity": 5}, "replica.kv_capacity", "did you mean replica.kv_capacity_tokens"),
        ({"replica__preset": "vllm"}, "replica.preset", "did you mean scheduler.preset"),
        ({"replica": 5}, "replica", "table"),
        ({"replicas": {}}, "replicas", "did you mean replica"),
        ({"seed": 1}, "seed", "run"),
        ({"title": 5}, "title", "text"),
        ({"replica__catalogue": "a100"}, "replica.catalogue", "there are"),
        (
            {"workload": {"catalogue": "azure-conv-2032"}},
            "workload.catalogue",
            "did you mean azure-conv-2023",
        ),
        ({"workload": {"catalogue": "../x"}}, "workload.catalogue", "no such entry"),
        ({"scheduler__preset": "VLLM"}, "scheduler.preset", "vllm, paper"),
        ({"scheduler__admission": "promt"}, "scheduler.admission", "did you mean prompt"),
        ({"scheduler__preemption": "swap"}, "scheduler.preemption", "recompute, restart"),
        ({"arrivals__process": "hawkes"}, "arrivals.process", "poisson"),
        ({"arrivals__rate": 1}, "arrivals.rate", "did you mean rate_rps"),
        ({"arrivals__rate_rps": 0}, "arrivals.rate_rps", ">="),
        ({"arrivals__rate_rps": []}, "arrivals.rate_rps", "at least one"),
        ({"arrivals__rate_rps": [1, 1.0]}, "arrivals.rate_rps[1]", "once"),
        ({"arrivals__rate_rps": 1e7}, "arrivals.rate_rps", "1000000"),
        ({"arrivals": {"rate_rps": 1, "load": 0.5}}, "arrivals.load", "together"),
        ({"arrivals__load": "half"}, "arrivals.load", "number"),
        ({"run__measure": ["rates"]}, "arrivals.rate_rps", "needs"),
        ({"run__measure": []}, "run.measure", "one or more"),
        ({"run__measure": ["boundary", "boundary"]}, "run.measure", "each once"),
        ({"run__measure": ["bound"]}, "run.measure[0]", "boundary, rates"),
        ({"run__seed": -1}, "run.seed", "between 0"),
        ({"run__seed": 2**64}, "run.seed", "18,446,744,073,709,551,615"),
        ({"run__replications": 1}, "run.replications", "between 2"),
        ({"run__requests": 0}, "run.requests", "between 1"),
        ({"run__precision": 0}, "run.precision", ">="),
        ({"run__precision": 1}, "run.precision", "< 1"),
        ({"run__max_requests": 5}, "run.max_requests", "20,000"),
        ({"run__common_random_numbers": 1}, "run.common_random_numbers", "true or false"),
        ({"run__infeasible": "ignore"}, "run.infeasible", "error, skip"),
        ({"run__sed": 1}, "run.sed", "did you mean seed"),
    ],
)
def test_errors_name_file_key_value_and_what_is_accepted(changes, key, shown):
    error = error_of(**changes)
    assert error.source == "spec.toml"
    assert error.key == key
    assert shown in str(error)
    assert str(error).startswith(f"spec.toml: {key}")


def test_the_run():
    run = spec_of(
        run={
            "measure": ["rates", "boundary"],
            "seed": 2**64 - 1,
            "replications": 2,
            "requests": 100,
            "warmup_requests": 0,
            "precision": 0.01,
            "common_random_numbers": False,
            "infeasible": "skip",
        },
        arrivals={"load": [0.5, 0.8]},
    ).run
    assert run == Run(("boundary", "rates"), 2**64 - 1, 2, 100, 0, 0.01, 6400, False, "skip")


def test_rates_are_a_number_a_list_or_spaced_and_may_be_unused():
    assert point_of(arrivals={"rate_rps": 3}).arrivals.rates.rates_rps == (3.0,)
    assert point_of(arrivals={"load": [0.5, 0.8]}).arrivals.rates.loads == (0.5, 0.8)
    assert point_of(arrivals={"load": {"linear": [0.5, 0.9, 5]}}).arrivals.rates.loads == (
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
    )


def test_replacing_the_run_and_the_rates():
    spec = spec_of(run={"requests": 100})
    longer = spec.with_run(requests=500, seed=7)
    assert (longer.run.requests, longer.run.max_requests, longer.run.seed) == (500, 32_000, 7)
    assert spec.run.requests == 100
    measured = spec.at_rates([1.0, 3.0])
    assert measured.run.measure == ("boundary", "rates")
    assert measured.point(0).arrivals.rates.rates_rps == (1.0, 3.0)
    assert measured.with_arrivals(load=0.5).point(0).arrivals == Arrivals("poisson", Rates((), (0.5,)))
    with pytest.raises(SpecError, match=r"arrivals\.rate_rps\[1\] = -1"):
        spec.at_rates([1, -1])
    with pytest.raises(SpecError, match="replications"):
        spec.with_run(replications=1)


# Overrides


def test_overrides_take_the_place_of_what_the_spec_says():
    spec = spec_of(
        FULL,
        [
            ("title", "mine"),
            ("run.seed", "5"),
            ("replica.max_num_batched_tokens", "unlimited"),
            ("replica.prefill_chunk_tokens", "512"),
            ("iteration_time.constant", "20 ms"),
            ("workload.prompt_tokens.constant", "64"),
            ("arrivals.load", "[0.5, 0.9]"),
            ("replica.kv_capacity_tokens", "64_000"),
            ('grid."replica.max_num_seqs"', "{ linear = [1, 2, 2] }"),
        ],
    )
    point = spec.point(0)
    assert spec.title == "mine"
    assert spec.run.seed == 5
    assert point.replica == Replica(64_000, 16, 1, None, 512, 0.0, None)
    assert point.iteration_time.planes == (Plane(base_ps=20 * 10**9),)
    assert point.law.prompt_tokens.tolist() == [64]
    assert point.arrivals == Arrivals("poisson", Rates((), (0.5, 0.9)))
    assert spec.shape == (1, 16, 2)
    found = origins(spec)
    for key in ("run.seed", "iteration_time.constant", "replica.kv_capacity_tokens", "replica.max_num_seqs"):
        assert found[key][1] == "--set"


def test_an_override_hides_other_ways_to_say_the_same():
    spec = spec_of(overrides=[("iteration_time.planes", "[{ base_ms = 2 }]")])
    assert spec.point(0).iteration_time.planes == (Plane(base_ps=2 * 10**9),)
    spec = spec_of(overrides=[("workload.catalogue", "azure-conv-2023")])
    assert spec.point(0).law.joint


def test_an_override_reaches_into_cases():
    cases = [
        {"name": "a", "replica": {"block_size": 1, "watermark": 0.1}},
        {"name": "b", "replica.block_size": 2},
    ]
    spec = spec_of(overrides=[("replica.block_size", "32")], cases=cases)
    assert [(point.replica.block_size, point.replica.watermark) for point in spec] == [(32, 0.1), (32, 0.0)]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("replica.max_num_seq", "1", "did you mean replica.max_num_seqs"),
        ("max_num_seqs", "1", "did you mean replica.max_num_seqs"),
        ("run.sed", "1", "did you mean run.seed"),
        ("replica.max_num_seqs", "[1, 2", "whole number"),
        ("replica.max_num_seqs", "", "whole number"),
        ("replica.max_num_seqs", "1\nx = 2", "whole number"),
        ("run.seed", "x", "with --set run.seed"),
        ("", "1", "unknown key"),
        (
            "grid.run.seed",
            "[1, 2]",
            "run.seed can't be an axis: it holds for the whole sweep; set it as run.seed",
        ),
        ("grid.run.sed", "[1, 2]", "can't be an axis"),
        ("grid.title", "['a']", "can't be an axis"),
        (
            "grid.arrivals.rate_rps",
            "[1, 2]",
            "second dimension; set arrivals.rate_rps = [...] or arrivals.load",
        ),
        ("grid.arrivals.load", "[1]", "keys that can be axes: workload.prompt_tokens, "),
        ("grid.replica.max_num_seq", "[1]", "did you mean replica.max_num_seqs"),
        ("grid.seed", "[1]", "keys here: workload.prompt_tokens, "),
        ("cases", "[]", "unknown key"),
    ],
)
def test_bad_overrides(name, value, shown):
    error = error_of(overrides=[(name, value)])
    assert shown in str(error)
    assert "--set" in error.source
    assert not name.startswith("grid.") or error.key == name


def test_settable_keys_are_known():
    for key in settable_keys():
        assert "unknown key" not in str(error_of(overrides=[(key, "[]")])), key
    assert {"title", "replica.block_size", "run.seed", "arrivals.load", "grid.replica.block_size"} <= set(
        settable_keys()
    )


# Typed values


def values(spec, index=None):
    return {resolved.key: resolved.values for resolved in spec.resolved(index)}


def test_resolved_values_are_those_of_the_result_tables():
    spec = spec_of(
        grid={"iteration_time.constant": ["10 ms", "20 ms"], "replica.max_num_seqs": [8, "unlimited"]},
        arrivals={"load": [0.5, 1]},
    )
    for point in spec:
        found = values(spec, point.index)
        assert all(len(each) == 1 for each in found.values())
        assert {key: found[key][0] for key in point.axes} == point.axes
    assert found["workload.prompt_tokens"] == ("constant(100)",)
    assert found["replica.prefill_chunk_tokens"] == (2048,)
    assert found["arrivals.load"] == ([0.5, 1.0],)
    assert (found["run.seed"], found["run.precision"]) == ((1,), (None,))
    assert values(spec)["iteration_time.constant"] == (0.01, 0.02)


def test_a_key_that_some_cases_lack_has_no_one_value():
    plane = {"iteration_time.planes": [{"base_ms": 3}]}
    spec = spec_of(cases=[{"name": "constant"}, {"name": "plane", **plane}])
    found = values(spec)
    assert found["iteration_time.constant"] == found["iteration_time.planes"] == ()
    assert found["replica.block_size"] == (16,)


# Files


def test_names_and_missing_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="did you mean quickstart"):
        load_spec("quikstart")
    with pytest.raises(SpecError, match=r"gone\.toml: can't be read: No such file"):
        load_spec("gone.toml")
    with pytest.raises(SpecError, match="can't be read"):
        load_spec(tmp_path)
    with pytest.raises(SpecError, match="can't be read"):
        load_spec("a\0b.toml")
    with pytest.raises(SpecError):
        load_spec("")
    Path("quickstart").write_text(MINIMAL, encoding="utf-8")
    assert len(load_spec("quickstart")) == 1  # a file goes before a grid that ships


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"[workload\n", "line 1"),
        (b"a = 1\nb = \n", "line 2"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"a = 1\nb = '\xff'\n", "line 2"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"[run]\nseed = " + b"9" * 5000, "not TOML"),
        (b"[run]\nseed = 0x" + b"f" * 5000, "run.seed"),
        (MINIMAL.encode("utf-16"), "UTF-8"),
    ],
)
def test_bad_files(tmp_path, content, shown):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)
    assert shown in str(caught.value)


def with_trace(folder, name="trace.csv", rows="1,2\n3,4\n"):
    (folder / name).write_text(f"prompt_tokens,output_tokens\n{rows}", encoding="utf-8")
    text = document(workload={"trace": name})
    return parse_spec(text, source="spec.toml", directory=folder)


def test_a_trace_is_found_beside_the_spec(tmp_path):
    spec = with_trace(tmp_path)
    law = spec.point(0).law
    assert law.joint
    assert (law.prompt_tokens.tolist(), law.output_tokens.tolist()) == ([1, 3], [2, 4])
    with pytest.raises(SpecError) as caught:
        with_trace(tmp_path, rows="1,2\n3,x\n")
    assert (caught.value.source, caught.value.key, caught.value.value) == (
        "spec.toml",
        "workload.trace",
        "trace.csv",
    )
    assert "row 2 (line 3): output_tokens = 'x'" in str(caught.value)


def test_traces_vary_along_an_axis(tmp_path):
    for folder, name, rows in [("", "a.csv", "1,2\n"), ("", "b.csv", "3,4\n"), ("c", "a.csv", "5,6\n")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(f"prompt_tokens,output_tokens\n{rows}", encoding="utf-8")
    (tmp_path / "same.csv").write_bytes((tmp_path / "a.csv").read_bytes())

    def along(*names):
        made = document(workload={}, grid={"workload.trace": list(names)})
        return parse_spec(made, source="spec.toml", directory=tmp_path)

    spec = along("a.csv", "b.csv")
    assert [point.axes["workload.trace"] for point in spec] == ["a.csv", "b.csv"]
    assert [point.law.prompt_tokens.tolist() for point in spec] == [[1], [3]]
    for names in [("a.csv", "c/a.csv"), ("a.csv", "same.csv")]:  # one name, or one table
        with pytest.raises(SpecError, match="each may stand once"):
            along(*names)


# Hash


def test_the_hash_is_blind_to_how_a_spec_is_written(tmp_path):
    spec = spec_of()
    assert spec.hash == spec_of(title="x").hash
    assert spec.hash == parse_spec(document(), source="elsewhere").hash
    assert spec.hash == spec_of(replica={"kv_capacity_tokens": 1e4, "block_size": 16}).hash
    assert spec.hash == spec_of(iteration_time={"planes": [{"base_ms": 10}]}).hash
    assert spec.hash == spec_of(iteration_time={"constant": "0.01 s"}).hash
    assert spec.hash == spec_of(scheduler={"preset": "vllm", "admission": "prompt"}).hash
    assert spec.hash == spec_of(arrivals={"rate_rps": 3}).hash
    assert spec.hash == spec_of(overrides=[("run.seed", "1")]).hash
    assert with_trace(tmp_path, "a.csv").hash == with_trace(tmp_path, "b.csv").hash
    axis = {"replica.kv_capacity_tokens": [5000, 6000]}
    assert spec_of(grid=axis).hash == spec_of(grid=axis, replica__kv_capacity_tokens=None).hash


def test_the_hash_sees_whatever_decides_a_number(tmp_path):
    specs = [
        spec_of(),
        spec_of(replica__block_size=8),
        spec_of(replica__max_model_len=4000),
        spec_of(workload__prompt_tokens={"constant": 101}),
        spec_of(workload__prompt_scale=2),
        spec_of(iteration_time__constant="10.000000001 ms"),
        spec_of(scheduler__admission="chunk"),
        spec_of(run__seed=2),
        spec_of(run__requests=10_000),
        spec_of(run__precision=0.01),
        spec_of(run__precision=0.01, run__max_requests=50_000),
        spec_of(run__measure=["boundary", "rates"], arrivals={"rate_rps": 1}),
        spec_of(run__measure=["boundary", "rates"], arrivals={"load": 1}),
        spec_of(run__measure=["boundary", "rates"], arrivals={"load": [1, 0.5]}),
        spec_of(grid={"replica.block_size": [16]}),
        spec_of(grid={"replica.block_size": [16, 8]}),
        spec_of(grid={"replica.block_size": [8, 16]}),
        spec_of(cases=[{"name": "a"}]),
        spec_of(cases=[{"name": "b"}]),
        with_trace(tmp_path),
        with_trace(tmp_path, rows="3,4\n1,2\n"),
        spec_of(grid={"replica.catalogue": [replica_names()[0]]}),
        spec_of(grid={"replica.catalogue": [replica_names()[1]]}),
    ]
    assert len({spec.hash for spec in specs}) == len(specs)


def test_the_hash_is_the_same_in_another_process():
    code = "from fastq.model.load import load_spec; print(load_spec('paper-table-1').hash)"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert shown == [load_spec("paper-table-1").hash] * 2


def test_a_pickled_spec_needs_no_files(tmp_path):
    spec = with_trace(tmp_path)
    (tmp_path / "trace.csv").unlink()
    sent = pickle.loads(pickle.dumps(spec))
    assert sent.hash == spec.hash
    assert sent.point(0).law.digest == spec.point(0).law.digest
    assert sent.resolved() == spec.resolved()
    grid = pickle.loads(pickle.dumps(spec_of(FULL)))
    assert grid.point(777).axes == spec_of(FULL).point(777).axes


def test_reading_leaves_the_document_alone():
    made = document(FULL, cases=[{"name": "a", "replica": {"block_size": 1}}])
    before = copy.deepcopy(made)
    parse_spec(made, overrides=[("run.seed", "3"), ("replica.block_size", "4")])
    assert made == before


def test_a_points_digest_is_of_what_it_is():
    spec = spec_of(grid={"replica.block_size": [16, 8], "workload.prompt_scale": [1, 2]})
    assert len({point.digest() for point in spec}) == 4
    assert spec.point(0).digest() == spec_of(arrivals={"rate_rps": 3}).point(0).digest()


def test_the_version_is_the_packages():
    pyproject = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"].get("version", VERSION) == VERSION


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[provenance]\nname = 'x'\n", r"the file of a replica; .* replica.catalogue = './other.toml'"),
        ("[demand]\npeak_rps = 1\n", "this is a plan; 'fastq plan .*other.toml'"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, text, says):
    path = tmp_path / "other.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=says):
        load_spec(path)
