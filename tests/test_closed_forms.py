"""The closed forms against requests walked iteration by iteration, and against published and proved rates."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_time import longest_plane_ps

from fastq.closed_forms import ClosedForms, closed_forms
from fastq.closed_forms.accepted import accepted_law
from fastq.closed_forms.kv_area import growth_area, prefill_area
from fastq.closed_forms.rates import drift_rate_rps
from fastq.closed_forms.recently_used import RecentlyUsed
from fastq.closed_forms.request_sums import request_sums
from fastq.model.iteration_time import NO_TERMS, IterationTime, Plane, Terms
from fastq.model.lengths import LengthLaw
from fastq.model.point import Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ENGINE, PAPER = TokenConvention.ENGINE, TokenConvention.PAPER
PS_PER_MS = 10**9


def make_law(prompts: Iterable[int], outputs: Iterable[int], *, joint: bool = False) -> LengthLaw:
    tables = [np.array(list(table), dtype=np.int32) for table in (prompts, outputs)]
    digest = hashlib.sha256(repr((joint, [table.tobytes() for table in tables])).encode()).hexdigest()
    return LengthLaw(tables[0], tables[1], joint, "test law", digest)


def uniform(low: int, high: int) -> range:
    return range(low, high + 1)


def make_point(
    law: LengthLaw,
    *planes: Plane,
    convention: TokenConvention = ENGINE,
    admission: Admission = Admission.PROMPT,
    preemption: Preemption = Preemption.RECOMPUTE,
    terms: Terms = NO_TERMS,
    **replica: int | float | None,
) -> Point:
    """A replica without limits but its memory, in blocks of one token, unless told otherwise."""
    unlimited = Replica(131_000, 1, None, None, prefill_chunk_tokens=512)
    return Point(
        index=0,
        case=None,
        axes={},
        law=law,
        arrivals=Arrivals(),
        replica=dataclasses.replace(unlimited, **replica),
        iteration_time=IterationTime(planes or (Plane(base_ps=10 * PS_PER_MS),), terms),
        scheduler=Scheduler(admission=admission, preemption=preemption, token_convention=convention),
    )


class Walk(NamedTuple):
    """What one request does, counted iteration by iteration."""

    iterations: int
    decodes: int
    charged_tokens: int
    decode_kv_tokens: int
    attention: Fraction
    chunks: int
    cached_tokens: int
    area_tokens: int
    area_blocks: int
    largest_kv: int


def walk(prompt: int, output: int, chunk: int, block: int, convention: TokenConvention) -> Walk:
    held, decode_kv, charged, attention = [], 0, 0, Fraction(0)
    cached = cached_before = 0
    while cached < prompt:
        part = min(chunk, prompt - cached)
        cached_before += cached
        attention += part * (cached + Fraction(part, 2))
        charged += part
        cached += part
        held.append(cached)
    emitted = 1 if convention is ENGINE else 0
    prefills = len(held)
    while emitted < output:
        cached += 1
        emitted += 1
        charged += 1
        decode_kv += cached
        held.append(cached)
    return Walk(
        iterations=len(held),
        decodes=len(held) - prefills,
        charged_tokens=charged,
        decode_kv_tokens=decode_kv,
        attention=attention,
        chunks=prefills,
        cached_tokens=cached_before,
        area_tokens=sum(held),
        area_blocks=sum(math.ceil(Fraction(tokens, block)) for tokens in held),
        largest_kv=cached,
    )


def pairs_of(law: LengthLaw) -> list[tuple[int, int]]:
    prompts, outputs = law.prompt_tokens.tolist(), law.output_tokens.tolist()
    return list(zip(prompts, outputs, strict=True) if law.joint else itertools.product(prompts, outputs))


def leading_up_to_the_jump(times: IterationTime, most_tokens: int) -> Iterator[Plane]:
    """The steepest planes of whole slopes that are below a plane up to the jump, and nowhere above it with the jump."""
    beyond, jump_ps = times.terms.jump_beyond_tokens, times.terms.jump_ps
    for plane in times.planes:
        slopes = [
            slope
            for slope in range(jump_ps + 1)
            if plane.base_ps >= slope * beyond and slope * (most_tokens - beyond) <= jump_ps
        ]
        if jump_ps and most_tokens > beyond:
            yield Plane(
                plane.base_ps - slopes[-1] * beyond,
                plane.prefill_token_ps + slopes[-1],
                plane.decode_seq_ps + slopes[-1],
                plane.kv_token_ps,
                plane.attention_ps,
            )


def walked_expectation(
    point: Point, walks: list[Walk], pairs: list[tuple[int, int]], binding: str, completions: float
) -> float:
    """The rate to expect, requests/s, from means over walked requests."""
    replica, terms, admission = point.replica, point.iteration_time.terms, point.scheduler.admission

    def mean(values: Iterable[int | Fraction]) -> float:
        return float(Fraction(sum(values)) / len(pairs))

    if admission == "peak":
        block = replica.block_size
        area = mean((w.largest_kv + Fraction(block - 1, 2)) / block * w.iterations for w in walks)
        completions = min(completions, replica.kv_capacity_tokens // block / area)
    preemptions = 0.0
    if binding == "kv" and admission in ("chunk", "prompt"):
        preemptions = mean(w.decodes for w in walks) / mean(s for s, _ in pairs) * math.exp(-completions)
    prompts = completions * (1 + preemptions)
    decoding = completions * mean(w.decodes for w in walks)
    kv = completions * mean(w.decode_kv_tokens for w in walks)
    prefill, attention = (
        prompts * mean(values) for values in ([s for s, _ in pairs], [w.attention for w in walks])
    )
    share = 1 - math.exp(-prompts * mean(w.chunks for w in walks))
    if replica.max_num_batched_tokens is not None:
        room = replica.max_num_batched_tokens - decoding
        share = 1.0 if room <= prefill else max(share, prefill / room)

    def longest(prefill: float, attention: float) -> float:
        jumps = prefill + decoding > terms.jump_beyond_tokens * (1 + 1e-9)
        return (
            longest_plane_ps(point.iteration_time.planes, prefill, decoding, kv, attention)
            + terms.jump_ps * jumps
        )

    mixed = longest(prefill / share, attention / share)
    mixed += terms.prefill_ps + terms.mixed_ps + terms.mixed_kv_token_ps * kv
    each = (
        terms.prefill_seq_ps * mean(w.chunks for w in walks)
        + terms.finished_prompt_ps
        + terms.prefill_kv_token_ps * mean(w.cached_tokens for w in walks)
    )
    return completions * 1e12 / ((1 - share) * longest(0.0, 0.0) + share * mixed + prompts * each)


def walked_forms(point: Point) -> ClosedForms:
    """The closed forms of a constant iteration time or of planes, by walking every request of the law."""
    replica, convention = point.replica, point.scheduler.token_convention
    offered = pairs_of(point.law)
    limit = replica.max_model_len
    pairs = [(s, o) for s, o in offered if limit is None or s + o <= limit]
    chunk = replica.prefill_chunk_tokens
    if replica.max_num_batched_tokens is not None:
        chunk = min(chunk, replica.max_num_batched_tokens)
    walks = [walk(s, o, chunk, replica.block_size, convention) for s, o in pairs]

    def mean(values: Iterable[int | Fraction]) -> Fraction:
        return Fraction(sum(values)) / len(pairs)

    iterations = mean(w.iterations for w in walks)
    charged = mean(w.charged_tokens for w in walks)
    decodes = mean(w.decodes for w in walks)
    decode_kv = mean(w.decode_kv_tokens for w in walks)
    attention = mean(w.attention for w in walks)
    area_tokens, area_blocks = mean(w.area_tokens for w in walks), mean(w.area_blocks for w in walks)
    prompts, outputs = mean(s for s, _ in pairs), mean(o for _, o in pairs)
    blocks = replica.kv_capacity_tokens // replica.block_size
    constraints = {"kv": blocks / area_blocks}
    if replica.max_num_seqs is not None:
        constraints["seqs"] = replica.max_num_seqs / iterations
    if replica.max_num_batched_tokens is not None:
        constraints["tokens"] = replica.max_num_batched_tokens / charged
    completions = min(constraints.values())
    binding = next(name for name, value in constraints.items() if value == completions)
    terms = point.iteration_time.terms
    most_tokens = min(
        replica.max_num_batched_tokens or replica.kv_capacity_tokens, replica.kv_capacity_tokens
    )
    most_prefill = min(most_tokens, (replica.max_num_seqs or most_tokens) * replica.prefill_chunk_tokens)
    added = (
        terms.prefill_seq_ps * mean(w.chunks for w in walks)
        + terms.finished_prompt_ps
        + terms.prefill_kv_token_ps * mean(w.cached_tokens for w in walks)
        + terms.prefill_ps * prompts / most_prefill
    )
    batch_s = Fraction(
        max(
            plane.base_ps
            + completions
            * (
                added
                + plane.prefill_token_ps * prompts
                + plane.decode_seq_ps * decodes
                + plane.kv_token_ps * decode_kv
                + plane.attention_ps * attention
            )
            for plane in [
                *point.iteration_time.planes,
                *leading_up_to_the_jump(point.iteration_time, most_tokens),
            ]
        )
    ) / (10**12)
    smooth = mean((1 + Fraction(s, chunk)) * s / 2 + s * o + Fraction(o * (o + 1), 2) for s, o in pairs)
    largest = max(w.largest_kv for w in walks)
    stable = None
    guaranteed = (
        point.scheduler.admission in ("chunk", "prompt") and point.scheduler.preemption == "recompute"
    )
    if binding == "kv" and point.iteration_time.is_constant and guaranteed and replica.watermark == 0:
        delta = Fraction(math.ceil(Fraction(largest, replica.block_size)), blocks)
        stable = float(max(0, completions / batch_s * (1 - delta)))
    return ClosedForms(
        theory_rate_rps=float(completions / batch_s),
        expected_rate_rps=min(
            float(completions / batch_s), walked_expectation(point, walks, pairs, binding, float(completions))
        ),
        theory_stable_rps=stable,
        paper_rate_rps=float(replica.kv_capacity_tokens / (batch_s * smooth)),
        binding=binding,
        mean_iteration_s=float(batch_s),
        completions_per_iteration=float(completions),
        mean_running=float(completions * iterations),
        mean_kv_tokens=float(completions * area_tokens),
        kv_area_tokens=float(area_tokens),
        kv_area_blocks=float(area_blocks),
        iterations_per_request=float(iterations),
        charged_tokens_per_request=float(charged),
        decode_kv_tokens_per_request=float(decode_kv),
        attention_per_request=float(attention),
        mean_prompt_tokens=float(prompts),
        mean_output_tokens=float(outputs),
        max_kv_tokens=largest,
        rejected_share=float(Fraction(len(offered) - len(pairs), len(offered))),
    )


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=12)
laws = st.one_of(
    st.builds(make_law, lengths, lengths),
    st.builds(
        lambda pairs: make_law([s for s, _ in pairs], [o for _, o in pairs], joint=True),
        st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=20),
    ),
)
planes = st.builds(Plane, st.integers(1, 50), *[st.integers(0, 9)] * 4)
terms = st.one_of(
    st.just(NO_TERMS),
    st.builds(Terms, *[st.integers(0, 30)] * 6, st.integers(1, 2000), st.integers(1, 40)),
)


@st.composite
def points(draw: st.DrawFn) -> Point:
    law = draw(laws)
    shortest = min(s + o for s, o in pairs_of(law))
    return make_point(
        law,
        *draw(
            st.one_of(st.lists(planes, min_size=1, max_size=3), st.just([Plane(7), Plane(10 * PS_PER_MS)]))
        ),
        convention=draw(st.sampled_from(TokenConvention)),
        admission=draw(st.sampled_from(Admission)),
        preemption=draw(st.sampled_from(Preemption)),
        kv_capacity_tokens=draw(st.integers(120, 4000)),
        block_size=draw(st.sampled_from([1, 2, 3, 16, 50])),
        prefill_chunk_tokens=draw(st.integers(1, 70)),
        max_num_seqs=draw(st.none() | st.integers(1, 300)),
        max_num_batched_tokens=draw(st.none() | st.integers(1, 300)),
        max_model_len=draw(st.none() | st.integers(shortest, 130)),
        watermark=draw(st.sampled_from([0.0, 0.0, 0.01])),
        terms=draw(terms),
    )


@settings(max_examples=150, deadline=None)
@given(points())
def test_equals_requests_walked_one_by_one(point: Point) -> None:
    rounded = {
        *("theory_rate_rps", "theory_stable_rps", "paper_rate_rps"),
        *("mean_iteration_s", "mean_running", "mean_kv_tokens"),
    }
    found, walked = dataclasses.asdict(closed_forms(point)), dataclasses.asdict(walked_forms(point))
    for name, value in walked.items():
        expected = pytest.approx(value, rel=1e-12) if name in rounded and value is not None else value
        if name == "expected_rate_rps":
            expected = pytest.approx(value, rel=1e-9)
        assert found[name] == expected, name


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 450), st.sampled_from([1, 3, 7, 16, 64]))
def test_areas_equal_their_sums(tokens: int, chunk: int, block: int) -> None:
    held = [min(last, tokens) for last in range(chunk, tokens + chunk, chunk)]
    lengths = np.array([tokens, 400])
    assert prefill_area(lengths, chunk, block)[0] == sum(-(-k // block) for k in held)
    assert growth_area(lengths, block)[0] == sum(-(-k // block) for k in range(1, tokens + 1))


@settings(deadline=None)
@given(lengths, lengths, st.integers(2, 20), st.integers(2, 120))
def test_three_shapes_of_a_law_agree(prompts: list[int], outputs: list[int], block: int, limit: int) -> None:
    table = list(itertools.product(prompts, outputs))
    marginals = make_law(prompts, outputs)
    joint = make_law([s for s, _ in table], [o for _, o in table], joint=True)
    (one, offered), (other, _) = accepted_law(marginals, limit), accepted_law(joint, limit)
    assert offered == len(table)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        for law in (one, other):
            assert law.requests == sum(s + o <= limit for s, o in table)
        assert request_sums(marginals, 16, block, PAPER, limit) == request_sums(
            joint, 16, block, PAPER, limit
        )


@pytest.mark.parametrize("limit", [None, 2**31 + 5_000])
@pytest.mark.parametrize("block", [1, 7])
def test_sums_beyond_64_bits_are_exact(limit: int | None, block: int) -> None:
    prompts, outputs = [1, 2**20 + 3, 2**31 - 1], [1, 5, 2**30 + 1, 2**31 - 1]
    marginals = make_law(prompts * 50, outputs * 50)
    table = list(itertools.product(prompts, outputs))
    accepted = [(s, o) for s, o in table if limit is None or s + o <= limit]
    sums = request_sums(marginals, 2**20, block, ENGINE, limit)
    assert sums.requests == 2500 * len(accepted)
    assert sums.squared_prompt_tokens == 2500 * sum(s * s for s, _ in accepted)
    assert sums.decode_kv_tokens == 2500 * sum((o - 1) * s + o * (o - 1) // 2 for s, o in accepted)
    joint = make_law([s for s, _ in table] * 2500, [o for _, o in table] * 2500, joint=True)
    assert request_sums(joint, 2**20, block, ENGINE, limit) == sums


PAPER_CASES = [
    pytest.param((10, 1600), (10, 1600), 37_200, 3.2632, 3.2622, 1_079_151, id="1:1"),
    pytest.param((10, 2133), (10, 1066), 43_000, 3.9563, 3.9538, 770_034, id="2:1"),
    pytest.param((10, 1066), (10, 2133), 33_700, 2.9016, 2.9012, 1_339_675, id="1:2"),
]


@pytest.mark.parametrize(("prompt", "output", "step_us", "paper_rate", "rate", "area"), PAPER_CASES)
def test_rates_of_the_paper(
    prompt: tuple[int, int], output: tuple[int, int], step_us: int, paper_rate: float, rate: float, area: int
) -> None:
    point = make_point(
        make_law(uniform(*prompt), uniform(*output)), Plane(base_ps=step_us * 10**6), convention=PAPER
    )
    forms = closed_forms(point)
    assert forms.paper_rate_rps == pytest.approx(paper_rate, abs=5e-5)
    assert forms.theory_rate_rps == pytest.approx(rate, abs=5e-5)
    assert 131_000 / (forms.paper_rate_rps * forms.mean_iteration_s) == pytest.approx(area, abs=0.5)
    assert forms.mean_iteration_s == step_us / 10**6
    assert forms.binding == "kv"
    delta = (prompt[1] + output[1]) / 131_000
    assert delta == pytest.approx(0.0244, abs=5e-5)
    assert forms.theory_stable_rps == pytest.approx(forms.theory_rate_rps * (1 - delta), rel=1e-12)


def test_measured_server_of_one_consumer_gpu() -> None:
    table = SHARED_DATA / "llmservingsim_rtx4090" / "requests.parquet"
    if not table.exists():
        pytest.skip("needs the measured requests of a real server, kept beside the checkout")
    import pyarrow.parquet

    columns = pyarrow.parquet.read_table(table).to_pydict()
    law = make_law(columns["prompt_tokens"], columns["output_tokens"], joint=True)
    forms = closed_forms(
        make_point(
            law,
            Plane(base_ps=30_600_000_000),
            convention=PAPER,
            kv_capacity_tokens=41_408,
            prefill_chunk_tokens=2048,
        )
    )
    assert forms.decode_kv_tokens_per_request == pytest.approx(785_678, abs=0.5)
    assert forms.paper_rate_rps == pytest.approx(1.72, abs=0.005)


LAW = make_law([100, 700, 2500], [1, 40, 900])
AFFINE = Plane(8 * PS_PER_MS, 30_000_000, 20_000_000, 150_000, 400)


def work_s(forms: ClosedForms, plane: Plane) -> float:
    """E[c1 s + c2 (decode iterations) + c3 k + c4 a]; every token charged is of the prompt or decoded."""
    decodes = forms.charged_tokens_per_request - forms.mean_prompt_tokens
    return (
        plane.prefill_token_ps * forms.mean_prompt_tokens
        + plane.decode_seq_ps * decodes
        + plane.kv_token_ps * forms.decode_kv_tokens_per_request
        + plane.attention_ps * forms.attention_per_request
    ) / 1e12


@pytest.mark.parametrize("convention", TokenConvention)
def test_slots_bind(convention: TokenConvention) -> None:
    forms = closed_forms(
        make_point(LAW, AFFINE, convention=convention, max_num_seqs=8, kv_capacity_tokens=10**6)
    )
    assert forms.binding == "seqs"
    assert forms.mean_running == pytest.approx(8)
    expected = 1 / (0.008 * forms.iterations_per_request / 8 + work_s(forms, AFFINE))
    assert forms.theory_rate_rps == pytest.approx(expected)
    assert forms.theory_stable_rps is None


@pytest.mark.parametrize("convention", TokenConvention)
def test_token_budget_binds(convention: TokenConvention) -> None:
    forms = closed_forms(
        make_point(LAW, AFFINE, convention=convention, max_num_batched_tokens=512, kv_capacity_tokens=10**8)
    )
    assert forms.binding == "tokens"
    assert forms.charged_tokens_per_request == forms.mean_prompt_tokens + forms.mean_output_tokens - (
        convention is ENGINE
    )
    expected = 1 / (0.008 * forms.charged_tokens_per_request / 512 + work_s(forms, AFFINE))
    assert forms.theory_rate_rps == pytest.approx(expected)


def test_long_prompts_bind_the_budget_while_memory_is_idle() -> None:
    point = make_point(
        make_law([6000], [2]), AFFINE, block_size=16, max_num_seqs=256, max_num_batched_tokens=2048
    )
    forms = closed_forms(point)
    assert forms.binding == "tokens"
    assert forms.mean_kv_tokens < 0.32 * 131_000


@pytest.mark.parametrize(("convention", "iterations"), [(ENGINE, 1), (PAPER, 2)])
def test_unit_requests_in_slots_are_bulk_service(convention: TokenConvention, iterations: int) -> None:
    for slots in (1, 32):
        forms = closed_forms(make_point(make_law([1], [1]), convention=convention, max_num_seqs=slots))
        assert forms.iterations_per_request == iterations
        assert forms.theory_rate_rps == pytest.approx(slots / (iterations * 0.010))


def test_two_token_requests_in_twelve_tokens() -> None:
    forms = closed_forms(make_point(make_law([1], [2]), Plane(base_ps=10**12), kv_capacity_tokens=12))
    assert forms.theory_rate_rps == 4.0
    assert forms.theory_stable_rps == pytest.approx(10 / 3)


def test_memory_rounds_to_whole_blocks() -> None:
    forms = closed_forms(make_point(make_law([20], [13]), block_size=16, kv_capacity_tokens=16 * 100 + 15))
    assert forms.kv_area_blocks == 2 * 13
    assert forms.completions_per_iteration == 100 / 26
    assert forms.theory_stable_rps == pytest.approx(98 / 26 / 0.010)


def test_guarantee_of_one_affine_plane() -> None:
    sums = request_sums(LAW, 512, 16, ENGINE, None)
    forms = closed_forms(make_point(LAW, AFFINE, block_size=16))
    blocks_in_use = 131_000 // 16 - math.ceil((2500 + 899) / 16)
    expected = 1 / (0.008 * forms.kv_area_blocks / blocks_in_use + work_s(forms, AFFINE))
    assert drift_rate_rps(AFFINE, sums, blocks_in_use) == pytest.approx(expected)
    assert expected < forms.theory_rate_rps


@pytest.mark.parametrize(
    "changed",
    [
        {"admission": Admission.PEAK},
        {"admission": Admission.LOOKAHEAD},
        {"preemption": Preemption.RESTART},
        {"watermark": 0.01},
        {"max_num_seqs": 1},
        {"max_num_batched_tokens": 1},
    ],
    ids=str,
)
def test_no_guarantee(changed: dict[str, object]) -> None:
    assert closed_forms(make_point(LAW)).theory_stable_rps is not None
    assert closed_forms(make_point(LAW, **changed)).theory_stable_rps is None


def test_no_guarantee_where_preemption_costs_time() -> None:
    assert closed_forms(make_point(LAW, AFFINE)).theory_stable_rps is None
    assert closed_forms(make_point(LAW, AFFINE, AFFINE)).theory_stable_rps is None


def test_one_request_that_fills_memory_leaves_no_guaranteed_rate() -> None:
    forms = closed_forms(make_point(make_law([100], [29]), kv_capacity_tokens=128))
    assert forms.theory_stable_rps == 0.0


def test_equal_constraints_name_the_first() -> None:
    law = make_law([3], [1])
    tie = {"kv_capacity_tokens": 30, "max_num_seqs": 10, "max_num_batched_tokens": 30}
    assert closed_forms(make_point(law, **tie)).binding == "kv"
    assert closed_forms(make_point(law, **tie | {"kv_capacity_tokens": 31})).binding == "seqs"
    assert (
        closed_forms(make_point(law, **tie | {"kv_capacity_tokens": 31, "max_num_seqs": 11})).binding
        == "tokens"
    )


def test_a_chunk_limit_above_the_budget_is_the_budget() -> None:
    limits = [
        closed_forms(make_point(LAW, max_num_batched_tokens=512, prefill_chunk_tokens=c)) for c in (512, 9999)
    ]
    assert limits[0] == limits[1]


def test_everything_rejected() -> None:
    with pytest.raises(ValueError, match=r"max_model_len = 100: .*test law.*prompt \+ output = 101 tokens"):
        closed_forms(make_point(LAW, max_model_len=100))
    joint = make_law([100, 5], [1, 200], joint=True)
    with pytest.raises(ValueError, match="= 101 tokens"):
        closed_forms(make_point(joint, max_model_len=100))


def test_iterations_that_take_no_time() -> None:
    with pytest.raises(ValueError, match="base_ms"):
        closed_forms(make_point(LAW, Plane()))


def test_threads_share_what_is_remembered() -> None:
    points = [make_point(make_law([s, 2 * s], range(1, 200)), block_size=16) for s in range(1, 40)]
    expected = [closed_forms(point) for point in points]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(closed_forms, points * 20)) == expected * 20


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    recent: RecentlyUsed[int] = RecentlyUsed(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_costs_little_per_point_and_per_law() -> None:
    rng = np.random.default_rng(1)
    prompts, outputs = (np.sort(rng.lognormal(7.0, 1.0, 65_536)).astype(int) + 1 for _ in range(2))
    law = make_law(prompts.tolist(), outputs.tolist())
    points = [
        make_point(law, AFFINE, block_size=16, max_num_seqs=slots, kv_capacity_tokens=10**7)
        for slots in range(1, 1001)
    ]
    first_s, rest_s = math.inf, math.inf
    for chunk in (512, 1024, 2048):
        start = time.perf_counter()
        closed_forms(make_point(law, AFFINE, block_size=16, prefill_chunk_tokens=chunk))
        first_s = min(first_s, time.perf_counter() - start)
        start = time.perf_counter()
        for point in points:
            closed_forms(point)
        rest_s = min(rest_s, time.perf_counter() - start)
    assert first_s < 0.2
    assert rest_s / len(points) < 200e-6
