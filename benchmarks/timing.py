"""Work timed between runs of the calibration loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean, median
from typing import TYPE_CHECKING

from benchmarks.calibration import step_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    Clock = Callable[[], float]
    Work = Callable[[], int]

ROUNDS = 9


@dataclass
class Paired:
    """Rounds of some work, each with the calibration loop just before and just after it.

    Parameters
    ----------
    work
        What is timed; it returns how many units (requests, points) it did.
    clock
        Seconds. By default the CPU time of the thread: what other processes take away is not counted. What
        they cost in caches, frequency and shared cores is, and the pairing is against that.
    unit_s
        Time of a unit, by round.
    step_s
        Time of a step of the loop, by round.
    """

    work: Work
    clock: Clock = time.thread_time
    unit_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Do the work once."""
        began = self.clock()
        units = self.work()
        self.unit_s.append((self.clock() - began) / units)

    @property
    def best_s(self) -> float:
        """Time of a unit in the best round, seconds: whatever disturbs a round only adds to it."""
        return min(self.unit_s)

    @property
    def steps(self) -> list[float]:
        """Cost of a unit in steps of the calibration loop, by round."""
        return [unit_s / step_s for unit_s, step_s in zip(self.unit_s, self.step_s, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of :attr:`steps`.

        A disturbance that lasts longer than a round slows both sides alike, and a shorter one spoils few
        rounds, on either side; so this repeats better than a time does.
        """
        return median(self.steps)


def paired(benchmark: BenchmarkFixture, work: Work, *, rounds: int = ROUNDS) -> Paired:
    """Time ``work`` as the benchmark, on one core, after a run that compiles and fills caches."""
    work()
    timed = Paired(work)
    loops: list[float] = []
    benchmark.pedantic(timed.run, setup=lambda: loops.append(step_seconds()), rounds=rounds)
    loops.append(step_seconds())
    timed.step_s = [mean(around) for around in pairwise(loops)]
    return timed


def side_by_side(*works: Work, rounds: int = ROUNDS, clock: Clock = time.thread_time) -> list[Paired]:
    """Time several works in turn, round after round, after a run of each that compiles and fills caches."""
    for work in works:
        work()
    timed = [Paired(work, clock) for work in works]
    before = step_seconds(clock)
    for _ in range(rounds):
        for one in timed:
            one.run()
            after = step_seconds(clock)
            one.step_s.append((before + after) / 2)
            before = after
    return timed
