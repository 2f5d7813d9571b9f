"""Two threads against one, beside what the machine itself gives two busy threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.calibration import STEPS, run_loop
from benchmarks.figures import Figure, report
from benchmarks.standard_case import standard_spec
from fastq.engine.backend import warm_up
from fastq.engine.evaluate import evaluate_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 5
LOOP_STEPS = 64 * STEPS

GRID = {
    "replica.kv_capacity_tokens": {"geometric": [20_000, 320_000, 16]},
    "replica.max_num_seqs": [32, 64, 128, 256],
}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def two_loops() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_loop, [LOOP_STEPS] * 2))


def test_two_threads(benchmark: BenchmarkFixture) -> None:
    """Wall clock, so the other core must be free: the machine's own figure tells whether it was."""
    spec = standard_spec(run={"requests": 10_000}, grid=GRID)
    warm_up(spec)
    run_loop()

    def measure() -> list[tuple[float, float]]:
        return [
            (
                2 * seconds(lambda: run_loop(LOOP_STEPS)) / seconds(two_loops),
                seconds(lambda: evaluate_block(spec, 0, threads=1))
                / seconds(lambda: evaluate_block(spec, 0, threads=2)),
            )
            for _ in range(ROUNDS)
        ]

    rounds = benchmark.pedantic(measure)
    machine = median(of_machine for of_machine, _ in rounds)
    ours = median(of_block for _, of_block in rounds)
    report(
        benchmark,
        Figure(
            "two_threads",
            f"two threads against one, a block of {len(spec)} points",
            f"{ours:.2f} times as fast",
            median(of_machine / of_block for of_machine, of_block in rounds),
            "1.8 times",
        ),
        Figure(
            "two_loops", "two busy loops against one, the machine's own limit", f"{machine:.2f} times as fast"
        ),
    )
