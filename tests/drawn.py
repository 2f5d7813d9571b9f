"""Hypothesis strategies: small configurations that reach every branch of the scheduler."""

from __future__ import annotations

import numpy as np
from builders import law, with_clock
from hypothesis import strategies as st

from fastq.model.iteration_time import NO_TERMS, IterationTime, Plane, Terms
from fastq.model.lengths import LengthLaw
from fastq.model.point import REPLAY, Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention

lengths = st.one_of(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 40).map(lambda n: [n]),
)
coefficient = st.sampled_from([0, 1, 999, 20_000, 1_234_567, 30_000_001])
planes = st.builds(
    Plane,
    base_ps=st.sampled_from([1, 1000, 999_999, 8_000_000_123, 37_200_000_000]),
    prefill_token_ps=coefficient,
    decode_seq_ps=coefficient,
    kv_token_ps=coefficient,
    attention_ps=coefficient,
)


terms = st.one_of(
    st.just(NO_TERMS),
    st.builds(
        Terms,
        **{
            name: coefficient
            for name in Terms.__dataclass_fields__
            if name not in ("jump_ps", "jump_beyond_tokens")
        },
        jump_ps=st.sampled_from([1, 999, 3_000_000_001]),
        jump_beyond_tokens=st.integers(1, 40),
    ),
    st.builds(Terms, jump_ps=st.just(12_345_678), jump_beyond_tokens=st.integers(1, 8)),
    st.builds(Terms, finished_prompt_ps=coefficient, prefill_seq_ps=coefficient),
)


def law_of(prompts: list[int], outputs: list[int], *, joint: bool) -> LengthLaw:
    if joint:
        n = min(len(prompts), len(outputs))
        prompts, outputs = prompts[:n], outputs[:n]
    return law(prompts, outputs, joint=joint)


processes = st.sampled_from(
    [
        *[Arrivals()] * 3,
        Arrivals("gamma", interarrival_cv=3.0),
        Arrivals("weibull", interarrival_cv=0.3),
        Arrivals("deterministic"),
        Arrivals(REPLAY),
        Arrivals(REPLAY, round_robin=5),
    ]
)


def times_of(draw: st.DrawFn, requests: int) -> np.ndarray:
    """Arrival times in order, some of them the same, some far apart, s."""
    gaps_s = draw(
        st.lists(st.sampled_from([0.0, 0.0, 0.001, 1.0, 700.0]), min_size=requests, max_size=requests)
    )
    times_s = np.cumsum(gaps_s)
    times_s[-1] = max(times_s[-1], times_s[0] + 1.0)
    return times_s


@st.composite
def points(draw: st.DrawFn, admissions: tuple[Admission, ...] = tuple(Admission)) -> Point:
    drawn = law_of(draw(lengths), draw(lengths), joint=draw(st.booleans()))
    arrivals = draw(processes)
    if arrivals.process == REPLAY:
        if drawn.joint and len(drawn.prompt_tokens) > 1:
            drawn = with_clock(drawn, times_of(draw, len(drawn.prompt_tokens)))
        else:
            arrivals = Arrivals()
    longest = int(drawn.prompt_tokens.max()) + int(drawn.output_tokens.max())
    block_size = draw(st.sampled_from([1, 1, 2, 3, 4, 7, 16]))
    # Enough for the largest request, and room for a few to a few dozen.
    blocks_needed = -(-longest // block_size)
    blocks = blocks_needed + draw(st.integers(0, 6 * blocks_needed))
    budget = draw(st.one_of(st.none(), st.integers(1, 24), st.integers(25, 400)))
    chunk = draw(st.one_of(st.integers(1, 8), st.integers(9, 200)))
    if draw(st.booleans()) and budget is not None:
        chunk = budget
    convention = draw(st.sampled_from(TokenConvention))
    max_model_len = None
    if draw(st.integers(0, 4)) == 0:
        shortest = int(drawn.prompt_tokens.min()) + int(drawn.output_tokens.min())
        if drawn.joint:
            shortest = int((drawn.prompt_tokens + drawn.output_tokens).min())
        max_model_len = draw(st.integers(shortest, longest))
    return Point(
        index=0,
        case=None,
        axes={},
        law=drawn,
        arrivals=arrivals,
        replica=Replica(
            kv_capacity_tokens=blocks * block_size + draw(st.integers(0, block_size - 1)),
            block_size=block_size,
            max_num_seqs=draw(st.one_of(st.none(), st.integers(1, 4), st.integers(5, 40))),
            max_num_batched_tokens=budget,
            prefill_chunk_tokens=chunk if budget is None else min(chunk, budget),
            watermark=draw(st.sampled_from([0.0, 0.0, 0.05, 0.3])),
            max_model_len=max_model_len,
        ),
        iteration_time=IterationTime(tuple(draw(st.lists(planes, min_size=1, max_size=3))), draw(terms)),
        scheduler=Scheduler(
            preset="vllm",
            admission=draw(st.sampled_from(admissions)),
            preemption=draw(st.sampled_from(Preemption)),
            token_convention=convention,
        ),
    )
