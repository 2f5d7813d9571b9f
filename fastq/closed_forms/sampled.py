"""What theory says of the very requests that a replication completed, beside what it says of their law.

A replication completes few requests, and its throughput follows their lengths: where they happened to be
long it is low. Theory knows by how much. The ratio of its rate for the sample to its rate for the law takes
most of that noise out of an estimate; it errs towards neither side, since in a stationary window the sample has
the means of the law.

Areas in blocks and numbers of chunks are no sums of powers of the lengths. For the sample they are taken in
proportion to smooth stand-ins that are; the law's own values stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fastq.closed_forms.rates import binding_constraint, longest_chunk_tokens
from fastq.closed_forms.request_sums import request_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.model.iteration_time import Plane
    from fastq.model.point import Point

    Use = Callable[["Lengths"], float]

_PS_PER_S = 1e12


class Lengths(NamedTuple):
    """Means over requests of what their work depends on.

    Parameters
    ----------
    prompt_tokens
        s.
    decode_iterations
        d = o - 1 (engine) or o (paper).
    decode_kv_tokens
        s d + d (d + 1)/2, token-iterations.
    squared_prompt_tokens
        s^2.
    """

    prompt_tokens: float
    decode_iterations: float
    decode_kv_tokens: float
    squared_prompt_tokens: float


@dataclass(frozen=True, slots=True)
class SampledTheory:
    """Theory's rate as a function of the lengths that were sampled, near those of the law.

    Parameters
    ----------
    law
        Means of the law.
    completions_per_iteration
        At saturation, by the law.
    use
        What a request takes of the binding constraint, up to a factor.
    planes
        Of the iteration time.
    """

    law: Lengths
    completions_per_iteration: float
    use: Use
    planes: tuple[Plane, ...]

    def rate_rps(self, sample: Lengths) -> float:
        """Service rate of theory for requests with the means of ``sample``, requests/s."""
        completions = self.completions_per_iteration * self.use(self.law) / self.use(sample)
        return completions * _PS_PER_S / max(_batch_ps(plane, sample, completions) for plane in self.planes)

    def ratio(self, sample: Lengths) -> float:
        """The same over that of the law."""
        return self.rate_rps(sample) / self.rate_rps(self.law)


def sampled_theory(point: Point) -> SampledTheory:
    """Prepare theory's rate of samples at a point; the constraint that binds the law is taken to bind them too."""
    replica = point.replica
    chunk_tokens = longest_chunk_tokens(replica)
    sums = request_sums(
        point.law, chunk_tokens, replica.block_size, point.scheduler.token_convention, replica.max_model_len
    )
    law = Lengths(
        sums.prompt_tokens / sums.requests,
        sums.decode_iterations / sums.requests,
        sums.decode_kv_tokens / sums.requests,
        sums.squared_prompt_tokens / sums.requests,
    )
    binding, completions = binding_constraint(replica, sums)
    single_chunk = int(point.law.prompt_tokens.max()) <= chunk_tokens
    use = _use(binding, chunk_tokens, replica.block_size, single_chunk=single_chunk)
    return SampledTheory(law, completions, use, point.iteration_time.planes)


def _use(binding: str, chunk_tokens: int, block_size: int, *, single_chunk: bool) -> Use:
    def charged(mean: Lengths) -> float:
        return mean.prompt_tokens + mean.decode_iterations

    def iterations(mean: Lengths) -> float:
        chunks = 1.0 if single_chunk else mean.prompt_tokens / chunk_tokens + 0.5
        return chunks + mean.decode_iterations

    def kv_area(mean: Lengths) -> float:
        prefill = mean.prompt_tokens
        if not single_chunk:
            prefill = (mean.squared_prompt_tokens / chunk_tokens + mean.prompt_tokens) / 2
        # A request leaves half a block empty, on average.
        empty = iterations(mean) * (block_size - 1) / 2
        return prefill + mean.decode_kv_tokens + empty

    return {"tokens": charged, "seqs": iterations, "kv": kv_area}[binding]


def _batch_ps(plane: Plane, mean: Lengths, completions: float) -> float:
    return plane.base_ps + completions * (
        plane.prefill_token_ps * mean.prompt_tokens
        + plane.decode_seq_ps * mean.decode_iterations
        + plane.kv_token_ps * mean.decode_kv_tokens
        + plane.attention_ps * mean.squared_prompt_tokens / 2
    )
