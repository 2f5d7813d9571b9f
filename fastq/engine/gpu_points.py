"""Points on a GPU: which replications go there together, and what is made of those that are done."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fastq.engine import worker
from fastq.engine.blocks import BlockStopped
from fastq.engine.cards import choose_card
from fastq.engine.checkpoints import Checkpoints
from fastq.engine.gpu_lanes import LANES, open_lanes
from fastq.engine.gpu_layout import Placed
from fastq.engine.gpu_searches import search_jobs
from fastq.engine.gpu_wave import Wave
from fastq.engine.point_result import PointResult, prepare, relative_cost
from fastq.engine.searches import Searched, offered_rate_rps, sought
from fastq.engine.window import read_window
from fastq.errors import BackendUnavailable
from fastq.kernels.cuda import OutOfMemory, device_ids, free_bytes, is_of_card, use_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fastq.analysis.metastability import ColdRate
    from fastq.analysis.replication import Occupied, Replication
    from fastq.analysis.service_level import ServiceLevel
    from fastq.engine.blocks import StopFlag
    from fastq.engine.checkpoints import Saturated
    from fastq.engine.encode import Encoded
    from fastq.engine.gpu_busy import Busy
    from fastq.engine.gpu_searches import Ran
    from fastq.engine.point_result import PreparedPoint
    from fastq.kernels.cuda import Lane
    from fastq.model.spec import Spec

MEMORY_SHARE = 4
"""A wave takes at most this part, 1/4, of the memory that is free: two are in flight, and half is left to others."""

_NO_BINS: list[Occupied] = [(0, np.empty(0, np.int64))]


@dataclass(eq=False, slots=True)
class Job:
    """The replications of one point under a backlog, or at one rate.

    Parameters
    ----------
    placed
        What goes on the card.
    goal
        Requests to complete in each window.
    cost
        Expected time of a request, in any unit.
    further
        Told of the replications that have reached the goal, without their histograms: the next goal, or ``None``.
    done
        Told of the replications in the end; may name further jobs.
    """

    placed: Placed
    goal: int
    cost: float
    further: Callable[[list[Replication]], int | None]
    done: Callable[[list[Replication]], Iterable[Job] | None]


def evaluate_points(
    spec: Spec,
    indices: Iterable[int],
    *,
    stop: StopFlag | None = None,
    progress: Callable[[int, int], None] | None = None,
    busy: Busy | None = None,
) -> dict[int, PointResult]:
    """Compute the rows of some points on the GPU of this worker.

    Parameters
    ----------
    spec, indices
        The grid, and the numbers of its points.
    stop
        When set, :class:`fastq.engine.blocks.BlockStopped` is raised after the launches that are under way.
    progress
        Told of (points, requests) since it was last called.
    busy
        Told of every launch.

    Raises
    ------
    InfeasibleError
        A point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    BackendUnavailable
        A point does not fit in the memory of the GPU, or the GPU failed.
    BlockStopped
        ``stop`` was set.
    """
    results: dict[int, PointResult] = {}

    def finish(index: int, result: PointResult) -> None:
        results[index] = result
        if progress is not None:
            progress(1, result.simulated_requests)

    jobs: list[Job] = []
    for index in indices:
        _heed(stop)
        prepared = prepare(spec, index)
        if isinstance(prepared, PointResult):
            finish(index, prepared)
        else:
            jobs += _Point(prepared, finish).jobs()
    run_jobs(jobs, stop, busy)
    return results


def run_alone(
    encoded: Encoded, replications: Sequence[int], arrival_rate_rps: float | None, *, requests: int
) -> list[Replication]:
    """Run some replications of one point on the GPU until ``requests`` have completed inside the window of each."""
    found: list[Replication] = []
    placed = Placed(encoded, replications, arrival_rate_rps)
    run_jobs([Job(placed, requests, 1.0, lambda _: None, found.extend)])
    return found


class _Point:
    """A point on its way through the card: under a backlog, then searching, and at every rate, in any order."""

    def __init__(self, prepared: PreparedPoint, finish: Callable[[int, PointResult], None]) -> None:
        self._prepared, self._finish = prepared, finish
        self._saturated: Saturated | None = None
        self._at_rates: dict[int, list[Replication]] = {}
        self._cold: ColdRate | None = None
        self._level: ServiceLevel | None = None
        self._searched_requests = 0
        self._open = 1 + len(prepared.rates)

    def jobs(self) -> Iterator[Job]:
        """What can run at once."""
        prepared, run = self._prepared, self._prepared.run
        checkpoints = Checkpoints(prepared.point, run)

        def further(replications: list[Replication]) -> int | None:
            return None if checkpoints.passed(replications) else checkpoints.requests

        def concluded(replications: list[Replication]) -> list[Job]:
            self._saturated = checkpoints.conclude(replications)
            searching = self._search(self._saturated)
            self._close()
            return searching

        everyone = range(run.replications)
        placed = Placed(prepared.encoded, everyone, None)
        yield Job(placed, checkpoints.requests, relative_cost(prepared.forms), further, concluded)
        for number, (rate_rps, load) in enumerate(prepared.rates):
            yield self._job_at(everyone, rate_rps, load, self._at_rate(number))

    def _job_at(
        self,
        replications: Sequence[int],
        rate_rps: float,
        load: float,
        done: Callable[[list[Replication]], Iterable[Job] | None],
    ) -> Job:
        prepared = self._prepared
        placed = Placed(prepared.encoded, replications, rate_rps)
        return Job(
            placed, prepared.requests_at_rates, relative_cost(prepared.forms, load), lambda _: None, done
        )

    def _at_rate(self, number: int) -> Callable[[list[Replication]], None]:
        def done(replications: list[Replication]) -> None:
            self._at_rates[number] = replications
            self._close()

        return done

    def _search(self, saturated: Saturated) -> list[Job]:
        wanted = sought(self._prepared, saturated)
        jobs: list[Job] = []
        if wanted.cold is not None:
            self._open += 1
            jobs += search_jobs(wanted.cold, self._search_at, self._found_cold)
        if wanted.level is not None:
            self._open += 1
            jobs += search_jobs(wanted.level, self._search_at, self._found_level)
        return jobs

    def _search_at(self, number: int, accepted_rate_rps: float, ran: Ran) -> Job:
        prepared = self._prepared

        def done(replications: list[Replication]) -> list[Job]:
            self._searched_requests += sum(replication.requests for replication in replications)
            return ran(replications)

        load = accepted_rate_rps / prepared.forms.theory_rate_rps
        return self._job_at([number], offered_rate_rps(prepared, accepted_rate_rps), load, done)

    def _found_cold(self, cold: ColdRate) -> None:
        self._cold = cold
        self._close()

    def _found_level(self, level: ServiceLevel) -> None:
        self._level = level
        self._close()

    def _close(self) -> None:
        """One part is done; with the last, so is the point."""
        self._open -= 1
        if self._open or self._saturated is None:
            return
        at_rates = [self._at_rates[number] for number in range(len(self._at_rates))]
        searched = Searched(level=self._level, cold=self._cold, requests=self._searched_requests)
        result = self._prepared.result(self._saturated, at_rates, searched)
        self._finish(self._prepared.point.index, result)


def use_card() -> None:
    """Run what follows in this thread on its card."""
    use_device(choose_card(device_ids()))


def run_jobs(
    jobs: Sequence[Job],
    stop: StopFlag | None = None,
    busy: Busy | None = None,
    *,
    max_registers: int | None = None,
) -> None:
    """Run all jobs, a wave of them on each lane of the card at a time.

    Parameters
    ----------
    jobs
        What to run; each may name further ones.
    stop, busy
        As for :func:`evaluate_points`.
    max_registers
        Of a thread, where kernels are to be compiled with fewer than they take.

    Raises
    ------
    BackendUnavailable
        The jobs do not fit in the memory of the GPU, or it failed.
    """
    try:
        use_card()
        with open_lanes() as lanes:
            _run_on(lanes, jobs, stop, busy, max_registers)
    except Exception as error:
        if not is_of_card(error):
            raise
        raise BackendUnavailable(
            f"the GPU gave up ({type(error).__name__}: {error}). Blocks that were finished are kept: run the "
            "same command again, with fewer --workers where its memory is short, or with --backend cpu"
        ) from error


def _run_on(
    lanes: Sequence[Lane],
    jobs: Sequence[Job],
    stop: StopFlag | None,
    busy: Busy | None,
    max_registers: int | None,
) -> None:
    idle = deque(lanes)
    # Workers that share a card start together, and each sees all of it free; later they see what they left.
    sharing = -(-worker.count() // len(device_ids()))
    kept_bytes = max(lane.held_bytes for lane in lanes)
    most_bytes = max(kept_bytes, free_bytes() // (MEMORY_SHARE * sharing))
    queue = deque(_cut_into_waves(jobs, most_bytes))
    further: list[Job] = []
    in_flight: deque[tuple[Lane, Wave, list[Job]]] = deque()
    while queue or in_flight or further:
        _heed(stop)
        if not queue:
            queue.extend(_cut_into_waves(further, most_bytes))
            further = []
        while queue and idle:
            together = queue.popleft()
            lane = idle.popleft()
            try:
                placed, goals = [job.placed for job in together], [job.goal for job in together]
                wave = Wave(lane, placed, goals, max_registers)
            except OutOfMemory:
                idle.append(lane)
                if in_flight:
                    queue.appendleft(together)
                    break
                if not _released(idle):
                    queue.extendleft(reversed(_smaller(together)))
                else:
                    queue.appendleft(together)
                continue
            wave.launch()
            in_flight.append((lane, wave, together))
        lane, wave, together = in_flight.popleft()
        arrived = wave.arrived()
        if busy is not None:
            busy.add(lane)
        finished = _look(wave, together, arrived)
        _heed(stop)
        if wave.running:
            wave.launch()
            in_flight.append((lane, wave, together))
        else:
            wave.close()
            idle.append(lane)
        for job, replications in finished:
            further += job.done(replications) or ()


def _released(lanes: Iterable[Lane]) -> bool:
    """Let idle lanes give back what they keep for later; whether any did."""
    holding = [lane for lane in lanes if lane.held_bytes]
    for lane in holding:
        lane.release()
    return bool(holding)


def _look(wave: Wave, jobs: Sequence[Job], arrived: list[int]) -> list[tuple[Job, list[Replication]]]:
    """Carry on what has ``arrived`` and has to run further, and take out what has not."""
    leaving = []
    for position in arrived:
        goal = jobs[position].further([read_window(x, _NO_BINS) for x in wave.registers(position)])
        if goal is None:
            leaving.append(position)
        else:
            wave.carry_on(position, goal)
    if not leaving:
        return []
    histograms = wave.retire(leaving)
    return [
        (
            jobs[position],
            [read_window(x, bins) for x, bins in zip(wave.registers(position), each, strict=True)],
        )
        for position, each in zip(leaving, histograms, strict=True)
    ]


def _cut_into_waves(jobs: Iterable[Job], most_bytes: int) -> Iterator[list[Job]]:
    """Put jobs of one kernel and width together, neighbours of like cost, in no fewer waves than there are lanes."""

    def kind(job: Job) -> tuple[bool, ...]:
        return *job.placed.kernel, job.placed.narrow

    for _, group in groupby(sorted(jobs, key=lambda job: (kind(job), -job.cost)), key=kind):
        alike = list(group)
        share_bytes = -(-sum(job.placed.state_bytes for job in alike) // LANES)
        wave: list[Job] = []
        states_bytes = 0
        tables: dict[tuple[int, int], int] = {}
        for job in alike:
            states_bytes += job.placed.state_bytes
            tables |= job.placed.tables
            if wave and (states_bytes > share_bytes or states_bytes + sum(tables.values()) > most_bytes):
                yield wave
                wave, states_bytes, tables = [], job.placed.state_bytes, dict(job.placed.tables)
            wave.append(job)
        yield wave


def _smaller(jobs: list[Job]) -> list[list[Job]]:
    """Halve a wave for which memory was short."""
    if len(jobs) == 1:
        size = jobs[0].placed.state_bytes
        raise BackendUnavailable(
            f"the replications of one point take {size / 1e9:.3g} GB of GPU memory and {free_bytes() / 1e9:.3g} GB "
            "are free; take fewer --workers or run.replications, or --backend cpu"
        )
    half = len(jobs) // 2
    return [jobs[:half], jobs[half:]]


def _heed(stop: StopFlag | None) -> None:
    if stop is not None and stop.is_set():
        raise BlockStopped
