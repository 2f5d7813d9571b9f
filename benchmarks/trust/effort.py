"""How many requests an interval of ±1% takes: by plain replication, and with theory's knowledge of the sample."""

from __future__ import annotations

import itertools
import math
from statistics import stdev
from typing import TYPE_CHECKING

from benchmarks.trust.systems import SYSTEMS, replicate
from fastq.analysis.intervals import student_quantile
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.account import sample_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.model.point import Point

PRECISION = 0.01
SHORT_REQUESTS = 200
"""A window that is too short for plain replication, which knows nothing of the lengths in it."""

REPLICATIONS = 2_000
"""Of each length, from which the spread between replications comes."""


def header(lengths: Sequence[int]) -> tuple[str, ...]:
    """Head of the table."""
    plain = (f"plain, {requests:,} a replication" for requests in lengths)
    times = (f"times as many, {requests:,}" for requests in lengths)
    return ("system", *plain, "fastq", *times)


def study(name: str, lengths: Sequence[int]) -> list[tuple[str, ...]]:
    """One line: requests in the windows of as many replications as ±1% takes, two at least; fastq's fewest."""
    point = SYSTEMS[name].point()
    spreads = {requests: relative_spreads(point, requests) for requests in (SHORT_REQUESTS, *lengths)}
    plain = [replications_for(spreads[requests][0]) * requests for requests in lengths]
    own = min(replications_for(spread) * requests for requests, (_, spread) in spreads.items())
    return [
        (
            name,
            *(f"{requests:,}" for requests in plain),
            f"{own:,}",
            *(f"{requests / own:.1f}" for requests in plain),
        )
    ]


def relative_spreads(point: Point, requests: int) -> tuple[float, float]:
    """Standard deviation of the throughput of a replication over its mean: plain, and scaled by theory."""
    theory = sampled_theory(point)
    runs = list(replicate(point, seed=requests, count=REPLICATIONS, requests=requests))
    plain = [run.requests / run.elapsed_ps for run in runs]
    scaled = [rate / theory.ratio(sample_of(run)) for rate, run in zip(plain, runs, strict=True)]
    return tuple(stdev(rates) * len(rates) / sum(rates) for rates in (plain, scaled))


def replications_for(relative_spread: float) -> int:
    """Fewest replications, two at least, whose 95% interval by Student is ±1% at that spread between them."""
    return next(
        count
        for count in itertools.count(2)
        if student_quantile(count - 1) * relative_spread / math.sqrt(count) <= PRECISION
    )
