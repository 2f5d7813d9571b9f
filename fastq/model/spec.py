"""Specs: a system, a grid of its variations, and what to measure."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from fastq.errors import SpecError
from fastq.model import resolve
from fastq.model.arrival_process import CV_KEY, PROCESS_KEYS, arrival_process
from fastq.model.arrivals import read_rates
from fastq.model.canonical import canonical_document, hash_of
from fastq.model.checks import check_arrivals, check_combinations, check_objectives, check_rates
from fastq.model.describe import ResolvedKey, resolved_keys
from fastq.model.document import OVERRIDE
from fastq.model.feasibility import infeasible_parts
from fastq.model.grid import Axis, Case, count_points
from fastq.model.law_cache import LawCache, lengths
from fastq.model.point import Point, Rates
from fastq.model.reading import Place
from fastq.model.run import MEASURES, RUN_KEYS, Run, read_run
from fastq.model.settings import SETTINGS, Layer, overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastq.model.slo import Objective

T = TypeVar("T")

_MAX_REMEMBERED = 65_536

_LAW_KEYS = frozenset(key for key in SETTINGS if key.startswith("workload."))
_REPLICA_KEYS = frozenset(key for key in SETTINGS if key.startswith("replica.")) | {"scheduler.preset"}
_TIME_KEYS = frozenset(key for key in SETTINGS if key.startswith("iteration_time.")) | {"replica.catalogue"}
_SCHEDULER_KEYS = frozenset(key for key in SETTINGS if key.startswith("scheduler."))
_FEASIBILITY_KEYS = _LAW_KEYS | {
    "replica.catalogue",
    "replica.kv_capacity_tokens",
    "replica.block_size",
    "replica.max_model_len",
    "scheduler.preset",
    "scheduler.token_convention",
}
MODE_KEYS = frozenset({"scheduler.preset", "replica.catalogue"})
"""Keys that set others: each of their values has defaults of its own."""


class Spec:
    """A grid of points and what to measure at each; made by :func:`fastq.load` or :func:`fastq.parse_spec`.

    ``len(spec)`` counts the points; nothing is stored for them, :meth:`point` makes each when it is asked
    for. A pickled spec carries the tables of its traces and catalogue entries, so that a worker elsewhere
    needs none of the files.

    Attributes
    ----------
    title
        Title.
    source
        File, or other origin, for messages.
    run
        How much is simulated.
    rates
        Arrival rates to run at, the same for all points.
    slo
        Service-level objectives, the same for all points.
    base
        Settings that hold for every point, unless a case or an axis says otherwise.
    cases
        The axis of cases, the slowest; empty without.
    axes
        The axes of the grid, the slowest first.
    origins
        Where the keys that were given come from: ``spec`` or ``--set``.
    """

    def __init__(
        self,
        *,
        title: str,
        source: str,
        run: Run,
        rates: Rates,
        slo: tuple[Objective, ...],
        base: Layer,
        cases: tuple[Case, ...],
        axes: tuple[Axis, ...],
        origins: Mapping[str, str],
    ) -> None:
        self.title, self.source, self.run, self.rates, self.slo = title, source, run, rates, slo
        self.base, self.cases, self.axes, self.origins = base, cases, axes, origins
        self._prepare()
        check_combinations(self)
        check_arrivals(self)
        check_rates(run, rates, self.place)
        check_objectives(run, slo, self.place)

    def _prepare(self) -> None:
        """Set up what is made from the rest."""
        self.laws = LawCache()
        self._length = count_points(self.cases, self.axes, self.place)
        hidden = {key for axis in self.axes for key in (axis.key, *SETTINGS[axis.key].rivals)}
        layers = [overlay(self.base, case.layer) for case in self.cases] or [dict(self.base)]
        self.case_layers: tuple[Layer, ...] = tuple(
            {key: value for key, value in layer.items() if key not in hidden} for layer in layers
        )
        place = self.place
        self._lengths = _Part(self, _LAW_KEYS, lengths)
        self._replicas = _Part(self, _REPLICA_KEYS, lambda values: resolve.replica(values, place))
        self._iteration_times = _Part(self, _TIME_KEYS, lambda values: resolve.iteration_time(values, place))
        self._schedulers = _Part(self, _SCHEDULER_KEYS, resolve.scheduler)
        self._processes = _Part(
            self, frozenset(PROCESS_KEYS), lambda values: replace(arrival_process(values), rates=self.rates)
        )

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy elsewhere needs; what can be made from it stays here."""
        names = ("title", "source", "run", "rates", "slo", "base", "cases", "axes", "origins")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        """Take over the state of another spec."""
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        return (
            f"<Spec {self.title or self.source!r}: {self._length:,} point{'' if self._length == 1 else 's'}>"
        )

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Point]:
        return (self.point(index) for index in range(self._length))

    @property
    def place(self) -> Place:
        """Where the spec stands, for messages."""
        return Place(self.source)

    @property
    def case_names(self) -> tuple[str, ...]:
        """Names of the cases; empty without."""
        return tuple(case.name for case in self.cases)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, cases first where there are any."""
        return (*((len(self.cases),) if self.cases else ()), *(len(axis.values) for axis in self.axes))

    def positions(self, index: int) -> tuple[int, ...]:
        """Return the position of a point on the axis of cases, 0 without cases, and on every other axis.

        Raises
        ------
        SpecError
            If the grid has no such point.
        """
        if not 0 <= index < self._length:
            raise SpecError(
                f"the grid has {self._length:,} points, numbered from 0 to {self._length - 1:,}"
                if self._length > 1
                else "the grid has one point, number 0",
                source=self.source,
                key="point",
                value=index,
            )
        positions = []
        for axis in reversed(self.axes):
            index, position = divmod(index, len(axis.values))
            positions.append(position)
        positions.append(index)
        positions.reverse()
        return tuple(positions)

    def point(self, index: int) -> Point:
        """Make one point."""
        positions = self.positions(index)
        return Point(
            index=index,
            case=self.cases[positions[0]].name if self.cases else None,
            axes={
                axis.key: axis.values[position]
                for axis, position in zip(self.axes, positions[1:], strict=True)
            },
            law=self.laws.law(self._lengths.at(positions)),
            arrivals=self._processes.at(positions),
            replica=self._replicas.at(positions),
            iteration_time=self._iteration_times.at(positions),
            scheduler=self._schedulers.at(positions),
        )

    def case_at(self, index: int) -> Case | None:
        """Return the case of a point; ``None`` without cases."""
        return self.cases[self.positions(index)[0]] if self.cases else None

    def given_layers(self, index: int | None) -> list[Layer]:
        """Return what is given at one point, or in every case and under every preset and catalogue entry."""
        if index is not None:
            return [self.given(self.positions(index), range(len(self.axes) + 1))]
        axes = [axis for axis in self.axes if axis.key in MODE_KEYS]
        others = {axis.key: axis.settings[0] for axis in self.axes if axis.key not in MODE_KEYS}
        return [
            {**layer, **others, **{axis.key: value for axis, value in zip(axes, values, strict=True)}}
            for layer in self.case_layers
            for values in itertools.product(*(axis.settings for axis in axes))
        ]

    def given(self, positions: Sequence[int], dimensions: Sequence[int]) -> Layer:
        """Return what is given at a position, as far as some dimensions tell; dimension 0 is the cases."""
        layer = dict(self.case_layers[positions[0] if 0 in dimensions else 0])
        for dimension in dimensions:
            if dimension:
                axis = self.axes[dimension - 1]
                layer[axis.key] = axis.settings[positions[dimension]]
        return layer

    def dimensions(self, keys: frozenset[str]) -> tuple[int, ...]:
        """Return the dimensions that vary any of some keys; dimension 0 is the cases."""
        by_case = any(key in keys for case in self.cases for key in case.layer)
        return (
            *((0,) if by_case else ()),
            *(number for number, axis in enumerate(self.axes, start=1) if axis.key in keys),
        )

    def resolved(self, index: int | None = None) -> list[ResolvedKey]:
        """List every resolved key with where its value comes from: of the whole grid, or of one point."""
        return resolved_keys(self, index)

    def canonical(self) -> dict[str, object]:
        """Describe all that decides the numbers: no title, no file names, no paths."""
        return canonical_document(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of :meth:`canonical` and of the version of the results."""
        return hash_of(self.canonical())

    def first_infeasible(self) -> tuple[int, str] | None:
        """Find the first point with a request that can never fit, and say why; ``None`` where there is none.

        Only the axes that matter are walked; and first without the larger capacities, which can't be what
        fails.
        """
        matters = self.dimensions(_FEASIBILITY_KEYS)
        shape = (len(self.case_layers), *(len(axis.values) for axis in self.axes))
        walked = [range(length) if number in matters else range(1) for number, length in enumerate(shape)]
        smallest = list(walked)
        for number, axis in enumerate(self.axes, start=1):
            if axis.key == "replica.kv_capacity_tokens":
                at = axis.settings.index(min(axis.settings, key=lambda value: cast("int", value)))
                smallest[number] = range(at, at + 1)
        if all(self._infeasible(positions) is None for positions in itertools.product(*smallest)):
            return None
        for positions in itertools.product(*walked):
            reason = self._infeasible(positions)
            if reason is not None:
                return self._index(positions), reason
        return None

    def _infeasible(self, positions: tuple[int, ...]) -> str | None:
        return infeasible_parts(
            self.laws.law(self._lengths.at(positions)),
            self._replicas.at(positions),
            self._schedulers.at(positions),
        )

    def _index(self, positions: tuple[int, ...]) -> int:
        index = positions[0]
        for axis, position in zip(self.axes, positions[1:], strict=True):
            index = index * len(axis.values) + position
        return index

    def with_run(self, **changes: object) -> Spec:
        """Return the spec with other settings of the run, as in ``spec.with_run(seed=2, requests=500)``."""
        return self._with(
            run=read_run({**_run_table(self), **changes}, self.place.at("run")),
            keys=[f"run.{key}" for key in changes],
        )

    def with_arrivals(self, **changes: object) -> Spec:
        """Return the spec with other arrivals, as in ``spec.with_arrivals(process="trace", rate_rps=[1.0, 3.0])``."""
        rates = {name: value for name, value in changes.items() if f"arrivals.{name}" not in PROCESS_KEYS}
        place = self.place.at("arrivals")
        base = dict(self.base)
        if "process" in changes:
            base.pop(CV_KEY, None)
        for name, value in changes.items():
            key = f"arrivals.{name}"
            if key in PROCESS_KEYS:
                self._refuse_varied(key, value)
                base[key] = SETTINGS[key].read(value, self.place.at(key))
        return self._with(
            base=base,
            rates=read_rates(rates, place) if rates else self.rates,
            keys=[f"arrivals.{key}" for key in changes],
        )

    def _refuse_varied(self, key: str, value: object) -> None:
        if any(axis.key == key for axis in self.axes) or any(key in case.layer for case in self.cases):
            raise self.place.at(key).error("can't be set where the grid or its cases vary it", value)

    def at_rates(self, rates_rps: Sequence[float] | str) -> Spec:
        """Return the spec that measures some arrival rates too, in place of its own: requests/s, or ``"trace"``."""
        measure = tuple(name for name in MEASURES if name in (*self.run.measure, "rates"))
        return self._with(
            run=replace(self.run, measure=measure),
            rates=read_rates({"rate_rps": rates_rps}, self.place.at("arrivals")),
            keys=["run.measure", "arrivals.rate_rps"],
        )

    def _with(
        self,
        *,
        keys: Sequence[str],
        run: Run | None = None,
        rates: Rates | None = None,
        base: Layer | None = None,
    ) -> Spec:
        return Spec(
            title=self.title,
            source=self.source,
            run=run or self.run,
            rates=rates or self.rates,
            slo=self.slo,
            base=base or self.base,
            cases=self.cases,
            axes=self.axes,
            origins={**self.origins, **dict.fromkeys(keys, OVERRIDE)},
        )


def _run_table(spec: Spec) -> dict[str, object]:
    """Return the run as it would be written, without what follows from the rest."""
    table: dict[str, object] = {name: getattr(spec.run, name) for name in RUN_KEYS}
    if spec.origins.get("run.max_requests") is None:
        del table["max_requests"]
    return {name: value for name, value in table.items() if value is not None}


class _Part(Generic[T]):
    """One small part of the points, made once for each combination of the axes that it depends on."""

    def __init__(self, spec: Spec, keys: frozenset[str], make: Callable[[Layer], T]) -> None:
        self._given, self._dimensions, self._make = spec.given, spec.dimensions(keys), make
        self._made: dict[tuple[int, ...], T] = {}

    def at(self, positions: tuple[int, ...]) -> T:
        """Return the part of the point at a position."""
        key = tuple([positions[dimension] for dimension in self._dimensions])
        part = self._made.get(key)
        if part is None:
            part = self._make(resolve.settled(self._given(positions, self._dimensions)))
            if len(self._made) >= _MAX_REMEMBERED:
                self._made.clear()
            self._made[key] = part
        return part
