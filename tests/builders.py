"""Points from plain keyword arguments, without a spec file: a replica has no limit that is not asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from fastq.closed_forms import closed_forms
from fastq.model.iteration_time import NO_TERMS, IterationTime, Plane, Terms
from fastq.model.lengths import LengthLaw, column
from fastq.model.lengths import law as put_together
from fastq.model.point import Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention
from fastq.model.trace_clock import trace_clock

PS_PER_MS = 10**9

_POISSON = Arrivals()

ROOMY_TOKENS = 1 << 20
"""KV memory that never binds in these tests, tokens."""


def uniform(low: int, high: int) -> range:
    return range(low, high + 1)


def law(prompts: Iterable[int], outputs: Iterable[int], *, joint: bool = False) -> LengthLaw:
    return put_together(column(list(prompts)), column(list(outputs)), joint=joint, name="test law")


def with_clock(lengths: LengthLaw, arrival_s: Iterable[float]) -> LengthLaw:
    """The same law as that of a trace whose requests arrived at these times, s."""
    clock = trace_clock(np.asarray(list(arrival_s), np.float64))
    assert clock is not None
    return replace(lengths, clock=clock)


def point(
    prompts: Iterable[int] = (1,),
    outputs: Iterable[int] = (1,),
    *,
    joint: bool = False,
    planes: Iterable[Plane] = (Plane(base_ps=PS_PER_MS),),
    terms: Terms = NO_TERMS,
    admission: str = "prompt",
    preemption: str = "recompute",
    token_convention: str = "engine",
    kv_capacity_tokens: int = ROOMY_TOKENS,
    block_size: int = 1,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    prefill_chunk_tokens: int = 512,
    watermark: float = 0.0,
    max_model_len: int | None = None,
    arrivals: Arrivals = _POISSON,
) -> Point:
    """One point; iterations of 1 ms and blocks of one token unless told otherwise."""
    return Point(
        index=0,
        case=None,
        axes={},
        law=law(prompts, outputs, joint=joint),
        arrivals=arrivals,
        replica=Replica(
            kv_capacity_tokens=kv_capacity_tokens,
            block_size=block_size,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            prefill_chunk_tokens=prefill_chunk_tokens,
            watermark=watermark,
            max_model_len=max_model_len,
        ),
        iteration_time=IterationTime(tuple(planes), terms),
        scheduler=Scheduler(
            preset="vllm",
            admission=Admission(admission),
            preemption=Preemption(preemption),
            token_convention=TokenConvention(token_convention),
        ),
    )


def with_digest(point: Point) -> Point:
    """The same point, whose law is named by its digest, by which closed forms remember it."""
    drawn = point.law
    named = law(drawn.prompt_tokens, drawn.output_tokens, joint=drawn.joint)
    return replace(point, law=replace(named, clock=drawn.clock))


def rate_at(point: Point, load: float) -> float:
    """``load`` times the service rate of theory, requests/s, within what a clock of nanoseconds can tell apart."""
    return min(max(load * closed_forms(point).theory_rate_rps, 1e-3), 1e6)
