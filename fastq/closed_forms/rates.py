"""Rates of one replica: what theory says of one point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.closed_forms.batch_time import batch_time, work_ps
from fastq.closed_forms.expected import (
    expected_completions,
    expected_iteration_ps,
    expected_preemptions,
)
from fastq.closed_forms.request_sums import request_sums
from fastq.model.scheduler import Admission, Preemption

if TYPE_CHECKING:
    from fastq.closed_forms.request_sums import RequestSums
    from fastq.model.iteration_time import IterationTime, Plane
    from fastq.model.point import Point
    from fastq.model.replica import Replica
    from fastq.model.scheduler import Scheduler

PS_PER_S = 1e12


@dataclass(frozen=True, slots=True)
class ClosedForms:
    """What theory says of one point.

    Rates in requests/s, times in seconds, lengths in tokens; ``kv_area_*`` in token- and block-iterations per
    request. Means are over accepted requests and over iterations at saturation.

    Parameters
    ----------
    theory_rate_rps
        Self-consistent service rate mu: completions per iteration over the iteration time of the mean
        batch, in the run's token convention. It bounds the throughput of every policy from above, and takes
        memory at current use for every policy: one that leaves memory idle stays below. Under ``peak``, for
        one, requests of equal lengths never run more than floor(blocks / largest KV in blocks) at a time.
    expected_rate_rps
        The same, less what reserved peaks, recomputation and batches of two kinds cost on average: an estimate, no
        bound (:mod:`fastq.closed_forms.expected`).
    theory_stable_rps
        Arrival rate below which the drift argument proves stability; ``None`` unless memory binds, the
        iteration time is constant or one affine plane, admission is ``chunk`` or ``prompt``, the watermark
        is 0 and preemption costs no time, as ``recompute`` is taken to do where the iteration time is
        constant.
    paper_rate_rps
        M / (b E[g]) with the smooth KV area g = (1 + s/chunk) s/2 + s o + o (o + 1)/2 in single tokens, for
        the constant or the self-consistent iteration time b.
    binding
        What limits the completions per iteration: ``kv``, ``seqs`` or ``tokens``.
    mean_iteration_s
        Iteration time of the mean batch.
    completions_per_iteration
        Requests completed per iteration at saturation.
    mean_running, mean_kv_tokens
        Requests running, and KV tokens they hold.
    kv_area_tokens, kv_area_blocks
        KV held by a request, summed over its iterations.
    iterations_per_request
        Iterations that a request is in the batch.
    charged_tokens_per_request
        Tokens of the iterations' budget that a request takes.
    decode_kv_tokens_per_request
        KV tokens read by the decode iterations of a request, summed over them.
    attention_per_request
        Attention work of the prefill, s^2 / 2.
    mean_prompt_tokens, mean_output_tokens
        Means of the law.
    max_kv_tokens
        Largest KV that a request ever holds.
    rejected_share
        Share of requests that are longer than the replica accepts.
    """

    theory_rate_rps: float
    expected_rate_rps: float
    theory_stable_rps: float | None
    paper_rate_rps: float
    binding: str
    mean_iteration_s: float
    completions_per_iteration: float
    mean_running: float
    mean_kv_tokens: float
    kv_area_tokens: float
    kv_area_blocks: float
    iterations_per_request: float
    charged_tokens_per_request: float
    decode_kv_tokens_per_request: float
    attention_per_request: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    max_kv_tokens: int
    rejected_share: float


def closed_forms(point: Point) -> ClosedForms:
    """Evaluate the closed forms at a point.

    Parameters
    ----------
    point
        A resolved configuration. Its law, chunk, block size, token convention and ``max_model_len`` decide
        the sums over the law, which are kept: points that share them cost microseconds each.

    Returns
    -------
    ClosedForms
        Rates and means at saturation.

    Raises
    ------
    ValueError
        If no request is accepted, or an iteration takes no time.
    """
    replica, iteration_time = point.replica, point.iteration_time
    chunk_tokens = longest_chunk_tokens(replica)
    sums = request_sums(
        point.law, chunk_tokens, replica.block_size, point.scheduler.token_convention, replica.max_model_len
    )
    requests = sums.requests
    binding, completions = binding_constraint(replica, sums)
    mean_iteration_s = batch_time(iteration_time, replica).mean_batch_ps(sums, completions) / PS_PER_S
    if mean_iteration_s == 0.0:
        raise ValueError(
            "iteration_time.planes: the mean batch takes no time, so no rate is finite; "
            "give at least one plane a base_ms above 0"
        )
    smooth_area_tokens = sums.doubled_smooth_area_chunks / (2 * chunk_tokens * requests)
    guaranteed = binding == "kv" and _has_guarantee(replica, iteration_time, point.scheduler)
    theory_rate_rps = completions / mean_iteration_s
    return ClosedForms(
        theory_rate_rps=theory_rate_rps,
        # Of few requests chance leaves more batches without prompts than there can be.
        expected_rate_rps=min(theory_rate_rps, _expected_rate_rps(point, sums, binding, completions)),
        theory_stable_rps=_stable_rate_rps(replica, iteration_time, sums) if guaranteed else None,
        paper_rate_rps=replica.kv_capacity_tokens / (mean_iteration_s * smooth_area_tokens),
        binding=binding,
        mean_iteration_s=mean_iteration_s,
        completions_per_iteration=completions,
        mean_running=completions * (sums.iterations / requests),
        mean_kv_tokens=completions * (sums.kv_area_tokens / requests),
        kv_area_tokens=sums.kv_area_tokens / requests,
        kv_area_blocks=sums.kv_area_blocks / requests,
        iterations_per_request=sums.iterations / requests,
        charged_tokens_per_request=sums.charged_tokens / requests,
        decode_kv_tokens_per_request=sums.decode_kv_tokens / requests,
        attention_per_request=sums.squared_prompt_tokens / (2 * requests),
        mean_prompt_tokens=sums.prompt_tokens / requests,
        mean_output_tokens=sums.output_tokens / requests,
        max_kv_tokens=sums.max_kv_tokens,
        rejected_share=(sums.offered - requests) / sums.offered,
    )


def _expected_rate_rps(point: Point, sums: RequestSums, binding: str, completions: float) -> float:
    expected = expected_completions(point, sums, completions)
    preemptions = expected_preemptions(point, sums, binding, expected)
    return expected * PS_PER_S / expected_iteration_ps(point, sums, expected, preemptions)


def longest_chunk_tokens(replica: Replica) -> int:
    """Most prompt tokens of one request in an iteration: a chunk never exceeds the whole token budget."""
    if replica.max_num_batched_tokens is None:
        return replica.prefill_chunk_tokens
    return min(replica.prefill_chunk_tokens, replica.max_num_batched_tokens)


def binding_constraint(replica: Replica, sums: RequestSums) -> tuple[str, float]:
    """Find what limits the completions per iteration, and their number; the first of equals.

    Each quotient is of integers and rounded once, so equal constraints compare equal.
    """
    binding, least = "kv", replica.kv_blocks * sums.requests / sums.kv_area_blocks
    for name, limit, use in (
        ("seqs", replica.max_num_seqs, sums.iterations),
        ("tokens", replica.max_num_batched_tokens, sums.charged_tokens),
    ):
        if limit is not None:
            completions = limit * sums.requests / use
            if completions < least:
                binding, least = name, completions
    return binding, least


def _has_guarantee(replica: Replica, iteration_time: IterationTime, scheduler: Scheduler) -> bool:
    """Whether the drift argument holds for the policy, where memory binds."""
    by_current_use = scheduler.admission in (Admission.CHUNK, Admission.PROMPT) and replica.watermark == 0
    preemption_is_free = scheduler.preemption is Preemption.RECOMPUTE and iteration_time.is_constant
    return by_current_use and preemption_is_free


def _stable_rate_rps(replica: Replica, iteration_time: IterationTime, sums: RequestSums) -> float:
    """Arrival rate below which the queue is stable, requests/s, in a system that has the guarantee.

    A request waits only while fewer blocks are free than the largest request ever holds, so all blocks but
    those are in use in every iteration that leaves a request waiting.
    """
    largest_blocks = -(-sums.max_kv_tokens // replica.block_size)
    slowest = max(iteration_time.planes, key=lambda plane: plane.base_ps)
    return drift_rate_rps(slowest, sums, replica.kv_blocks - largest_blocks)


def drift_rate_rps(plane: Plane, sums: RequestSums, blocks_in_use: int) -> float:
    """Arrival rate below which unfinished work drifts down, requests/s.

    Every iteration does ``blocks_in_use`` of the E[g] block-iterations of a request, at least. In blocks of
    one token and at a constant iteration time the rate is mu (1 - delta), delta = largest KV / M.

    Parameters
    ----------
    plane
        The iteration time.
    sums
        Sums over the law.
    blocks_in_use
        Blocks that are in use whenever a request waits; none, or less, guarantee no rate.
    """
    if blocks_in_use <= 0:
        return 0.0
    iterations = sums.kv_area_blocks / (blocks_in_use * sums.requests)
    return PS_PER_S / (plane.base_ps * iterations + work_ps(plane, sums))
