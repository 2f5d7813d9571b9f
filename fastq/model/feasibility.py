"""Whether every request of a point can fit in memory; an engine would wait for ever on one that can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastq.model.scheduler import TokenConvention

if TYPE_CHECKING:
    from fastq.model.lengths import LengthLaw
    from fastq.model.point import Point
    from fastq.model.replica import Replica
    from fastq.model.scheduler import Scheduler


class Request(NamedTuple):
    """Lengths of one request, tokens."""

    prompt_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        """Prompt and output together."""
        return self.prompt_tokens + self.output_tokens


_MAX_REMEMBERED = 4096
_longest: dict[tuple[str, int | None], Request | None] = {}


def infeasible_reason(point: Point) -> str | None:
    """Say why a point can't be simulated; ``None`` where it can.

    The largest KV of a request, s + o - 1 tokens (s + o by the token convention of the paper), must fit in
    the blocks of the replica for every request that ``max_model_len`` accepts, and at least one must be
    accepted.
    """
    return infeasible_parts(point.law, point.replica, point.scheduler)


def infeasible_parts(law: LengthLaw, replica: Replica, scheduler: Scheduler) -> str | None:
    """Say why the parts of a point can't be simulated; ``None`` where they can."""
    longest = longest_accepted(law, replica.max_model_len)
    if longest is None:
        shortest = shortest_request(law)
        return (
            f"every request is rejected: the shortest has {shortest.prompt_tokens:,} prompt and "
            f"{shortest.output_tokens:,} output tokens, replica.max_model_len is {replica.max_model_len:,}"
        )
    peak_tokens = longest.total_tokens - (scheduler.token_convention is TokenConvention.ENGINE)
    blocks = -(-peak_tokens // replica.block_size)
    if blocks <= replica.kv_blocks:
        return None
    request = f"a request of {longest.prompt_tokens:,} prompt and {longest.output_tokens:,} output tokens"
    if replica.block_size == 1:
        capacity_tokens = replica.kv_capacity_tokens
        return f"{request} needs {peak_tokens:,} tokens of KV memory, the replica has {capacity_tokens:,}"
    return (
        f"{request} needs {blocks:,} blocks of {replica.block_size:,} for {peak_tokens:,} tokens of KV, "
        f"the replica has {replica.kv_blocks:,} ({replica.kv_capacity_tokens:,} tokens)"
    )


def longest_accepted(law: LengthLaw, max_model_len: int | None) -> Request | None:
    """Return the request with the largest s + o <= ``max_model_len``; ``None`` where there is none."""
    key = (law.digest, max_model_len)
    if key not in _longest:
        if len(_longest) >= _MAX_REMEMBERED:
            _longest.clear()
        _longest[key] = _find_longest(law, max_model_len)
    return _longest[key]


def _find_longest(law: LengthLaw, max_model_len: int | None) -> Request | None:
    import numpy as np

    if not law.joint:
        longest = Request(int(law.prompt_tokens.max()), int(law.output_tokens.max()))
        if max_model_len is None or longest.total_tokens <= max_model_len:
            return longest
        outputs = np.unique(law.output_tokens).astype(np.int64)
        prompts = np.unique(law.prompt_tokens).astype(np.int64)
        below = np.searchsorted(outputs, max_model_len - prompts, side="right") - 1
        prompts, outputs = prompts[below >= 0], outputs[below[below >= 0]]
    else:
        prompts, outputs = law.prompt_tokens.astype(np.int64), law.output_tokens.astype(np.int64)
        if max_model_len is not None:
            accepted = prompts + outputs <= max_model_len
            prompts, outputs = prompts[accepted], outputs[accepted]
    if prompts.size == 0:
        return None
    at = int(np.argmax(prompts + outputs))
    return Request(int(prompts[at]), int(outputs[at]))


def shortest_request(law: LengthLaw) -> Request:
    """Return the request with the smallest s + o that a law holds."""
    if not law.joint:
        return Request(int(law.prompt_tokens.min()), int(law.output_tokens.min()))
    shortest = int((law.prompt_tokens.astype("int64") + law.output_tokens).argmin())
    return Request(int(law.prompt_tokens[shortest]), int(law.output_tokens[shortest]))
