"""What iterations take on average, at least: affine in what requests bring, so that it holds of the mean batch.

Planes are. So are the terms that count something of each request: its prompt's chunks, the end of its prefill, the
KV that its chunks read again, all taken to be whole (the budget may put a short one first, and less is read again).
Terms that count batches depend on how work falls into them, and of these only what no schedule avoids is here: a batch
prefills at most so many tokens, and holds at most so many, so a share of the batches prefills, and a share is beyond a
jump. A schedule may always prefill and decode apart, so nothing is here for batches that do both. What such terms cost
in fact, a simulation tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.closed_forms.request_sums import LengthSums
    from fastq.model.iteration_time import IterationTime, Plane, Terms
    from fastq.model.replica import Replica


@dataclass(frozen=True, slots=True)
class BatchTime:
    """The largest of ``planes``, and what ``terms`` add for the work that requests bring.

    Parameters
    ----------
    planes
        Those of the iteration time, and below a jump what leads up to it.
    terms
        Added to the largest.
    most_prefill_tokens
        Most prefill tokens in a batch.
    """

    planes: tuple[Plane, ...]
    terms: Terms
    most_prefill_tokens: int

    def mean_batch_ps(self, sums: LengthSums, completions: float) -> float:
        """Time of the mean batch when so many requests complete in an iteration, picoseconds."""
        return max(self.plane_ps(plane, sums, completions) for plane in self.planes)

    def longest_plane(self, sums: LengthSums, completions: float) -> Plane:
        """The plane that is the largest for that batch."""
        return max(self.planes, key=lambda plane: self.plane_ps(plane, sums, completions))

    def plane_ps(self, plane: Plane, sums: LengthSums, completions: float) -> float:
        """Time of that batch by one plane, picoseconds."""
        return plane.base_ps + completions * self.work_ps(plane, sums)

    def work_ps(self, plane: Plane, sums: LengthSums) -> float:
        """Time that a request adds to the iterations it is in, all together, by one plane, picoseconds."""
        work = work_ps(plane, sums)
        return work + self._added_ps(sums) / sums.requests if self.terms.any else work

    def _added_ps(self, sums: LengthSums) -> float:
        terms = self.terms
        prefilling_iterations = sums.prompt_tokens / self.most_prefill_tokens
        return (
            terms.prefill_seq_ps * sums.prefill_chunks
            + terms.finished_prompt_ps * sums.finished_prompts
            + terms.prefill_kv_token_ps * sums.cached_tokens
            + terms.prefill_ps * prefilling_iterations
        )


def work_ps(plane: Plane, sums: LengthSums) -> float:
    """Time that a request adds to the iterations it is in, all together, by one plane alone, picoseconds."""
    doubled = (
        2 * plane.prefill_token_ps * sums.prompt_tokens
        + 2 * plane.decode_seq_ps * sums.decode_iterations
        + 2 * plane.kv_token_ps * sums.decode_kv_tokens
        + plane.attention_ps * sums.squared_prompt_tokens
    )
    return doubled / (2 * sums.requests)


def batch_time(times: IterationTime, replica: Replica) -> BatchTime:
    """Make the least that iterations of a replica take on average."""
    # All tokens of a batch are held in memory at its end.
    capacity = replica.kv_capacity_tokens
    most_tokens = min(replica.max_num_batched_tokens or capacity, capacity)
    most_prefill = min(most_tokens, (replica.max_num_seqs or capacity) * replica.prefill_chunk_tokens)
    return BatchTime(times.planes + _before_jump(times, most_tokens), times.terms, most_prefill)


def _before_jump(times: IterationTime, most_tokens: int) -> tuple[Plane, ...]:
    """Return planes that rise from the jump's batch size on and reach its height at the largest batch, at most.

    Where that takes the base of one below 0 it rises less: a rate could grow by doing less in an iteration
    otherwise, and would bound nothing.
    """
    terms = times.terms
    if terms.jump_ps == 0 or terms.jump_beyond_tokens >= most_tokens:
        return ()
    beyond = terms.jump_beyond_tokens
    steepest_ps = terms.jump_ps // (most_tokens - beyond)
    return tuple(
        replace(
            plane,
            base_ps=plane.base_ps - slope_ps * beyond,
            prefill_token_ps=plane.prefill_token_ps + slope_ps,
            decode_seq_ps=plane.decode_seq_ps + slope_ps,
        )
        for plane in times.planes
        if (slope_ps := min(steepest_ps, plane.base_ps // beyond)) > 0
    )
