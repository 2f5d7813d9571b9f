"""One resolved configuration: what a simulation or a closed form takes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.model.iteration_time import IterationTime
    from fastq.model.lengths import LengthLaw
    from fastq.model.replica import Replica
    from fastq.model.scheduler import Scheduler

Scalar = str | int | float | None

POISSON, REPLAY = "poisson", "trace"
"""The arrival process by default, and the one that replays a trace."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Arrival rates to run at: one of the three with measure ``rates``; without that measure nothing runs at them.

    Parameters
    ----------
    rates_rps
        Requests/s.
    loads
        Shares of the point's ``theory_rate_rps``.
    recorded
        That of the trace that is replayed, by its own clock.
    """

    rates_rps: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    recorded: bool = False

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.rates_rps or self.loads or self.recorded)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """An arrival process and the rates to run it at.

    Parameters
    ----------
    process
        ``poisson``, ``gamma``, ``weibull``, ``deterministic``, or ``trace``: the requests of ``workload.trace`` in
        their order, with its interarrival times stretched to the rate.
    rates
        To run at.
    interarrival_cv
        Coefficient of variation of the interarrival times, of ``gamma`` and ``weibull``; ``None`` for the others,
        which leave no choice.
    round_robin
        Replicas that the arrivals are dealt out to in turn: this one gets every nth. Rates are its own, the
        process is that of all of them together.
    """

    process: str = POISSON
    rates: Rates = Rates()
    interarrival_cv: float | None = None
    round_robin: int = 1


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a grid, fully resolved.

    Parameters
    ----------
    index
        Position in the grid, first axis slowest.
    case
        Name of the case; ``None`` without cases.
    axes
        Value of every grid axis, by dotted key, as a result table shows it (durations in seconds, laws as
        canonical text, "unlimited" limits as null).
    law
        Law of the lengths, scaled.
    arrivals
        Process and rates; the rates are the same for all points.
    replica, iteration_time, scheduler
        The system.
    """

    index: int
    case: str | None
    axes: dict[str, Scalar]
    law: LengthLaw
    arrivals: Arrivals
    replica: Replica
    iteration_time: IterationTime
    scheduler: Scheduler

    def digest(self) -> str:
        """Return the SHA-256 of what decides the point's numbers, whatever its position, names and rates."""
        scheduler = self.scheduler
        document = [
            self.law.digest,
            self._arrivals(),
            astuple(self.replica),
            self.iteration_time.document(),
            [scheduler.admission, scheduler.preemption, scheduler.token_convention],
        ]
        return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()

    def _arrivals(self) -> object:
        """What decides when requests arrive, but for the rate."""
        arrivals, clock = self.arrivals, self.law.clock
        if arrivals.process == REPLAY and clock is not None:
            return [arrivals.process, clock.digest, arrivals.round_robin]
        if arrivals.interarrival_cv is None and arrivals.round_robin == 1:
            return arrivals.process
        return [arrivals.process, arrivals.interarrival_cv, arrivals.round_robin]
