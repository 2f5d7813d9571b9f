"""Where a slot's values stand: a row of one cache line in ``seqs``, and a row of times."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels._layout import SEQ_COLUMN_BITS, TIME_COLUMN_BITS


@device
def at(slot: int, column: int) -> int:
    """Position of ``column`` of ``slot`` in ``seqs``."""
    return (slot << SEQ_COLUMN_BITS) + column


@device
def time_at(slot: int, column: int) -> int:
    """Position of ``column`` of ``slot`` in ``times``."""
    return (slot << TIME_COLUMN_BITS) + column


@device
def index_of(value: Any) -> Any:
    """``value`` >= 0 as an index, unsigned: numba then leaves out the code for indices that count from the end."""
    return np.uint64(value)


@device
def i64(value: Any) -> Any:
    """``value``, of any width, as a signed integer of 64 bits."""
    return np.int64(value)
