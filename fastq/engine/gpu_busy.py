"""How long a card was busy: the time in which any kernel of any lane ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.kernels.cuda import Clock

if TYPE_CHECKING:
    from fastq.kernels.cuda import Lane


class Busy:
    """Adds up the time that kernels took on the card in use, once where they ran side by side.

    Attributes
    ----------
    seconds
        Time so far; 0 in numba's simulator, which measures none.
    """

    def __init__(self) -> None:
        self._clock, self._until_s = Clock(), 0.0
        self.seconds = 0.0

    def add(self, lane: Lane) -> None:
        """Count the last kernel of ``lane``, which is over; they come about in the order in which they began."""
        began_s, ended_s = lane.kernel_span_s(self._clock)
        if ended_s > self._until_s:
            self.seconds += ended_s - max(began_s, self._until_s)
            self._until_s = ended_s
