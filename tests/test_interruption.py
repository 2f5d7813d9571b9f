"""A sweep that is stopped at any moment and run again ends with the bytes of one that was not stopped."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_grid import FakeSpec, evaluate, slow_evaluate

from fastq.engine.interruption import SweepInterrupted
from fastq.engine.status import status
from fastq.engine.sweep import sweep

PROGRAM = """
import os, signal, sys
import pyarrow.parquet
from fake_grid import FakeSpec, slow_evaluate
from fastq.engine.interruption import SweepInterrupted
from fastq.engine.sweep import sweep

if __name__ == "__main__":
    out, workers, point_s, fatal_flush = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    flush, flushes = os.fsync, []

    def kill_at_flush(descriptor):
        flushes.append(descriptor)
        if len(flushes) == fatal_flush:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    os.fsync = kill_at_flush
    print("ready", flush=True)
    try:
        sweep(FakeSpec(), out, evaluate=slow_evaluate(point_s), block_points=2, workers=workers, threads=1)
    except SweepInterrupted as interrupted:
        print(interrupted, flush=True)
        sys.exit(interrupted.exit_status)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def start(out, workers, point_s, fatal_flush=-1):
        process = subprocess.Popen(
            [sys.executable, path, out, str(workers), str(point_s), str(fatal_flush)],
            env={"PYTHONPATH": ":".join([str(Path(__file__).parent), *filter(None, sys.path)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        return process

    return start


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


@pytest.fixture
def uninterrupted(tmp_path):
    out = tmp_path / "uninterrupted"
    sweep(FakeSpec(), out, evaluate=evaluate, block_points=2, workers=1)
    return tree(out)


def wait_for(condition, timeout_s=20.0):
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, "nothing happened"
        time.sleep(0.01)


def blocks_done(out):
    return len(list((out / "points").glob("block-*.parquet")))


def test_killed_at_ten_moments_and_resumed_is_equal_byte_for_byte(tmp_path, program, uninterrupted):
    out, draw = tmp_path / "out", random.Random(2026)
    kept = [0]
    for kill in range(10):
        workers = 2 if kill % 5 == 4 else 1
        process = program(out, workers=workers, point_s=0.01)
        if kill % 2:
            time.sleep(draw.uniform(0.0, 0.3))  # while it starts, maybe
        else:
            wait_for(lambda process=process: blocks_done(out) > kept[-1] or process.poll() is not None)
            time.sleep(draw.uniform(0.0, 0.05))
        process.kill()
        process.communicate()
        kept.append(blocks_done(out))
    assert kept == sorted(kept)
    assert len(set(kept)) > 3
    process = program(out, workers=1, point_s=0.0)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert tree(out) == uninterrupted


@pytest.mark.parametrize("fatal_flush", [1, 2, 3, 4, 5, 6, 7])
def test_killed_inside_a_write_and_resumed_is_equal_byte_for_byte(
    tmp_path, program, uninterrupted, fatal_flush
):
    out = tmp_path / "out"
    program(out, workers=1, point_s=0.0, fatal_flush=fatal_flush).communicate()
    left = list(out.rglob(".*.partial"))
    assert len(left) == (1 if fatal_flush % 2 else 0)  # a file is flushed, renamed, and its directory flushed
    _, errors = program(out, workers=1, point_s=0.0).communicate()
    assert not errors
    assert tree(out) == uninterrupted


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_keeps_finished_blocks_and_says_how_to_go_on(
    tmp_path, program, uninterrupted, stop_signal, workers
):
    out = tmp_path / "out"
    process = program(out, workers=workers, point_s=0.02)
    wait_for(lambda: blocks_done(out) >= 2)
    process.send_signal(stop_signal)
    began_s = time.monotonic()
    output, errors = process.communicate(timeout=20)
    assert time.monotonic() - began_s < 5.0
    assert process.returncode == 128 + stop_signal, errors
    assert f"interrupted by {stop_signal.name}" in output
    assert f"{blocks_done(out)} of 30 blocks" in output
    assert "Run the same command again" in output
    assert not list(out.glob(".*"))
    sweep(FakeSpec(), out, evaluate=evaluate, block_points=2, workers=1)
    assert tree(out) == uninterrupted


def test_workers_die_with_their_parent(tmp_path, program):
    out = tmp_path / "out"
    process = program(out, workers=2, point_s=0.05)
    wait_for(lambda: blocks_done(out) >= 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.kill()
    process.communicate()
    wait_for(lambda: not any(_lives(child) for child in children))


def test_stopping_inside_the_process_restores_the_handlers(tmp_path):
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(SweepInterrupted, match="interrupted by SIGINT") as raised:
        sweep(FakeSpec(), tmp_path, evaluate=slow_evaluate(0.02), block_points=2, workers=1)
    interrupted = raised.value
    assert isinstance(interrupted, KeyboardInterrupt)
    assert (interrupted.exit_status, interrupted.blocks, interrupted.points) == (130, 30, 60)
    assert interrupted.blocks_done == status(tmp_path).blocks_done < 30
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_two_shards_at_the_same_moment_fill_one_directory(tmp_path, uninterrupted):
    out = tmp_path / "out"
    code = (
        "import sys\n"
        "from fake_grid import FakeSpec, slow_evaluate\n"
        "from fastq.engine.sweep import sweep\n"
        "options = {'block_points': 2, 'workers': 1, 'shard': sys.argv[2]}\n"
        "sweep(FakeSpec(), sys.argv[1], evaluate=slow_evaluate(0.005), **options)\n"
    )
    shards = [
        subprocess.Popen([sys.executable, "-c", code, out, f"{index}/3"], cwd=Path(__file__).parent)
        for index in range(3)
    ]
    assert [shard.wait(timeout=60) for shard in shards] == [0, 0, 0]
    assert tree(out) == uninterrupted


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
