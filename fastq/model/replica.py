"""One inference engine: its KV memory and its batch limits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True, slots=True)
class Replica:
    """One GPU, or one tensor-parallel group.

    Parameters
    ----------
    kv_capacity_tokens
        KV cache capacity M, tokens.
    block_size
        KV tokens per block.
    max_num_seqs
        Largest number of running requests B; ``None``: unlimited.
    max_num_batched_tokens
        Token budget C of an iteration; ``None``: unlimited.
    prefill_chunk_tokens
        Most prompt tokens of one request in one iteration, always resolved (default: the token budget).
    watermark
        Share of the blocks that an admission leaves free while anything is running.
    max_model_len
        Longest prompt + output that is accepted, tokens; ``None``: every request is.
    """

    kv_capacity_tokens: int
    block_size: int = 16
    max_num_seqs: int | None = 256
    max_num_batched_tokens: int | None = 2048
    prefill_chunk_tokens: int = 2048
    watermark: float = 0.0
    max_model_len: int | None = None

    @property
    def kv_blocks(self) -> int:
        """Whole blocks in memory."""
        return self.kv_capacity_tokens // self.block_size

    @property
    def watermark_blocks(self) -> int:
        """Blocks that an admission leaves free while anything is running: of the decimal share as written."""
        return floor(Fraction(repr(self.watermark)) * self.kv_blocks)
