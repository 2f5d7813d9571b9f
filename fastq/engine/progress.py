"""How far a sweep is: counted from any thread, told by a ticking one, shown as a bar or a line a minute."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

TICK_S = 0.25
LINE_EVERY_S = 60.0
MAX_BAR_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is.

    Parameters
    ----------
    points
        Points of this shard.
    points_kept
        Of these, points that stood finished before.
    points_done
        Points done by this run.
    requests_done
        Simulated requests that this run counted.
    elapsed_s
        Time since this run began, seconds.
    over
        Whether this is the last word.
    """

    points: int
    points_kept: int
    points_done: int
    requests_done: int
    elapsed_s: float
    over: bool = False

    @property
    def share(self) -> float:
        """Share of the shard's points that are done."""
        return min(1.0, (self.points_kept + self.points_done) / self.points) if self.points else 1.0

    @property
    def points_per_s(self) -> float:
        """Points that this run does per second."""
        return self.points_done / self.elapsed_s if self.elapsed_s > 0.0 else 0.0

    @property
    def requests_per_s(self) -> float:
        """Requests that this run simulates per second."""
        return self.requests_done / self.elapsed_s if self.elapsed_s > 0.0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Time left at the rate so far, seconds; ``None`` before the first point."""
        rest = self.points - self.points_kept - self.points_done
        return max(0, rest) / self.points_per_s if self.points_done > 0 else None

    def text(self) -> str:
        """Return the counts, rates and time left in one line."""
        parts = [f"{self.points_kept + self.points_done:,}/{self.points:,} points", f"{self.share:.0%}"]
        if self.points_done > 0:
            parts.append(f"{_three_digits(self.points_per_s)} points/s")
        if self.requests_done > 0:
            parts.append(f"{_three_digits(self.requests_per_s / 1e6)} M requests/s")
        if self.over:
            parts.append(f"{duration_text(self.elapsed_s)} taken")
        elif self.remaining_s is not None:
            parts.append(f"{duration_text(self.remaining_s)} left")
        return ", ".join(parts)


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def duration_text(seconds: float) -> str:
    """Write a duration for people: 42 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 60.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


class Tracker:
    """Adds up progress from any thread; while it is open, ``report`` is called several times a second.

    ``report`` is only ever called from one thread at a time, the last time with ``over``.
    """

    def __init__(self, points: int, points_kept: int, report: Callable[[Progress], None] | None) -> None:
        self._points, self._kept, self._report = points, points_kept, report
        self._done = self._requests = 0
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._began_s = time.monotonic()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def add(self, points: int, requests: int) -> None:
        """Count points and requests that were done since the last call."""
        with self._lock:
            self._done += points
            self._requests += requests

    def state(self, *, over: bool = False) -> Progress:
        """Return the progress so far."""
        with self._lock:
            return Progress(
                self._points, self._kept, self._done, self._requests, time.monotonic() - self._began_s, over
            )

    def __enter__(self) -> Tracker:
        self._began_s = time.monotonic()
        if self._report is not None:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._report is not None:
            self._closed.set()
            self._ticker.join()
            self._report(self.state(over=True))

    def _tick(self) -> None:
        while not self._closed.wait(TICK_S):
            if self._report is not None:
                self._report(self.state())


class Bar:
    """Draws one line over and over, for a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, progress: Progress) -> None:
        """Draw the line; the last time, end it."""
        text, columns = progress.text(), shutil.get_terminal_size().columns - 1
        width = min(MAX_BAR_WIDTH, columns - len(text) - len("[] "))
        filled = round(progress.share * max(0, width))
        bar = f"[{'#' * filled}{'-' * (width - filled)}] " if width > 0 else ""
        self._stream.write(f"\r\x1b[K{bar}{text[:columns]}" + ("\n" if progress.over else ""))
        self._stream.flush()


class Lines:
    """Writes a line a minute, and a last one, for files and pipes."""

    def __init__(self, stream: TextIO, every_s: float = LINE_EVERY_S) -> None:
        self._stream, self._every_s, self._next_s = stream, every_s, every_s

    def __call__(self, progress: Progress) -> None:
        """Write a line where it is time for one."""
        if progress.over or progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + self._every_s
            self._stream.write(f"{progress.text()}\n")
            self._stream.flush()


def reporter(stream: TextIO) -> Callable[[Progress], None]:
    """Return a bar for a terminal, a line a minute for anything else."""
    return Bar(stream) if stream.isatty() else Lines(stream)
