"""Replications on the CPU: states that run in slices, and what they yield."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.replication import Distribution, Replication
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
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
_LATENCIES = {
    "wait": (layout.HIST_WAIT, layout.WAIT_LOW),
    "ttft": (layout.HIST_TTFT, layout.TTFT_LOW),
    "tpot": (layout.HIST_TPOT, layout.TPOT_LOW),
    "e2e": (layout.HIST_E2E, layout.E2E_LOW),
}
"""Histogram and first register of the sum of each latency."""


def choose_backend(name: str) -> str:
    """The backend that ``auto``, ``cpu`` or ``cuda`` stands for here."""
    if name == "cuda":
        raise BackendUnavailable(
            "the cuda backend is not part of this release; run with --backend cpu (the default)"
        )
    return "cpu"


class Ensemble:
    """Replications of one point that can be carried on: first to one number of requests, later to a larger one.

    They run in one compiled call, one after another.

    Parameters
    ----------
    encoded
        The point.
    replications
        Their numbers, which pick the draws and the kind of start.
    arrival_rate_rps
        Arrival rate; ``None``: an infinite backlog.
    """

    def __init__(
        self, encoded: Encoded, replications: Sequence[int], arrival_rate_rps: float | None = None
    ) -> None:
        self._saturated = arrival_rate_rps is None
        self._params = encoded.for_replications(replications, arrival_rate_rps=arrival_rate_rps)
        self._tables = encoded.tables
        self._states = encoded.new_states(len(replications), latencies=not self._saturated)
        self._advance = compiled_advance(self._saturated, encoded.lookahead, False)

    def run_to(self, requests: int, stop: StopFlag | None = None) -> list[Replication]:
        """Run each until ``requests`` have completed inside its window, with a checkpoint half-way.

        Raises
        ------
        BlockStopped
            ``stop`` was set.
        """
        status = np.empty(len(self._params), np.int64)
        steps = max(1, STEPS_PER_SLICE // len(self._params))
        while True:
            if stop is not None and stop.is_set():
                raise BlockStopped
            self._advance(self._params, self._tables, self._states, _NO_RECORD, requests, steps, status)
            why = set(status.tolist())
            if why == {layout.DONE}:
                break
            if layout.CLOCK_FULL in why:
                raise SpecError(
                    "the run would take more than 146 years of simulated time; use fewer requests, a higher "
                    "arrival rate or shorter iterations",
                    key="run.requests",
                )
            if not why <= {layout.DONE, layout.PAUSED}:
                raise KernelError(f"the kernel stopped with status {max(why)}")
        return [
            _replication(registers.tolist(), histograms)
            for registers, histograms in zip(self._states.x, self._states.histograms, strict=True)
        ]


def _replication(x: list[int], histograms: NDArray[np.int64]) -> Replication:
    """Read a finished window off the registers and histograms of its replication."""
    requests = x[layout.COMPLETED] - x[layout.START_COMPLETED]
    iterations = x[layout.ITERATION] - x[layout.START_ITERATION]
    idle_ns = x[layout.IDLE_NS]
    elapsed_ps = _since_start_ps(x, layout.NOW_NS, layout.NOW_PS)
    latencies = {
        name: _latency(x, histograms, row, register)
        for name, (row, register) in _LATENCIES.items()
        if row < len(histograms)
    }
    return Replication(
        requests=requests,
        iterations=iterations,
        elapsed_ps=elapsed_ps,
        idle_ns=idle_ns,
        half_requests=x[layout.HALF_COMPLETED],
        half_elapsed_ps=_since_start_ps(x, layout.HALF_NS, layout.HALF_PS),
        running_sum=x[layout.SUM_RUNNING],
        waiting_sum=x[layout.SUM_WAITING],
        kv_tokens_sum=x[layout.SUM_KV_TOKENS],
        blocks_sum=x[layout.SUM_BLOCKS],
        max_waiting=x[layout.MAX_WAITING],
        max_running=x[layout.MAX_RUNNING],
        preemptions=x[layout.PREEMPTIONS],
        recomputed_tokens=x[layout.RECOMPUTED_TOKENS],
        backlog_growth=x[layout.ARRIVED] - x[layout.COMPLETED] - x[layout.START_BACKLOG],
        warmup_requests=x[layout.WARMUP_COMPLETED],
        prompt_sum=x[layout.SUM_PROMPT],
        decode_sum=x[layout.SUM_DECODES],
        decode_kv_sum=x[layout.SUM_DECODE_KV],
        squared_prompt_sum=x[layout.SUM_PROMPT2],
        stopped_kv=_stopped(x, layout.STOP_KV, layout.STOPPED_KV),
        stopped_seqs=_stopped(x, layout.STOP_SEQS, layout.STOPPED_SEQS),
        stopped_tokens=_stopped(x, layout.STOP_TOKENS, layout.STOPPED_TOKENS),
        iteration_time=Distribution.of_histogram(
            iterations, elapsed_ps - idle_ns * 1000, histograms[layout.HIST_ITERATION]
        ),
        latencies=latencies,
    )


def _since_start_ps(x: list[int], whole_ns: int, rest_ps: int) -> int:
    return (x[whole_ns] - x[layout.START_NS]) * 1000 + x[rest_ps] - x[layout.START_PS]


def _stopped(x: list[int], stop: int, register: int) -> int:
    """Iterations that ``stop`` ended admission in, those since the last change included."""
    return x[register] + (x[layout.ITERATION] - x[layout.STOP_SINCE] if x[layout.STOP] == stop else 0)


def _latency(x: list[int], histograms: NDArray[np.int64], row: int, register: int) -> Distribution:
    low, high = x[register : register + 2]
    histogram = histograms[row]
    return Distribution.of_histogram(int(histogram.sum()), low + (high << measures.LIMB_BITS), histogram)


def warm_up(spec: Spec) -> None:
    """Compile, or load from the cache, the kernels that a run of ``spec`` needs, before threads or workers start.

    What is compiled depends on the admission policy and on what is measured, not on any size: a token point does.
    """
    for scheduler in _schedulers(spec):
        point = replace(_token_point(), scheduler=scheduler)
        encoded = encode(point, Run(warmup_requests=1), mean_running=1)
        Ensemble(encoded, [0]).run_to(1)
        if "rates" in spec.run.measure:
            Ensemble(encoded, [0], arrival_rate_rps=1.0).run_to(1)


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
