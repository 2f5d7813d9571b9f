"""How many CPUs this process may use: its affinity, and the quota of its control group."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Count the CPUs that this process may use, at least 1; a quota of 1.5 CPUs counts as 2."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def cgroup_quota() -> float | None:
    """Return the smallest CPU quota of the control groups around this process, CPUs; ``None`` without one."""
    try:
        lines = PROCESS_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            quotas += _quotas(CGROUP_ROOT, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            quotas += _quotas(CGROUP_ROOT / "cpu", path, _quota_v1)
    return min(quotas, default=None)


def _quotas(root: Path, path: str, quota_of: Callable[[Path], float | None]) -> list[float]:
    """Read the quotas of a group and of those around it; inside a container its path may not be visible."""
    group = root / path.strip("/")
    groups = [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return [quota for level in groups if (quota := quota_of(level)) is not None]


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
