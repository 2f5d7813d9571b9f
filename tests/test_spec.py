"""Specs: every key, its default and its precedence."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path

import pytest
from spec_documents import FULL, document, error_of, origins, point_of, spec_of

from fastq.errors import SpecError
from fastq.model.catalogue import load_replica, replica_names
from fastq.model.iteration_time import Plane
from fastq.model.load import load_spec, parse_spec
from fastq.model.point import Arrivals, Rates
from fastq.model.replica import Replica
from fastq.model.run import Run
from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention
from fastq.model.version import VERSION

HERE = Path(__file__).resolve().parent


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


def test_reading_leaves_the_document_alone():
    made = document(FULL, cases=[{"name": "a", "replica": {"block_size": 1}}])
    before = copy.deepcopy(made)
    parse_spec(made, overrides=[("run.seed", "3"), ("replica.block_size", "4")])
    assert made == before


def test_the_version_is_the_packages():
    pyproject = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"].get("version", VERSION) == VERSION
