"""What the exit status of a command says."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit status of every command; ``MOVED``, what ``fastq compare`` was asked to find, stops a job as failures do."""

    DONE = 0
    FAILED = 1
    MOVED = 1
    BAD_USAGE = 2
    NOTHING_FEASIBLE = 3
    INTERRUPTED = 130
    TERMINATED = 143
