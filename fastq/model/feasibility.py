"""Whether every request of a point can fit in memory; an engine would wait for ever on one that can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastq.errors import InfeasibleError
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


class Accepted(NamedTuple):
    """What ``max_model_len`` leaves of a law.

    Parameters
    ----------
    requests, offered
        Equally likely requests that are accepted, and all.
    longest
        The accepted request with the largest s + o; ``None`` where none is.
    """

    requests: int
    offered: int
    longest: Request | None


_MAX_REMEMBERED = 16_384
_REJECTED_AT_MOST = 1000
"""Most offers for one accepted request: with more, a simulation would hardly do anything but reject."""

_remembered: dict[tuple[str, bool, int | None], Accepted] = {}


def infeasible_reason(point: Point) -> str | None:
    """Say why a point can't be simulated; ``None`` where it can.

    The largest KV of a request, s + o - 1 tokens (s + o by the token convention of the paper), must fit in
    the blocks of the replica for every request that ``max_model_len`` accepts, and it must accept at least
    one in a thousand.
    """
    return infeasible_parts(point.law, point.replica, point.scheduler)


def infeasible_parts(law: LengthLaw, replica: Replica, scheduler: Scheduler) -> str | None:
    """Say why the parts of a point can't be simulated; ``None`` where they can."""
    accepted = accepted_requests(law, replica.max_model_len)
    longest = accepted.longest
    if longest is None:
        shortest = shortest_request(law)
        return (
            f"every request is rejected: the shortest has {shortest.prompt_tokens:,} prompt and "
            f"{shortest.output_tokens:,} output tokens, replica.max_model_len is {replica.max_model_len:,}"
        )
    if _too_few(accepted):
        share = accepted.requests / accepted.offered
        return (
            f"replica.max_model_len = {replica.max_model_len:,} accepts a share of {share:.2g} of the "
            f"requests, {accepted.requests:,} of {accepted.offered:,}; at least 1 in {_REJECTED_AT_MOST:,} "
            "is needed"
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


def refusal(point: Point, reason: str, *, source: str) -> InfeasibleError:
    """Make the error that refuses ``point``: it names the key that stands in the way, its value, and what to do."""
    replica = point.replica
    accepted = accepted_requests(point.law, replica.max_model_len)
    if _too_few(accepted):
        key, value, advice = "replica.max_model_len", replica.max_model_len, "Raise it, shorten the workload"
    else:
        key, value = "replica.kv_capacity_tokens", replica.kv_capacity_tokens
        advice = "Give it more memory, cut the lengths with replica.max_model_len"
    return InfeasibleError(
        f'point {point.index}: {reason}. {advice}, or set run.infeasible = "skip" to leave such points out',
        source=source,
        key=key,
        value=value,
    )


def _too_few(accepted: Accepted) -> bool:
    return accepted.longest is None or accepted.requests * _REJECTED_AT_MOST < accepted.offered


def accepted_requests(law: LengthLaw, max_model_len: int | None) -> Accepted:
    """Count the requests with s + o <= ``max_model_len``, and find the longest; found once, then remembered."""
    key = (law.digest, law.joint, max_model_len)
    accepted = _remembered.get(key)
    if accepted is None:
        accepted = _accepted_pairs(law, max_model_len) if law.joint else _accepted_product(law, max_model_len)
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[key] = accepted
    return accepted


def _accepted_pairs(law: LengthLaw, max_model_len: int | None) -> Accepted:
    totals = law.prompt_tokens.astype("int64") + law.output_tokens
    offered = totals.size
    requests = offered
    if max_model_len is not None:
        totals[totals > max_model_len] = 0
        requests = int((totals > 0).sum())
    if requests == 0:
        return Accepted(0, offered, None)
    at = int(totals.argmax())
    return Accepted(requests, offered, Request(int(law.prompt_tokens[at]), int(law.output_tokens[at])))


def _accepted_product(law: LengthLaw, max_model_len: int | None) -> Accepted:
    import numpy as np

    offered = law.prompt_tokens.size * law.output_tokens.size
    longest = Request(int(law.prompt_tokens.max()), int(law.output_tokens.max()))
    if max_model_len is None or longest.total_tokens <= max_model_len:
        return Accepted(offered, offered, longest)
    prompts, prompt_counts = np.unique(law.prompt_tokens, return_counts=True)
    outputs, output_counts = np.unique(law.output_tokens, return_counts=True)
    fitting = np.searchsorted(outputs, max_model_len - prompts.astype(np.int64), side="right")
    some = fitting > 0
    if not some.any():
        return Accepted(0, offered, None)
    prompts, last = prompts[some], fitting[some] - 1
    requests = int((prompt_counts[some] * output_counts.cumsum()[last]).sum())
    at = int((prompts.astype(np.int64) + outputs[last]).argmax())
    return Accepted(requests, offered, Request(int(prompts[at]), int(outputs[last[at]])))


def shortest_request(law: LengthLaw) -> Request:
    """Return the request with the smallest s + o that a law holds."""
    if not law.joint:
        return Request(int(law.prompt_tokens.min()), int(law.output_tokens.min()))
    shortest = int((law.prompt_tokens.astype("int64") + law.output_tokens).argmin())
    return Request(int(law.prompt_tokens[shortest]), int(law.output_tokens[shortest]))
