"""Replications on the CPU: states that run in slices, and what they yield."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.replication import LATENCIES, Distribution, Replication
from fastq.engine.blocks import BlockStopped
from fastq.engine.encode import encode
from fastq.errors import BackendUnavailable, KernelError, SpecError
from fastq.kernels import _layout as layout
from fastq.kernels import measures
from fastq.kernels.cpu import compiled_advance
from fastq.model.iteration_time import IterationTime, Plane
from fastq.model.lengths import LengthLaw
from fastq.model.point import Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.run import Run
from fastq.model.scheduler import Admission, Scheduler

if TYPE_CHECKING:
    from fastq.engine.blocks import StopFlag
    from fastq.engine.encode import Encoded
    from fastq.model.spec import Spec

STEPS_PER_SLICE = 1 << 22
"""A compiled call runs at most about this many iterations and arrivals (a tenth of a second): stopping is prompt."""

_NO_RECORD = layout.Record(
    np.empty((0, layout.ITERATION_COLUMNS), np.int64),
    np.empty((0, layout.REQUEST_COLUMNS), np.int64),
    np.empty((0, layout.EVENT_COLUMNS), np.int64),
)
_LATENCY_REGISTERS = (layout.WAIT_LOW, layout.TTFT_LOW, layout.TPOT_LOW, layout.E2E_LOW)


def choose_backend(name: str) -> str:
    """The backend that ``auto``, ``cpu`` or ``cuda`` stands for here."""
    if name == "cuda":
        raise BackendUnavailable(
            "the cuda backend is not part of this release; run with --backend cpu (the default)"
        )
    return "cpu"


class Trajectory:
    """One replication that can be carried on: first to one number of requests, later to a larger one.

    Parameters
    ----------
    encoded
        The point.
    replication
        Its number, which picks the draws and the kind of start.
    arrival_rate_rps
        Arrival rate; ``None``: an infinite backlog.
    """

    def __init__(self, encoded: Encoded, replication: int, arrival_rate_rps: float | None = None) -> None:
        self._saturated = arrival_rate_rps is None
        self._params = encoded.for_replication(replication, arrival_rate_rps=arrival_rate_rps)
        self._tables = encoded.tables
        self._state = encoded.new_state(latencies=not self._saturated)
        self._advance = compiled_advance(self._saturated, encoded.lookahead, False)
        self._half = (0, 0)

    def run_to(self, requests: int, stop: StopFlag | None = None) -> Replication:
        """Run until ``requests`` have completed inside the window, with a checkpoint half-way.

        Raises
        ------
        BlockStopped
            ``stop`` was set.
        """
        self._run(requests // 2, stop)
        self._half = (self._completed(), self._elapsed_ps())
        self._run(requests, stop)
        return self._result()

    def _run(self, requests: int, stop: StopFlag | None) -> None:
        x = self._state.x
        while True:
            if stop is not None and stop.is_set():
                raise BlockStopped
            pause_at = int(x[layout.ITERATION] + x[layout.ARRIVED]) + STEPS_PER_SLICE
            status = self._advance(self._params, self._tables, self._state, _NO_RECORD, requests, pause_at)
            if status == layout.DONE:
                return
            if status == layout.CLOCK_FULL:
                raise SpecError(
                    "the run would take more than 146 years of simulated time; use fewer requests, a higher "
                    "arrival rate or shorter iterations",
                    key="run.requests",
                )
            if status != layout.PAUSED:
                raise KernelError(f"the kernel stopped with status {status}")

    def _completed(self) -> int:
        x = self._state.x
        return int(x[layout.COMPLETED] - x[layout.START_COMPLETED])

    def _elapsed_ps(self) -> int:
        x = self._state.x
        whole_ns = int(x[layout.NOW_NS]) - int(x[layout.START_NS])
        return whole_ns * 1000 + int(x[layout.NOW_PS]) - int(x[layout.START_PS])

    def _result(self) -> Replication:
        x = self._state.x
        iterations = int(x[layout.ITERATION] - x[layout.START_ITERATION])
        idle_ns = int(x[layout.IDLE_NS])
        elapsed_ps = self._elapsed_ps()
        latencies = {}
        if not self._saturated:
            for row, (name, register) in enumerate(zip(LATENCIES, _LATENCY_REGISTERS, strict=True), start=1):
                latencies[name] = self._latency(row, register)
        return Replication(
            requests=self._completed(),
            iterations=iterations,
            elapsed_ps=elapsed_ps,
            idle_ns=idle_ns,
            half_requests=self._half[0],
            half_elapsed_ps=self._half[1],
            running_sum=int(x[layout.SUM_RUNNING]),
            waiting_sum=int(x[layout.SUM_WAITING]),
            kv_tokens_sum=int(x[layout.SUM_KV_TOKENS]),
            blocks_sum=int(x[layout.SUM_BLOCKS]),
            max_waiting=int(x[layout.MAX_WAITING]),
            max_running=int(x[layout.MAX_RUNNING]),
            preemptions=int(x[layout.PREEMPTIONS]),
            recomputed_tokens=int(x[layout.RECOMPUTED_TOKENS]),
            backlog_growth=int(x[layout.ARRIVED] - x[layout.COMPLETED] - x[layout.START_BACKLOG]),
            warmup_requests=int(x[layout.WARMUP_COMPLETED]),
            iteration_time=Distribution.of_histogram(
                iterations, elapsed_ps - idle_ns * 1000, self._state.histograms[layout.HIST_ITERATION]
            ),
            latencies=latencies,
        )

    def _latency(self, row: int, register: int) -> Distribution:
        x = self._state.x
        low, high = (int(value) for value in x[register : register + 2])
        histogram = self._state.histograms[row]
        return Distribution.of_histogram(int(histogram.sum()), low + (high << measures.LIMB_BITS), histogram)


def warm_up(spec: Spec) -> None:
    """Compile, or load from the cache, the kernels that a run of ``spec`` needs, before threads or workers start.

    What is compiled depends on the admission policy and on what is measured, not on any size: a token point does.
    """
    for scheduler in _schedulers(spec):
        point = replace(_token_point(), scheduler=scheduler)
        encoded = encode(point, Run(warmup_requests=1), mean_running=1)
        Trajectory(encoded, 0).run_to(1)
        if "rates" in spec.run.measure:
            Trajectory(encoded, 0, arrival_rate_rps=1.0).run_to(1)


def _schedulers(spec: Spec) -> list[Scheduler]:
    """One scheduler of each kind that is compiled apart, among all that the grid combines."""
    dimensions = [range(length) for length in spec.shape]
    first_axis = len(spec.shape) - len(spec.axes)
    for k, axis in enumerate(spec.axes):
        if not axis.key.startswith("scheduler."):
            dimensions[first_axis + k] = range(1)
    kinds = {}
    for positions in itertools.product(*dimensions):
        index = 0
        for position, length in zip(positions, spec.shape, strict=True):
            index = index * length + position
        scheduler = spec.point(index).scheduler
        kinds[scheduler.admission is Admission.LOOKAHEAD] = scheduler
    return list(kinds.values())


def _token_point() -> Point:
    one = np.ones(1, np.int32)
    return Point(
        index=0,
        case=None,
        axes={},
        law=LengthLaw(prompt_tokens=one, output_tokens=one, joint=True, name="one", digest=""),
        arrivals=Arrivals(),
        replica=Replica(kv_capacity_tokens=16, max_num_seqs=1, prefill_chunk_tokens=1),
        iteration_time=IterationTime((Plane(base_ps=1000),)),
        scheduler=Scheduler(),
    )
