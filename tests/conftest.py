"""What every test may count on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from fastq.cli.main import user_cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the command line keeps kernels too: each is compiled once, by a test or by a process that one starts.
os.environ.setdefault("NUMBA_CACHE_DIR", str(user_cache_directory()))


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_heard() -> Iterator[None]:
    """A shell lets what it starts in the background ignore SIGINT, and so would every process of a test."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
