"""Sweeps: what is run, by whom, in what order, and what is told on the way."""

import io
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fake_grid import FakeSpec, evaluate, fails_at_block, records_threads

from fastq.cli.sweep_figures import Ratios, sweep_figures
from fastq.engine import cpus, executors, progress
from fastq.engine.blocks import BLOCK_POINTS, Shard, parse_shard
from fastq.engine.estimate import estimate
from fastq.engine.executors import share_cpus
from fastq.engine.progress import Bar, Lines, Progress, reporter
from fastq.engine.status import status
from fastq.engine.sweep import sweep
from fastq.engine.task import Task
from fastq.errors import InfeasibleError, SpecError
from fastq.model.load import parse_spec
from fastq.model.point import Arrivals
from fastq.store.layout import block_count, block_file, block_of, block_range
from fastq.store.reader import read

SPEC = FakeSpec()


def run(out, spec=SPEC, **options):
    return sweep(spec, out, **{"evaluate": evaluate, "block_points": 8, "workers": 1, **options})


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def test_blocks_cover_the_grid_once():
    assert BLOCK_POINTS == 4096
    for points in (1, 4095, 4096, 4097, 10_000_000):
        blocks = block_count(points, BLOCK_POINTS)
        assert sum(len(block_range(block, points, BLOCK_POINTS)) for block in range(blocks)) == points
        assert block_range(blocks - 1, points, BLOCK_POINTS).stop == points


def test_file_names_sort_by_block_and_round_trip():
    names = [block_file("points", block) for block in (0, 9, 10, 2441, 999_999)]
    assert names == sorted(names)
    assert [block_of(name.partition("/")[2]) for name in names] == [0, 9, 10, 2441, 999_999]
    assert block_of("block-1.parquet") is None
    assert block_of(".block-000001.parquet") is None


def test_shards_take_every_block_once():
    taken = [block for index in range(3) for block in Shard(index, 3).select(range(10))]
    assert sorted(taken) == list(range(10))
    assert parse_shard("2/3") == Shard(2, 3)


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "1/0", "a/b", "1/2/3", "1.0/2"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(SpecError, match=r"--shard.*I/N with 0 <= I < N"):
        parse_shard(text)


def test_the_summary_counts_what_was_done(tmp_path):
    first = run(tmp_path, shard="1/3")
    assert (first.blocks, first.blocks_run, first.blocks_kept, first.points, first.complete) == (
        3,
        3,
        0,
        20,
        False,
    )
    summary = run(tmp_path)
    assert (summary.blocks, summary.blocks_run, summary.blocks_kept) == (8, 5, 3)
    assert (summary.points, summary.points_run, summary.requests_run) == (60, 40, 4000)
    assert summary.complete
    assert sum(summary.statuses.values()) == 60
    assert set(summary.statuses) == {"ok", "short"}
    assert not summary.nothing_feasible
    again = run(tmp_path)
    assert (again.blocks_run, again.requests_run, again.statuses) == (0, 0, summary.statuses)


def test_a_shard_without_blocks_runs_nothing(tmp_path):
    summary = run(tmp_path, shard="50/99")
    assert (summary.blocks, summary.points, summary.complete) == (0, 0, False)
    assert not summary.nothing_feasible
    assert status(tmp_path).blocks_missing == 8


def test_one_worker_is_this_process_and_gets_all_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "usable_cpus", lambda: 6)
    seen = []
    run(tmp_path, workers=None, backend="cpu", evaluate=records_threads(seen))
    assert set(seen) == {(threading.get_ident(), 6, "cpu")}
    assert len(seen) == 8


@pytest.mark.parametrize(
    ("cpu_count", "workers", "threads", "tasks", "expected"),
    [
        (2, None, None, 100, (1, 2)),
        (8, None, None, 100, (1, 8)),
        (64, None, None, 100, (8, 8)),
        (64, None, None, 1, (1, 64)),
        (64, 16, None, 4, (4, 16)),
        (64, 16, 2, 100, (16, 2)),
        (64, None, 4, 100, (1, 4)),
        (2, 4, None, 100, (4, 1)),
        (2, None, None, 0, (1, 2)),
    ],
)
def test_cpus_are_shared_out(monkeypatch, cpu_count, workers, threads, tasks, expected):
    monkeypatch.setattr(executors, "usable_cpus", lambda: cpu_count)
    assert share_cpus(workers, threads, tasks) == expected


@pytest.mark.parametrize(
    ("cgroups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4.0),
        ("0::/gone\n", {"cpu.max": "max 100000\n"}, None),
        (
            "3:cpu,cpuacct:/job\n2:memory:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "300000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            3.0,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_the_quota_of_a_control_group_counts(tmp_path, monkeypatch, cgroups, files, expected):
    (tmp_path / "self").write_text(cgroups)
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)
    monkeypatch.setattr(cpus, "PROCESS_CGROUPS", tmp_path / "self")
    monkeypatch.setattr(cpus, "CGROUP_ROOT", tmp_path / "fs")
    assert cpus.cgroup_quota() == expected
    assert 1 <= cpus.usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"workers": 0}, "--workers"),
        ({"threads": -1}, "--threads"),
        ({"address": "tcp://nowhere:1"}, "--address"),
        ({"executor": "ray"}, "--executor"),
        ({"shard": "4/4"}, "--shard"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, key):
    with pytest.raises(SpecError) as raised:
        run(tmp_path / "out", **options)
    assert raised.value.key == key
    assert not (tmp_path / "out").exists()


def test_an_infeasible_point_is_refused_before_anything_is_written(tmp_path):
    document = {
        "workload": {"prompt_tokens": {"constant": 1000}, "output_tokens": {"constant": 1000}},
        "iteration_time": {"constant": "10 ms"},
        "grid": {"replica.kv_capacity_tokens": [4000, 2000, 1000]},
    }
    with pytest.raises(
        InfeasibleError, match=r"fake\.toml: replica\.kv_capacity_tokens = 1000: point 2: .*\"skip\""
    ):
        run(tmp_path / "out", parse_spec(document, source="fake.toml"))
    assert not (tmp_path / "out").exists()
    document["run"] = {"infeasible": "skip", "requests": 100, "replications": 2}
    skipping = parse_spec(document, source="fake.toml")
    assert sweep(skipping, tmp_path / "out", workers=1, threads=1).complete
    statuses = read(tmp_path / "out").column("status").to_pylist()
    assert [text.partition(":")[0] for text in statuses] == ["ok", "ok", "skipped"]


def test_a_fault_of_the_evaluator_comes_through_and_finished_blocks_stay(tmp_path):
    with pytest.raises(ArithmeticError, match="a fault"):
        run(tmp_path, evaluate=lambda *a, **k: fails_at_block(*a, fatal_block=3, **k))
    assert status(tmp_path).blocks_done == 3


def test_status_tells_what_is_missing(tmp_path):
    run(tmp_path, shard="0/2")
    (tmp_path / "points" / "block-000006.parquet").unlink()
    found = status(tmp_path)
    assert (found.blocks, found.blocks_done, found.blocks_missing) == (8, 3, 5)
    assert (found.points, found.points_done) == (60, 24)
    assert found.missing == ((1, 1), (3, 3), (5, 7))
    assert not found.complete
    assert found.points_per_s > 0
    assert found.remaining_s == pytest.approx(36 / found.points_per_s)
    assert found.missing_by_shard(2) == {"0/2": 1, "1/2": 4}
    assert found.missing_by_shard(8) == {"1/8": 1, "3/8": 1, "5/8": 1, "6/8": 1, "7/8": 1}
    assert found.size_bytes == sum(
        (tmp_path / block_file(table, block)).stat().st_size
        for table in ("points", "replications")
        for block in (0, 2, 4)
    )
    run(tmp_path)
    assert status(tmp_path).complete
    assert status(tmp_path).missing_by_shard(2) == {}


def test_status_of_one_block_has_no_rate(tmp_path):
    run(tmp_path, block_points=60)
    assert status(tmp_path).points_per_s is None


def test_progress_counts_points_and_requests(tmp_path):
    run(tmp_path, shard="0/4")
    told = []
    run(tmp_path, progress=told.append)
    last = told[-1]
    assert (last.points, last.points_kept, last.points_done, last.requests_done) == (60, 16, 44, 4400)
    assert last.over
    assert last.share == 1.0
    assert [state.over for state in told[:-1]] == [False] * (len(told) - 1)


def test_progress_ticks_while_a_block_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "TICK_S", 0.01)
    from fake_grid import slow_evaluate

    told = []
    run(tmp_path, block_points=60, evaluate=slow_evaluate(0.002), progress=told.append)
    assert len({state.points_done for state in told}) > 3


def test_a_terminal_gets_a_bar_and_a_file_a_line_a_minute():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, file = Terminal(), io.StringIO()
    bar, lines = reporter(terminal), reporter(file)
    assert isinstance(bar, Bar)
    assert isinstance(lines, Lines)
    for elapsed_s in (1.0, 30.0, 61.0, 62.0, 122.0):
        for report in (bar, lines):
            report(Progress(4000, 1000, 20 * int(elapsed_s), 10**8, elapsed_s))
    bar(Progress(4000, 1000, 3000, 10**8, 130.0, over=True))
    assert file.getvalue().splitlines() == [
        "2,220/4,000 points, 56%, 20 points/s, 1.64 M requests/s, 1 min 29 s left",
        "3,440/4,000 points, 86%, 20 points/s, 0.82 M requests/s, 28 s left",
    ]
    assert terminal.getvalue().count("\r") == 6
    assert terminal.getvalue().endswith("2 min 10 s taken\n")


def test_the_estimate_writes_nothing_and_is_about_right(tmp_path, monkeypatch):
    class Point:
        arrivals = Arrivals()

    class Spec(FakeSpec):
        def point(self, index):
            return Point()

    sampled = []
    monkeypatch.setattr(executors, "usable_cpus", lambda: 4)
    found = estimate(Spec(), workers=2, sample=sampled.append, block_points=30)
    assert (found.points, found.blocks, found.workers, found.threads) == (60, 2, 2, 2)
    assert found.sampled_points == len(sampled) == 16
    assert max(sampled) - min(sampled) > 50
    assert 0 < found.seconds < 1
    assert estimate(Spec(), shard="1/2", sample=sampled.append, block_points=30).points == 30
    run(tmp_path, block_points=30)
    real_bytes = sum(len(data) for name, data in tree(tmp_path).items() if name.endswith(".parquet"))
    assert real_bytes / 2 < found.size_bytes < 8 * real_bytes


def test_a_dry_run_sees_every_value_of_axes_that_divide_its_steps():
    """1,536 points of 32 x 16 x 3: every 96th would hold two of the axes at their first values."""
    sampled = []
    estimate(
        parse_spec(
            {
                "workload": {"prompt_tokens": {"constant": 10}, "output_tokens": {"constant": 10}},
                "iteration_time": {"constant": "10 ms"},
                "grid": {
                    "replica.kv_capacity_tokens": {"geometric": [16_000, 512_000, 32]},
                    "workload.output_scale": {"linear": [0.25, 4.0, 16]},
                    "replica.max_num_seqs": [64, 256, 1024],
                },
            }
        ),
        sample=sampled.append,
    )
    assert {index % 3 for index in sampled} == {0, 1, 2}
    assert len({index // 3 % 16 for index in sampled}) > 6


@pytest.mark.parametrize(("shard", "blocks"), [(None, range(8)), ("1/3", (1, 4, 7))])
def test_figures_are_of_the_shard_and_as_exact_as_they_are_shown(tmp_path, shard, blocks):
    def with_theory(spec, block, **options):
        tables = evaluate(spec, block, **options)
        points = tables.points["point"]
        theory = {
            "theory_rate_rps": [1.5 + point % 7 for point in points],
            "binding": [("kv", "seqs", None)[point % 3] for point in points],
        }
        return replace(tables, points=tables.points | theory)

    run(tmp_path, evaluate=with_theory)
    rows = [row for row in read(tmp_path).to_pylist() if row["point"] // 8 in blocks]
    found = sweep_figures(tmp_path, shard)
    assert found["binding"] == Counter(row["binding"] for row in rows if row["binding"])
    ratios = [row["service_rate_rps"] / row["theory_rate_rps"] for row in rows]
    exact = np.quantile(ratios, [0, 0.05, 0.5, 0.95, 1])
    assert list(found["simulated_over_theory"].values()) == pytest.approx(exact, rel=1e-4)
    assert found["simulated_over_theory"]["largest"] == max(ratios)
    assert found["first_skip_reason"] is None


def test_quantiles_of_ratios_take_any_ratio():
    ratios = Ratios()
    assert ratios.quantiles() == {}
    ratios.add(np.array([0.0, 1e-9, 1.0, 1e9]))
    found = ratios.quantiles()
    assert (found["smallest"], found["largest"]) == (0.0, 1e9)
    assert found["median"] == pytest.approx(0.5, abs=1e-3)


def test_a_task_is_small():
    task = Task("id", b"spec", 3, 4096, "/data", "cpu", 2)
    assert len(pickle.dumps(task)) < 500


def test_progress_and_blocks_import_no_pyarrow():
    program = (
        "import sys, fastq.engine.blocks, fastq.engine.progress, fastq.engine.interruption\n"
        "assert not {'pyarrow', 'numpy', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
