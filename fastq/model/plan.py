"""Plans: which fleet serves a demand within limits? The question, as it is read from a plan file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.model.arrival_process import MAX_ROUND_ROBIN, PROCESS_KEY, ROUND_ROBIN_KEY, arrival_process
from fastq.model.lengths import LengthLaw
from fastq.model.point import POISSON, REPLAY, Rates
from fastq.model.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.model.grid import Axis
    from fastq.model.point import Arrivals
    from fastq.model.run import Run
    from fastq.model.settings import Layer
    from fastq.model.slo import Objective
    from fastq.model.trace_clock import TraceClock

HOURS = 24


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What has to be served.

    Parameters
    ----------
    layer
        Settings ``workload.*`` of a spec; where several workloads are mixed, their joint law. And those of the
        process of the arrivals at all replicas together.
    mixture
        The workloads that were mixed and their shares, as text; empty where there is one.
    rates_rps
        Arrival rates without growth, requests/s: the peak, or one for each hour of the day.
    growth
        Factor on all of them.
    """

    layer: Layer
    mixture: str
    rates_rps: tuple[float, ...]
    growth: float

    @property
    def arrivals(self) -> Arrivals:
        """Process of the arrivals at all replicas together."""
        return arrival_process({PROCESS_KEY: POISSON, **self.layer})

    @property
    def is_shared(self) -> bool:
        """Whether arrivals are dealt out to the replicas in turn, so that what each gets depends on their number.

        Poisson arrivals are not: each request goes to one of the replicas at random, however many there are.
        """
        return self.arrivals.process != POISSON

    @property
    def clock(self) -> TraceClock | None:
        """Arrivals that are replayed; ``None`` where they are drawn."""
        return self.recorded_clock if self.arrivals.process == REPLAY else None

    @property
    def recorded_clock(self) -> TraceClock | None:
        """Arrivals of the trace, replayed or not; ``None`` where the workload is none, or has no times."""
        lengths = self.layer.get("workload.trace")
        return lengths.clock if isinstance(lengths, LengthLaw) else None

    @property
    def hourly_rps(self) -> tuple[float, ...] | None:
        """Planned arrival rate in each hour of the day, requests/s; ``None`` where only the peak is given."""
        return tuple(rate * self.growth for rate in self.rates_rps) if len(self.rates_rps) > 1 else None

    @property
    def peak_rps(self) -> float:
        """Planned arrival rate at the peak, requests/s."""
        return max(self.rates_rps) * self.growth


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fleet must keep to.

    Parameters
    ----------
    objectives
        Limits of latencies; may be empty.
    target_load
        Largest share of the boundary of stability that a replica may be given.
    confidence
        Of the intervals whose lower ends count.
    """

    objectives: tuple[Objective, ...]
    target_load: float
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One kind of replica that could be bought.

    Parameters
    ----------
    name
        What tables call it.
    layer
        Settings ``replica.*``, ``iteration_time.*`` and ``scheduler.*``.
    gpus_per_replica
        GPUs of one replica.
    price_per_gpu_hour
        In the plan's currency; ``None`` where no option has a price.
    """

    name: str
    layer: Layer
    gpus_per_replica: int
    price_per_gpu_hour: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A plan file; made by :func:`fastq.model.load_plan.load_plan`.

    Parameters
    ----------
    title, source
        Title, and the file or other origin, for messages.
    currency
        What prices are in: a label.
    demand, limits, options, run
        What to serve, within what, with which replicas, and how much is simulated to tell.
    """

    title: str
    source: str
    currency: str
    demand: Demand
    limits: Limits
    options: tuple[Option, ...]
    run: Run

    def place_of(self, option: Option) -> str:
        """Return where an option stands, for messages."""
        return f"{self.source}, option {option.name!r}"

    def spec(self, option: Option, axes: Sequence[Axis] = (), replicas: int = 1) -> Spec:
        """Make the spec of one replica under the demand's workload; it has a single point.

        Parameters
        ----------
        option
            One of :attr:`options`.
        axes
            Axes of one value each that the spec is to have, in place of the settings that they vary.
        replicas
            How many share the arrivals.

        Raises
        ------
        SpecError
            If the option lacks a setting, or some don't go together.
        """
        return Spec(
            title=option.name,
            source=self.place_of(option),
            run=self.run,
            rates=Rates(),
            slo=self.limits.objectives,
            base={**self.demand.layer, **option.layer, **self._sharing(replicas)},
            cases=(),
            axes=tuple(axes),
            origins={},
        )

    def _sharing(self, replicas: int) -> Layer:
        return {ROUND_ROBIN_KEY: min(replicas, MAX_ROUND_ROBIN)} if self.demand.is_shared else {}
