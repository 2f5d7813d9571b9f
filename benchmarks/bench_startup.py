"""Start-up of the command and of the library, and compilation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, report
from benchmarks.timing import side_by_side

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[1]
ROUNDS = 15
IMPORT = "import time; began = time.perf_counter(); import fastq; print(time.perf_counter() - began)"


def python(*arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def typical_and_best(times_s: list[float]) -> str:
    return f"{median(times_s) * 1e3:.3g} ms (best {min(times_s) * 1e3:.3g} ms)"


def test_start_up(benchmark: BenchmarkFixture) -> None:
    """Wall clock of whole processes, after one that filled the caches."""

    def show_help() -> int:
        python("-m", "fastq", "--help")
        return 1

    def nothing() -> int:
        python("-c", "pass")
        return 1

    helped, bare = benchmark.pedantic(
        side_by_side, args=(show_help, nothing), kwargs={"rounds": ROUNDS, "clock": time.perf_counter}
    )
    imported = [float(python("-c", IMPORT)) for _ in range(ROUNDS)]
    report(
        benchmark,
        Figure(
            "help", "fastq --help, the whole process", typical_and_best(helped.unit_s), helped.ratio, "300 ms"
        ),
        Figure(
            "import",
            "import fastq (ratio: to python -c pass)",
            typical_and_best(imported),
            median(imported) / median(bare.unit_s),
            "150 ms",
        ),
    )


def test_first_calls(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The first call of every kernel in a process: with an empty cache directory, and with a full one."""

    def first_calls() -> dict[str, float]:
        timed: dict[str, float] = json.loads(
            python("-m", "benchmarks.first_calls", NUMBA_CACHE_DIR=str(tmp_path))
        )
        return timed

    cold, warm = benchmark.pedantic(lambda: (first_calls(), first_calls()))
    report(
        benchmark,
        *(
            Figure(
                f"first_call_{name.replace(' ', '_').replace(',', '')}",
                f"first in a process: {name}",
                f"{cold[name]:.1f} s, {warm[name] * 1e3:.0f} ms from a full cache",
            )
            for name in cold
        ),
    )
