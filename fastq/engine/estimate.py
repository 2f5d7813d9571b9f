"""What a sweep would cost: a few of its points are timed, a block of random rows is encoded."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from fastq.engine.backend import choose_backend, default_workers, gpu_count
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
GPU_SAMPLES = (64, 512, BLOCK_POINTS)
"""Points that are timed on a GPU together, more while the budget lasts: few leave most of it idle."""

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
    gpus
        GPUs that these share; 0: the CPUs simulate.
    """

    points: int
    blocks: int
    seconds: float
    size_bytes: int
    sampled_points: int
    workers: int
    threads: int
    gpus: int = 0


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
    gpus = 0
    if sample is None and choose_backend(backend) == "cuda":
        gpus = gpu_count()
        processes, each = share_cpus(workers or default_workers("cuda"), threads, len(mine))
        timed = _time_on_gpu(spec)
        # Processes share the work of the host, but not more than the cards can do together.
        point_s = max(timed.wall_s / processes, timed.busy_s / min(gpus, processes))
        sampled = timed.points
    else:
        processes, each = share_cpus(workers, threads, len(mine))
        point_s, sampled = _time_points(len(spec), sample or _sample(spec, backend))
        point_s /= processes * each
    return SweepEstimate(
        points=points,
        blocks=len(mine),
        seconds=points * point_s,
        size_bytes=round(points * _point_bytes(spec, manifest)),
        sampled_points=sampled,
        workers=processes,
        threads=each,
        gpus=gpus,
    )


def _sample(spec: Spec, backend: str) -> Callable[[int], object]:
    from fastq.engine.backend import warm_up
    from fastq.engine.evaluate import evaluate_point

    warm_up(spec)
    return lambda index: evaluate_point(spec, index, backend=backend)


class _OnGpu(NamedTuple):
    """What a point takes on a GPU, by one process: seconds of that, and of them the seconds that the card is busy."""

    wall_s: float
    busy_s: float
    points: int


def _time_on_gpu(spec: Spec) -> _OnGpu:
    """Time points side by side: more and more of them as long as the next lot must end within the budget."""
    from fastq.engine.backend import warm_up
    from fastq.engine.gpu_busy import Busy
    from fastq.engine.gpu_lanes import keep_lanes
    from fastq.engine.gpu_points import evaluate_points, use_card

    warm_up(spec, "cuda")
    left_s = SAMPLE_BUDGET_S
    with keep_lanes():
        use_card()
        for most, further in pairwise((*GPU_SAMPLES, GPU_SAMPLES[-1])):
            indices, busy = spread(len(spec), most), Busy()
            began_s = time.perf_counter()
            evaluate_points(spec, indices, busy=busy)
            took_s = time.perf_counter() - began_s
            left_s -= took_s
            if len(indices) < most or most == further or took_s * further / most > left_s:
                break
    return _OnGpu(took_s / len(indices), busy.seconds / len(indices), len(indices))


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
    given = spec.point(0).arrivals.rates
    rates = len(given.rates_rps) + len(given.loads) + given.recorded if "rates" in manifest.tables else 0
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
