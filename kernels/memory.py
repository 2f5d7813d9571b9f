"""KV memory in blocks, by multiplication: a division costs as much as the rest of an admission."""

from __future__ import annotations

from typing import Any

from fastq.kernels._jit import device

DIVIDEND_BITS = 31


def reciprocal(divisor: int) -> tuple[int, int]:
    """(multiplier, shift) with n // divisor == (n * multiplier) >> shift for 0 <= n < 2^31, on the host.

    T. Granlund, P. L. Montgomery, "Division by invariant integers using multiplication", PLDI 1994.
    """
    shift = DIVIDEND_BITS + (divisor - 1).bit_length()
    return (1 << shift) // divisor + 1, shift


@device
def whole_blocks(p: Any, tokens: int) -> int:
    """Blocks that ``tokens`` fill."""
    return (tokens * p.block_multiplier) >> p.block_shift


@device
def blocks_of(p: Any, tokens: int) -> int:
    """Blocks that ``tokens`` of KV occupy."""
    return whole_blocks(p, tokens + p.block_size - 1)
