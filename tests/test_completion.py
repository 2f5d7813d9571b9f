"""What a shell offers to complete."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_process import fastq

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_know_commands_and_grids(shell: str) -> None:
    script = fastq("completion", shell).stdout
    for word in (
        "sweep",
        "--trajectories" if shell != "fish" else "-l trajectories",
        "paper-table-1",
        "slide",
        "scheduler.admission=",
    ):
        assert word in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sweep --backend c", ["cpu", "cuda"]),
        ("theory --set replica.max_n", ["replica.max_num_seqs=", "replica.max_num_batched_tokens="]),
        ("sweep --set run.se", ["run.seed="]),
        ("compare before --mark", ["--markdown"]),
        ("simulate --set grid.workload.out", ["grid.workload.output_tokens=", "grid.workload.output_scale="]),
    ],
)
def test_bash_completes(words: str, offered: list[str]) -> None:
    script = fastq("completion", "bash").stdout
    ask = f'COMP_WORDS=(fastq {words}) COMP_CWORD=3; _fastq; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered
