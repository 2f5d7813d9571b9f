"""Points to rows: closed forms, replications and estimates of one point or of a block of points."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fastq.analysis.ergodicity import is_nonergodic
from fastq.analysis.intervals import Interval, pooled_throughput
from fastq.analysis.verdict import VERDICT_CONFIDENCE
from fastq.closed_forms import closed_forms
from fastq.closed_forms.sampled import Lengths, sampled_theory
from fastq.engine import rows
from fastq.engine.backend import Ensemble, choose_backend
from fastq.engine.blocks import BLOCK_POINTS, BlockTables
from fastq.engine.encode import encode
from fastq.model.feasibility import infeasible_reason, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastq.analysis.replication import Replication
    from fastq.closed_forms import ClosedForms
    from fastq.engine.blocks import StopFlag
    from fastq.engine.encode import Encoded
    from fastq.model.point import Point
    from fastq.model.run import Run
    from fastq.model.spec import Spec

Row = dict[str, Any]

WINDOW_PER_RUNNING = 20
"""A window under this many requests for each one running is marked ``short``."""


@dataclass(frozen=True, slots=True)
class PointResult:
    """The rows of one point.

    Parameters
    ----------
    point
        Its row of the table of points.
    replications, rates
        Its rows of the other tables; no ``rates`` without measure ``rates``.
    """

    point: Row
    replications: list[Row] = field(default_factory=list, repr=False)
    rates: list[Row] = field(default_factory=list, repr=False)

    @property
    def simulated_requests(self) -> int:
        """Requests completed in all windows."""
        return sum(int(row["requests"]) for row in self.replications)


@dataclass(frozen=True, slots=True)
class Saturated:
    """What an infinite backlog shows of a point.

    Parameters
    ----------
    replications
        At least two.
    expected
        Theory's rate for the requests that each completed, over its rate for the law.
    service_rate, decisive
        Throughput with its 95% interval, and with the wider one that verdicts are read off.
    status
        ``ok``, ``short``, ``capped`` or ``nonergodic``.
    """

    replications: list[Replication]
    expected: list[float]
    service_rate: Interval
    decisive: Interval
    status: str


def evaluate_block(
    spec: Spec,
    block: int,
    *,
    backend: str = "auto",
    threads: int = 1,
    stop: StopFlag | None = None,
    progress: Callable[[int, int], None] | None = None,
    block_points: int = BLOCK_POINTS,
) -> BlockTables:
    """Compute the rows of a block.

    Parameters
    ----------
    spec, block
        The grid, and which ``block_points`` of its points.
    backend
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Points that are computed at a time.
    stop
        When set, :class:`fastq.engine.blocks.BlockStopped` is raised soon.
    progress
        Told of (points, requests) since it was last called.

    Raises
    ------
    InfeasibleError
        A point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    BackendUnavailable
        The backend can't run here.
    """
    choose_backend(backend)
    indices = range(block * block_points, min((block + 1) * block_points, len(spec)))
    results: dict[int, PointResult] = {}
    either = _EitherStop(stop)

    def compute(index: int) -> tuple[int, PointResult]:
        result = evaluate_point(spec, index, stop=either)
        if progress is not None:
            progress(1, result.simulated_requests)
        return index, result

    if threads == 1:
        results.update(map(compute, indices))
    else:
        by_cost = sorted(indices, key=lambda index: -_relative_cost(spec.point(index)))
        with ThreadPoolExecutor(threads, thread_name_prefix="fastq") as pool:
            try:
                results.update(pool.map(compute, by_cost))
            except BaseException:
                either.own.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    ordered = [results[index] for index in indices]
    return BlockTables(
        points=_columns(result.point for result in ordered),
        replications=_columns(row for result in ordered for row in result.replications),
        rates=_columns(row for result in ordered for row in result.rates)
        if "rates" in spec.run.measure
        else None,
    )


def evaluate_point(
    spec: Spec, index: int, *, threads: int = 1, backend: str = "auto", stop: StopFlag | None = None
) -> PointResult:
    """Compute the rows of one point, with one thread a replication up to ``threads``.

    Raises
    ------
    InfeasibleError
        The point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    """
    choose_backend(backend)
    point, run = spec.point(index), spec.run
    reason = infeasible_reason(point)
    if reason is not None:
        if run.infeasible == "error":
            raise refusal(point, reason, source=spec.source)
        return PointResult(rows.skipped_row(point, reason))
    forms = closed_forms(point)
    encoded = encode(point, run, mean_running=forms.mean_running)
    if threads == 1:
        return _evaluate(point, run, forms, _Replications(encoded, [range(run.replications)], map, stop))
    either = _EitherStop(stop)
    parts = _cut(run.replications, threads)
    with ThreadPoolExecutor(len(parts), thread_name_prefix="fastq") as pool:
        try:
            return _evaluate(point, run, forms, _Replications(encoded, parts, pool.map, either))
        except BaseException:
            either.own.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _EitherStop:
    """The caller's flag, or our own for when the caller is interrupted while it waits."""

    def __init__(self, outer: StopFlag | None) -> None:
        self.own, self._outer = threading.Event(), outer

    def is_set(self) -> bool:
        return self.own.is_set() or (self._outer is not None and self._outer.is_set())


class _Replications:
    """All replications of a point, in parts that ``each`` may run at the same time."""

    def __init__(
        self,
        encoded: Encoded,
        parts: Sequence[range],
        each: Callable[..., Iterable[list[Replication]]],
        stop: StopFlag | None,
    ) -> None:
        self._encoded, self._parts, self._each, self._stop = encoded, parts, each, stop

    def start(self, arrival_rate_rps: float | None) -> Callable[[int], list[Replication]]:
        """Make fresh ones, at a rate or under a backlog; what is returned carries all to a number of requests."""
        ensembles = [Ensemble(self._encoded, part, arrival_rate_rps) for part in self._parts]

        def run_to(requests: int) -> list[Replication]:
            parts = self._each(lambda ensemble: ensemble.run_to(requests, self._stop), ensembles)
            return [replication for part in parts for replication in part]

        return run_to


def _cut(replications: int, threads: int) -> list[range]:
    """Cut 0, 1, ... into at most ``threads`` parts of nearly equal size."""
    parts = min(threads, replications)
    ends = [replications * k // parts for k in range(parts + 1)]
    return [range(first, end) for first, end in pairwise(ends)]


def _evaluate(point: Point, run: Run, forms: ClosedForms, replicated: _Replications) -> PointResult:
    saturated = _saturated(point, run, replicated.start(None))
    replications = [
        rows.replication_row(point, number, replication, expected=expected)
        for number, (replication, expected) in enumerate(
            zip(saturated.replications, saturated.expected, strict=True)
        )
    ]
    rate_rows = []
    if "rates" in run.measure:
        for rate_rps, load in arrival_rates(point, forms):
            at_rate = replicated.start(rate_rps)(run.requests)
            replications += [
                rows.replication_row(point, number, replication, arrival_rate_rps=rate_rps, load=load)
                for number, replication in enumerate(at_rate)
            ]
            rate_rows.append(
                rows.rate_row(
                    point,
                    at_rate,
                    arrival_rate_rps=rate_rps,
                    load=load,
                    accepted_rate_rps=rate_rps * (1 - forms.rejected_share),
                    service_rate=saturated.decisive,
                    nonergodic=saturated.status == "nonergodic",
                )
            )
    row = rows.point_row(point, forms, saturated.replications, saturated.service_rate, saturated.status)
    return PointResult(row, replications, rate_rows)


def arrival_rates(point: Point, forms: ClosedForms) -> list[tuple[float, float]]:
    """Every (rate, load) of the point: requests/s offered, and those accepted as a share of the theoretical rate."""
    full_load_rps = forms.theory_rate_rps / (1 - forms.rejected_share)
    if point.arrivals.loads:
        return [(load * full_load_rps, load) for load in point.arrivals.loads]
    return [(rate, rate / full_load_rps) for rate in point.arrivals.rates_rps]


def _saturated(point: Point, run: Run, run_to: Callable[[int], list[Replication]]) -> Saturated:
    """Run all replications to the same checkpoints, doubling, until the interval is as narrow as asked."""
    theory = sampled_theory(point)
    requests = run.requests
    while True:
        replications = run_to(requests)
        expected = [theory.ratio(sampled_lengths(replication)) for replication in replications]
        interval = pooled_throughput(replications, expected)
        precise = run.precision is None or interval.relative_half_width <= run.precision
        if precise or requests >= run.max_requests:
            break
        requests = min(2 * requests, run.max_requests)
    if is_nonergodic(replications):
        throughputs = [replication.throughput_rps for replication in replications]
        range_of_starts = Interval(interval.estimate, min(throughputs), max(throughputs))
        return Saturated(replications, expected, range_of_starts, range_of_starts, "nonergodic")
    decisive = pooled_throughput(replications, expected, confidence=VERDICT_CONFIDENCE)
    if not precise:
        return Saturated(replications, expected, interval, decisive, "capped")
    running = max(r.running_sum / r.iterations for r in replications)
    short = requests < WINDOW_PER_RUNNING * running
    return Saturated(replications, expected, interval, decisive, "short" if short else "ok")


def sampled_lengths(replication: Replication) -> Lengths:
    """Means over the requests that a saturated replication completed."""
    requests = replication.requests
    return Lengths(
        replication.prompt_sum / requests,
        replication.decode_sum / requests,
        replication.decode_kv_sum / requests,
        replication.squared_prompt_sum / requests,
    )


def _relative_cost(point: Point) -> float:
    """Guess the time a point takes, in any unit: iterations a request, and the same again for the request itself."""
    if infeasible_reason(point) is not None:
        return 0.0
    return 1.0 + 1.0 / closed_forms(point).completions_per_iteration


def _columns(table: Iterable[Row]) -> dict[str, Sequence[Any]]:
    listed = list(table)
    names = listed[0] if listed else {}
    return {name: [row[name] for row in listed] for name in names}
