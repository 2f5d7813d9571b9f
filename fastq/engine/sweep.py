"""Running a grid: which blocks are missing, who computes them, and what happens when something stops it."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from fastq.engine.blocks import BLOCK_POINTS, BlockStopped, Evaluate, Shard, parse_shard
from fastq.engine.executors import Crew, open_crew, refuse_counts
from fastq.engine.interruption import SweepInterrupted, stop_on_signals
from fastq.engine.progress import Tracker
from fastq.engine.task import HOOKS, BlockDone, Hooks, Task, run_task
from fastq.errors import WorkerError
from fastq.model.feasibility import refusal
from fastq.store.location import open_location
from fastq.store.manifest import check, claim, manifest_of
from fastq.store.reader import count_values, finished_blocks, read_blocks, verify_blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from fastq.engine.progress import Progress
    from fastq.model.spec import Spec
    from fastq.store.location import Location
    from fastq.store.manifest import Manifest

POLL_S = 0.2
"""How often the parent looks up from waiting for blocks, to see whether it was told to stop."""

STOP_GRACE_S = 5.0
"""How long threads of a given executor are waited for after they were told to stop."""

MAX_SHOWN_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class SweepSummary:
    """What a sweep did.

    Parameters
    ----------
    out
        Where the data set lives.
    spec_hash
        Hash of all that decides its numbers.
    points, blocks
        Size of this shard, or of the whole grid without ``shard``.
    blocks_run, points_run
        Blocks and points that this call computed.
    blocks_kept
        Blocks that stood finished before.
    requests_run
        Requests that this call simulated, as counted in the windows.
    elapsed_s
        Time of this call, seconds.
    compile_s
        Share of it before the first block, in which kernels were compiled or loaded, seconds.
    workers, threads
        Processes, and threads in each; 0 where nothing was left to run.
    statuses
        Points of this shard by status, most frequent first.
    complete
        Whether every block of the whole grid is finished now, other shards' included.
    """

    out: str
    spec_hash: str
    points: int
    blocks: int
    blocks_run: int
    points_run: int
    blocks_kept: int
    requests_run: int
    elapsed_s: float
    compile_s: float
    workers: int
    threads: int
    statuses: dict[str, int]
    complete: bool

    @property
    def nothing_feasible(self) -> bool:
        """Whether every point was skipped."""
        return self.points > 0 and self.statuses.get("skipped", 0) == self.points


def sweep(
    spec: Spec,
    out: str | os.PathLike[str],
    *,
    backend: str = "auto",
    workers: int | None = None,
    threads: int | None = None,
    shard: Shard | str | None = None,
    executor: Executor | str | None = None,
    address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    evaluate: Evaluate | None = None,
    block_points: int = BLOCK_POINTS,
) -> SweepSummary:
    """Run every point of a grid and write the data set; blocks that are finished are not run again.

    The files have the same bytes whatever runs them. Workers that are opened here are processes that import
    the caller's main script, so a script calls this under ``if __name__ == "__main__":``.

    Parameters
    ----------
    spec
        The grid.
    out
        Directory or ``pyarrow.fs`` URI of the data set.
    backend
        ``auto``, ``cpu`` or ``cuda``.
    workers, threads
        Worker processes, and threads in each; by default all CPUs that this process may use. One worker is
        this process itself. Workers share out the GPUs, where these simulate.
    shard
        ``I/N``: only the blocks congruent to I modulo N, so that many machines can fill one data set.
    executor
        ``local``, ``dask``, or any ``concurrent.futures.Executor`` that does not fork; it stays open.
    address
        Scheduler of a running Dask cluster, with ``executor="dask"``; by default one is made on this machine.
    progress
        Called several times a second; :func:`fastq.engine.progress.reporter` makes one that writes to a
        stream.
    evaluate
        What computes a block; by default ``fastq.engine.evaluate.evaluate_block``.
    block_points
        Points in a block. Only for tests: the data sets of different sizes do not mix.

    Raises
    ------
    SpecError
        An option or a point that can't be used; nothing was written.
    StoreError
        The place can't be used, holds something else, or holds a damaged file.
    WorkerError
        A worker died, or the executor can't be used.
    SweepInterrupted
        SIGINT or SIGTERM came; finished blocks are kept.
    """
    began_s = time.monotonic()
    part = parse_shard(shard) if isinstance(shard, str) else shard or Shard()
    refuse_counts(workers=workers, threads=threads)
    refuse_infeasible(spec)
    location = open_location(out)
    manifest = manifest_of(spec, block_points)
    check(location, manifest)
    mine = part.select(range(manifest.blocks))
    kept = finished_blocks(location, manifest).intersection(mine)
    verify_blocks(location, manifest, kept)
    missing = [block for block in mine if block not in kept]
    run = _Run(location, manifest, mine, kept)
    crew_size = 0, 0
    compile_s = 0.0
    chosen = "cpu"
    if missing:
        if evaluate is None:
            chosen, compile_s = _compile(spec, backend)
            if workers is None and executor in (None, "local"):
                from fastq.engine.backend import default_workers

                workers = default_workers(chosen)
        try:
            with (
                _kept_memory(chosen),
                open_crew(
                    executor, tasks=len(missing), workers=workers, threads=threads, address=address
                ) as crew,
            ):
                crew_size = crew.workers, crew.threads
                claim(location, manifest)
                run.go(spec, missing, crew, backend, evaluate, progress)
        finally:
            location.clean()
    elif not mine:
        claim(location, manifest)
    return SweepSummary(
        out=location.uri,
        spec_hash=manifest.spec_hash,
        points=run.points_of(mine),
        blocks=len(mine),
        blocks_run=len(missing),
        points_run=run.points_of(missing),
        blocks_kept=len(kept),
        requests_run=run.requests,
        elapsed_s=time.monotonic() - began_s,
        compile_s=compile_s,
        workers=crew_size[0],
        threads=crew_size[1],
        statuses=_statuses(location, manifest, mine),
        complete=len(finished_blocks(location, manifest)) == manifest.blocks,
    )


def refuse_infeasible(spec: Spec) -> None:
    """Refuse a grid with a point that can never run, unless such points are to be skipped."""
    if spec.run.infeasible != "error":
        return
    found = spec.first_infeasible()
    if found is not None:
        index, reason = found
        raise refusal(spec.point(index), reason, source=spec.source)


class _Run:
    """The missing blocks of one sweep on their way to the data set."""

    def __init__(self, location: Location, manifest: Manifest, mine: list[int], kept: set[int]) -> None:
        self.location, self.manifest, self.mine, self.kept = location, manifest, mine, kept
        self.finished: list[int] = []
        self.requests = 0

    def points_of(self, blocks: Iterable[int]) -> int:
        return sum(len(self.manifest.block_range(block)) for block in blocks)

    def go(
        self,
        spec: Spec,
        missing: list[int],
        crew: Crew,
        backend: str,
        evaluate: Evaluate | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        """Run the blocks on the crew, and put right what a stop or a dead worker leaves."""
        sweep_id, spec_pickle, stop = uuid.uuid4().hex, pickle.dumps(spec), threading.Event()
        tasks = (
            Task(
                sweep_id=sweep_id,
                spec_pickle=spec_pickle,
                block=block,
                block_points=self.manifest.block_points,
                out=self.location.uri,
                backend=backend,
                threads=crew.threads,
                evaluate=evaluate,
            )
            for block in missing
        )
        tracker = Tracker(self.points_of(self.mine), self.points_of(self.kept), progress)
        self.location.clean()
        HOOKS[sweep_id] = Hooks(stop, tracker.add)
        pending: dict[Future[BlockDone], int] = {}
        with stop_on_signals(stop) as caught, tracker:
            try:
                self._collect(tasks, pending, crew, stop, tracker)
            except BaseException as error:
                if not (_is_death(error) or isinstance(error, BlockStopped | KeyboardInterrupt)):
                    raise
                stop.wait(POLL_S)  # a signal to the whole group may reach the workers before it reaches us
                if caught.signum is not None:
                    raise self._interrupted(caught.signum) from None
                if _is_death(error):
                    raise self._worker_died(pending, error) from error
                raise
            finally:
                stop.set()
                del HOOKS[sweep_id]
                self.requests = tracker.state().requests_done
                _let_go(crew, pending)

    def _collect(
        self,
        tasks: Iterable[Task],
        pending: dict[Future[BlockDone], int],
        crew: Crew,
        stop: threading.Event,
        tracker: Tracker,
    ) -> None:
        """Keep the crew busy with a bounded number of blocks until all are done."""
        waiting = iter(tasks)
        while not stop.is_set():
            for task in islice(waiting, crew.in_flight - len(pending)):
                pending[crew.executor.submit(run_task, task)] = task.block
            if not pending:
                return
            for future in wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED).done:
                done = future.result()
                del pending[future]
                self.finished.append(done.block)
                tracker.add(done.points, done.requests)
        raise BlockStopped

    def _interrupted(self, signum: int) -> SweepInterrupted:
        done = finished_blocks(self.location, self.manifest).intersection(self.mine)
        return SweepInterrupted(
            signum,
            out=self.location.uri,
            blocks_done=len(done),
            blocks=len(self.mine),
            points_done=self.points_of(done),
            points=self.points_of(self.mine),
        )

    def _worker_died(self, pending: dict[Future[BlockDone], int], error: BaseException) -> WorkerError:
        blocks = sorted(pending.values())
        shown = ", ".join(map(str, blocks[:MAX_SHOWN_BLOCKS])) + (
            ", ..." if len(blocks) > MAX_SHOWN_BLOCKS else ""
        )
        kept = len(self.kept) + len(self.finished)
        return WorkerError(
            f"a worker died, or the executor was shut down ({type(error).__name__}: {error}), with these "
            f"blocks handed out: {shown or 'none'}. The usual reason is memory: take fewer --workers, or "
            "look into the kernel log. A script that calls fastq.sweep with several workers does so under "
            f"'if __name__ == \"__main__\":'. {kept:,} of {len(self.mine):,} blocks are finished and kept "
            f"in {self.location.show()}; run the same command again to go on from there."
        )


def _is_death(error: BaseException) -> bool:
    """Whether an error tells of a worker or an executor that is gone, not of the task."""
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__module__.startswith(
        "distributed."
    )


def _let_go(crew: Crew, pending: Iterable[Future[BlockDone]]) -> None:
    """Take back what has not started; wait a little for threads, which were told to stop."""
    running = [future for future in pending if not future.cancel()]
    if isinstance(crew.executor, ThreadPoolExecutor):
        wait(running, timeout=STOP_GRACE_S)


def _compile(spec: Spec, backend: str) -> tuple[str, float]:
    """Refuse a backend that is not there, and compile once, before any worker starts; the backend and the seconds."""
    from fastq.engine.backend import choose_backend, warm_up

    chosen = choose_backend(backend)
    began_s = time.monotonic()
    warm_up(spec, chosen)
    return chosen, time.monotonic() - began_s


def _kept_memory(backend: str) -> contextlib.AbstractContextManager[None]:
    """Let a sweep that simulates in this thread keep its memory on a GPU from one block to the next."""
    if backend != "cuda":
        return contextlib.nullcontext()
    from fastq.engine.gpu_lanes import keep_lanes

    return keep_lanes()


def _statuses(location: Location, manifest: Manifest, blocks: list[int]) -> dict[str, int]:
    """Count the finished points by status, block by block."""
    counts: Counter[str] = Counter()
    for block in finished_blocks(location, manifest).intersection(blocks):
        table = read_blocks(location, manifest, "points", [block], ["status"])
        counts.update(count_values(table, "status"))
    return dict(sorted(counts.items(), key=lambda status: (-status[1], status[0])))
