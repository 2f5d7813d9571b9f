"""Where the capacity goes that theory grants and a replica does not deliver, term by term.

With one affine plane the time of a window is c0 an iteration and the time W of the work in it, exactly. Theory's time
for the same requests is c0 for each iteration that the binding constraint, always met in full, would need, and their
W. The difference is: iterations in which that constraint stood idle, by what kept the next request from using it;
iterations and W of work that was done again; and, with several planes or terms of batches, what these add to the plane
of the mean batch. Each is counted by itself. What their sum leaves of the difference is the error of the accounting:
the areas of requests whose chunks the budget cut, and of those in progress at the ends of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.closed_forms.sampled import sampled_theory
from fastq.model.scheduler import Admission

if TYPE_CHECKING:
    from fastq.closed_forms.sampled import Sample, SampledTheory
    from fastq.model.iteration_time import Plane
    from fastq.model.point import Point


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What windows under a backlog held, summed over their iterations.

    Parameters
    ----------
    iterations, elapsed_ps
        Their number and time.
    running, kv_tokens, blocks
        Requests running, the KV tokens they held, and the blocks in use or reserved.
    kv_stopped, kv_stopped_blocks
        Iterations in which memory kept the next request waiting, and the blocks in them.
    limit_stopped, limit_stopped_blocks
        Iterations in which the sequence limit or the token budget did, and the blocks in them.
    """

    iterations: int
    elapsed_ps: int
    running: int
    kv_tokens: int
    blocks: int
    kv_stopped: int
    kv_stopped_blocks: int
    limit_stopped: int
    limit_stopped_blocks: int


@dataclass(frozen=True, slots=True)
class Losses:
    """Shares of the time under a backlog. All but ``rounding`` sum to 1 - simulated / theory for the same requests.

    Parameters
    ----------
    admission
        The binding resource is memory, and some of it was free while the next request did not fit into it.
    ties
        The binding resource was not full, and another one kept the next request waiting.
    preemption
        Memory held, or iterations, slots and budget taken, by work that was lost or done again; and
        memory left free in the iterations that preempted.
    recomputation
        Time of the prefill, KV reads and attention of that work. Below 0 where prefill costs less than
        the decode iteration that it replaces.
    reservation
        Memory reserved and not yet used, under admission ``peak``.
    imbalance
        What iterations took beyond the plane of the mean batch, because of how work fell into batches: those that lay
        on other planes, what is added to batches of some kinds, and to chunks that the budget cut.
    unexplained
        What the terms above leave over.
    rounding
        Empty ends of last blocks: the one loss that theory knows of already.
    """

    admission: float
    ties: float
    preemption: float
    recomputation: float
    reservation: float
    imbalance: float
    unexplained: float
    rounding: float


def losses(point: Point, executed: Sample, redone: Sample, held: Occupancy) -> Losses:
    """Account for the time of windows under a backlog.

    Parameters
    ----------
    point
        The configuration that was simulated.
    executed
        All work in the windows, and the requests completed in them.
    redone
        What of it preemption made necessary, and how often anything was preempted.
    held
        What the windows held.
    """
    theory = sampled_theory(point)
    completions = theory.completions_per_iteration
    plane = theory.time.longest_plane(theory.law, completions)
    base = plane.base_ps / held.elapsed_ps
    useful = executed.less(redone)
    cut_ps = _work_ps(theory, plane, useful) - _work_ps(theory, plane, theory.in_whole_chunks(useful))
    spent = _split_iterations(point, theory, executed, held)
    again = theory.iterations(redone) if redone.requests and redone.prompt_tokens else 0.0
    return Losses(
        admission=base * spent.admission,
        ties=base * spent.ties,
        preemption=base * (spent.preempting + again),
        recomputation=_work_ps(theory, plane, redone) / held.elapsed_ps,
        reservation=base * spent.reserved,
        imbalance=1 - base * held.iterations - (_work_ps(theory, plane, executed) - cut_ps) / held.elapsed_ps,
        unexplained=base * (spent.used - theory.iterations(useful) - again),
        rounding=base * _rounding_iterations(point, theory, useful),
    )


@dataclass(frozen=True, slots=True)
class _Iterations:
    """Iterations of a window, in shares of the binding resource: what was used, and what was not."""

    used: float
    reserved: float = 0.0
    admission: float = 0.0
    ties: float = 0.0
    preempting: float = 0.0


def _split_iterations(point: Point, theory: SampledTheory, executed: Sample, held: Occupancy) -> _Iterations:
    replica, iterations = point.replica, held.iterations
    if theory.binding != "kv":
        if theory.binding == "seqs":
            assert replica.max_num_seqs is not None
            used = held.running / replica.max_num_seqs
        else:
            assert replica.max_num_batched_tokens is not None
            charged = executed.prompt_tokens + executed.decode_iterations
            used = charged / replica.max_num_batched_tokens
        # A full resource stops admission by itself, so all that is idle is left by another.
        return _Iterations(used=used, ties=iterations - used)
    blocks = replica.kv_blocks
    taken = held.blocks / blocks
    used = taken
    if point.scheduler.admission is Admission.PEAK:
        # Nothing is preempted there, so tokens are held in such blocks as the law's, on average.
        used = held.kv_tokens * (theory.law.kv_area_blocks / theory.law.kv_area_tokens) / blocks
    admission = held.kv_stopped - held.kv_stopped_blocks / blocks
    ties = held.limit_stopped - held.limit_stopped_blocks / blocks
    return _Iterations(used, taken - used, admission, ties, iterations - taken - admission - ties)


def _work_ps(theory: SampledTheory, plane: Plane, sample: Sample) -> float:
    """Time of all work of a sample by one plane, picoseconds."""
    return sample.requests * theory.time.work_ps(plane, sample) if sample.requests else 0.0


def _rounding_iterations(point: Point, theory: SampledTheory, useful: Sample) -> float:
    """Iterations that the useful work takes because memory comes in blocks."""
    if theory.binding != "kv":
        return 0.0
    replica, law = point.replica, theory.law
    in_tokens = law.kv_area_tokens / law.requests / replica.kv_capacity_tokens
    return theory.iterations(useful) * (1 - in_tokens * theory.completions_per_iteration)
