"""Stopping a sweep on SIGINT or SIGTERM without losing a finished block."""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepInterrupted(KeyboardInterrupt):
    """A signal stopped the sweep. Finished blocks are kept, and the same command goes on from there.

    Parameters
    ----------
    signum
        The signal: SIGINT or SIGTERM; a command exits with 128 + ``signum``.
    out
        Where the data set lives.
    blocks_done, blocks
        Finished blocks, and all blocks, of this shard.
    points_done, points
        Points in them.
    """

    def __init__(
        self, signum: int, *, out: str, blocks_done: int, blocks: int, points_done: int, points: int
    ) -> None:
        self.signum, self.out = signal.Signals(signum), out
        self.blocks_done, self.blocks = blocks_done, blocks
        self.points_done, self.points = points_done, points
        super().__init__(
            f"interrupted by {self.signum.name}: {blocks_done:,} of {blocks:,} blocks "
            f"({points_done:,} of {points:,} points) are finished and kept in {out}. "
            "Run the same command again to go on from there."
        )

    @property
    def exit_status(self) -> int:
        """Exit status of a command that was interrupted so: 130 or 143."""
        return 128 + self.signum


@dataclass(slots=True)
class Caught:
    """The signal that asked the sweep to stop; ``None`` so far."""

    signum: int | None = None


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[Caught]:
    """Set ``stop`` on the first SIGINT or SIGTERM; a second one raises ``KeyboardInterrupt`` at once.

    Outside the main thread, where Python allows no handlers, signals are left alone; so is one that the
    process was started to ignore.
    """
    caught = Caught()

    def handle(signum: int, frame: FrameType | None) -> None:
        if caught.signum is not None:
            raise KeyboardInterrupt
        caught.signum = signum
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(signum, handle)
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            if handler is not None:
                signal.signal(signum, handler)
