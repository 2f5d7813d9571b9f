"""Saturated throughput: does the 95% interval hold the truth, and do short and long runs say the same?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.trust.systems import REPLICATIONS, SYSTEMS, long_run, replicate
from fastq.analysis.intervals import Interval, pooled_throughput, student_quantile
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.account import sample_of

if TYPE_CHECKING:
    from fastq.model.point import Point

HEADER = (
    "system",
    "requests",
    "true rate",
    "coverage of 95%",
    "half-width",
    "bias",
    "gain",
    "agrees with the longest",
)
AGREEMENT = 0.99
RELATIVE_ROUNDING = 1e-9
"""An estimate may have no noise at all; picoseconds and floats round."""


@dataclass(frozen=True)
class Estimate:
    """One repetition: the interval, and its estimate without theory's knowledge of the sample."""

    interval: Interval
    plain_rps: float


def true_rate_rps(point: Point) -> float:
    """Saturated throughput from a very long run."""
    theory = sampled_theory(point)
    runs = long_run(point)
    return pooled_throughput(runs, [theory.ratio(sample_of(run)) for run in runs]).estimate


def estimates(point: Point, requests: int, repetitions: int) -> list[Estimate]:
    """Repeat the default estimate, each time from other draws."""
    theory = sampled_theory(point)
    found, group = [], []
    count = REPLICATIONS * repetitions
    for run in replicate(point, seed=requests, count=count, requests=requests):
        group.append(run)
        if len(group) == REPLICATIONS:
            interval = pooled_throughput(group, [theory.ratio(sample_of(each)) for each in group])
            found.append(Estimate(interval, pooled_throughput(group).estimate))
            group = []
    return found


def study(name: str, lengths: tuple[int, ...], repetitions: int) -> list[tuple[str, ...]]:
    """The lines of one system, one for each run length."""
    point = SYSTEMS[name].point()
    truth_rps = true_rate_rps(point)
    by_length = {requests: estimates(point, requests, repetitions) for requests in sorted(lengths)}
    longest = by_length[max(lengths)]
    return [
        (
            name,
            f"{requests:,}",
            f"{truth_rps:.5g}",
            f"{covered(found, truth_rps):.1%}",
            f"{mean([each.interval.relative_half_width for each in found]):.4%}",
            f"{mean([each.interval.estimate / truth_rps - 1 for each in found]):+.4%}",
            f"{gain(found, truth_rps):,.0f}",
            "" if found is longest else f"{agreement(found, longest):.1%}",
        )
        for requests, found in by_length.items()
    ]


def covered(found: list[Estimate], truth_rps: float) -> float:
    """Share of the intervals that hold the truth."""
    slack_rps = RELATIVE_ROUNDING * truth_rps
    inside = [each.interval.low - slack_rps <= truth_rps <= each.interval.high + slack_rps for each in found]
    return sum(inside) / len(found)


def gain(found: list[Estimate], truth_rps: float) -> float:
    """How many times more requests plain completions over time would need for the same mean squared error."""
    plain = mean([(each.plain_rps - truth_rps) ** 2 for each in found])
    return plain / mean([(each.interval.estimate - truth_rps) ** 2 for each in found])


def agreement(short: list[Estimate], long: list[Estimate]) -> float:
    """Share of the pairs whose difference has a 99% interval that holds 0."""
    widen = student_quantile(REPLICATIONS - 1, AGREEMENT) / student_quantile(REPLICATIONS - 1)
    apart = [
        abs(one.interval.estimate - other.interval.estimate)
        <= widen * (_half_width(one.interval) ** 2 + _half_width(other.interval) ** 2) ** 0.5
        for one, other in zip(short, long, strict=True)
    ]
    return sum(apart) / len(apart)


def _half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def mean(values: list[float]) -> float:
    """Mean of ``values``."""
    return sum(values) / len(values)
