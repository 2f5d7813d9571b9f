"""Writing a block's files as a share of the time that the block takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, report
from benchmarks.timing import side_by_side
from fastq.engine.backend import warm_up
from fastq.engine.blocks import BLOCK_POINTS
from fastq.engine.evaluate import evaluate_point
from fastq.model.load import load_spec
from fastq.store.location import open_location
from fastq.store.manifest import claim, manifest_of
from fastq.store.writer import write_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from fastq.engine.evaluate import Row
    from fastq.model.spec import Spec

SAMPLED = 64
FULL_BLOCK = [
    ("grid.replica.max_num_seqs", "[64, 128, 256, 1024]"),
    ("grid.replica.kv_capacity_tokens", "{ geometric = [16_000, 512_000, 64] }"),
    ("grid.workload.output_scale", "{ geometric = [0.25, 4.0, 16] }"),
]
"""The grid ``quickstart`` with as many values as fill one block."""


def test_writing_share(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """CPU time of one core; of the block's points a sample is simulated, all of its rows are written."""
    spec = load_spec("quickstart", FULL_BLOCK)
    warm_up(spec)
    stride = BLOCK_POINTS // SAMPLED
    sample = [evaluate_point(spec, stride * k + stride // 2) for k in range(SAMPLED)]
    tables = {
        "points": columns([(index, sample[index // stride].point) for index in range(BLOCK_POINTS)], spec),
        "replications": columns(
            [(i, row) for i in range(BLOCK_POINTS) for row in sample[i // stride].replications], None
        ),
    }
    location, manifest = open_location(tmp_path), manifest_of(spec, BLOCK_POINTS)
    claim(location, manifest)

    def simulate() -> int:
        for k in range(SAMPLED):
            evaluate_point(spec, stride * k + stride // 2)
        return SAMPLED

    def write() -> int:
        write_block(location, manifest, 0, tables)
        return BLOCK_POINTS

    simulated, written = benchmark.pedantic(
        side_by_side, args=(simulate, write), kwargs={"rounds": 3, "clock": time.process_time}
    )
    share = written.ratio / (written.ratio + simulated.ratio)
    report(
        benchmark,
        Figure("writing_share", "writing, of a sweep's time (quickstart)", f"{share:.2%}", share, "5%"),
        Figure(
            "writing",
            f"writing a block of {BLOCK_POINTS:,} points",
            f"{written.best_s * 1e6:.0f} us a point",
            written.ratio,
        ),
    )


def columns(rows: Sequence[tuple[int, Row]], spec: Spec | None) -> dict[str, list[Any]]:
    """Rows of the sample as rows of all points: every float differs, so that none is stored for another."""
    table: dict[str, list[Any]] = {name: [] for name in rows[0][1]}
    for index, row in rows:
        own = {"point": index} | (spec.point(index).axes if spec else {})
        for name, value in row.items():
            changed = value * (1 + 1e-9 * index) if isinstance(value, float) else value
            table[name].append(own.get(name, changed))
    return table
