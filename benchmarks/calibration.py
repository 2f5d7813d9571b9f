"""A small compiled loop that tells how fast the machine is at the moment it runs.

Machines differ, and a shared one differs from minute to minute. So a cost is kept as a multiple of the time
that one step of this loop takes, timed just before and just after the work that it is compared with. A step
does what a simulator's inner loop does: integer arithmetic that depends on itself, a look-up in a table
that stays in the first-level cache, and a branch that can't be predicted.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STEPS = 1 << 20
"""Steps of one run of the loop: a few milliseconds."""

TABLE_BITS = 12


def _loop(table: NDArray[np.int32], marks: NDArray[np.int32], steps: int) -> int:
    state = 1
    total = 0
    for step in range(steps):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        place = state >> (31 - TABLE_BITS)
        value = table[place]
        # The store keeps this a branch: without it the compiler would compute both sides and select.
        if value & 1:
            total += value
            marks[place] = step
        else:
            total ^= state
    return total


@cache
def _compiled() -> Callable[[int], int]:
    table = np.random.default_rng(1).integers(0, 1 << 30, 1 << TABLE_BITS, dtype=np.int32)
    loop = njit(nogil=True)(_loop)
    loop(table, np.zeros_like(table), 1)
    return lambda steps: int(loop(table, np.zeros_like(table), steps))


def run_loop(steps: int = STEPS) -> None:
    """Run the loop once; it holds no lock of the interpreter."""
    _compiled()(steps)


def step_seconds(clock: Callable[[], float] = time.thread_time) -> float:
    """Time of one step now, seconds of ``clock``."""
    _compiled()
    began = clock()
    run_loop()
    return (clock() - began) / STEPS
