"""Terms that are added to the planes of an iteration time: read, known answers, and theory beside simulation."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from builders import PS_PER_MS, point, uniform
from confidence import assert_covers
from simulations import replications

from fastq.analysis.intervals import pooled_throughput
from fastq.closed_forms import closed_forms
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.account import sample_of
from fastq.engine.backend import _kinds
from fastq.errors import SpecError
from fastq.model.iteration_time import NO_TERMS, Plane, Terms
from fastq.model.load import load_spec, parse_spec

AFFINE = Plane(
    base_ps=8 * PS_PER_MS, prefill_token_ps=30_000_000, decode_seq_ps=20_000_000, kv_token_ps=150_000
)
LINEAR = {
    "prefill_seq_ps": 20 * PS_PER_MS,
    "finished_prompt_ps": 50 * PS_PER_MS,
    "prefill_kv_token_ps": 100_000_000,
}
KINDS = {
    "prefills": Terms(prefill_ps=3 * PS_PER_MS),
    "mixed": Terms(mixed_ps=3 * PS_PER_MS),
    "mixed, KV": Terms(mixed_kv_token_ps=100_000),
    "jump": Terms(jump_ps=10 * PS_PER_MS, jump_beyond_tokens=200),
    "jump in every batch": Terms(jump_ps=10 * PS_PER_MS, jump_beyond_tokens=1),
    "all": Terms(1_000_000, 10_000_000, 10_000, PS_PER_MS, PS_PER_MS, 10_000, PS_PER_MS, 300),
}
SYSTEMS = {
    "seqs": {"max_num_seqs": 64, "max_num_batched_tokens": 2048},
    "kv": {"kv_capacity_tokens": 70_000, "block_size": 16},
    "tokens": {"max_num_batched_tokens": 256, "prefill_chunk_tokens": 256},
    "one at a time": {"max_num_seqs": 1, "prefill_chunk_tokens": 300},
}


def spec_of(**iteration_time):
    planes = {} if "constant" in iteration_time else {"planes": [{"base_ms": 10}]}
    document = {
        "workload": {"prompt_tokens": {"constant": 4}, "output_tokens": {"constant": 4}},
        "replica": {"kv_capacity_tokens": 640},
        "iteration_time": {**planes, **iteration_time},
    }
    overrides = document["iteration_time"].pop("overrides", ())
    grid = document["iteration_time"].pop("grid", None)
    return parse_spec({**document, **({"grid": grid} if grid else {})}, source="test", overrides=overrides)


ALL = {
    "prefill_seq_us": 1.5,
    "finished_prompt_us": 2,
    "prefill_kv_token_ns": 0.25,
    "prefill_ms": 3,
    "mixed_ms": 0.5,
    "mixed_kv_token_ns": 7,
    "jump_ms": 2.5,
    "jump_beyond_tokens": 512,
}


def test_every_key_is_read_to_the_picosecond():
    terms = spec_of(**ALL).point(0).iteration_time.terms
    assert terms == Terms(1_500_000, 2_000_000, 250, 3 * 10**9, 5 * 10**8, 7000, 25 * 10**8, 512)
    assert spec_of(constant="10 ms", prefill_seq_us=1).point(0).iteration_time.terms == Terms(10**6)


def test_the_host_adds_to_every_plane():
    planes = [{"base_ms": 4, "kv_token_ns": 9}, {"base_ms": 1, "prefill_token_us": 80}]
    with_host = spec_of(planes=planes, host_ms=2.5, mixed_ms=1).point(0).iteration_time
    assert [plane.base_ps for plane in with_host.planes] == [6_500_000_000, 3_500_000_000]
    assert with_host.terms == Terms(mixed_ps=10**9)
    assert spec_of(constant="37 ms", host_ms=0.2).point(0).iteration_time.planes == (Plane(37_200_000_000),)
    varied = spec_of(grid={"iteration_time.host_ms": [0, 5]})
    assert [point.iteration_time.planes[0].base_ps for point in varied] == [10**10, 15 * 10**9]
    assert spec_of(host_ms=0).hash == spec_of().hash != spec_of(host_ms=1).hash
    with pytest.raises(SpecError, match=r"iteration_time\.host_ms = -1"):
        spec_of(host_ms=-1)


def test_they_are_listed_overridden_and_varied_as_other_keys():
    spec = spec_of(
        mixed_ms=1,
        grid={"iteration_time.prefill_seq_us": [0, 10]},
        overrides=[("iteration_time.mixed_ms", "2")],
    )
    assert [each.iteration_time.terms for each in spec] == [
        Terms(mixed_ps=2 * 10**9),
        Terms(prefill_seq_ps=10**7, mixed_ps=2 * 10**9),
    ]
    listed = {key.key: (key.value_text, key.origin) for key in spec.resolved()}
    assert listed["iteration_time.mixed_ms"] == ("2", "--set")
    assert listed["iteration_time.prefill_seq_us"] == ("0, 10", "grid")
    assert "iteration_time.prefill_ms" not in listed


def test_the_hash_is_that_of_a_spec_without_where_they_add_nothing():
    plain = spec_of()
    assert plain.hash == spec_of(**dict.fromkeys(ALL, 0) | {"jump_beyond_tokens": 512}).hash
    assert plain.point(0).digest() == spec_of(prefill_seq_us=0).point(0).digest()
    hashes = {
        spec_of(**{name: 1, **({"jump_beyond_tokens": 9} if name == "jump_ms" else {})}).hash
        for name in ALL
        if name != "jump_beyond_tokens"
    }
    assert len(hashes | {plain.hash}) == 8
    assert spec_of(jump_ms=1, jump_beyond_tokens=9).hash != spec_of(jump_ms=1, jump_beyond_tokens=10).hash
    assert spec_of(mixed_ms=1).point(0).digest() != plain.point(0).digest()


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ({"prefill_seq_us": -1}, "iteration_time.prefill_seq_us", ">= 0"),
        ({"prefill_seq_us": "30 us"}, "iteration_time.prefill_seq_us", "number"),
        ({"prefill_seq_us": float("nan")}, "iteration_time.prefill_seq_us", "number"),
        ({"prefill_seq_us": True}, "iteration_time.prefill_seq_us", "number"),
        (
            {"prefill_seq_ms": 1},
            "iteration_time.prefill_seq_ms",
            "did you mean iteration_time.prefill_seq_us",
        ),
        ({"mixed_us": 1}, "iteration_time.mixed_us", "did you mean iteration_time.mixed_ms"),
        ({"mixed_ms": 2e6}, "iteration_time.mixed_ms", "<= 1000000"),
        ({"jump_ms": 1}, "iteration_time.jump_beyond_tokens", "is missing"),
        ({"jump_beyond_tokens": 512}, "iteration_time.jump_ms", "is missing"),
        ({"jump_ms": 1, "jump_beyond_tokens": 0}, "iteration_time.jump_beyond_tokens", "between 1"),
        ({"jump_ms": 1, "jump_beyond_tokens": 1.5}, "iteration_time.jump_beyond_tokens", "whole number"),
        ({"prefill_ms": 999_999}, "iteration_time", "check the units"),
        ({"mixed_ms": 999_999}, "iteration_time", "check the units"),
        ({"jump_ms": 999_999, "jump_beyond_tokens": 9}, "iteration_time", "check the units"),
        # 256 sequences, 640 KV tokens
        ({"prefill_seq_us": 4e6}, "iteration_time", "check the units"),
        ({"finished_prompt_us": 4e6}, "iteration_time", "check the units"),
        ({"mixed_kv_token_ns": 1.6e9}, "iteration_time", "check the units"),
        ({"prefill_kv_token_ns": 1.6e9}, "iteration_time", "check the units"),
        ({"grid": {"iteration_time.prefill_ms": [1, 999_999]}}, "iteration_time", "check the units"),
    ],
)
def test_what_can_not_be_is_refused(given, key, says):
    with pytest.raises(SpecError) as refused:
        spec_of(**given)
    assert refused.value.key == key
    assert says in str(refused.value)


@pytest.mark.parametrize("amounts", [{"mixed_ps": -1}, {"jump_ps": 5}, {"jump_beyond_tokens": 5}])
def test_terms_made_in_python_are_checked(amounts):
    with pytest.raises(SpecError, match="iteration_time"):
        Terms(**amounts)


def test_terms_of_an_entry_go_with_its_planes(tmp_path):
    (tmp_path / "engine.toml").write_text(
        "[replica]\nkv_capacity_tokens = 640\n"
        "[iteration_time]\nplanes = [{ base_ms = 3 }]\nmixed_ms = 1\njump_ms = 2\njump_beyond_tokens = 5\n"
    )
    text = (
        "[workload]\nprompt_tokens = { constant = 4 }\noutput_tokens = { constant = 4 }\n"
        "[replica]\ncatalogue = './engine.toml'\n"
    )
    path = tmp_path / "spec.toml"

    def terms(more=""):
        path.write_text(text + more)
        return load_spec(str(path)).point(0).iteration_time.terms

    own = Terms(mixed_ps=10**9, jump_ps=2 * 10**9, jump_beyond_tokens=5)
    assert terms() == own
    assert terms("[iteration_time]\njump_ms = 0\n") == Terms(mixed_ps=10**9)
    assert terms("[iteration_time]\nmixed_ms = 7\n") == dataclasses.replace(own, mixed_ps=7 * 10**9)
    assert terms("[iteration_time]\nconstant = '10 ms'\n") == NO_TERMS
    assert terms("[iteration_time]\nplanes = [{ base_ms = 1 }]\nprefill_ms = 1\n") == Terms(prefill_ps=10**9)
    assert terms("[grid]\n'iteration_time.constant' = ['1 ms', '2 ms']\n") == NO_TERMS


def test_what_is_compiled_follows_the_terms_that_any_point_has():
    def added(**given):
        return sorted({kind.terms for kind in _kinds(spec_of(**given))})

    assert added() == [False]
    assert added(prefill_seq_us=1) == [True]
    assert added(grid={"iteration_time.prefill_seq_us": [0, 1, 2]}) == [False, True]
    assert added(mixed_ms=1, grid={"iteration_time.prefill_seq_us": [0, 1, 2]}) == [True]


# Theory and simulation


def system(name, terms, planes=(AFFINE,), **changes):
    values = {"prefill_chunk_tokens": 2048, **SYSTEMS[name], **changes}
    return point(uniform(200, 800), uniform(50, 350), planes=planes, terms=terms, **values)


def service_ps(prompt, output, chunk, terms):
    """Time of a request that is alone: no iteration both prefills and decodes."""
    total = cached = 0
    while cached < prompt:
        part = min(chunk, prompt - cached)
        total += AFFINE.base_ps + AFFINE.prefill_token_ps * part + terms.prefill_ps + terms.prefill_seq_ps
        total += terms.prefill_kv_token_ps * cached + terms.jump_ps * (part > terms.jump_beyond_tokens)
        cached += part
    total += terms.finished_prompt_ps
    for held in range(prompt + 1, prompt + output):
        total += AFFINE.base_ps + AFFINE.decode_seq_ps + AFFINE.kv_token_ps * held
        total += terms.jump_ps * (terms.jump_beyond_tokens < 1)
    return total


@pytest.mark.parametrize(
    "terms", [*(Terms(**{name: ps}) for name, ps in LINEAR.items()), *KINDS.values()], ids=str
)
def test_requests_one_at_a_time_take_the_sum_of_their_iterations(terms):
    prompts, outputs = range(200, 800, 15), range(50, 350, 25)
    at = point(prompts, outputs, planes=(AFFINE,), terms=terms, **SYSTEMS["one at a time"])
    runs = replications(at, count=2, requests=2000)
    pairs = list(itertools.product(prompts, outputs))
    mean_ps = sum(service_ps(s, o, 300, terms) for s, o in pairs) / len(pairs)
    assert pooled_throughput(runs).estimate == pytest.approx(1e12 / mean_ps, rel=0.02)
    ratios = [sampled_theory(at).ratio(sample_of(run)) for run in runs]
    assert pooled_throughput(runs, ratios).estimate == pytest.approx(1e12 / mean_ps, rel=2e-3)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("chunk", [2048, 150])
def test_terms_of_prompts_are_exact_where_slots_bind(name, chunk):
    at = system(
        "seqs", Terms(**{name: LINEAR[name]}), max_num_batched_tokens=None, prefill_chunk_tokens=chunk
    )
    known = closed_forms(at).theory_rate_rps
    without = closed_forms(
        system("seqs", NO_TERMS, max_num_batched_tokens=None, prefill_chunk_tokens=chunk)
    ).theory_rate_rps
    runs = replications(at, count=16, requests=20_000)
    assert_covers([run.throughput_rps for run in runs], known, half_width=0.01)
    theory = sampled_theory(at)
    ratios = [theory.ratio(sample_of(run)) for run in runs]
    plain, scaled = pooled_throughput(runs), pooled_throughput(runs, ratios)
    assert scaled.estimate == pytest.approx(known, rel=1e-3)
    assert plain.relative_half_width > 3 * scaled.relative_half_width
    if (name, chunk) == ("prefill_kv_token_ps", 2048):
        assert known == without, "no prompt is longer than a chunk"
    else:
        assert known < 0.97 * without, "the term must matter"


@pytest.mark.parametrize("terms", KINDS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_theory_bounds_what_terms_of_batches_leave(name, terms):
    at = system(name, KINDS[terms])
    runs = replications(at, count=4, requests=4000)
    theory = sampled_theory(at)
    ratios = [theory.ratio(sample_of(run)) for run in runs]
    assert pooled_throughput(runs, ratios).estimate <= 1.0005 * closed_forms(at).theory_rate_rps


def test_theory_knows_what_no_schedule_avoids():
    """A budget of 256 that binds is full in every batch: all of them are beyond a jump at 255, and 100/256 prefill."""
    plain = closed_forms(system("tokens", NO_TERMS)).mean_iteration_s
    jump = Terms(jump_ps=PS_PER_MS, jump_beyond_tokens=255)
    # The base of 8 ms allows a slope of 8 ms / 255 tokens, 0.031 ms of the jump.
    assert closed_forms(system("tokens", jump)).mean_iteration_s - plain == pytest.approx(
        8e-3 / 255, rel=1e-6
    )
    jump = Terms(jump_ps=PS_PER_MS, jump_beyond_tokens=100)
    assert closed_forms(system("tokens", jump)).mean_iteration_s - plain == pytest.approx(1e-3, rel=1e-6)
    forms = closed_forms(system("tokens", NO_TERMS))
    added = closed_forms(system("tokens", Terms(prefill_ps=PS_PER_MS))).mean_iteration_s - plain
    assert added == pytest.approx(1e-3 * 500 * forms.completions_per_iteration / 256)


def test_a_constant_with_terms_has_no_guarantee():
    constant = (Plane(base_ps=PS_PER_MS),)
    assert closed_forms(system("kv", NO_TERMS, constant)).theory_stable_rps is not None
    assert closed_forms(system("kv", Terms(mixed_ps=1), constant)).theory_stable_rps is None
