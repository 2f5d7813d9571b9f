"""Recordings and pictures that ``fastq simulate`` writes, and the size of a picture."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cli_process import fastq, in_process

from fastq.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def test_simulate_writes_trajectories_and_timelines(spec: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    trajectories, numbers, picture = (
        tmp_path / name for name in ("rows.parquet", "line.parquet", "line.svg")
    )
    done = fastq(
        "simulate", spec, "--rate", 2, "--rate", 50, "--trajectories", trajectories, "--timeline", numbers
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(trajectories)
    assert set(rows["arrival_rate_rps"].to_pylist()) == {2.0, 50.0}
    assert {"arrival_s", "prompt_tokens", "output_tokens", "wait_s", "ttft_s", "finish_s"} <= set(
        rows.column_names
    )
    assert {"start_s", "waiting", "running", "kv_tokens"} <= set(pq.read_schema(numbers).names)
    assert in_process("simulate", spec, "--rate", 1, "--rate", 50, "--timeline", picture).returncode == 0
    assert "Waiting" in picture.read_text()
    assert "50 requests/s" in picture.read_text()
    assert "1 requests/s" not in picture.read_text()


def test_simulate_draws_latencies_at_rates_up_to_the_boundary(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "latency.svg"
    done = in_process("simulate", spec, "--latencies", picture, "--json")
    assert done.returncode == 0
    assert f"wrote {picture}" in done.stderr
    result = json.loads(done.stdout)
    loads = [row["arrival_rate_rps"] / result["point"]["service_rate_rps"] for row in result["rates"]]
    assert len(loads) == 12
    assert loads == sorted(loads)
    assert [loads[0], loads[-1]] == pytest.approx([0.1, 0.99], rel=1e-3)
    text = picture.read_text()
    for words in (
        "Time to first token (s)",
        "KV cache capacity: 1,000 tokens",
        "2 replications of 200 requests",
    ):
        assert words in text, words


def test_latencies_are_drawn_at_the_rates_that_are_given(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "latency.svg"
    done = in_process(
        "simulate", spec, "--rate", 1, "--rate", 50, "--latencies", picture, "--json", "--size", "slide"
    )
    assert done.returncode == 0
    assert [row["arrival_rate_rps"] for row in json.loads(done.stdout)["rates"]] == [1, 50]
    assert "Open marks: the queue is not shown to be stable" in picture.read_text()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["simulate", "SPEC"], "--latencies FILE, or --timeline FILE that ends as a picture does"),
        (["simulate", "SPEC", "--timeline", "state.parquet"], "--latencies FILE, or --timeline FILE"),
        (["plan", "chat-and-code"], "--picture FILE"),
        (["workload", "trace.csv"], "--picture FILE"),
        (["calibrate", "log.csv"], "--picture FILE"),
    ],
)
@pytest.mark.parametrize("size", ["page", "slide"])
def test_a_size_without_a_picture_is_refused(
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    option: str,
    size: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text("prompt_tokens,output_tokens\n10,20\n30,40\n")
    before = sorted(tmp_path.iterdir())
    command = [str(spec) if word == "SPEC" else word for word in words]
    assert main([*command, "--size", size]) == 2
    shown = capsys.readouterr()
    assert f"--size = '{size}': is of a picture, and none is asked for: give {option}" in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("size", "width_pt"), [(None, 518.4), ("page", 518.4), ("slide", 936)])
def test_a_picture_has_the_size_that_is_asked_for(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str | None, width_pt: float
) -> None:
    picture, words = tmp_path / "state.svg", [] if size is None else ["--size", size]
    assert main(["simulate", str(spec), "--rate", "1", "--timeline", str(picture), *words]) == 0
    assert "wrote" in capsys.readouterr().err
    (found,) = re.findall(r'<svg [^>]*width="([\d.]+)pt"', picture.read_text())
    assert float(found) == pytest.approx(width_pt, rel=0.01)


def test_a_timeline_without_rates_names_preempted_requests(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "line.svg"
    words = ("--set", 'run.measure=["boundary"]', "--timeline", picture)
    assert in_process("simulate", spec, *words).returncode == 0
    assert "always a backlog" in picture.read_text()
    assert "Preempted" in picture.read_text()
    assert "Waiting" not in picture.read_text()


def test_two_results_in_one_file_are_refused(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ("simulate", spec, "--timeline", "both.parquet", "--trajectories", "./both.parquet"),
        ("simulate", spec, "--timeline", "both.png", "--latencies", "both.png"),
        ("plan", "chat-and-code", "-o", "both.parquet", "--parquet", "both.parquet"),
    ):
        done = in_process(*words)
        assert done.returncode == 2, words
        assert "names the same file" in done.stderr
        assert not list(tmp_path.glob("*both*"))
