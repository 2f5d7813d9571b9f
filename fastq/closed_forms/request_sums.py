"""What the closed forms need to know of a length law: exact sums over its requests, kept between points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastq.closed_forms.accepted import accepted_law
from fastq.closed_forms.kv_area import divided, growth_area, prefill_area
from fastq.closed_forms.recently_used import RecentlyUsed
from fastq.model.feasibility import shortest_request
from fastq.model.scheduler import TokenConvention

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.closed_forms.accepted import AcceptedLaw
    from fastq.model.lengths import LengthLaw

_REMEMBERED = 16_384


class LengthSums(Protocol):
    """What the time of requests depends on: sums over the requests of a law, or over those of a sample.

    As in :class:`RequestSums`.
    """

    @property
    def requests(self) -> int:
        """How many."""

    @property
    def prompt_tokens(self) -> float:
        """Sum of s."""

    @property
    def decode_iterations(self) -> float:
        """Sum of d."""

    @property
    def decode_kv_tokens(self) -> float:
        """Sum of s d + d (d + 1)/2."""

    @property
    def squared_prompt_tokens(self) -> float:
        """Sum of s^2."""

    @property
    def finished_prompts(self) -> float:
        """Prompts whose prefill ends: one a request."""

    @property
    def prefill_chunks(self) -> float:
        """Sum of the chunks that prompts are prefilled in."""

    @property
    def cached_tokens(self) -> float:
        """Sum, over the chunks of a prompt, of what was cached of it before."""


@dataclass(frozen=True, slots=True)
class RequestSums:
    """Sums over the accepted requests of a law; divide by ``requests`` for a mean.

    Parameters
    ----------
    requests, offered
        Requests accepted, and of the law in all.
    prompt_tokens, output_tokens
        Lengths s and o.
    decode_iterations, iterations
        Iterations that decode, d = o - 1 (engine) or o (paper), and iterations in a batch, n.
    charged_tokens
        Tokens of budget, w = s + d.
    decode_kv_tokens
        KV tokens read while decoding, k = (s + 1) + ... + (s + d), token-iterations.
    squared_prompt_tokens
        s^2, twice the attention work of the prefill.
    kv_area_tokens, kv_area_blocks
        KV held, summed over iterations, in tokens and in blocks.
    reserved_area_tokens
        (s + d) n: the largest KV of a request, in tokens, held for all its iterations.
    doubled_smooth_area_chunks
        2 chunk g(s, o), with the smooth area g = (1 + s/chunk) s/2 + s o + o (o + 1)/2 of the paper.
    max_kv_tokens
        Largest KV of a request, s + d: no sum.
    """

    requests: int
    offered: int
    prompt_tokens: int
    output_tokens: int
    decode_iterations: int
    iterations: int
    charged_tokens: int
    decode_kv_tokens: int
    squared_prompt_tokens: int
    kv_area_tokens: int
    kv_area_blocks: int
    reserved_area_tokens: int
    doubled_smooth_area_chunks: int
    max_kv_tokens: int

    @property
    def finished_prompts(self) -> int:
        """Prompts whose prefill ends: one a request."""
        return self.requests

    @property
    def prefill_chunks(self) -> int:
        """Chunks, ceil(s / chunk)."""
        return self.iterations - self.decode_iterations

    @property
    def cached_tokens(self) -> int:
        """Tokens cached before each chunk: the KV held after it, summed over chunks, less the chunks themselves."""
        return self.kv_area_tokens - self.decode_kv_tokens - self.prompt_tokens


_recent: RecentlyUsed[RequestSums] = RecentlyUsed(_REMEMBERED)


def request_sums(
    law: LengthLaw, chunk_tokens: int, block_size: int, convention: TokenConvention, max_model_len: int | None
) -> RequestSums:
    """Sum over the accepted requests of a law.

    Parameters
    ----------
    law
        Prompt and output lengths.
    chunk_tokens
        Most prompt tokens of a request that are cached in one iteration.
    block_size
        KV tokens per block.
    convention
        Which iteration emits the first output token.
    max_model_len
        Longest prompt + output that is accepted, tokens; ``None``: all are.

    Returns
    -------
    RequestSums
        Computed once, then remembered.

    Raises
    ------
    ValueError
        If no request is accepted.
    """
    key = (law.digest, law.joint, chunk_tokens, block_size, convention, max_model_len)
    sums = _recent.get(key)
    if sums is None:
        accepted, offered = accepted_law(law, max_model_len)
        if accepted is None:
            shortest = shortest_request(law).total_tokens
            raise ValueError(
                f"replica.max_model_len = {max_model_len}: every request of the law {law.name} is rejected "
                f"and nothing is left to average; the shortest has prompt + output = {shortest} tokens; "
                "raise max_model_len to at least that"
            )
        sums = _sum_requests(accepted, offered, chunk_tokens, block_size, convention)
        _recent.put(key, sums)
    return sums


def _sum_requests(
    accepted: AcceptedLaw, offered: int, chunk: int, block: int, convention: TokenConvention
) -> RequestSums:
    prompt, output = accepted.prompt_tokens, accepted.output_tokens
    unemitted = 1 if convention is TokenConvention.ENGINE else 0
    decode = output - unemitted
    per_prompt, per_output = np.ones_like(prompt), np.ones_like(output)
    requests = accepted.requests
    prompt_chunks = -(-prompt // chunk)

    prompts = accepted.sum_product(prompt, per_output)
    outputs = accepted.sum_product(per_prompt, output)
    squared_prompts = accepted.sum_product(prompt * prompt, per_output)
    chunks = accepted.sum_product(prompt_chunks, per_output)
    decodes = outputs - unemitted * requests
    products = accepted.sum_product(prompt, output)
    output_growth = accepted.sum_product(per_prompt, output * (output + 1) // 2)
    decode_kv = products - unemitted * prompts + output_growth - unemitted * outputs
    kv_area_tokens = accepted.sum_product(prefill_area(prompt, chunk, 1), per_output) + decode_kv
    reserved_area = (
        accepted.sum_product(prompt * prompt_chunks, per_output)
        + accepted.sum_product(prompt, decode)
        + accepted.sum_product(prompt_chunks, decode)
        + accepted.sum_product(per_prompt, decode * decode)
    )
    return RequestSums(
        requests=requests,
        offered=offered,
        prompt_tokens=prompts,
        output_tokens=outputs,
        decode_iterations=decodes,
        iterations=chunks + decodes,
        charged_tokens=prompts + decodes,
        decode_kv_tokens=decode_kv,
        squared_prompt_tokens=squared_prompts,
        kv_area_tokens=kv_area_tokens,
        kv_area_blocks=kv_area_tokens if block == 1 else _block_area(accepted, prompt, decode, chunk, block),
        reserved_area_tokens=reserved_area,
        doubled_smooth_area_chunks=chunk * prompts + squared_prompts + 2 * chunk * (products + output_growth),
        max_kv_tokens=accepted.longest_tokens - unemitted,
    )


def _block_area(
    accepted: AcceptedLaw, prompt: NDArray[np.int64], decode: NDArray[np.int64], chunk: int, block: int
) -> int:
    """Sum the KV area in blocks; see :mod:`fastq.closed_forms.kv_area` for the split of its decode part."""
    prompt_blocks, prompt_residues = divided(prompt, block)
    decode_blocks, decode_residues = divided(decode, block)
    return (
        accepted.sum_product(prefill_area(prompt, chunk, block), np.ones_like(decode))
        + accepted.sum_product(prompt_blocks, decode)
        + accepted.sum_product(np.ones_like(prompt), growth_area(decode, block))
        + accepted.sum_product(prompt_residues, decode_blocks)
        + accepted.sum_carry(prompt_residues, decode_residues, block)
    )
