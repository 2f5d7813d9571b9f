"""Latencies at a rate: does the 95% interval hold the truth, and are those marked that hold it too seldom?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.trust.intervals import true_rate_rps
from benchmarks.trust.systems import REPLICATIONS, SYSTEMS, long_run, replicate
from fastq.analysis.latency_intervals import MEAN, latency_intervals, resting_on_waits
from fastq.analysis.replication import LATENCIES, Replication
from fastq.engine.bins import bin_edges
from fastq.engine.rows import QUANTILES

if TYPE_CHECKING:
    from fastq.analysis.latency_intervals import Rested

HEADER = (
    "system",
    "load",
    "requests",
    *(f"{name}: mean, 50, 90, 99% (marked)" for name in LATENCIES),
    "rates marked",
)
LEAST_MARKED = 0.005
"""A share of marks that is shown."""


@dataclass(slots=True)
class Tally:
    """Of one statistic of one latency: how many intervals hold the truth, and how many are marked as short."""

    truth_ns: float
    inside: int = 0
    marked: int = 0
    inside_unmarked: int = 0

    def add(self, rested: Rested) -> None:
        """Count one."""
        holds = rested.interval.low <= self.truth_ns <= rested.interval.high
        self.inside += holds
        self.marked += rested.short
        self.inside_unmarked += holds and not rested.short

    def coverage(self, repetitions: int, *, unmarked: bool) -> float | None:
        """The share that holds the truth, of all or of those not marked; None where there are none of these."""
        if not unmarked:
            return self.inside / repetitions
        counted = repetitions - self.marked
        return self.inside_unmarked / counted if counted else None


def study(
    name: str, load: float, requests: int, repetitions: int, *, unmarked: bool = False
) -> list[tuple[str, ...]]:
    """One line: of each statistic the intervals that hold the truth, and where some are marked how many, in %.

    The last cell: how many rates are marked for any of their statistics, in %. Where ``unmarked``, only intervals that
    are not marked count.
    """
    point = SYSTEMS[name].point()
    rate_rps = load * true_rate_rps(point)
    tallies = {
        key: Tally(found.interval.estimate) for key, found in _found(long_run(point, rate_rps)).items()
    }
    marked = 0
    group: list[Replication] = []
    count = REPLICATIONS * repetitions
    for run in replicate(point, seed=1, count=count, requests=requests, rate_rps=rate_rps):
        group.append(run)
        if len(group) == REPLICATIONS:
            found = _found(group)
            for key, rested in found.items():
                tallies[key].add(rested)
            marked += any(rested.short for rested in found.values())
            group = []
    cells = (_cell(tallies, each, repetitions, unmarked=unmarked) for each in LATENCIES)
    return [(name, f"{load:g}", f"{requests:,}", *cells, f"{100 * marked / repetitions:.0f}")]


def _found(runs: list[Replication]) -> dict[tuple[str, str], Rested]:
    found = {
        latency: latency_intervals([run.latencies[latency] for run in runs], bin_edges(), QUANTILES)
        for latency in LATENCIES
    }
    return {
        (latency, statistic): rested
        for latency, statistics in resting_on_waits(found).items()
        for statistic, rested in statistics.items()
    }


def _cell(tallies: dict[tuple[str, str], Tally], latency: str, repetitions: int, *, unmarked: bool) -> str:
    each = [tallies.get((latency, statistic)) for statistic in (MEAN, *QUANTILES)]
    shares = [None if one is None else one.coverage(repetitions, unmarked=unmarked) for one in each]
    inside = ", ".join("-" if share is None else f"{100 * share:.1f}" for share in shares)
    marked = [0.0 if one is None else one.marked / repetitions for one in each]
    if max(marked) < LEAST_MARKED:
        return inside
    return f"{inside} ({', '.join(f'{100 * share:.0f}' for share in marked)})"
