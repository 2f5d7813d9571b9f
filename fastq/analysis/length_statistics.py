"""What prompt and output lengths say of a workload: their spread, how they go together, who takes the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST_SHARE = 100
"""One request in so many counts as one of the longest."""


@dataclass(frozen=True, slots=True)
class LengthStatistics:
    """Lengths of one kind, tokens.

    Parameters
    ----------
    mean_tokens
        Mean.
    cv
        Standard deviation over the mean.
    p1_tokens, p10_tokens, p50_tokens, p90_tokens, p99_tokens
        Percentiles: the smallest length that at least that share of the requests don't exceed.
    max_tokens
        Longest.
    """

    mean_tokens: float
    cv: float
    p1_tokens: int
    p10_tokens: int
    p50_tokens: int
    p90_tokens: int
    p99_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class JointStatistics:
    """Prompt and output lengths of the same requests.

    Parameters
    ----------
    prompt, output, total
        Lengths; total is prompt + output.
    pearson, spearman
        Correlation of prompt and output, of the lengths and of their ranks; ``None`` where one does not vary.
    decode_kv_area_tokens
        E[s o + o (o + 1) / 2], the KV tokens of a request of prompt s and output o summed over the tokens that it
        decodes, in tokens x iterations.
    longest_kv_share
        Share of that area which the 1% of the requests with the largest take (at least one request).
    """

    prompt: LengthStatistics
    output: LengthStatistics
    total: LengthStatistics
    pearson: float | None
    spearman: float | None
    decode_kv_area_tokens: float
    longest_kv_share: float


def joint_statistics(prompt_tokens: NDArray[np.int32], output_tokens: NDArray[np.int32]) -> JointStatistics:
    """Describe the lengths of requests.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths of each request, at least 1 token, at least one request.
    """
    prompts, outputs = prompt_tokens.astype(np.int64), output_tokens.astype(np.int64)
    area = (prompts * outputs + outputs * (outputs + 1) // 2).astype(np.float64)
    longest = -(-area.size // _LONGEST_SHARE)
    largest = np.partition(area, area.size - longest)[-longest:]
    return JointStatistics(
        prompt=_statistics(prompts),
        output=_statistics(outputs),
        total=_statistics(prompts + outputs),
        pearson=correlation(prompts.astype(np.float64), outputs.astype(np.float64)),
        spearman=correlation(ranks(prompts), ranks(outputs)),
        decode_kv_area_tokens=float(area.mean()),
        longest_kv_share=float(largest.sum() / area.sum()),
    )


def ranks(lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each length, from 1 up; equal lengths share the mean of theirs.

    Parameters
    ----------
    lengths
        Whole numbers from 0, small enough to count each.
    """
    counts = np.bincount(lengths)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2.0
    return np.asarray(mean_rank[lengths])


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Return Pearson's correlation; ``None`` where one of the two does not vary."""
    if one.size == 0 or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return None
    x, y = one - one.mean(), other - other.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _statistics(lengths: NDArray[np.int64]) -> LengthStatistics:
    mean = float(lengths.mean())
    places = [-(-percent * lengths.size // 100) - 1 for percent in (1, 10, 50, 90, 99)]
    p1, p10, p50, p90, p99 = np.partition(lengths, places)[places].tolist()
    return LengthStatistics(
        mean_tokens=mean,
        cv=float(lengths.std()) / mean,
        p1_tokens=p1,
        p10_tokens=p10,
        p50_tokens=p50,
        p90_tokens=p90,
        p99_tokens=p99,
        max_tokens=int(lengths.max()),
    )
