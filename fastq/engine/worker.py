"""Which of a sweep's worker processes this is: several share out what the machine has, such as its GPUs."""

from __future__ import annotations

_number = 0


def number() -> int:
    """Return this worker's number, from 0; 0 too where the caller is no worker that fastq started."""
    return _number


def set_number(value: int) -> None:
    """Say which worker this process is."""
    global _number
    _number = value
