"""``fastq sweep`` and ``fastq status``: what they say of a data set, and what they leave alone."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_process import fastq, in_process

from fastq.cli.main import main
from fastq.engine.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path


def test_sweep_summarises_and_names_the_next_command(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = swept
    assert done.returncode == 0, done.stderr
    assert "simulated / theory" in done.stdout
    assert "simulated / expected" in done.stdout
    assert f"fastq map {out} --x replica.kv_capacity_tokens --y replica.max_num_seqs" in done.stdout
    assert "12/12 points" in done.stderr


def test_sweep_again_runs_nothing_and_json_says_so(
    spec: Path, swept: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    done = fastq("sweep", spec, "--out", swept[0], "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = in_process("sweep", spec, "--out", swept[0], "--json", "--quiet")
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert in_process("sweep", spec, "--out", swept[0], "--json").stdout.startswith('{"out": ')
    assert summary["points_run"] == 0
    assert summary["complete"] is True
    assert sum(summary["binding"].values()) == 12


def test_dry_run_writes_nothing(spec: Path, tmp_path: Path) -> None:
    done = in_process("sweep", spec, "--out", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(done.stdout)["points"] == 12
    assert not (tmp_path / "out").exists()


def test_dry_run_is_of_this_machine_only(spec: Path) -> None:
    for words in (("--executor", "dask"), ("--address", "tcp://elsewhere:8786")):
        done = in_process("sweep", spec, "--dry-run", *words)
        assert done.returncode == 2
        assert "leave out --executor and --address" in done.stderr


def test_a_shard_without_blocks_says_so(spec: Path, tmp_path: Path) -> None:
    done = in_process("sweep", spec, "--out", tmp_path / "out", "--shard", "1/2")
    assert done.returncode == 0
    assert "This shard has no blocks" in done.stdout
    assert "Next:" not in done.stdout


def test_a_shard_names_the_others_before_the_map(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sweep.__kwdefaults__, "block_points", 4)
    out = str(tmp_path / "out")
    words = ["sweep", str(spec), "--out", out, "--threads", "1", "--workers", "1"]
    assert main([*words, "--shard", "1/3"]) == 0
    shown = capsys.readouterr().out
    assert "Still missing: the blocks of --shard 0/3, 2/3." in shown
    assert f"'fastq status {out} --shards 3'" in shown
    assert "fastq map" not in shown
    assert main(["status", out, "--shards", "3"]) == 0
    shown = capsys.readouterr().out
    assert "missing by shard  0/3 (1), 2/3 (1)" in shown
    assert "recorded nowhere" in shown
    assert main(["status", out, "--shards", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing_by_shard"] == {"0/3": 1, "2/3": 1}
    for shard in ("0/3", "2/3"):
        assert main([*words, "--shard", shard]) == 0
    shown = capsys.readouterr().out
    assert shown.count("Still missing") == 1
    assert shown.count("Next: fastq map") == 1


def test_another_data_set_exits_1(spec: Path, swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = in_process("sweep", spec, "--out", swept[0], "--set", "run.seed=2")
    assert done.returncode == 1
    assert "run.seed" in done.stderr


def test_status(swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    assert "12 of 12 done" in fastq("status", swept[0]).stdout
    assert json.loads(in_process("status", swept[0], "--json").stdout)["complete"] is True
    done = in_process("status", tmp_path)
    assert done.returncode == 1
    assert "manifest.json" in done.stderr


def test_one_of_a_thing_is_not_plural(spec: Path) -> None:
    done = in_process("sweep", spec, "--dry-run", "--threads", "1")
    assert re.search(r"^points +12 in 1 block$", done.stdout, re.MULTILINE)
    assert re.search(r"^on +1 process of 1 thread$", done.stdout, re.MULTILINE)
