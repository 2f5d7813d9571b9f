"""Which of a sweep's worker processes this is: several share out what the machine has, such as its GPUs."""

from __future__ import annotations

_number = 0
_workers = 1


def number() -> int:
    """Return this worker's number, from 0; 0 too where the caller is no worker that fastq started."""
    return _number


def count() -> int:
    """Return how many workers there are; 1 too where the caller is no worker that fastq started."""
    return _workers


def set_number(value: int, *, of: int) -> None:
    """Say which worker this process is, and of how many."""
    global _number, _workers
    _number, _workers = value, of
