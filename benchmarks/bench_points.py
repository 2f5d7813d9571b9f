"""What one point costs, and how much of that is not simulation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, report
from benchmarks.standard_case import standard_spec
from benchmarks.timing import Paired, paired, side_by_side
from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.engine.evaluate import evaluate_point
from fastq.kernels.cpu import compiled_advance

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from pytest_benchmark.fixture import BenchmarkFixture

POINTS = 512
GRID = {
    "replica.kv_capacity_tokens": {"geometric": [20_000, 320_000, 64]},
    "replica.max_num_seqs": [64, 256],
    "workload.output_scale": [0.5, 1.0, 1.5, 2.0],
}
TINY_RUN = {"requests": 64, "warmup_requests": 0}


class Stopwatch:
    """Adds up the time that compiled kernels take."""

    def __init__(self) -> None:
        self.total_s = 0.0

    def around(self, kernel: Callable[..., int]) -> Callable[..., int]:
        def timed(*arguments: Any) -> int:
            began = time.thread_time()
            status = kernel(*arguments)
            self.total_s += time.thread_time() - began
            return status

        return timed


def microseconds(name: str, title: str, timed: Paired) -> Figure:
    return Figure(name, title, f"{timed.best_s * 1e6:.1f} us a point", timed.ratio)


def test_point_to_one_percent(benchmark: BenchmarkFixture) -> None:
    """The whole of ``evaluate_point``: closed forms, encoding, eight replications, estimates, rows."""
    spec = standard_spec(run={"precision": 0.01, "requests": 2_500})
    result = evaluate_point(spec, 0)
    row = result.point
    half_width = (row["service_rate_high_rps"] - row["service_rate_low_rps"]) / 2 / row["service_rate_rps"]

    def run() -> int:
        for _ in range(4):
            evaluate_point(spec, 0)
        return 4

    timed = paired(benchmark, run)
    report(
        benchmark,
        Figure(
            "point_to_one_percent",
            f"a saturated point to 1% (reached {half_width:.2%}, {result.simulated_requests:,} requests)",
            f"{timed.best_s * 1e3:.1f} ms of one core",
            timed.ratio,
            "10 ms",
        ),
    )


def test_host_overhead(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points of a few requests: all but the kernels' own time is overhead."""
    spec = standard_spec(run=TINY_RUN, grid=GRID)
    watch = Stopwatch()
    monkeypatch.setattr(
        "fastq.engine.ensemble.compiled_advance", lambda *kind: watch.around(compiled_advance(*kind))
    )

    def clock() -> float:
        return time.thread_time() - watch.total_s

    def run() -> int:
        for index in range(0, POINTS, 4):
            evaluate_point(spec, index)
        return POINTS // 4

    (timed,) = benchmark.pedantic(side_by_side, args=(run,), kwargs={"clock": clock})
    title = f"evaluate_point less its kernels, {spec.run.replications} replications"
    report(benchmark, microseconds("host_overhead", title, timed))


def test_parts_of_a_point(benchmark: BenchmarkFixture) -> None:
    """Each part over a grid of points, in grid order; the grid itself is read anew in every round."""
    spec = standard_spec(run=TINY_RUN, grid=GRID)
    points = [spec.point(index) for index in range(POINTS)]

    def make_points() -> int:
        fresh = standard_spec(run=TINY_RUN, grid=GRID)
        for index in range(POINTS):
            fresh.point(index)
        return POINTS

    def make_closed_forms() -> int:
        for point in points:
            closed_forms(point)
        return POINTS

    def make_encoded() -> int:
        for point in points:
            encode(point, spec.run, mean_running=100.0)
        return POINTS

    parts = benchmark.pedantic(side_by_side, args=(make_points, make_closed_forms, make_encoded))
    names = ("spec_point", "closed_forms", "encode")
    titles = ("spec.point, spec included", "closed forms", "encoding")
    report(benchmark, *(microseconds(*part) for part in zip(names, titles, parts, strict=True)))
