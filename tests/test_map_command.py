"""``fastq map``: the pictures of a data set, and the words it refuses others with."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from cli_process import SPEC, fastq, in_process
from small_spec import SMALL

from fastq.cli.map import _half_width

if TYPE_CHECKING:
    from pathlib import Path


def test_map_draws_every_point_against_theory(
    swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    picture = tmp_path / "theory.svg"
    words = ("map", swept[0], "--against-theory", "-o", picture)
    assert in_process(*words).returncode == 0
    text = picture.read_text()
    for shown in ("Simulated ÷ theory: median", "12 points", "small"):
        assert shown in text, shown
    assert in_process(*words, "--where", "replica.max_num_seqs=4").returncode == 0
    assert "4 points" in picture.read_text()
    assert "Sequence limit: 4 requests." in picture.read_text()
    refused = in_process(*words, "--x", "replica.max_num_seqs")
    assert refused.returncode == 2
    assert "can't be given together with --against-theory" in refused.stderr
    unknown = in_process(*words, "--where", "replica.watermark=1")
    assert unknown.returncode == 2
    assert "this data set has: replica.kv_capacity_tokens, replica.max_num_seqs" in unknown.stderr


def test_map_draws_and_names_axes(
    swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out, picture = swept[0], tmp_path / "map.png"
    words = ("--x", "replica.kv_capacity_tokens", "-o", picture)
    assert fastq("map", out, *words).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    unknown = in_process("map", out, "--x", "replica.nothing", "-o", picture)
    assert unknown.returncode == 2
    assert "replica.kv_capacity_tokens, replica.max_num_seqs" in unknown.stderr
    value = in_process("map", out, *words, "--where", "replica.max_num_seqs=5")
    assert value.returncode == 2
    assert "it has 4, 16, unlimited" in value.stderr
    assert in_process("map", out, *words, "--where", "replica.max_num_seqs=unlimited").returncode == 0
    twice = in_process("map", out, *words, *(f"--where=replica.max_num_seqs={seqs}" for seqs in (4, 16)))
    assert twice.returncode == 2
    assert "held at a value already" in twice.stderr
    assert in_process("map", out, "--x", "replica.kv_capacity_tokens", "-o", "map.gif").returncode == 2


def test_a_map_of_points_that_cant_run_says_so(tmp_path: Path) -> None:
    spec, out = tmp_path / "tight.toml", tmp_path / "out"
    spec.write_text(SPEC.replace("[1000, 2000, 4000, 8000]", "[16, 32]"))
    swept = in_process("sweep", spec, "--out", out, "--set", "run.infeasible=skip", "--quiet")
    assert swept.returncode == 3
    done = in_process("map", out, "--x", "replica.kv_capacity_tokens", "-o", tmp_path / "map.png")
    assert done.returncode == 2
    assert "no point that is finished can run" in done.stderr
    assert "--boundary" not in done.stderr


def test_a_sharp_interval_is_not_called_none() -> None:
    assert [_half_width(share) for share in (0.0, 2e-6, 0.0012)] == ["±0.00%", "below ±0.01%", "±0.12%"]


def test_map_draws_the_boundary_that_was_asked_for(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        f"""
        slo.ttft.p90 = "200 ms"
        grid.replica.kv_capacity_tokens = [2000, 4000, 8000]
        {SMALL}
        measure = ["boundary", "slo"]
        """
    )
    out, picture = tmp_path / "out", tmp_path / "slo.svg"
    assert fastq("sweep", spec, "--out", out, "--quiet").returncode == 0
    done = fastq("map", out, "--boundary", "slo", "-o", picture)
    assert done.returncode == 0, done.stderr
    drawn = picture.read_text()
    assert "Service-level boundary" in drawn
    assert "throughput limited by" in drawn
    assert "ttft p90 within 200 ms" in drawn
    assert "without such a rate" not in drawn
    strict = ("--set", "slo.ttft={p90='1 ms'}", "--quiet")
    assert in_process("sweep", spec, "--out", tmp_path / "strict", *strict).returncode == 0
    unmet = in_process("map", tmp_path / "strict", "--boundary", "slo", "-o", picture)
    assert unmet.returncode == 2
    assert "meets its objectives at any rate" in unmet.stderr
    missing = in_process("map", out, "--boundary", "cold", "-o", picture)
    assert missing.returncode == 2
    assert "no point" in missing.stderr
    assert "boundary, slo" in missing.stderr
