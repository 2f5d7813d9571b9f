"""Which backend simulates, and getting its kernels ready."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.errors import BackendUnavailable
from fastq.model.iteration_time import IterationTime, Plane
from fastq.model.lengths import LengthLaw
from fastq.model.point import Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.run import Run
from fastq.model.scheduler import Admission, Scheduler

if TYPE_CHECKING:
    from fastq.model.spec import Spec

INSTALL_CUDA = "pip install 'fastq-sim[cuda]' (CUDA 13), or 'fastq-sim[cuda12]' for a driver of CUDA 12"


def choose_backend(name: str) -> str:
    """Return the backend, ``cpu`` or ``cuda``, that ``auto``, ``cpu`` or ``cuda`` stands for here.

    Raises
    ------
    BackendUnavailable
        ``cuda`` was asked for and can't run here.
    """
    if name == "cpu":
        return "cpu"
    reason = why_not_cuda()
    if reason is None:
        return "cuda"
    if name == "cuda":
        raise BackendUnavailable(f"the cuda backend can't run here: {reason}")
    return "cpu"


@cache
def why_not_cuda() -> str | None:
    """Say what keeps the cuda backend from running here, and what to do; ``None`` where it can run."""
    if find_spec("numba_cuda") is None:
        return f"numba-cuda is not installed; {INSTALL_CUDA}"
    from fastq.kernels.cuda import why_unusable

    return why_unusable()


def gpu_names() -> list[str]:
    """Names of the GPUs that the cuda backend would use; only where it can run."""
    from fastq.kernels.cuda import device_names

    return device_names()


def warm_up(spec: Spec, backend: str = "cpu") -> None:
    """Compile, or load from the cache, the kernels that a run of ``spec`` needs, before threads or workers start.

    What is compiled depends on the admission policy and on what is measured, not on any size: a token point does.
    """
    for scheduler in _schedulers(spec):
        point = replace(_token_point(), scheduler=scheduler)
        encoded = encode(point, Run(warmup_requests=1), mean_running=1)
        if {"slo", "metastability"} & set(spec.run.measure):
            Ensemble(encoded, [0], 1.0).run_to(1)
        for rate_rps in (None, 1.0) if "rates" in spec.run.measure else (None,):
            if backend == "cuda":
                from fastq.engine.gpu_points import run_alone

                run_alone(encoded, [0], rate_rps, requests=1)
            else:
                Ensemble(encoded, [0], rate_rps).run_to(1)


def _schedulers(spec: Spec) -> list[Scheduler]:
    """One scheduler of each kind that is compiled apart, among all that the grid combines."""
    dimensions = [range(length) for length in spec.shape]
    first_axis = len(spec.shape) - len(spec.axes)
    for k, axis in enumerate(spec.axes):
        if not axis.key.startswith("scheduler."):
            dimensions[first_axis + k] = range(1)
    kinds = {}
    for positions in itertools.product(*dimensions):
        index = 0
        for position, length in zip(positions, spec.shape, strict=True):
            index = index * length + position
        scheduler = spec.point(index).scheduler
        kinds[scheduler.admission is Admission.LOOKAHEAD] = scheduler
    return list(kinds.values())


def _token_point() -> Point:
    one = np.ones(1, np.int32)
    return Point(
        index=0,
        case=None,
        axes={},
        law=LengthLaw(prompt_tokens=one, output_tokens=one, joint=True, name="one", digest=""),
        arrivals=Arrivals(),
        replica=Replica(kv_capacity_tokens=16, max_num_seqs=1, prefill_chunk_tokens=1),
        iteration_time=IterationTime((Plane(base_ps=1000),)),
        scheduler=Scheduler(),
    )
