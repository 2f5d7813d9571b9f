"""Peak memory of a sweep, by number of points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, report

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[1]
BLOCKS = (1, 4)
MIB = 1 << 20


def test_memory(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Largest resident size of a process that sweeps tiny points, one thread."""

    def peak_bytes(blocks: int) -> int:
        out = subprocess.run(
            [sys.executable, "-m", "benchmarks.peak_memory", str(blocks), str(tmp_path / f"{blocks}")],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return int(out)

    few, many = benchmark.pedantic(lambda: [peak_bytes(blocks) for blocks in BLOCKS])
    report(
        benchmark,
        Figure(
            "memory_growth",
            f"peak memory of a sweep, {BLOCKS[0] * 4096:,} and {BLOCKS[1] * 4096:,} points",
            f"{few / MIB:.0f} and {many / MIB:.0f} MiB",
            many / few,
            "no growth",
        ),
    )
