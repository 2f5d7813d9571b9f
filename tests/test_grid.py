"""Grids: axes, cases, the order of points, and that points cost nothing until they are asked for."""

from __future__ import annotations

import itertools
import math
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastq.errors import SpecError
from fastq.model.feasibility import (
    accepted_requests,
    infeasible_parts,
    infeasible_reason,
    shortest_request,
)
from fastq.model.lengths import column, law
from fastq.model.load import parse_spec
from fastq.model.replica import Replica
from fastq.model.scheduler import Scheduler

BASE = {
    "workload": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
    "replica": {"kv_capacity_tokens": 131_000},
    "iteration_time": {"constant": "37.2 ms"},
}


def grid(cases=None, **axes):
    document = {**BASE, "grid": {key.replace("__", "."): values for key, values in axes.items()}}
    return parse_spec(document | ({"cases": cases} if cases is not None else {}), source="spec.toml")


def values(**axis):
    return grid(**axis).axes[0].values


def test_no_grid_is_one_point():
    spec = parse_spec(BASE)
    assert len(spec) == 1
    assert spec.shape == ()
    assert spec.point(0).axes == {}
    assert spec.point(0).case is None


def test_lists():
    assert values(replica__max_num_seqs=[64, 256.0, "unlimited"]) == (64, 256, None)
    assert values(workload__output_scale=[1, 0.5]) == (1.0, 0.5)
    assert values(iteration_time__constant=["20 ms", "0.03 s"]) == (0.02, 0.03)
    assert values(scheduler__preset=["vllm"]) == ("vllm",)
    laws = [{"constant": 5}, {"uniform": [1, 9]}]
    assert values(workload__prompt_tokens=laws) == ("constant(5)", "uniform(1, 9)")


def test_kinds_of_columns():
    spec = grid(
        replica__max_num_seqs=["unlimited"],
        workload__output_scale=[1],
        iteration_time__constant=["20 ms"],
        scheduler__admission=["chunk"],
        workload__prompt_tokens=[{"constant": 5}],
    )
    assert [axis.kind for axis in spec.axes] == ["int", "float", "float", "str", "str"]


def test_linear():
    assert values(workload__output_scale={"linear": [0.1, 0.9, 9]}) == (
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
    )
    assert values(replica__max_num_seqs={"linear": [1, 4, 3]}) == (1, 3, 4)  # 2.5 rounds up
    assert values(replica__max_num_seqs={"linear": [4, 1, 4]}) == (4, 3, 2, 1)


def test_linear_durations():
    spec = grid(iteration_time__constant={"linear": ["10 ms", "0.02 s", 3]})
    assert spec.axes[0].values == (0.01, 0.015, 0.02)
    assert spec.point(1).iteration_time.planes[0].base_ps == 15 * 10**9


def test_geometric():
    assert values(replica__kv_capacity_tokens={"geometric": [16_000, 512_000, 6]}) == tuple(
        16_000 * 2**power for power in range(6)
    )
    assert values(replica__block_size={"geometric": [1, 6.25, 3]}) == (1, 3, 6)  # 2.5 rounds up
    floats = values(workload__output_scale={"geometric": [0.25, 4.0, 24]})
    assert (floats[0], floats[-1]) == (0.25, 4.0)
    for number, value in enumerate(floats):
        assert value == pytest.approx(0.25 * 16 ** (number / 23), rel=1e-15)


@given(low=st.integers(1, 10**6), high=st.integers(1, 10**6), count=st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_geometric_whole_numbers_are_near_the_curve(low, high, count):
    curve = [low * (high / low) ** (number / (count - 1)) for number in range(count)]
    assume(all(abs(after - before) > 1.001 for before, after in itertools.pairwise(curve)))
    found = values(replica__kv_capacity_tokens={"geometric": [low, high, count]})
    assert (found[0], found[-1]) == (low, high)
    for value, exact in zip(found, curve, strict=True):
        assert abs(value - exact) <= 0.5 + 1e-9 * exact


@pytest.mark.parametrize(
    ("axis", "shown"),
    [
        ({"replica__max_num_seqs": []}, "at least one value"),
        ({"replica__max_num_seqs": 64}, "an axis is a list"),
        ({"replica__max_num_seqs": [64, 64.0]}, "values 1 and 2 of the axis are both 64"),
        ({"replica__max_num_seqs": {"linear": [1, 3, 5]}}, "after rounding"),
        ({"replica__max_num_seqs": {"linear": [1, 3]}}, "[lo, hi, n]"),
        ({"replica__max_num_seqs": {"linear": [1, 3, 1]}}, "between 2 and"),
        ({"replica__max_num_seqs": {"linear": [0, 3, 4]}}, "between 1 and"),
        ({"replica__max_num_seqs": {"linear": [1, "unlimited", 4]}}, "must be a number"),
        ({"replica__max_num_seqs": {"liner": [1, 3, 2]}}, "an axis is a list"),
        ({"replica__max_num_seqs": {"linear": [1, 3, 2], "geometric": [1, 3, 2]}}, "an axis is a list"),
        ({"replica__max_num_seqs": {"geometric": [-1, 3, 2]}}, "must be above 0"),
        ({"workload__output_scale": [1, True]}, "[1]"),
        ({"workload__prompt_tokens": {"linear": [1, 2, 3]}}, "can't be spaced"),
        ({"workload__prompt_tokens": {"uniform": [1, 2]}}, "an axis is a list"),
        ({"workload__prompt_tokens": [{"constant": 1}, {"constant": 1}]}, "both constant(1)"),
        ({"replica__catalogue": ["a100-llama-3-8b"] * 2}, "both a100-llama-3-8b"),
        ({"scheduler__preset": ["vllm", "vlm"]}, "did you mean vllm"),
        ({"replica__max_num_seq": [1]}, "did you mean replica.max_num_seqs"),
        ({"max_num_seqs": [1]}, "did you mean replica.max_num_seqs"),
        ({"run__seed": [1, 2]}, "can't be an axis"),
        ({"run": {"seed": [1, 2]}}, "can't be an axis"),
        ({"arrivals__rate_rps": [1, 2]}, "second dimension"),
        ({"arrivals__load": [1, 2]}, "second dimension"),
        ({"arrivals": {"load": [1, 2]}}, "second dimension"),
        ({"workload__prompt_scale": {"linear": [1, 2, 2_000_000]}}, "between 2 and 1,000,000"),
        ({"iteration_time__constant": {"linear": [1, 2, 3]}}, "duration"),
    ],
)
def test_bad_axes(axis, shown):
    with pytest.raises(SpecError) as caught:
        grid(**axis)
    assert shown in str(caught.value)
    assert caught.value.source == "spec.toml"
    assert caught.value.key.startswith("grid.")


def test_keys_quoted_nested_or_dotted_are_one():
    quoted = {"replica.max_num_seqs": [1, 2], "workload.prompt_scale": [1, 2]}
    nested = {"replica": {"max_num_seqs": [1, 2]}, "workload": {"prompt_scale": [1, 2]}}
    assert parse_spec({**BASE, "grid": quoted}).hash == parse_spec({**BASE, "grid": nested}).hash
    with pytest.raises(SpecError, match="given twice"):
        parse_spec({**BASE, "grid": {**quoted, "replica": {"max_num_seqs": [3]}}})


def test_the_first_axis_varies_slowest_and_cases_before_all():
    cases = [
        {"name": "short", "workload": {"prompt_tokens": {"constant": 5}}},
        {"name": "long", "workload.prompt_tokens": {"constant": 500}, "replica": {"block_size": 1}},
    ]
    spec = grid(cases, replica__max_num_seqs=[1, 2, 3], workload__output_scale=[0.5, 2.0])
    assert spec.shape == (2, 3, 2)
    assert spec.case_names == ("short", "long")
    expected = itertools.product(["short", "long"], [1, 2, 3], [0.5, 2.0])
    for index, (case, seqs, scale) in enumerate(expected):
        point = spec.point(index)
        assert point.index == index
        assert (point.case, point.replica.max_num_seqs) == (case, seqs)
        assert point.axes == {"replica.max_num_seqs": seqs, "workload.output_scale": scale}
        assert point.law.prompt_tokens.tolist() == [5 if case == "short" else 500]
        assert point.law.output_tokens.max() == 1600 * scale
        assert point.replica.block_size == (16 if case == "short" else 1)


@pytest.mark.parametrize(
    ("cases", "shown"),
    [
        ([], "at least one table"),
        ({}, "at least one table"),
        ([{}], "needs a name"),
        ([{"name": ""}], "not empty"),
        ([{"name": "a"}, {"name": "a"}], "a name of its own"),
        ([{"name": "a", "run": {"seed": 1}}], "the same for every point"),
        ([{"name": "a", "arrivals.rate_rps": 1}], "the same for every point"),
        ([{"name": "a", "replica": {"max_num_seq": 1}}], "did you mean replica.max_num_seqs"),
        ([{"name": "a", "replica.max_num_seqs": 1}], "what the axis replica.max_num_seqs varies"),
        ([{"name": "a", "replicas": 1}], "did you mean replica"),
        ([3], "must be a table"),
    ],
)
def test_bad_cases(cases, shown):
    with pytest.raises(SpecError) as caught:
        grid(cases, replica__max_num_seqs=[1, 2])
    assert shown in str(caught.value)
    assert caught.value.key.startswith("cases")


def test_a_point_outside_the_grid():
    with pytest.raises(SpecError, match="6 points, numbered from 0 to 5"):
        grid(replica__max_num_seqs=[1, 2, 3], workload__output_scale=[1, 2]).point(6)
    with pytest.raises(SpecError, match="numbered from 0"):
        grid(replica__max_num_seqs=[1, 2, 3]).point(-1)
    with pytest.raises(SpecError, match="the grid has one point, number 0"):
        grid(replica__max_num_seqs=[1]).point(1)


def test_ten_million_points_cost_nothing():
    started = time.perf_counter()
    spec = grid(
        replica__kv_capacity_tokens={"geometric": [4000, 512_000, 100]},
        workload__output_scale={"linear": [0.25, 1, 100]},
        replica__max_num_seqs={"linear": [1, 1024, 100]},
        replica__watermark={"linear": [0, 0.1, 10]},
    )
    assert len(spec) == 10**7
    assert spec.first_infeasible() is None
    assert len(spec.hash) == 64
    for index in range(0, 10**7, 99_991):
        assert spec.point(index).index == index
    assert time.perf_counter() - started < 5


def test_points_in_order_are_fast():
    spec = grid(
        replica__kv_capacity_tokens={"geometric": [4000, 512_000, 16]},
        workload__output_scale={"linear": [0.25, 1, 16]},
        replica__max_num_seqs={"linear": [1, 1024, 16]},
    )
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        for index in range(len(spec)):
            spec.point(index)
        best = min(best, time.perf_counter() - started)
    assert best / len(spec) < 200e-6  # 15 us on an idle core


def test_the_first_infeasible_point_is_the_first_by_brute_force():
    spec = grid(
        [{"name": "engine"}, {"name": "paper", "scheduler.token_convention": "paper"}],
        replica__watermark=[0, 0.1],
        workload__output_scale=[0.5, 1, 2],
        replica__kv_capacity_tokens=[3199 // 16 * 16 + 16, 3215, 2400, 5000],
        replica__block_size=[1, 16],
    )
    reasons = [infeasible_reason(point) for point in spec]
    first = next(index for index, reason in enumerate(reasons) if reason)
    assert spec.first_infeasible() == (first, reasons[first])
    assert any(reasons)
    assert not all(reasons)


@given(
    capacity=st.integers(1, 60),
    block=st.integers(1, 8),
    limit=st.none() | st.integers(1, 45),
    paper=st.booleans(),
    low=st.integers(1, 10),
    high=st.integers(10, 20),
)
@settings(max_examples=60, deadline=None)
def test_feasibility_against_every_request(capacity, block, limit, paper, low, high):
    document = {
        **BASE,
        "workload": {"prompt_tokens": {"uniform": [low, high]}, "output_tokens": {"uniform": [low, high]}},
        "replica": {"kv_capacity_tokens": capacity, "block_size": block}
        | ({"max_model_len": limit} if limit else {}),
        "scheduler": {"token_convention": "paper" if paper else "engine"},
    }
    accepted = [
        prompt + output
        for prompt, output in itertools.product(range(low, high + 1), repeat=2)
        if limit is None or prompt + output <= limit
    ]
    offered = (high - low + 1) ** 2
    fits = 1000 * len(accepted) >= offered and all(
        math.ceil((total - (not paper)) / block) <= capacity // block for total in accepted
    )
    assert (infeasible_reason(parse_spec(document).point(0)) is None) == fits


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize(("many", "is_feasible"), [(999, True), (1000, False)])
def test_a_limit_that_rejects_nearly_all_is_infeasible(joint, many, is_feasible):
    prompts = column([1] + [500] * many)
    outputs = column([1] * (many + 1) if joint else [1])
    drawn = law(prompts, outputs, joint=joint, name="mostly long")
    reason = infeasible_parts(drawn, Replica(100_000, max_model_len=400), Scheduler())
    if is_feasible:
        assert reason is None
    else:
        assert "replica.max_model_len = 400 accepts a share of 0.001 of the requests, 1 of 1,001" in reason
        assert "at least 1 in 1,000" in reason


@given(
    prompts=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    outputs=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    joint=st.booleans(),
    limit=st.none() | st.integers(1, 24),
)
def test_accepted_requests_against_every_request(prompts, outputs, joint, limit):
    if joint:
        prompts, outputs = zip(*zip(prompts, outputs, strict=False), strict=True)
    drawn = law(column(prompts), column(outputs), joint=joint, name="drawn")
    offered = list(zip(prompts, outputs, strict=True) if joint else itertools.product(prompts, outputs))
    kept = [pair for pair in offered if limit is None or sum(pair) <= limit]
    found = accepted_requests(drawn, limit)
    assert (found.requests, found.offered) == (len(kept), len(offered))
    assert (found.longest is None) == (not kept)
    if kept:
        assert tuple(found.longest) in kept
        assert found.longest.total_tokens == max(map(sum, kept))
    assert shortest_request(drawn).total_tokens == min(map(sum, offered))


@pytest.mark.parametrize(("share", "blocks"), [(0.29, 29), (0.57, 57), (0.0, 0), (0.999, 99)])
def test_a_watermark_is_a_share_of_the_blocks_as_written(share, blocks):
    """0.29 x 100 is 28.999... in binary."""
    assert Replica(1600, block_size=16, watermark=share).watermark_blocks == blocks
