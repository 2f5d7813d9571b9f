"""Philox4x32-10, a counter-based generator: a pure function of a key and a counter.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np

from fastq.kernels._jit import device

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_WORD = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10


@device
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four words of 32 bits, each in a uint64, from a counter of four words and a key of two."""
    for _ in range(_ROUNDS):
        low = _MULTIPLIER_0 * c0
        high = _MULTIPLIER_1 * c2
        c0 = (high >> _WORD_BITS) ^ c1 ^ k0
        c1 = high & _WORD
        c2 = (low >> _WORD_BITS) ^ c3 ^ k1
        c3 = low & _WORD
        k0 = (k0 + _WEYL_0) & _WORD
        k1 = (k1 + _WEYL_1) & _WORD
    return c0, c1, c2, c3
