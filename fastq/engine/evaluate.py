"""Points to rows: replications and estimates of one point or of a block of points."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fastq.closed_forms import closed_forms
from fastq.engine.backend import choose_backend, refuse_unknown
from fastq.engine.blocks import BLOCK_POINTS, BlockTables
from fastq.engine.checkpoints import Checkpoints
from fastq.engine.ensemble import Ensemble
from fastq.engine.point_result import PointResult, prepare, relative_cost
from fastq.engine.searches import search_on_cpu
from fastq.model.feasibility import infeasible_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastq.analysis.replication import Replication
    from fastq.engine.blocks import StopFlag
    from fastq.engine.checkpoints import Saturated
    from fastq.engine.encode import Encoded
    from fastq.engine.point_result import PreparedPoint
    from fastq.engine.rows import Row
    from fastq.model.point import Point
    from fastq.model.spec import Spec


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
        Points that are computed at a time on a CPU.
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
    indices = range(block * block_points, min((block + 1) * block_points, len(spec)))
    if choose_backend(backend) == "cuda":
        from fastq.engine.gpu_points import evaluate_points

        results = evaluate_points(spec, indices, stop=stop, progress=progress)
    else:
        results = _evaluate_on_cpu(spec, indices, threads, stop, progress)
    ordered = [results[index] for index in indices]
    return BlockTables(
        points=_columns(result.point for result in ordered),
        replications=_columns(row for result in ordered for row in result.replications),
        rates=_columns(row for result in ordered for row in result.rates)
        if "rates" in spec.run.measure
        else None,
    )


def _evaluate_on_cpu(
    spec: Spec,
    indices: range,
    threads: int,
    stop: StopFlag | None,
    progress: Callable[[int, int], None] | None,
) -> dict[int, PointResult]:
    results: dict[int, PointResult] = {}
    either = _EitherStop(stop)

    def compute(index: int) -> tuple[int, PointResult]:
        result = evaluate_point(spec, index, stop=either)
        if progress is not None:
            progress(1, result.simulated_requests)
        return index, result

    if threads == 1:
        results.update(map(compute, indices))
        return results
    by_cost = sorted(indices, key=lambda index: -_cost(spec.point(index)))
    with ThreadPoolExecutor(threads, thread_name_prefix="fastq") as pool:
        try:
            results.update(pool.map(compute, by_cost))
        except BaseException:
            either.own.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def evaluate_point(
    spec: Spec, index: int, *, threads: int = 1, backend: str = "auto", stop: StopFlag | None = None
) -> PointResult:
    """Compute the rows of one point, with one thread a replication up to ``threads``.

    ``auto`` is the CPU here: a GPU needs thousands of replications to be worth its while.

    Raises
    ------
    InfeasibleError
        The point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    SpecError
        There is no such point or backend.
    """
    refuse_unknown(backend)
    if backend == "cuda":
        choose_backend(backend)
        from fastq.engine.gpu_points import evaluate_points

        return evaluate_points(spec, [index], stop=stop)[index]
    prepared = prepare(spec, index)
    if isinstance(prepared, PointResult):
        return prepared
    replications = spec.run.replications
    if threads == 1:
        return _simulate(prepared, _Replications(prepared.encoded, [range(replications)], map, stop))
    either = _EitherStop(stop)
    parts = _cut(replications, threads)
    with ThreadPoolExecutor(len(parts), thread_name_prefix="fastq") as pool:
        try:
            return _simulate(prepared, _Replications(prepared.encoded, parts, pool.map, either))
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
        self._encoded, self._parts, self.each, self.stop = encoded, parts, each, stop

    def start(self, arrival_rate_rps: float | None) -> Callable[[int], list[Replication]]:
        """Make fresh ones, at a rate or under a backlog; what is returned carries all to a number of requests."""
        ensembles = [Ensemble(self._encoded, part, arrival_rate_rps) for part in self._parts]

        def run_to(requests: int) -> list[Replication]:
            parts = self.each(lambda ensemble: ensemble.run_to(requests, self.stop), ensembles)
            return [replication for part in parts for replication in part]

        return run_to


def _cut(replications: int, threads: int) -> list[range]:
    """Cut 0, 1, ... into at most ``threads`` parts of nearly equal size."""
    parts = min(threads, replications)
    ends = [replications * k // parts for k in range(parts + 1)]
    return [range(first, end) for first, end in pairwise(ends)]


def _simulate(prepared: PreparedPoint, replicated: _Replications) -> PointResult:
    saturated = _saturated(prepared, replicated.start(None))
    at_rates = [replicated.start(rate_rps)(prepared.requests_at_rates) for rate_rps, _ in prepared.rates]
    return prepared.result(
        saturated, at_rates, search_on_cpu(prepared, saturated, replicated.stop, replicated.each)
    )


def _saturated(prepared: PreparedPoint, run_to: Callable[[int], list[Replication]]) -> Saturated:
    """Run all replications to the same checkpoints until they have passed."""
    checkpoints = Checkpoints(prepared.point, prepared.run)
    while not checkpoints.passed(replications := run_to(checkpoints.requests)):
        pass
    return checkpoints.conclude(replications)


def _cost(point: Point) -> float:
    return 0.0 if infeasible_reason(point) is not None else relative_cost(closed_forms(point))


def _columns(table: Iterable[Row]) -> dict[str, Sequence[Any]]:
    listed = list(table)
    names = listed[0] if listed else {}
    return {name: [row[name] for row in listed] for name in names}
