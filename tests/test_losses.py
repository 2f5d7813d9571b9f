"""Where the capacity goes: the terms are each what they say, and add up to the loss against theory."""

from __future__ import annotations

import dataclasses
import math

import pytest
from builders import PS_PER_MS, point, uniform
from simulations import replications

from fastq.closed_forms import closed_forms
from fastq.closed_forms.losses import Losses
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.account import account, sample_of
from fastq.model.iteration_time import Plane, Terms
from fastq.model.point import Point

AFFINE = Plane(
    base_ps=8 * PS_PER_MS, prefill_token_ps=30_000_000, decode_seq_ps=20_000_000, kv_token_ps=150_000
)
COMPUTE = Plane(
    base_ps=8 * PS_PER_MS, prefill_token_ps=30_000_000, decode_seq_ps=20_000_000, kv_token_ps=50_000
)
READS = Plane(base_ps=14 * PS_PER_MS, prefill_token_ps=0, decode_seq_ps=0, kv_token_ps=60_000)
LINEAR = Terms(prefill_seq_ps=2 * PS_PER_MS, finished_prompt_ps=3 * PS_PER_MS, prefill_kv_token_ps=3_000_000)
KINDS = Terms(
    prefill_ps=PS_PER_MS,
    mixed_ps=3 * PS_PER_MS,
    mixed_kv_token_ps=20_000,
    jump_ps=5 * PS_PER_MS,
    jump_beyond_tokens=512,
)
SYSTEMS = {
    "kv, recompute": {},
    "kv, terms of prompts": {"terms": LINEAR},
    "kv, restart, terms of prompts in small chunks": {
        "terms": LINEAR,
        "preemption": "restart",
        "prefill_chunk_tokens": 100,
    },
    "kv, terms of batches": {"terms": KINDS},
    "seqs, terms of prompts in small chunks": {
        "max_num_seqs": 64,
        "terms": LINEAR,
        "prefill_chunk_tokens": 100,
    },
    "seqs, terms of batches": {"max_num_seqs": 64, "terms": KINDS},
    "tokens, terms of prompts": {
        "max_num_batched_tokens": 256,
        "prefill_chunk_tokens": 256,
        "terms": LINEAR,
    },
    "kv, restart": {"preemption": "restart"},
    "kv, chunk": {"admission": "chunk"},
    "kv, peak": {"admission": "peak"},
    "kv, lookahead": {"admission": "lookahead"},
    "kv, paper's convention": {"token_convention": "paper"},
    "kv, small chunks": {"prefill_chunk_tokens": 100},
    "kv, large blocks": {"block_size": 256},
    "kv, two planes": {"planes": (COMPUTE, READS)},
    "kv and seqs": {"max_num_seqs": 110},
    "seqs": {"max_num_seqs": 64},
    "seqs and kv": {"max_num_seqs": 105, "admission": "peak"},
    "kv and tokens": {"max_num_batched_tokens": 450, "prefill_chunk_tokens": 450},
    "tokens": {"max_num_batched_tokens": 256, "prefill_chunk_tokens": 256},
}


def system(name: str) -> Point:
    values = {
        "kv_capacity_tokens": 70_000,
        "block_size": 16,
        "prefill_chunk_tokens": 2048,
        "planes": (AFFINE,),
        **SYSTEMS[name],
    }
    return point(uniform(200, 800), uniform(50, 350), **values)


def lost(at: Point, *, requests: int = 5000) -> tuple[Losses, float]:
    """The account, and 1 - simulated / theory for the same requests."""
    runs = replications(at, requests=requests)
    theory = sampled_theory(at)
    time_s = math.fsum(run.elapsed_ps / 1e12 for run in runs)
    ideal_s = math.fsum(run.requests / theory.rate_rps(sample_of(run)) for run in runs)
    return account(at, runs), 1 - ideal_s / time_s


def total(losses: Losses) -> float:
    return math.fsum(dataclasses.astuple(losses)) - losses.rounding


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_terms_add_up_and_leave_next_to_nothing_unexplained(name):
    """Up to the noise of theory's rate of eight samples against that of all of them together."""
    losses, whole = lost(system(name))
    assert total(losses) == pytest.approx(whole, abs=2e-4)
    assert abs(losses.unexplained) < 1e-3
    idle = (losses.admission, losses.ties, losses.preemption, losses.reservation, losses.rounding)
    assert (
        min(idle) > -1e-6
    )  # but for requests that are preempted in one window and prefilled again in the next


@pytest.mark.parametrize(
    ("name", "term", "least"),
    [
        ("kv, recompute", "recomputation", 0.05),
        ("kv, restart", "recomputation", 0.05),
        ("kv, peak", "reservation", 0.04),
        ("kv, lookahead", "admission", 0.001),
        ("kv, two planes", "imbalance", 0.05),
        ("seqs, terms of batches", "imbalance", 0.05),
        ("tokens, terms of prompts", "imbalance", 0.01),
        ("kv, terms of prompts", "recomputation", 0.05),
        ("seqs and kv", "ties", 0.01),
    ],
)
def test_the_term_that_must_be_the_largest_is(name, term, least):
    losses, _ = lost(system(name))
    terms = dataclasses.asdict(losses)
    terms.pop("rounding")
    assert max(terms, key=terms.__getitem__) == term
    assert terms[term] > least


@pytest.mark.parametrize(("name", "off"), [("seqs", 1e-4), ("seqs, terms of prompts in small chunks", 2e-4)])
def test_nothing_is_lost_where_slots_alone_bind(name, off):
    """Chunks, and what is cached before them, are followed by stand-ins: that leaves a little noise."""
    losses, _ = lost(system(name))
    assert dataclasses.astuple(losses) == pytest.approx([0.0] * 8, abs=off)


def test_reserved_memory_of_equal_requests_is_known():
    """Requests of 50 and 10 tokens reserve 59 of 1,000: 16 run, for 10 iterations each; on average they hold 54.5."""
    at = point(
        (50,),
        (10,),
        kv_capacity_tokens=1000,
        admission="peak",
        prefill_chunk_tokens=4096,
        planes=(Plane(PS_PER_MS, 0, 0, 0),),
    )
    losses, _ = lost(at, requests=4000)
    assert losses.admission == pytest.approx(1 - 16 * 59 / 1000, abs=1e-3)
    assert losses.reservation == pytest.approx(16 * (59 - 54.5) / 1000, abs=1e-3)


def test_work_that_is_lost_and_done_again_is_counted_in_full():
    """Prompts of 1 token, two outputs, memory of 12 (Ao et al.): `restart` completes 3 a step, theory 4."""
    at = point((1,), (2,), kv_capacity_tokens=12, preemption="restart", planes=(Plane(PS_PER_MS, 0, 0, 0),))
    assert closed_forms(at).theory_rate_rps == pytest.approx(4000)
    losses, whole = lost(at)
    assert total(losses) == pytest.approx(whole, abs=1e-9)
    assert losses.preemption == pytest.approx(whole, abs=0.01)


def test_the_rounding_of_blocks_is_what_theory_takes_for_it():
    coarse, fine = system("kv, large blocks"), system("kv, recompute")
    losses, _ = lost(coarse)
    in_tokens = point(
        uniform(200, 800),
        uniform(50, 350),
        kv_capacity_tokens=70_000,
        prefill_chunk_tokens=2048,
        planes=(AFFINE,),
    )
    gap_s = 1 / closed_forms(coarse).theory_rate_rps - 1 / closed_forms(in_tokens).theory_rate_rps
    simulated = closed_forms(coarse).theory_rate_rps * (1 - total(losses))
    assert losses.rounding == pytest.approx(gap_s * simulated, rel=0.01)
    assert losses.rounding > 5 * lost(fine)[0].rounding > 0
