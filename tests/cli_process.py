"""The ``fastq`` command, as a process or inside this one, and a small grid to give it."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

from small_spec import SMALL

from fastq.cli.main import main

SPEC = f"""\
title = "small"

{SMALL}
[grid]
"replica.kv_capacity_tokens" = [1000, 2000, 4000, 8000]
"replica.max_num_seqs" = [4, 16, "unlimited"]
"""

COMMANDS = (
    "sweep", "simulate", "theory", "map", "compare", "plan", "workload", "calibrate", "validate", "status", "info",
    "completion",
)  # fmt: skip


def fastq(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastq", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def in_process(*words: object) -> subprocess.CompletedProcess[str]:
    """What :func:`fastq` gives, without the half a second of a process; for what one more would not show."""
    command = [*map(str, words)]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        try:
            status = main(command)
        except SystemExit as stopped:  # argparse, of words that it does not know
            status = stopped.code
    return subprocess.CompletedProcess(command, status, out.getvalue(), error.getvalue())
