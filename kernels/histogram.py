"""Integer histograms with bins at most 1/128 of their value wide.

Bin 0 holds zeros. Above, every octave has 128 bins: the bin of a value is read from the exponent and the top
seven bits of the mantissa of the value in double precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.kernels._jit import device
from fastq.kernels.slots import index_of

if TYPE_CHECKING:
    from fastq.kernels._layout import I64

OCTAVES = 56
BINS_PER_OCTAVE_BITS = 7
BINS = (OCTAVES << BINS_PER_OCTAVE_BITS) + 1

_SHIFT = 52 - BINS_PER_OCTAVE_BITS
_EXPONENT_ZERO = 1023 << BINS_PER_OCTAVE_BITS


@device
def bin_of(value: int) -> int:
    """Bin of ``value`` >= 0; the last one holds all that is larger than its edge."""
    if value <= 0:
        return 0
    bits = np.float64(value).view(np.int64)
    found = int((bits >> _SHIFT) - _EXPONENT_ZERO + 1)
    return min(found, BINS - 1)


@device
def count(histograms: I64, row: int, value: int) -> None:
    """Count ``value`` once in histogram ``row``."""
    histograms[row, index_of(bin_of(value))] += 1
