"""What theory says of the very work that a replication did, beside what it says of the law.

A replication completes few requests, and its throughput follows their lengths: where they happened to be
long it is low. Theory knows by how much. The ratio of its rate for the sample to its rate for the law takes
most of that noise out of an estimate; it errs towards neither side, since in a stationary window the sample has
the means of the law.

The sample is the work done in the window for each completion, that of requests in progress at its ends included,
without what preemption made necessary. So those ends leave no noise either.

Areas in blocks, numbers of chunks and what is cached before each are no sums of powers of the lengths. For the sample
they are taken in proportion to smooth stand-ins that are; the law's own values stay exact. What a sample's chunks were
in fact would not do: the budget cuts some, so that they are more than theory has, and it would err.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import sub
from typing import TYPE_CHECKING, NamedTuple

from fastq.closed_forms.batch_time import batch_time
from fastq.closed_forms.rates import PS_PER_S, binding_constraint, longest_chunk_tokens
from fastq.closed_forms.request_sums import request_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.closed_forms.batch_time import BatchTime
    from fastq.closed_forms.request_sums import LengthSums, RequestSums
    from fastq.model.point import Point

    Use = Callable[[LengthSums], float]


class Sample(NamedTuple):
    """Work of so many requests, as in :class:`fastq.closed_forms.request_sums.RequestSums`.

    After the number of requests, in the order of :class:`fastq.analysis.replication.Work`.
    """

    requests: int
    prompt_tokens: float
    decode_iterations: float
    decode_kv_tokens: float
    squared_prompt_tokens: float
    finished_prompts: float
    prefill_chunks: float
    cached_tokens: float

    def less(self, other: Sample) -> Sample:
        """The work of these requests without that of ``other``."""
        return Sample(self.requests, *map(sub, self[1:], other[1:]))


@dataclass(frozen=True, slots=True)
class SampledTheory:
    """Theory's rate as a function of the lengths that were sampled, near those of the law.

    Parameters
    ----------
    law
        Sums of the law.
    binding
        The constraint that binds the law.
    completions_per_iteration
        At saturation, by the law.
    use
        What a request takes of the binding constraint, on average and up to a factor.
    chunks
        Chunks of the prompts of some requests, up to a factor.
    time
        What iterations take on average.
    law_rate_rps
        Service rate of theory for the law, requests/s.
    """

    law: RequestSums
    binding: str
    completions_per_iteration: float
    use: Use
    chunks: Use
    time: BatchTime
    law_rate_rps: float

    def iterations(self, sample: LengthSums) -> float:
        """Iterations in which the binding constraint, if always met in full, lets the work of ``sample`` be done."""
        use = self.use(sample) / self.use(self.law)
        return sample.requests * use / self.completions_per_iteration

    def rate_rps(self, sample: LengthSums) -> float:
        """Service rate of theory for requests like those of ``sample``, requests/s."""
        completions = sample.requests / self.iterations(sample)
        work = self.in_whole_chunks(sample) if self.time.terms.any else sample
        return completions * PS_PER_S / self.time.mean_batch_ps(work, completions)

    def in_whole_chunks(self, sample: LengthSums) -> Sample:
        """The work of ``sample`` as theory has it: no chunk is cut by the budget."""
        law = self.law
        squares = sample.squared_prompt_tokens / law.squared_prompt_tokens
        return Sample(
            sample.requests,
            sample.prompt_tokens,
            sample.decode_iterations,
            sample.decode_kv_tokens,
            sample.squared_prompt_tokens,
            sample.finished_prompts,
            prefill_chunks=law.prefill_chunks * (self.chunks(sample) / self.chunks(law)),
            cached_tokens=law.cached_tokens * squares,
        )

    def ratio(self, sample: LengthSums) -> float:
        """The same over that of the law; 1 where the window was so short that no work is left in the sample."""
        done = min(sample.prompt_tokens, sample.decode_iterations, sample.decode_kv_tokens)
        if self.time.terms.any:
            done = min(done, sample.finished_prompts)
        if done < 0 or not self.use(sample):
            return 1.0
        return self.rate_rps(sample) / self.law_rate_rps


def sampled_theory(point: Point) -> SampledTheory:
    """Prepare theory's rate of samples at a point; the constraint that binds the law is taken to bind them too."""
    replica = point.replica
    chunk_tokens = longest_chunk_tokens(replica)
    sums = request_sums(
        point.law, chunk_tokens, replica.block_size, point.scheduler.token_convention, replica.max_model_len
    )
    binding, completions = binding_constraint(replica, sums)
    single_chunk = int(point.law.prompt_tokens.max()) <= chunk_tokens
    use = _use(binding, chunk_tokens, replica.block_size, single_chunk=single_chunk)
    chunks = _chunks(chunk_tokens, single_chunk=single_chunk)
    time = batch_time(point.iteration_time, replica)
    theory = SampledTheory(sums, binding, completions, use, chunks, time, law_rate_rps=math.nan)
    return replace(theory, law_rate_rps=theory.rate_rps(sums))


def _chunks(chunk_tokens: int, *, single_chunk: bool) -> Use:
    def chunks(sums: LengthSums) -> float:
        if single_chunk:
            return sums.finished_prompts
        return sums.prompt_tokens / chunk_tokens + 0.5 * sums.finished_prompts

    return chunks


def _use(binding: str, chunk_tokens: int, block_size: int, *, single_chunk: bool) -> Use:
    def charged(sums: LengthSums) -> float:
        return (sums.prompt_tokens + sums.decode_iterations) / sums.requests

    def iterations(sums: LengthSums) -> float:
        chunks = 1.0 if single_chunk else sums.prompt_tokens / sums.requests / chunk_tokens + 0.5
        return chunks + sums.decode_iterations / sums.requests

    def kv_area(sums: LengthSums) -> float:
        prefill = sums.prompt_tokens
        if not single_chunk:
            prefill = (sums.squared_prompt_tokens / chunk_tokens + sums.prompt_tokens) / 2
        # A request leaves half a block empty, on average.
        empty = iterations(sums) * (block_size - 1) / 2
        return (prefill + sums.decode_kv_tokens) / sums.requests + empty

    return {"tokens": charged, "seqs": iterations, "kv": kv_area}[binding]
