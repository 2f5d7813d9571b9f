"""When a point under a backlog has run long enough: looked at where all its replications have come equally far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.analysis.ergodicity import is_nonergodic
from fastq.analysis.intervals import Interval, pooled_throughput
from fastq.analysis.verdict import VERDICT_CONFIDENCE
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.account import sample_of

if TYPE_CHECKING:
    from fastq.analysis.replication import Replication
    from fastq.model.point import Point
    from fastq.model.run import Run

WINDOW_PER_RUNNING = 20
"""A window under this many requests for each one running is marked ``short``."""


@dataclass(frozen=True, slots=True)
class Saturated:
    """What an infinite backlog shows of a point.

    Parameters
    ----------
    replications
        At least two.
    expected
        Theory's rate for the work that each did for a completion, over its rate for the law.
    service_rate, decisive
        Throughput with its 95% interval, and with the wider one that verdicts are read off.
    status
        ``ok``, ``short``, ``capped`` or ``nonergodic``.
    """

    replications: list[Replication]
    expected: list[float]
    service_rate: Interval
    decisive: Interval
    status: str


class Checkpoints:
    """Decides how far the replications of a point run: in doublings, until the interval is as narrow as asked.

    All looks and all stops are here, and see integers only, so that whatever carries the replications on stops
    them at the same place.

    Parameters
    ----------
    point
        Its theory takes the noise of the sampled lengths out of the estimate.
    run
        Its requests, precision and cap.

    Attributes
    ----------
    requests
        Completions in the window of every replication at which to look next.
    """

    def __init__(self, point: Point, run: Run) -> None:
        self._theory = sampled_theory(point)
        self._run, self._precise = run, True
        self.requests = run.requests

    def passed(self, replications: list[Replication]) -> bool:
        """Look at the replications at ``requests``: whether they may stop; else ``requests`` has grown."""
        run = self._run
        if run.precision is None:
            return True
        interval = pooled_throughput(replications, self._expected(replications))
        self._precise = interval.relative_half_width <= run.precision
        if self._precise or self.requests >= run.max_requests:
            return True
        self.requests = min(2 * self.requests, run.max_requests)
        return False

    def conclude(self, replications: list[Replication]) -> Saturated:
        """Say what the replications show that have passed."""
        expected = self._expected(replications)
        interval = pooled_throughput(replications, expected)
        if is_nonergodic(replications):
            throughputs = [replication.throughput_rps for replication in replications]
            spread = Interval(interval.estimate, min(throughputs), max(throughputs))
            return Saturated(replications, expected, spread, spread, "nonergodic")
        decisive = pooled_throughput(replications, expected, confidence=VERDICT_CONFIDENCE)
        if not self._precise:
            return Saturated(replications, expected, interval, decisive, "capped")
        running = max(r.running_sum / r.iterations for r in replications)
        short = self.requests < WINDOW_PER_RUNNING * running
        return Saturated(replications, expected, interval, decisive, "short" if short else "ok")

    def _expected(self, replications: list[Replication]) -> list[float]:
        return [self._theory.ratio(sample_of(replication)) for replication in replications]
