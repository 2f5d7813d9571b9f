"""What --set changes in a spec, and what it refuses."""

from __future__ import annotations

import pytest
from spec_documents import FULL, error_of, origins, spec_of

from fastq.model.document import settable_keys
from fastq.model.iteration_time import Plane
from fastq.model.point import Arrivals, Rates
from fastq.model.replica import Replica


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
