"""``fastq theory``: its rows in every format, and how it shows many."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_process import fastq, in_process

if TYPE_CHECKING:
    from pathlib import Path


def test_theory_rows_are_the_same_in_every_format(spec: Path) -> None:
    table = fastq("theory", spec)
    lines = [json.loads(line) for line in in_process("theory", spec, "--json").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(in_process("theory", spec, "--csv").stdout)))
    assert table.returncode == 0
    assert len(lines) == len(rows) == 12
    assert [line["theory_rate_rps"] for line in lines] == [float(row["theory_rate_rps"]) for row in rows]
    assert lines[2]["replica.max_num_seqs"] is None
    assert "unlimited" in table.stdout


def test_theory_prints_the_realised_means(spec: Path) -> None:
    """Scaled by 0.35 and rounded half up, the uniform law on 10, ..., 100 has no round mean."""
    done = in_process("theory", spec, "--set", "workload.output_scale=0.35")
    header, _, first, *_ = done.stdout.splitlines()
    shown = dict(zip(header.split()[:6], first.split()[:6], strict=True))
    mean_output = sum(math.floor(0.35 * tokens + 0.5) for tokens in range(10, 101)) / 91
    assert (shown["prompt"], shown["output"]) == ("55", f"{mean_output:.3f}")
    row = json.loads(
        in_process("theory", spec, "--set", "workload.output_scale=0.35", "--json").stdout.splitlines()[0]
    )
    assert float(shown["E[g]"].replace(",", "")) == pytest.approx(row["kv_area_tokens"], rel=1e-5)


def test_theory_of_a_wide_grid_is_a_summary() -> None:
    done = in_process("theory", "quickstart")
    assert done.returncode == 0
    assert {"mean prompt", "mean output", "E[g], KV area"} <= {
        line[2:17].strip() for line in done.stdout.splitlines()
    }
    assert "fastq theory quickstart --csv" in done.stdout
    assert len(done.stdout.splitlines()) < 30


def test_theory_stops_quietly_when_its_reader_leaves() -> None:
    command = f"{sys.executable} -m fastq theory quickstart --csv | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("point,case,")
    assert done.stderr == ""
