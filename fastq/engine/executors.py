"""Where blocks run: in this process, in spawned processes, on Dask, or on any executor that is given."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fastq.engine import worker
from fastq.engine.cpus import usable_cpus
from fastq.errors import BackendUnavailable, SpecError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.sharedctypes import Synchronized

P = ParamSpec("P")
T = TypeVar("T")

THREADS_PER_WORKER = 8
"""Threads that one process keeps busy: only kernels run without the interpreter lock."""

EXECUTORS = ("local", "dask")


@dataclass(frozen=True, slots=True)
class Crew:
    """An executor that is ready to take blocks.

    Parameters
    ----------
    executor
        Takes the tasks.
    workers
        Tasks that run at the same time.
    threads
        Threads that each of them may use.
    in_flight
        Most tasks that are handed over and not yet done, so that memory does not grow with the grid.
    """

    executor: Executor
    workers: int
    threads: int
    in_flight: int


class InProcessExecutor(Executor):
    """Runs each task where it is submitted, before ``submit`` returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the task now; its error, if any, is kept for ``result()``."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def open_crew(
    executor: Executor | str | None,
    *,
    tasks: int,
    workers: int | None,
    threads: int | None,
    address: str | None = None,
) -> Iterator[Crew]:
    """Open what will run ``tasks`` blocks, and close it afterwards unless it was given from outside.

    Where the body raises, workers that were opened here are killed at once: a block is written whole or not.

    Parameters
    ----------
    executor
        ``local`` (or ``None``), ``dask``, or any ``concurrent.futures.Executor`` that does not fork.
    tasks
        Blocks to run; no more workers than that are started.
    workers, threads
        Worker processes, and threads in each; ``None``: from the CPUs that this process may use.
    address
        Scheduler of a running Dask cluster; ``None``: a cluster of this machine.
    """
    refuse_counts(workers=workers, threads=threads)
    if address is not None and executor != "dask":
        raise SpecError("goes with --executor dask only", key="--address", value=address)
    if isinstance(executor, str) and executor not in EXECUTORS:
        raise SpecError(f"must be one of {', '.join(EXECUTORS)}", key="--executor", value=executor)
    if executor == "dask":
        opened = _dask(*share_cpus(workers, threads, tasks), workers, threads, address)
    elif executor is None or isinstance(executor, str):
        opened = _local(*share_cpus(workers, threads, tasks))
    else:
        opened = _given(executor, workers, threads)
    with opened as crew:
        yield crew


def refuse_counts(*, workers: int | None = None, threads: int | None = None) -> None:
    """Refuse a number of processes or threads below 1; ``None`` leaves it to fastq."""
    for option, count in (("--workers", workers), ("--threads", threads)):
        if count is not None and count < 1:
            raise SpecError("must be 1 or more", key=option, value=count)


def share_cpus(workers: int | None, threads: int | None, tasks: int) -> tuple[int, int]:
    """Return processes, and threads in each: by default all usable CPUs, in as few processes as feed them."""
    cpus = usable_cpus()
    if workers is None:
        workers = 1 if threads is not None else math.ceil(cpus / THREADS_PER_WORKER)
    workers = max(1, min(workers, tasks))
    return workers, threads if threads is not None else max(1, cpus // workers)


def refuse_fork(executor: Executor) -> None:
    """Refuse what is no executor, and pools that fork."""
    if not isinstance(executor, Executor):
        raise WorkerError(
            f"executor= takes a concurrent.futures.Executor, such as ThreadPoolExecutor or Dask's "
            f"client.get_executor(); {type(executor).__name__} is none."
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise WorkerError(
            f"the given {type(executor).__name__} forks its workers. A fork copies the locks of threads and "
            "the compiler's state half-way, and can hang or abort. Spawn them: "
            'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")).'
        )


@contextlib.contextmanager
def _local(workers: int, threads: int) -> Iterator[Crew]:
    if workers == 1:
        yield Crew(InProcessExecutor(), 1, threads, in_flight=1)
        return
    context = multiprocessing.get_context("spawn")
    lifeline_end, lifeline = context.Pipe(duplex=False)
    numbers = context.Value("i", 0)
    pool = ProcessPoolExecutor(
        workers, context, initializer=_start_worker, initargs=(lifeline_end, numbers, workers)
    )
    try:
        yield Crew(pool, workers, threads, in_flight=2 * workers)
        pool.shutdown()
    finally:
        lifeline.close()
        pool.shutdown(cancel_futures=True)
        lifeline_end.close()


def _start_worker(lifeline_end: Connection, numbers: Synchronized[int], workers: int) -> None:
    """Take the next number, leave SIGINT to the parent, and die with it, or at its word: when its lifeline closes."""
    with numbers.get_lock():
        worker.set_number(numbers.value, of=workers)
        numbers.value += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def die_with_parent() -> None:
        lifeline_end.poll(None)
        os._exit(1)

    threading.Thread(target=die_with_parent, name="lifeline", daemon=True).start()


@contextlib.contextmanager
def _given(executor: Executor, workers: int | None, threads: int | None) -> Iterator[Crew]:
    refuse_fork(executor)
    slots = workers or _slots(executor) or usable_cpus()
    yield Crew(executor, slots, threads or max(1, usable_cpus() // slots), in_flight=2 * slots)


def _slots(executor: Executor) -> int | None:
    """Return how many tasks an executor runs at once, where it tells."""
    slots = getattr(executor, "_max_workers", None)
    return slots if isinstance(slots, int) and slots > 0 else None


@contextlib.contextmanager
def _dask(
    local_workers: int, local_threads: int, workers: int | None, threads: int | None, address: str | None
) -> Iterator[Crew]:
    try:
        import distributed
    except ImportError as error:
        raise BackendUnavailable(
            "--executor dask needs Dask's distributed scheduler: pip install 'fastq-sim[dask]'"
        ) from error

    dask: Any = distributed
    with contextlib.ExitStack() as stack:
        if address is None:
            cluster: Any = stack.enter_context(
                dask.LocalCluster(
                    n_workers=local_workers, threads_per_worker=1, processes=True, dashboard_address=None
                )
            )
        else:
            cluster = address
        try:
            client: Any = stack.enter_context(dask.Client(cluster, set_as_default=False))
        except (OSError, ValueError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {address}: {error}. Start one with 'dask scheduler', and "
                "'dask worker' on the machines that are to compute."
            ) from error
        slots = workers or sum(client.nthreads().values()) or 1
        each = threads or (local_threads if address is None else 1)
        yield Crew(client.get_executor(pure=False, retries=0), slots, each, in_flight=2 * slots)
