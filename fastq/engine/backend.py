"""Which backend simulates, and getting its kernels ready."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastq.engine.cpus import usable_cpus
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.engine.spread import spread
from fastq.errors import BackendUnavailable, SpecError
from fastq.model.feasibility import infeasible_reason
from fastq.model.iteration_time import NO_TERMS, IterationTime, Plane, Terms
from fastq.model.lengths import LengthLaw
from fastq.model.point import Arrivals, Point
from fastq.model.replica import Replica
from fastq.model.run import Run
from fastq.model.scheduler import Admission, Scheduler
from fastq.model.settings import TERM_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.engine.encode import Encoded
    from fastq.model.spec import Spec

BACKENDS = ("auto", "cpu", "cuda")
"""What a backend can be called."""

MAX_CORNERS = 256
LOOKED_AT = 64
"""Points of a grid that are looked at for what has to be compiled: its corners, up to so many, and others."""

INSTALL_CUDA = "pip install 'fastq-sim[cuda]' (CUDA 13), or 'fastq-sim[cuda12]' for a driver of CUDA 12"


def choose_backend(name: str) -> str:
    """Return the backend, ``cpu`` or ``cuda``, that ``auto``, ``cpu`` or ``cuda`` stands for here.

    Raises
    ------
    SpecError
        There is no such backend.
    BackendUnavailable
        ``cuda`` was asked for and can't run here.
    """
    refuse_unknown(name)
    if name == "cpu":
        return "cpu"
    reason = why_not_cuda()
    if reason is None:
        return "cuda"
    if name == "cuda":
        raise BackendUnavailable(f"the cuda backend can't run here: {reason}")
    return "cpu"


def refuse_unknown(name: str) -> None:
    """Refuse what is no name of a backend, where it would quietly stand for ``auto``."""
    if name not in BACKENDS:
        raise SpecError(f"must be one of {', '.join(BACKENDS)}", key="backend", value=name)


@cache
def why_not_cuda() -> str | None:
    """Say what keeps the cuda backend from running here, and what to do; ``None`` where it can run."""
    if find_spec("numba_cuda") is None:
        return f"numba-cuda is not installed; {INSTALL_CUDA}"
    from fastq.kernels.cuda import why_no_driver, why_no_kernel

    reason = why_no_driver()
    if reason is not None:
        return reason
    reason = why_no_kernel()
    return None if reason is None else f"{reason}; what is installed has to suit the driver: {INSTALL_CUDA}"


def gpu_names() -> list[str]:
    """Names of the GPUs that the cuda backend would use; only where it can run."""
    from fastq.kernels.cuda import device_names

    return device_names()


def default_workers(backend: str) -> int | None:
    """Worker processes that a sweep takes by itself; ``None``: as few as keep all CPUs busy.

    A GPU is fed by many: rows are made by the host, a process at a time.
    """
    if backend == "cpu":
        return None
    return max(usable_cpus(), gpu_count())


def gpu_count() -> int:
    """GPUs that the cuda backend would use; only where it can run."""
    from fastq.kernels.cuda import device_ids

    return len(device_ids())


def warm_up(spec: Spec, backend: str = "cpu") -> None:
    """Compile, or load from the cache, the kernels that a run of ``spec`` needs, before threads or workers start.

    What is compiled depends on the admission policy, on whether terms are added to the planes of the iteration time and
    on what is measured; on a GPU also on whether lengths and
    slots fit in 16 bits. Beyond that no size matters: a token point does.
    """
    at_rates = {"rates", "slo", "metastability"} & set(spec.run.measure)
    rates: list[float | None] = [None, 1.0] if at_rates else [None]
    if backend == "cuda":
        from fastq.engine.gpu_points import run_alone

        for kind, narrow in _gpu_variants(spec):
            for rate_rps in rates:
                run_alone(_token(kind, narrow=narrow), [0], rate_rps, requests=1)
        return
    for kind in _kinds(spec):
        for rate_rps in rates:
            Ensemble(_token(kind), [0], rate_rps).run_to(1)


class _Kind(NamedTuple):
    """What of a point decides what is compiled: whether admission looks ahead, and whether terms are added."""

    lookahead: bool
    terms: bool


def _kind(point: Point) -> _Kind:
    return _Kind(point.scheduler.admission is Admission.LOOKAHEAD, point.iteration_time.terms.any)


def _token(kind: _Kind, *, narrow: bool = True) -> Encoded:
    terms = Terms(prefill_ps=1) if kind.terms else NO_TERMS
    point = replace(
        _token_point(16 if narrow else 1 << 17),
        scheduler=Scheduler(admission=Admission.LOOKAHEAD) if kind.lookahead else Scheduler(),
        iteration_time=IterationTime((Plane(base_ps=1000),), terms),
    )
    return encode(point, Run(warmup_requests=1), mean_running=1)


def _gpu_variants(spec: Spec) -> list[tuple[_Kind, bool]]:
    """The kind of each kernel, and whether its arrays are narrow, as far as a look at the grid finds them.

    The look is at its corners, where the largest sizes stand, and at some points in between: a variant that is
    only elsewhere is compiled when it is first needed.
    """
    from fastq.engine.gpu_layout import Placed

    found: set[tuple[_Kind, bool]] = set()
    corners = (
        sum(position * stride for position, stride in zip(positions, _strides(spec.shape), strict=True))
        for positions in itertools.product(*({0, length - 1} for length in spec.shape))
    )
    for index in {*itertools.islice(corners, MAX_CORNERS), *spread(len(spec), LOOKED_AT)}:
        point = spec.point(index)
        if infeasible_reason(point) is None:
            placed = Placed(encode(point, spec.run, mean_running=1), [0], None)
            found.add((_kind(point), placed.narrow))
    return sorted(found)


def _strides(shape: Sequence[int]) -> list[int]:
    """By how much a step along each dimension of the grid changes the index of a point."""
    return [prod(shape[k + 1 :]) for k in range(len(shape))]


def _kinds(spec: Spec) -> list[_Kind]:
    """Each kind that is compiled apart, among all that the grid combines."""
    dimensions: list[Sequence[int]] = [range(length) for length in spec.shape]
    first_axis = len(spec.shape) - len(spec.axes)
    for k, axis in enumerate(spec.axes):
        if axis.key in TERM_KEYS:
            # The first value that adds nothing, and the first that adds something.
            by_effect = {bool(value): position for position, value in reversed([*enumerate(axis.settings)])}
            dimensions[first_axis + k] = sorted(by_effect.values())
        elif not axis.key.startswith("scheduler.") and axis.key != "replica.catalogue":
            dimensions[first_axis + k] = range(1)
    strides = _strides(spec.shape)
    indices = (
        sum(position * stride for position, stride in zip(positions, strides, strict=True))
        for positions in itertools.product(*dimensions)
    )
    return sorted({_kind(spec.point(index)) for index in indices})


def _token_point(block_size: int) -> Point:
    one = np.ones(1, np.int32)
    return Point(
        index=0,
        case=None,
        axes={},
        law=LengthLaw(prompt_tokens=one, output_tokens=one, joint=True, name="one", digest=""),
        arrivals=Arrivals(),
        replica=Replica(
            kv_capacity_tokens=block_size, block_size=block_size, max_num_seqs=1, prefill_chunk_tokens=1
        ),
        iteration_time=IterationTime((Plane(base_ps=1000),)),
        scheduler=Scheduler(),
    )
