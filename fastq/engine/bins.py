"""The edges of the histogram bins that the kernels count in."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def bin_edges() -> NDArray[np.int64]:
    """(bins + 1,) lower edge of each bin and the upper edge of the last, in whole units."""
    from fastq.kernels.histogram import BINS_PER_OCTAVE_BITS, OCTAVES

    per_octave = 1 << BINS_PER_OCTAVE_BITS
    octave = np.repeat(np.arange(OCTAVES, dtype=np.int64), per_octave)
    step = np.tile(np.arange(per_octave, dtype=np.int64), OCTAVES)
    # Value (1 + step / 128) 2^octave, rounded up to the first integer in the bin.
    wide = (per_octave + step) << np.maximum(octave - BINS_PER_OCTAVE_BITS, 0)
    narrow = -(-(per_octave + step) // (1 << np.maximum(BINS_PER_OCTAVE_BITS - octave, 0)))
    lower = np.where(octave >= BINS_PER_OCTAVE_BITS, wide, narrow)
    edges = np.concatenate([[0], lower, [1 << OCTAVES]]).astype(np.int64)
    edges.flags.writeable = False
    return edges
