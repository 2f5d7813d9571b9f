"""Requests per second of one core, by kind of replication."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from benchmarks.figures import Figure, report
from benchmarks.standard_case import standard_spec
from benchmarks.timing import Paired, paired, side_by_side
from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.engine.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from fastq.model.spec import Spec

BATCHES = (64, 256, 1024, 4096)
TOKENS_PER_RUNNING = 2_000
"""KV memory for each running request, so that max_num_seqs binds."""


def replication(spec: Spec, requests: int, *, load: float | None = None) -> Callable[[], int]:
    """One replication of the only point, warm-up included; at a share of its simulated saturated rate."""
    point = spec.point(0)
    encoded = encode(point, spec.run, mean_running=closed_forms(point).mean_running)
    rate_rps = None if load is None else load * Ensemble(encoded, [0]).run_to(50_000)[0].throughput_rps

    def run() -> int:
        (result,) = Ensemble(encoded, [0], rate_rps).run_to(requests)
        return result.requests + result.warmup_requests

    return run


def throughput(name: str, title: str, timed: Paired, target: str = "") -> Figure:
    return Figure(name, title, f"{1e-6 / timed.best_s:.1f} million requests/s", timed.ratio, target)


def test_saturated(benchmark: BenchmarkFixture) -> None:
    timed = paired(benchmark, replication(standard_spec(), 400_000))
    title = "saturated, every column of points, one core"
    report(benchmark, throughput("saturated", title, timed, "14 million requests/s"))


def test_half_load(benchmark: BenchmarkFixture) -> None:
    timed = paired(benchmark, replication(standard_spec(), 200_000, load=0.5))
    title = "half of the saturated rate, every column of rates, one core"
    report(benchmark, throughput("half_load", title, timed, "8 million requests/s"))


@pytest.mark.parametrize("load", [0.9, 1.1])
def test_load(benchmark: BenchmarkFixture, load: float) -> None:
    timed = paired(benchmark, replication(standard_spec(), 200_000, load=load))
    title = f"{load:.0%} of the saturated rate, every column of rates, one core"
    report(benchmark, throughput(f"load_{load:.1f}", title, timed))


def test_paper_preset(benchmark: BenchmarkFixture) -> None:
    timed = paired(benchmark, replication(standard_spec("paper"), 100_000))
    report(benchmark, throughput("paper_preset", "preset paper (lookahead), saturated, one core", timed))


def test_recorded(benchmark: BenchmarkFixture) -> None:
    spec = standard_spec()
    point, requests = spec.point(0), 50_000

    def run() -> int:
        record(point, spec.run, arrival_rate_rps=None, requests=requests)
        return requests

    timed = paired(benchmark, run)
    title = "saturated, every iteration and request recorded, one core"
    report(benchmark, throughput("recorded", title, timed))


def test_cost_by_batch(benchmark: BenchmarkFixture) -> None:
    """Cost of a request as the batch B grows, where max_num_seqs = B binds."""
    works = [
        replication(
            standard_spec(
                replica={
                    "max_num_seqs": batch,
                    "kv_capacity_tokens": TOKENS_PER_RUNNING * batch,
                    "max_num_batched_tokens": 8 * batch + 2048,
                }
            ),
            50 * batch + 100_000,
        )
        for batch in BATCHES
    ]
    timed = benchmark.pedantic(side_by_side, args=works)
    by_round = zip(*(one.steps for one in timed), strict=True)
    spread = median(max(costs) / min(costs) for costs in by_round)
    report(
        benchmark,
        *(
            Figure(
                f"batch_{batch}",
                f"saturated, B = {batch:,} running requests",
                f"{one.best_s * 1e9:.0f} ns a request",
                one.ratio,
            )
            for batch, one in zip(BATCHES, timed, strict=True)
        ),
        Figure(
            "batch_spread",
            f"dearest against cheapest request, B from {BATCHES[0]} to {BATCHES[-1]:,}",
            f"{spread:.2f} times",
            spread,
            "1.5 times",
        ),
    )
