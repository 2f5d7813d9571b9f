"""The rate to expect: theory's bound, less what a replica loses on average under a backlog, as far as sums tell.

Three losses have a form of their own (docs/theory.md, 6.9). It is an estimate and no bound: what happens by chance is
taken at its mean, and nothing is here for memory that lies idle under ``lookahead``, for ties of two limits or for a
memory of a few requests.

*Reserved peaks.* Under ``peak`` a request takes its largest KV for all its iterations.

*Preemption.* Under ``chunk`` and ``prompt`` memory is full while requests wait. Its edge between two requests moves up
and down by what the running ones grow and completed ones leave, and each time it passes a request, that one is
preempted or comes back. Growth adds up to E[d] tokens a completion; requests at the edge hold E[s], about; and growth
shows only in iterations that complete nothing, of which there are exp(-r) where r complete on average. So a request is
preempted E[d] / E[s] exp(-r) times, and each time its prompt is prefilled again.

*Batches of two kinds.* Prompts come in by chance: with a chunks an iteration a share exp(-a) of the batches has none.
The mean time is that of the two kinds, each at the mean of its own work.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastq.model.scheduler import Admission

if TYPE_CHECKING:
    from fastq.closed_forms.request_sums import RequestSums
    from fastq.model.iteration_time import IterationTime
    from fastq.model.point import Point
    from fastq.model.replica import Replica


_TOLERANCE = 1e-9
"""Of a batch: one that is full to the token budget is not beyond it, whatever binary fractions say."""


def expected_completions(point: Point, sums: RequestSums, completions: float) -> float:
    """Requests that complete in an iteration, where theory without losses has ``completions``."""
    if point.scheduler.admission is not Admission.PEAK:
        return completions
    replica = point.replica
    # A last block is half empty, on average.
    half_empty = (replica.block_size - 1) / 2
    reserved_blocks = (sums.reserved_area_tokens + half_empty * sums.iterations) / replica.block_size
    return min(completions, replica.kv_blocks * sums.requests / reserved_blocks)


def expected_preemptions(point: Point, sums: RequestSums, binding: str, completions: float) -> float:
    """How often a request is preempted; 0 where memory does not bind, or admission keeps what requests will need."""
    if binding != "kv" or point.scheduler.admission not in (Admission.CHUNK, Admission.PROMPT):
        return 0.0
    return sums.decode_iterations / sums.prompt_tokens * math.exp(-completions)


def expected_iteration_ps(point: Point, sums: RequestSums, completions: float, preemptions: float) -> float:
    """Mean iteration time, picoseconds, where so many requests complete in one and each is preempted so often."""
    times, replica = point.iteration_time, point.replica
    each = completions / sums.requests
    again = each * (1 + preemptions)
    decoding, decoding_kv = each * sums.decode_iterations, each * sums.decode_kv_tokens
    prefill, attention = again * sums.prompt_tokens, again * sums.squared_prompt_tokens / 2
    share = _prefilling_share(replica, again * sums.prefill_chunks, prefill, decoding)
    terms = times.terms
    added_ps = again * (
        terms.prefill_seq_ps * sums.prefill_chunks
        + terms.finished_prompt_ps * sums.finished_prompts
        + terms.prefill_kv_token_ps * sums.cached_tokens
    )
    without_ps = _batch_ps(times, 0.0, 0.0, decoding, decoding_kv)
    with_ps = _batch_ps(times, prefill / share, attention / share, decoding, decoding_kv)
    with_ps += terms.prefill_ps + terms.mixed_ps + terms.mixed_kv_token_ps * decoding_kv
    return (1 - share) * without_ps + share * with_ps + added_ps


def _prefilling_share(replica: Replica, chunks: float, prefill: float, decoding: float) -> float:
    """Share of the batches that prefill: by chance, and as many as it takes within the token budget."""
    by_chance = -math.expm1(-chunks)
    if replica.max_num_batched_tokens is None:
        return by_chance
    room = replica.max_num_batched_tokens - decoding
    return 1.0 if room <= prefill else max(by_chance, prefill / room)


def _batch_ps(
    times: IterationTime, prefill: float, attention: float, decoding: float, decoding_kv: float
) -> float:
    longest_ps = max(
        plane.base_ps
        + plane.prefill_token_ps * prefill
        + plane.decode_seq_ps * decoding
        + plane.kv_token_ps * decoding_kv
        + plane.attention_ps * attention
        for plane in times.planes
    )
    beyond = prefill + decoding > times.terms.jump_beyond_tokens * (1 + _TOLERANCE)
    return longest_ps + times.terms.jump_ps * beyond
