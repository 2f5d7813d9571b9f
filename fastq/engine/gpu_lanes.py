"""The lanes of a card that this thread uses: opened for a while, or kept from one block to the next."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from fastq.engine import worker
from fastq.kernels.cuda import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

LANES = 2
"""While the host reads what one has yielded, the card is busy with the other."""


class _Kept(threading.local):
    lanes: list[Lane] | None = None


_kept = _Kept()


@contextlib.contextmanager
def keep_lanes() -> Iterator[None]:
    """Let this thread keep the memory that it takes on a card until the body is left.

    Without it memory goes back after every block: a process that is no worker of a sweep may live on for long.
    """
    outer = _kept.lanes
    if outer is not None:
        yield
        return
    _kept.lanes = []
    try:
        yield
    finally:
        lanes, _kept.lanes = _kept.lanes, None
        for lane in lanes:
            lane.release()


@contextlib.contextmanager
def open_lanes() -> Iterator[list[Lane]]:
    """Lanes of the card in use, those that this thread keeps if it keeps any."""
    if worker.count() > 1 and _kept.lanes is None:
        _kept.lanes = []  # a process that was started for a sweep ends with it
    with keep_lanes():
        lanes = _kept.lanes
        assert lanes is not None
        lanes += [Lane() for _ in range(LANES - len(lanes))]
        yield list(lanes)
