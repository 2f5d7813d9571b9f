"""Where does an LLM server's queue blow up? Simulated batching under a KV-cache memory limit, beside theory.

>>> import fastq
>>> spec = fastq.load("spec.toml")
>>> fastq.theory(spec)                          # closed forms, a row per point
>>> fastq.simulate(spec, arrival_rate=3.0)      # one point
>>> fastq.sweep(spec, out="results/")           # the grid, into Parquet files
>>> fastq.read("results/")                      # a pyarrow.Table of points
>>> fastq.plan("plan.toml").cheapest            # how many GPUs of which kind
>>> fastq.describe_workload("trace.csv")        # arrivals, lengths and drift of a trace
>>> fastq.compare("before/", "after/").moved    # whether a boundary moved between two of them

Nothing is compiled, and no other package loaded, before one of these is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.analysis.workload_description import WorkloadDescription
    from fastq.api import compare, describe_workload, load, plan, read, simulate, sweep, theory
    from fastq.closed_forms import ClosedForms
    from fastq.engine.plan_result import PlannedOption, PlanResult
    from fastq.engine.point_result import PointResult
    from fastq.engine.sweep import SweepSummary
    from fastq.errors import (
        BackendUnavailable,
        FastqError,
        InfeasibleError,
        KernelError,
        SpecError,
        StoreError,
        WorkerError,
    )
    from fastq.model.iteration_time import IterationTime, Plane, Terms
    from fastq.model.lengths import LengthLaw
    from fastq.model.load import parse_spec
    from fastq.model.load_plan import load_plan, parse_plan
    from fastq.model.plan import Plan
    from fastq.model.point import Arrivals, Point
    from fastq.model.replica import Replica
    from fastq.model.run import Run
    from fastq.model.scheduler import Admission, Preemption, Scheduler, TokenConvention
    from fastq.model.spec import Spec
    from fastq.store.comparison import Comparison

__all__ = [
    "Admission",
    "Arrivals",
    "BackendUnavailable",
    "ClosedForms",
    "Comparison",
    "FastqError",
    "InfeasibleError",
    "IterationTime",
    "KernelError",
    "LengthLaw",
    "Plan",
    "PlanResult",
    "Plane",
    "PlannedOption",
    "Point",
    "PointResult",
    "Preemption",
    "Replica",
    "Run",
    "Scheduler",
    "Spec",
    "SpecError",
    "StoreError",
    "SweepSummary",
    "Terms",
    "TokenConvention",
    "WorkerError",
    "WorkloadDescription",
    "compare",
    "describe_workload",
    "load",
    "load_plan",
    "parse_plan",
    "parse_spec",
    "plan",
    "read",
    "simulate",
    "sweep",
    "theory",
]

_HOMES = {
    "fastq.analysis.workload_description": ("WorkloadDescription",),
    "fastq.api": ("compare", "describe_workload", "load", "plan", "read", "simulate", "sweep", "theory"),
    "fastq.closed_forms": ("ClosedForms",),
    "fastq.engine.plan_result": ("PlanResult", "PlannedOption"),
    "fastq.engine.point_result": ("PointResult",),
    "fastq.engine.sweep": ("SweepSummary",),
    "fastq.errors": (
        "BackendUnavailable",
        "FastqError",
        "InfeasibleError",
        "KernelError",
        "SpecError",
        "StoreError",
        "WorkerError",
    ),
    "fastq.model.iteration_time": ("IterationTime", "Plane", "Terms"),
    "fastq.model.lengths": ("LengthLaw",),
    "fastq.model.load": ("parse_spec",),
    "fastq.model.load_plan": ("load_plan", "parse_plan"),
    "fastq.model.plan": ("Plan",),
    "fastq.model.point": ("Arrivals", "Point"),
    "fastq.model.replica": ("Replica",),
    "fastq.model.run": ("Run",),
    "fastq.model.scheduler": ("Admission", "Preemption", "Scheduler", "TokenConvention"),
    "fastq.model.spec": ("Spec",),
    "fastq.store.comparison": ("Comparison",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'fastq' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
