"""KV areas: memory held by a request, summed over its iterations, in blocks (or tokens, in blocks of one).

The decode part of a request that holds s + 1, s + 2, ..., s + d tokens separates, but for one term::

    sum over k = 1..d of ceil((s + k) / beta)
        = (s div beta) d + area(d) + (s mod beta)(d div beta) + carry
    carry = max(0, s mod beta + d mod beta - beta)

where area(d) is the decode part after an empty prompt. So the mean over independent s and d needs no walk
over their pairs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def divided(lengths: NDArray[np.int64], by: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Quotients and remainders of lengths by one integer, several times faster than ``np.divmod``."""
    quotients = lengths // by
    return quotients, lengths - by * quotients


def growth_area(tokens: NDArray[np.int64], block_size: int) -> NDArray[np.int64]:
    """Area of growing from nothing by one token an iteration, sum over k = 1..x of ceil(k / beta).

    Parameters
    ----------
    tokens
        Tokens x held at the end.
    block_size
        Tokens per block, beta.

    Returns
    -------
    array of the shape of ``tokens``
        Block-iterations.
    """
    full, rest = divided(tokens, block_size)
    area: NDArray[np.int64] = block_size * (full * (full + 1) // 2) + (full + 1) * rest
    return area


def prefill_area(prompt_tokens: NDArray[np.int64], chunk_tokens: int, block_size: int) -> NDArray[np.int64]:
    """Area of caching a prompt chunk by chunk, sum over its chunks j of ceil(min(j chunk, s) / beta).

    Parameters
    ----------
    prompt_tokens
        Prompt lengths s, tokens; at least one.
    chunk_tokens
        Most prompt tokens cached in one iteration.
    block_size
        Tokens per block, beta.

    Returns
    -------
    array of the shape of ``prompt_tokens``
        Block-iterations.
    """
    longest = int(prompt_tokens.max())
    chunk = min(chunk_tokens, longest)
    # A period of full chunks ends on the edge of a block; the next one is `rise` blocks higher throughout.
    period = block_size // math.gcd(chunk, block_size)
    rise = chunk * period // block_size
    chunks = np.arange(min(period, longest // chunk) + 1, dtype=np.int64)
    first_period = np.cumsum(-(-chunks * chunk // block_size))
    full, rest = divided(prompt_tokens, chunk)
    periods, left = divided(full, period)
    area: NDArray[np.int64] = periods * first_period[-1] + rise * period * (periods * (periods - 1) // 2)
    area += first_period[left] + rise * periods * left
    area += np.where(rest > 0, -(-prompt_tokens // block_size), 0)
    return area
