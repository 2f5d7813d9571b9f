"""How many requests can be running or preempted at once: what a simulation keeps room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.model.lengths import LengthLaw
    from fastq.model.replica import Replica

MAX_AT_ONCE = 2**22
"""Most requests that a simulation keeps room for; each takes some hundred bytes of every thread."""


def most_at_once(law: LengthLaw, replica: Replica) -> int:
    """Bound the requests of a point that are running or preempted at once.

    Each takes a token of the budget in its first iteration and, but for the newest, holds the blocks of a
    whole first chunk.
    """
    return most_at_once_from(int(law.prompt_tokens.min()), replica)


def most_at_once_from(shortest_prompt_tokens: int, replica: Replica) -> int:
    """Bound the requests running or preempted at once by the shortest prompt of a law, tokens."""
    first_chunk = min(replica.prefill_chunk_tokens, shortest_prompt_tokens)
    if replica.max_num_batched_tokens is not None:
        first_chunk = min(first_chunk, replica.max_num_batched_tokens)
    limits = [replica.kv_blocks // -(-first_chunk // replica.block_size) + 1]
    limits += [limit for limit in (replica.max_num_seqs, replica.max_num_batched_tokens) if limit is not None]
    return min(limits)
