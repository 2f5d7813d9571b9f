"""Length laws: finite tables of equally likely prompt and output lengths.

A law is either a table of pairs or two independent marginal tables. Simulation draws an index of the table
and the closed forms average over the same table, so both see one law to the last bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fastq.model.reading import shown_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from fastq.model.trace_clock import TraceClock

MAX_LENGTH_TOKENS = 2**20
"""Longest prompt and longest output, tokens."""

QUANTILE_ENTRIES = 65_536
"""Entries of the table of a parametric law, unless it is exact with fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class LengthLaw:
    """The law of (prompt, output) lengths, tokens.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Tables of equally likely entries, int32, each >= 1. Where ``joint``, entry k of both is one pair and
        both have the same length; else the two are independent marginals of any lengths.
    joint
        Whether the two tables are one table of pairs.
    name
        Canonical text or name, as shown in result tables.
    digest
        SHA-256 of the tables, hexadecimal.
    clock
        When requests of these lengths arrived, in the order of the tables; ``None`` where nobody knows. The law is
        the same whether it is there or not.
    """

    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    joint: bool
    name: str
    digest: str
    clock: TraceClock | None = None


class Column(NamedTuple):
    """One table of lengths, int32, tokens, with its SHA-256."""

    tokens: NDArray[np.int32]
    digest: str


def column(tokens: ArrayLike) -> Column:
    """Freeze a table of lengths."""
    import numpy as np

    frozen = np.array(tokens, dtype=np.int32)
    frozen.setflags(write=False)
    return Column(frozen, hashlib.sha256(frozen.astype("<i4", copy=False).tobytes()).hexdigest())


def scaled_column(table: Column, scale: float) -> Column:
    """Scale every entry: max(1, floor(x scale + 1/2))."""
    import numpy as np

    if scale == 1.0:
        return table
    return column(np.maximum(np.floor(table.tokens * float(scale) + 0.5), 1.0))


def law(prompt: Column, output: Column, *, joint: bool, name: str) -> LengthLaw:
    """Put two tables together: as pairs where ``joint``, else as independent marginals."""
    kind = "pairs" if joint else "independent"
    digest = hashlib.sha256(f"{kind} {prompt.digest} {output.digest}".encode()).hexdigest()
    return LengthLaw(prompt.tokens, output.tokens, joint, name, digest)


def scaled(base: LengthLaw, prompt_scale: float, output_scale: float) -> LengthLaw:
    """Scale the lengths of a law: max(1, floor(x scale + 1/2)) on each entry."""
    made = law(
        scaled_column(column(base.prompt_tokens), prompt_scale),
        scaled_column(column(base.output_tokens), output_scale),
        joint=base.joint,
        name=scaled_name(base.name, prompt_scale, output_scale),
    )
    return replace(made, clock=base.clock)


def scaled_name(name: str, prompt_scale: float, output_scale: float) -> str:
    """Name a scaled law."""
    scales = [
        f"{what} x {shown_number(scale)}"
        for what, scale in (("prompt", prompt_scale), ("output", output_scale))
        if scale != 1.0
    ]
    return f"{name} ({', '.join(scales)})" if scales else name
