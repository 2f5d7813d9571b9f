"""``fastq info``: versions, processors, cache directory and catalogues."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    import argparse

_PACKAGES = ("numba", "numba-cuda", "numpy", "scipy", "pyarrow", "matplotlib", "dask")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "info",
        help="versions, processors found, and what comes with fastq",
        description="Say what this installation is made of: versions, CPUs that may be used, GPU, cache "
        "directory, and the names of the grids, plans, workloads and replicas that come with fastq.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is installed and found."""
    facts = _facts()
    sys.stdout.write(json.dumps(facts) + "\n" if args.json else _report(facts))
    return ExitStatus.DONE


def fastq_version() -> str:
    """Return the version of the installed distribution."""
    return _version("fastq-sim") or "not installed"


def _facts() -> dict[str, Any]:
    from fastq.engine.backend import gpu_names, why_not_cuda
    from fastq.engine.cpus import usable_cpus
    from fastq.model.catalogue import grid_names, plan_names, replica_names, workload_names
    from fastq.model.version import RESULTS_VERSION

    reason = why_not_cuda()
    return {
        "versions": {
            "fastq": fastq_version(),
            "results": RESULTS_VERSION,
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "platform": platform.platform(),
        "cpus": {"usable": usable_cpus(), "present": os.cpu_count()},
        "cuda": f"available: {', '.join(gpu_names())}" if reason is None else f"not available: {reason}",
        "cache_directory": os.environ.get("NUMBA_CACHE_DIR", "beside the kernels"),
        "catalogues": {
            "grids": list(grid_names()),
            "plans": list(plan_names()),
            "workloads": list(workload_names()),
            "replicas": list(replica_names()),
        },
    }


def _report(facts: dict[str, Any]) -> str:
    from fastq.cli.text_table import indent, render

    versions = [(name, str(version or "not installed")) for name, version in facts["versions"].items()]
    cpus = facts["cpus"]
    machine = [
        ("platform", facts["platform"]),
        ("CPUs", f"{cpus['usable']} usable of {cpus['present']} (affinity and cgroup quota)"),
        ("CUDA", facts["cuda"]),
        ("compiled kernels", facts["cache_directory"]),
    ]
    text = (
        "Versions\n"
        + indent(render(versions, left=(0, 1)))
        + "\nMachine\n"
        + indent(render(machine, left=(0, 1)))
    )
    keys = {
        "grids": "a SPEC",
        "plans": "a PLAN",
        "workloads": "workload.catalogue",
        "replicas": "replica.catalogue",
    }
    for kind, names in facts["catalogues"].items():
        text += f"\n{kind.capitalize()} (for {keys[kind]})\n" + indent("\n".join(names) or "none")
    return text


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
