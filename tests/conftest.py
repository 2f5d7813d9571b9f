"""What every test may count on, and what tests of several commands share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from cli_process import SPEC, fastq

from fastq.cli.main import user_cache_directory

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

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


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small grid."""
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def swept(
    spec: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Its data set, which no test changes, and the process that made it."""
    out = tmp_path_factory.mktemp("swept") / "results"
    return out, fastq("sweep", spec, "--out", out, "--threads", 1)
