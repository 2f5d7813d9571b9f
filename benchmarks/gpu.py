"""The GPU against all cores of its host: ``python -m benchmarks.gpu``, on a machine with a card. See ``gpu.md``.

Equality comes first: a grid has to give the rows of the CPU before anything is timed. Then both backends run in turn,
best of several rounds, on the standard case with its memory varied, so that a block holds 4,096 different points.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe
from benchmarks.standard_case import KV_CAPACITY_TOKENS, standard_spec
from fastq.engine.backend import gpu_names, warm_up, why_not_cuda
from fastq.engine.blocks import BLOCK_POINTS
from fastq.engine.evaluate import evaluate_block
from fastq.engine.gpu_layout import Placed
from fastq.engine.gpu_points import Job, run_jobs
from fastq.engine.point_result import PointResult, prepare
from fastq.engine.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastq.analysis.replication import Replication
    from fastq.model.spec import Spec

LOAD = 0.5
OBJECTIVES = {"ttft": {"p99": "1 s"}}
ROUNDS = 3
EQUAL_POINTS = 64
GPU_POINTS = 16 * BLOCK_POINTS
CPU_POINTS = 1_024
MAP_POINTS = 1_000_000
PRECISION = 0.01
MAP_REQUESTS = 2_500
"""First checkpoint of a point of the map: most reach the precision there."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What was done in a time.

    Parameters
    ----------
    points, requests, iterations
        Counts; ``iterations`` and ``requests`` are those of the windows.
    seconds
        Wall time of the best round.
    """

    points: int
    requests: int
    iterations: int
    seconds: float

    def row(self, name: str) -> str:
        per_s = (self.points, self.requests / 1e6, self.iterations / 1e6)
        return f"| {name} | " + " | ".join(f"{count / self.seconds:,.3g}" for count in per_s) + " |"


def grid(points: int, **run: Any) -> Spec:
    """``points`` of the standard case, memory and block size varied."""
    sides = _sides(points)
    axes: Mapping[str, Any] = {
        "replica.kv_capacity_tokens": {"linear": [KV_CAPACITY_TOKENS // 2, 2 * KV_CAPACITY_TOKENS, sides[0]]},
        "replica.max_num_seqs": {"linear": [32, 32 + sides[1] - 1, sides[1]]},
    }
    measure = run.get("measure", ())
    tables: dict[str, Any] = {"arrivals": {"load": [LOAD]}} if "rates" in measure else {}
    if "slo" in measure:
        tables["slo"] = OBJECTIVES
    return standard_spec(run=run, grid=axes, **tables)


def _sides(points: int) -> tuple[int, int]:
    side = int(points**0.5)
    while points % side:
        side -= 1
    return points // side, side


def check_equality() -> None:
    """Both backends give the same rows, saturated, at half load and searched, and to a precision."""
    measured = {"measure": ["boundary", "rates", "slo"], "requests": MAP_REQUESTS}
    for options in (measured, {"precision": PRECISION, "requests": MAP_REQUESTS}):
        spec = grid(EQUAL_POINTS, **options)
        gpu, cpu = (evaluate_block(spec, 0, backend=backend, threads=8) for backend in ("cuda", "cpu"))
        if gpu != cpu:
            sys.exit("the GPU's rows differ from the CPU's: nothing that follows would mean anything")
    print(f"equal to the CPU, every column of {EQUAL_POINTS} points twice\n")


def kernels_alone(load: float | None, max_registers: int | None = None) -> Rate:
    """One block of points by one process, without making rows; at most so many registers a thread."""
    prepared = [prepare(grid(BLOCK_POINTS), index) for index in range(BLOCK_POINTS)]
    counted: list[Replication] = []
    jobs = []
    for one in prepared:
        if isinstance(one, PointResult):
            continue
        rate_rps = None if load is None else load * one.forms.theory_rate_rps
        placed = Placed(one.encoded, range(one.run.replications), rate_rps)
        jobs.append(Job(placed, one.run.requests, 1.0, lambda _: None, counted.extend))
    run_jobs(jobs, max_registers=max_registers)  # compiles
    counted.clear()
    best_s = min(_timed(lambda: run_jobs(jobs, max_registers=max_registers)) for _ in range(ROUNDS))
    return _rate(len(jobs), counted[: len(counted) // ROUNDS], best_s)


def swept(backend: str, points: int, workers: int | None = None, **run: Any) -> Rate:
    """A whole sweep into Parquet, with all processes and threads that it takes by itself unless told otherwise."""
    spec = grid(points, **run)
    best_s = float("inf")
    for _ in range(ROUNDS if points <= GPU_POINTS else 1):
        with tempfile.TemporaryDirectory() as out:
            best_s = min(
                best_s, _timed(lambda: sweep(spec, Path(out) / "set", backend=backend, workers=workers))
            )
            requests, iterations = _totals(Path(out) / "set")
    return Rate(points, requests, iterations, best_s)


def _totals(out: Path) -> tuple[int, int]:
    from fastq.store.reader import read

    table = read(out, columns=["requests", "iterations"])
    return sum(table["requests"].to_pylist()), sum(table["iterations"].to_pylist())


def _rate(points: int, replications: list[Replication], seconds: float) -> Rate:
    requests = sum(replication.requests for replication in replications)
    return Rate(points, requests, sum(replication.iterations for replication in replications), seconds)


def _timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--map-points", type=int, default=MAP_POINTS, help="points of the map (default: %(default)s)"
    )
    parser.add_argument(
        "--max-registers",
        type=int,
        metavar="N",
        help="time the kernels a second time, compiled for at most N registers a thread, such as 128",
    )
    options = parser.parse_args()
    reason = why_not_cuda()
    if reason is not None:
        sys.exit(f"no GPU to measure: {reason}")
    print(", ".join([*describe().values(), *gpu_names()]))
    both = grid(EQUAL_POINTS, measure=["boundary", "rates"])
    for backend in ("cuda", "cpu"):
        warm_up(both, backend)
    check_equality()
    print("| | points/s | million requests/s | million iterations/s |\n|---|--:|--:|--:|")
    for cap in (None, options.max_registers) if options.max_registers else (None,):
        capped = "" if cap is None else f", at most {cap} registers"
        print(kernels_alone(None, cap).row(f"GPU, saturated, kernels and copies, one process{capped}"))
        print(kernels_alone(LOAD, cap).row(f"GPU, load {LOAD}, kernels and copies, one process{capped}"))
    cases = {
        "saturated": ["boundary"],
        f"saturated and load {LOAD}": ["boundary", "rates"],
        "saturated and a search": ["boundary", "slo"],
    }
    for name, measure in cases.items():
        for backend, points in (("cuda", GPU_POINTS), ("cpu", CPU_POINTS)):
            print(swept(backend, points, measure=measure).row(f"{backend}, {name}, whole sweep"))
    alone = swept("cuda", GPU_POINTS, workers=1, measure=["boundary"])
    print(alone.row("cuda, saturated, whole sweep by one process"))
    for backend, points in (("cuda", options.map_points), ("cpu", CPU_POINTS)):
        rate = swept(backend, points, precision=PRECISION, requests=MAP_REQUESTS)
        print(rate.row(f"{backend}, map of {points:,} points to {PRECISION:.0%}: {rate.seconds:,.0f} s"))


if __name__ == "__main__":
    main()
