"""What the numbers were taken on."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe() -> dict[str, str]:
    """Machine, date and versions, as texts."""
    from fastq.engine.cpus import usable_cpus

    return {
        "machine": f"{cpu_model()}, {usable_cpus()} CPUs, {platform.system()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numba", "numpy", "pyarrow")},
    }


def cpu_model() -> str:
    """Name of the CPU, or of its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
