"""The ``fastq`` command as a process, and a small grid to give it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from small_spec import SMALL

if TYPE_CHECKING:
    pass


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
