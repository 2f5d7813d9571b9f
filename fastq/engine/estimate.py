"""What a sweep would cost: a few of its points are timed, a block of random rows is encoded."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastq.engine.backend import choose_backend
from fastq.engine.blocks import BLOCK_POINTS, Shard, parse_shard
from fastq.engine.executors import refuse_counts, share_cpus
from fastq.engine.spread import spread
from fastq.engine.sweep import refuse_infeasible
from fastq.store.manifest import Manifest, manifest_of
from fastq.store.schema import table_columns
from fastq.store.writer import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.model.spec import Spec

SAMPLE_POINTS = 16
SAMPLE_BUDGET_S = 10.0
SIZED_POINTS = 128
MAX_SAMPLED_INT = 1_000_000


@dataclass(frozen=True, slots=True)
class SweepEstimate:
    """What a sweep would cost; nothing was written.

    Parameters
    ----------
    points, blocks
        Size of this shard, finished blocks included.
    seconds
        Estimated time, seconds.
    size_bytes
        Estimated size of the files.
    sampled_points
        Points that were simulated for the estimate, spread over the grid.
    workers, threads
        Processes, and threads in each, that it is an estimate for.
    """

    points: int
    blocks: int
    seconds: float
    size_bytes: int
    sampled_points: int
    workers: int
    threads: int


def estimate(
    spec: Spec,
    *,
    backend: str = "auto",
    workers: int | None = None,
    threads: int | None = None,
    shard: Shard | str | None = None,
    sample: Callable[[int], object] | None = None,
    block_points: int = BLOCK_POINTS,
) -> SweepEstimate:
    """Estimate time and size of a sweep without writing anything.

    Parameters
    ----------
    spec
        The grid.
    backend, workers, threads, shard
        As for :func:`fastq.engine.sweep.sweep`.
    sample
        Simulates the point of an index in one thread; by default as the sweep would.
    block_points
        Points in a block.
    """
    part = parse_shard(shard) if isinstance(shard, str) else shard or Shard()
    refuse_counts(workers=workers, threads=threads)
    refuse_infeasible(spec)
    manifest = manifest_of(spec, block_points)
    mine = part.select(range(manifest.blocks))
    points = sum(len(manifest.block_range(block)) for block in mine)
    processes, each = share_cpus(workers, threads, len(mine))
    if sample is None and choose_backend(backend) == "cuda":
        # The GPU is one, however many feed it: blocks are taken to run one after another.
        processes = each = 1
        point_s, sampled = _time_on_gpu(spec)
    else:
        point_s, sampled = _time_points(len(spec), sample or _sample(spec, backend))
    return SweepEstimate(
        points=points,
        blocks=len(mine),
        seconds=points * point_s / (processes * each),
        size_bytes=round(points * _point_bytes(spec, manifest)),
        sampled_points=sampled,
        workers=processes,
        threads=each,
    )


def _sample(spec: Spec, backend: str) -> Callable[[int], object]:
    from fastq.engine.backend import warm_up
    from fastq.engine.evaluate import evaluate_point

    warm_up(spec)
    return lambda index: evaluate_point(spec, index, backend=backend)


def _time_on_gpu(spec: Spec) -> tuple[float, int]:
    """Return the mean time of a point, seconds, and how many were timed: as many at once as a block has."""
    from fastq.engine.backend import warm_up
    from fastq.engine.gpu_points import evaluate_points

    warm_up(spec, "cuda")
    indices = spread(len(spec), BLOCK_POINTS)
    began_s = time.perf_counter()
    evaluate_points(spec, indices)
    return (time.perf_counter() - began_s) / len(indices), len(indices)


def _time_points(points: int, sample: Callable[[int], object]) -> tuple[float, int]:
    """Return the mean time of a point, seconds, and how many were timed.

    They are taken in shuffled order, so that a budget that runs out early leaves no corner out.
    """
    indices = spread(points, SAMPLE_POINTS)
    random.Random(0).shuffle(indices)
    began_s = time.perf_counter()
    timed = 0
    for index in indices:
        sample(index)
        timed += 1
        if time.perf_counter() - began_s > SAMPLE_BUDGET_S:
            break
    return (time.perf_counter() - began_s) / timed, timed


def _point_bytes(spec: Spec, manifest: Manifest) -> float:
    """Return the bytes that a point takes in all tables, from rows of random numbers."""
    arrivals = spec.point(0).arrivals
    rates = len(arrivals.rates_rps) + len(arrivals.loads) if "rates" in manifest.tables else 0
    rows_of = {"points": 1, "replications": spec.run.replications * (1 + rates), "rates": rates}
    sized = min(SIZED_POINTS, len(manifest.block_range(0)))
    total = 0.0
    for table in manifest.tables:
        full = len(_encode_random(manifest, table, sized, rows_of[table]))
        footer = len(_encode_random(manifest, table, 0, 0))
        total += (full - footer) / sized + footer / len(manifest.block_range(0))
    return total


def _encode_random(manifest: Manifest, table: str, points: int, rows_per_point: int) -> memoryview:
    draw = random.Random(0)
    point = [index for index in range(points) for _ in range(rows_per_point)]
    values: dict[str, Callable[[], Any]] = {
        "float": draw.random,
        "int": lambda: draw.randrange(MAX_SAMPLED_INT),
        "str": lambda: None,
    }
    columns = {
        column.name: [values[column.kind]() for _ in point] for column in table_columns(table, manifest.axes)
    }
    columns |= {axis.key: [None] * len(point) for axis in manifest.axes if axis.key in columns}
    return memoryview(encode(manifest, table, columns | {"point": point}))
