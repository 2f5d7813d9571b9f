"""Which of the machine's GPUs a thread simulates on, where nobody has numbered the workers.

Tasks of an executor that fastq did not start (Dask's, the caller's own) do not know of each other, nor do two sweeps
side by side. So each thread takes the card that the fewest have taken, by a lock on a file that the system lets go
of when the thread or its process ends, however that ends.
"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.engine import worker

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TO_A_CARD = 256


def choose_card(cards: Sequence[str]) -> int:
    """Return the card that this thread simulates on, the same as long as it lives.

    Parameters
    ----------
    cards
        What identifies each card that this process can use, at least one, whatever their order elsewhere.
    """
    if worker.count() > 1 or len(cards) == 1:
        return worker.number() % len(cards)
    if _taken.claim is None or _taken.claim.cards != tuple(cards):
        _taken.claim = None
        _taken.claim = _claim(tuple(cards))
    return _taken.claim.number


class _Claim:
    """A card that is taken until this is gone."""

    def __init__(self, cards: tuple[str, ...], number: int, lock: int | None) -> None:
        self.cards, self.number, self._lock = cards, number, lock

    def __del__(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


class _Taken(threading.local):
    claim: _Claim | None = None


_taken = _Taken()


def _claim(cards: tuple[str, ...]) -> _Claim:
    for turn, number in itertools.product(range(MOST_TO_A_CARD), range(len(cards))):
        try:
            return _Claim(cards, number, _lock(f"{cards[number]}-{turn}"))
        except BlockingIOError:
            continue
        except (ImportError, OSError):
            break  # a system without such locks, or no place for them
    return _Claim(cards, random.SystemRandom().randrange(len(cards)), None)


def _lock(name: str) -> int:
    """Take the lock of that name, of this user on this machine.

    Raises
    ------
    BlockingIOError
        It is taken.
    ImportError, OSError
        There are no locks here.
    """
    import fcntl

    path = Path(tempfile.gettempdir()) / f"fastq-{os.getuid()}-{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
