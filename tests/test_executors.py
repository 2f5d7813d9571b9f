"""One grid, any executor: the same bytes; and what happens when a worker dies."""

import functools
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from fake_grid import FakeSpec, dies_at_block, evaluate, fails_at_block

from fastq.engine import worker
from fastq.engine.executors import open_crew
from fastq.engine.status import status
from fastq.engine.sweep import sweep
from fastq.errors import BackendUnavailable, WorkerError
from fastq.model.run import Run

SPEC = FakeSpec(run=Run(measure=("boundary", "rates")))


def run(out, **options):
    return sweep(SPEC, out, **{"evaluate": evaluate, "block_points": 8, **options})


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


@pytest.fixture
def expected(tmp_path):
    run(tmp_path / "expected", workers=1, threads=1)
    return tree(tmp_path / "expected")


def test_threads_and_spawned_processes_write_the_same_bytes(tmp_path, expected):
    context = multiprocessing.get_context("spawn")
    told = []
    with ThreadPoolExecutor(3) as pool:
        assert run(tmp_path / "threads", executor=pool, progress=told.append).workers == 3
        assert pool.submit(int, "1").result() == 1
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert run(tmp_path / "processes", executor=pool, progress=told.append).complete
    summary = run(tmp_path / "workers", workers=2, progress=told.append)
    assert (summary.workers, summary.requests_run) == (2, 6000)
    assert [state.requests_done for state in told if state.over] == [6000] * 3
    for name in ("threads", "processes", "workers"):
        assert tree(tmp_path / name) == expected


def number_after_a_while(_):
    time.sleep(0.2)
    return worker.number(), worker.count()


def test_workers_are_numbered_and_whoever_is_none_is_the_first():
    assert (worker.number(), worker.count()) == (0, 1)
    with open_crew(None, tasks=9, workers=2, threads=1) as crew:
        seen, give_up_s = set(), time.monotonic() + 60
        while seen != {(0, 2), (1, 2)}:
            assert time.monotonic() < give_up_s, "one worker took all that there was"
            seen |= set(crew.executor.map(number_after_a_while, range(8)))


def test_a_dask_cluster_of_this_machine_writes_the_same_bytes(tmp_path, expected):
    distributed = pytest.importorskip("distributed")
    summary = run(tmp_path / "dask", executor="dask", workers=2)
    assert summary.workers == 2
    assert tree(tmp_path / "dask") == expected
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        run(tmp_path / "address", executor="dask", address=cluster.scheduler_address)
    assert tree(tmp_path / "address") == expected


def test_without_dask_the_install_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'fastq-sim\[dask\]'"):
        run(tmp_path / "out", executor="dask")
    assert not (tmp_path / "out").exists()


def test_a_forking_pool_is_refused_with_the_reason(tmp_path):
    with (
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(WorkerError, match=r"forks its workers.*get_context\(\"spawn\"\)"),
    ):
        run(tmp_path / "out", executor=pool)
    assert not (tmp_path / "out").exists()


def test_what_is_no_executor_is_refused(tmp_path):
    with pytest.raises(WorkerError, match="SimpleNamespace is none"):
        run(tmp_path / "out", executor=type(sys.implementation)())


def test_blocks_in_flight_are_bounded(tmp_path):
    class Counting(Executor):
        _max_workers = 2
        waiting = most = 0

        def __init__(self):
            self.pool = ThreadPoolExecutor(2)

        def submit(self, fn, /, *args, **kwargs):
            type(self).waiting += 1
            type(self).most = max(self.most, self.waiting)
            future = self.pool.submit(fn, *args, **kwargs)
            future.add_done_callback(self.done)
            return future

        def done(self, future):
            type(self).waiting -= 1

    counting = Counting()
    assert run(tmp_path, executor=counting, block_points=2).blocks_run == 30
    counting.pool.shutdown()
    assert Counting.most <= 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dying_worker_loses_no_finished_block(tmp_path, expected):
    out = tmp_path / "out"
    with pytest.raises(WorkerError) as raised:
        run(out, workers=2, evaluate=functools.partial(dies_at_block, fatal_block=5))
    message = str(raised.value)
    assert "these blocks handed out: 5" in message
    assert "fewer --workers" in message
    assert "run the same command again" in message
    kept = status(out).blocks_done
    assert 0 < kept < 8
    assert not list(out.glob(".*"))
    assert run(out, workers=1).blocks_kept == kept
    assert tree(out) == expected


def test_an_executor_that_was_shut_down_is_said(tmp_path):
    class Cancelling(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(WorkerError, match="executor was shut down"):
        run(tmp_path, executor=Cancelling())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_in_a_worker_comes_through(tmp_path, workers):
    with pytest.raises(ArithmeticError, match="a fault in the evaluator"):
        run(tmp_path, workers=workers, evaluate=functools.partial(fails_at_block, fatal_block=3))
    assert status(tmp_path).blocks_done >= 1


def test_threads_of_a_given_pool_are_told_to_stop(tmp_path):
    stopped = threading.Event()

    def waits_for_the_stop(spec, block, *, stop, **options):
        if block == 0:
            raise ArithmeticError("a fault in the evaluator")
        if stop.is_set() or _wait(stop):
            stopped.set()
        return evaluate(spec, block, stop=stop, **options)

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(ArithmeticError):
            run(tmp_path, executor=pool, evaluate=waits_for_the_stop)
        assert stopped.wait(5.0)


def test_spawned_workers_leave_with_the_crew():
    with open_crew("local", tasks=8, workers=2, threads=1) as crew:
        pids = {crew.executor.submit(os.getpid).result() for _ in range(4)}
    assert os.getpid() not in pids
    assert not set(multiprocessing.active_children())


def _wait(stop):
    while not stop.is_set():
        pass
    return True
