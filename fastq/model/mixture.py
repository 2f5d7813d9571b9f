"""One joint law of several workloads with shares: theory and simulation then both see the mixed traffic.

A mean of the rates of the parts would be wrong: what requests of one part leave free, those of another use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.model.lengths import LengthLaw, column, law
from fastq.model.reading import shown_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    Pairs = tuple[NDArray[np.int32], NDArray[np.int32]]

MAX_EXACT_ENTRIES = 1 << 19
"""A mixture that equally likely pairs can express exactly is expressed so, up to this many."""

SKETCH_ENTRIES = 1 << 17
"""Entries of any other mixture."""

_MAX_PRODUCT = 1 << 16
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Part:
    """One workload of a mixture.

    Parameters
    ----------
    name
        What result tables call it.
    share
        Of the requests; the shares of all parts add up to 1.
    law
        Law of its lengths, scaled.
    """

    name: str
    share: Fraction
    law: LengthLaw


def mixed_law(parts: Sequence[Part]) -> LengthLaw:
    """Mix workloads into one table of equally likely pairs.

    The table is exact where shares and tables allow it with at most :data:`MAX_EXACT_ENTRIES` pairs. Otherwise it
    has :data:`SKETCH_ENTRIES`: each part gets its share of them, to the nearest entry, filled with whole copies of
    its own table and a quantised sketch for the rest. Two independent marginals become pairs: all of them where
    those are few, else quantiles of both, paired evenly over the square by multiples of the golden ratio.

    Parameters
    ----------
    parts
        At least one; shares above 0.

    Returns
    -------
    LengthLaw
        A joint law, named after the parts and their shares.
    """
    import numpy as np

    exact = [_exact_pairs(part.law) for part in parts]
    entries = 1
    for part, pairs in zip(parts, exact, strict=True):
        if pairs is not None:
            entries = math.lcm(entries, (part.share / pairs[0].size).denominator)
    if all(pairs is not None for pairs in exact) and entries <= MAX_EXACT_ENTRIES:
        counts = [int(part.share * entries) for part in parts]
    else:
        counts = _apportioned([part.share for part in parts], SKETCH_ENTRIES)
    tables = [
        _resized(part.law, pairs, count) for part, pairs, count in zip(parts, exact, counts, strict=True)
    ]
    name = " + ".join(f"{shown_number(round(float(part.share), 6))} {part.name}" for part in parts)
    prompts, outputs = (np.concatenate([table[side] for table in tables]) for side in (0, 1))
    return law(column(prompts), column(outputs), joint=True, name=name)


def _exact_pairs(given: LengthLaw) -> Pairs | None:
    """Return a law as equally likely pairs; ``None`` where independent marginals have too many."""
    import numpy as np

    prompts, outputs = given.prompt_tokens, given.output_tokens
    if given.joint:
        return prompts, outputs
    if prompts.size * outputs.size > _MAX_PRODUCT:
        return None
    return np.repeat(prompts, outputs.size), np.tile(outputs, prompts.size)


def _apportioned(shares: Sequence[Fraction], entries: int) -> list[int]:
    """Share out entries by largest remainders, at least one each."""
    quotas = [share * entries for share in shares]
    counts = [int(quota) for quota in quotas]
    by_rest = sorted(range(len(shares)), key=lambda number: (counts[number] - quotas[number], number))
    for number in by_rest[: entries - sum(counts)]:
        counts[number] += 1
    return [max(1, count) for count in counts]


def _resized(given: LengthLaw, pairs: Pairs | None, count: int) -> Pairs:
    """Return ``count`` pairs that stand for a law."""
    import numpy as np

    from fastq.model.quantize import quantize

    if pairs is None:
        return _paired(given, count)
    copies, rest = divmod(count, pairs[0].size)
    tables = [pairs] * copies
    if rest:
        tables.append(quantize(*pairs, entries=rest))
    return np.concatenate([table[0] for table in tables]), np.concatenate([table[1] for table in tables])


def _paired(given: LengthLaw, count: int) -> Pairs:
    """Pair quantiles of two independent marginals: the fractional parts of k x golden ratio fill the unit evenly."""
    import numpy as np

    order = np.argsort((np.arange(count) * _GOLDEN) % 1.0, kind="stable")
    prompts, outputs = (_quantiles(side, count) for side in (given.prompt_tokens, given.output_tokens))
    return prompts, outputs[np.argsort(order, kind="stable")]


def _quantiles(tokens: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the quantiles (k + 1/2)/count of a table of equally likely lengths."""
    import numpy as np

    at = (2 * np.arange(count, dtype=np.int64) + 1) * tokens.size // (2 * count)
    quantiles: NDArray[np.int32] = np.sort(tokens)[at]
    return quantiles
