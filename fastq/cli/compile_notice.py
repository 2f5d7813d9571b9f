"""A word on standard error while kernels compile, which takes a while the first time."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S = 2.0


@contextlib.contextmanager
def compile_notice() -> Iterator[Callable[[], None]]:
    """Tell of compilation if the body is still at it after a moment.

    Yields
    ------
    Callable
        Call it when compilation is over; leaving the body does so too.
    """
    timer = threading.Timer(_PATIENCE_S, _tell)
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def _tell() -> None:
    sys.stderr.write("compiling the simulation kernels; they are kept for the next time\n")
    sys.stderr.flush()
