"""Work timed between runs of the calibration loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.calibration import step_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    Work = Callable[[], int]

ROUNDS = 9


@dataclass
class Paired:
    """Rounds of some work, each with the calibration loop before and after it.

    The clock counts the CPU time of the thread unless told otherwise: what other processes take away is not
    counted, but what they cost in caches, frequency and shared cores is. That is what the pairing is for.

    Parameters
    ----------
    work
        What is timed; it returns how many units (requests, points) it did.
    clock
        Seconds.
    """

    work: Work
    clock: Callable[[], float] = time.thread_time
    unit_s: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    _before: float = 0.0

    def calibrate(self) -> None:
        """Time the loop before a round."""
        self._before = step_seconds(self.clock)

    def round(self) -> None:
        """Run the work once, then the loop."""
        began = self.clock()
        units = self.work()
        unit_s = (self.clock() - began) / units
        step_s = (self._before + step_seconds(self.clock)) / 2
        self.unit_s.append(unit_s)
        self.steps.append(unit_s / step_s)

    def forget(self) -> None:
        """Drop the rounds so far: what compiles or fills caches."""
        self.unit_s.clear()
        self.steps.clear()

    @property
    def best_s(self) -> float:
        """Time of a unit in the best round, seconds: whatever disturbs a round only adds to it."""
        return min(self.unit_s)

    @property
    def ratio(self) -> float:
        """Cost of a unit in steps of the calibration loop: the median of the rounds' own ratios.

        A disturbance that lasts longer than a round slows both sides alike, and a shorter one spoils few
        rounds, on either side.
        """
        return median(self.steps)


def paired(benchmark: BenchmarkFixture, work: Work, *, rounds: int = ROUNDS) -> Paired:
    """Time ``work`` as the benchmark, on one core."""
    timed = Paired(work)
    timed.calibrate()
    timed.round()
    timed.forget()
    # The closing run of the loop is taken apart from the benchmark's own time, by the teardown.
    benchmark.pedantic(timed.round, setup=timed.calibrate, rounds=rounds)
    return timed


def side_by_side(*works: Work, rounds: int = ROUNDS, clock: Callable[[], float] = time.thread_time) -> list[Paired]:
    """Time several works in turn, round after round."""
    timed = [Paired(work, clock) for work in works]
    for one in timed:
        one.calibrate()
        one.round()
        one.forget()
    for _ in range(rounds):
        for one in timed:
            one.calibrate()
            one.round()
    return timed
