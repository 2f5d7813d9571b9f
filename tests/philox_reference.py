"""Philox4x32-10 in plain Python integers (Salmon, Moraes, Dror, Shaw, "Parallel random numbers", SC 2011).

It shares no code with the kernels. `KNOWN_ANSWERS` are those published with the authors' Random123 library.
"""

from __future__ import annotations

Words4 = tuple[int, int, int, int]
Words2 = tuple[int, int]

WORD = 2**32
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)

KNOWN_ANSWERS: tuple[tuple[Words4, Words2, Words4], ...] = (
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def philox4x32_10(counter: Words4, key: Words2) -> Words4:
    """Turn a counter of four 32-bit words and a key of two into four random 32-bit words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0 = MULTIPLIERS[0] * c0
        product1 = MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 // WORD) ^ c1 ^ k0,
            product1 % WORD,
            (product0 // WORD) ^ c3 ^ k1,
            product0 % WORD,
        )
        k0 = (k0 + KEY_STEPS[0]) % WORD
        k1 = (k1 + KEY_STEPS[1]) % WORD
    return c0, c1, c2, c3
