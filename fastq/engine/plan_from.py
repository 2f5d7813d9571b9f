"""Plans from a finished sweep: what a replica can do is interpolated between the points of the grid.

Theory carries the shape: what is interpolated is the simulated boundary over theory's, which is smooth and near 1, and
theory is exact at the place that is asked. So is what binds there. Where two constraints bind alike, though, the ratio
has a dip, a few percent deep, that a grid may miss: where not the same constraint binds at the place and at all points
around it, the farthest of them bounds the error too.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.analysis.fleet import Capacity
from fastq.analysis.interpolation import bracket, corners, farthest, interpolate, on_line
from fastq.analysis.intervals import Interval, at_confidence
from fastq.closed_forms import closed_forms
from fastq.engine.plan_latencies import interpolated_latencies
from fastq.engine.plan_result import PlannedOption, PlanResult, ReplicaFigures, cannot_run, sized
from fastq.errors import SpecError, StoreError
from fastq.model.canonical import canonical_document
from fastq.model.feasibility import infeasible_reason
from fastq.model.grid import Axis
from fastq.model.reading import shown_number
from fastq.model.resolve import resolve
from fastq.model.settings import SETTINGS
from fastq.model.slo import Objective
from fastq.model.spec import MODE_KEYS
from fastq.model.version import RESULTS_VERSION
from fastq.store.location import open_location
from fastq.store.manifest import require_manifest
from fastq.store.reader import read

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.analysis.interpolation import Bracket, Scalar
    from fastq.model.plan import Option, Plan
    from fastq.model.point import Point
    from fastq.model.spec import Spec
    from fastq.store.manifest import Manifest

_MOST_SHOWN = 6
_STATUSES = ("nonergodic", "metastable", "short", "capped", "ok")
"""The first of those around a place is told of it."""


def answer_from(plan: Plan, location: str | os.PathLike[str]) -> PlanResult:
    """Work a plan out from a data set, with nothing simulated.

    Parameters
    ----------
    plan
        The question. Settings that the data set does not vary must be those that it was made with.
    location
        Directory or ``pyarrow.fs`` URI that a sweep wrote.

    Raises
    ------
    SpecError
        If an option lies outside of the grid or differs from it, or the data set does not know the plan's limits.
    StoreError
        If there is no data set, or a point that an option needs is not finished.
    """
    grid = _Grid(plan, location)
    options = tuple(grid.planned(option) for option in plan.options)
    return PlanResult(plan, options, grid.name, tuple(grid.notes))


class _Grid:
    """A data set as arrays: a dimension for the cases, then one for each axis."""

    def __init__(self, plan: Plan, location: str | os.PathLike[str]) -> None:
        self._plan, self._location = plan, location
        self.manifest: Manifest = require_manifest(open_location(location))
        self.name, self.notes = str(location), list[str]()
        canonical = self.manifest.document["canonical"]
        self._settings: list[dict[str, Any]] = canonical["settings"]
        self._replications = int(canonical["run"]["replications"])
        self._cases: list[str] = self.manifest.document["cases"]
        self._keys = [axis["key"] for axis in self.manifest.document["axes"]]
        self._shape = (
            max(1, len(self._cases)),
            *(int(axis["values"]) for axis in self.manifest.document["axes"]),
        )
        measured = "rates" in self.manifest.tables
        self._loads: list[float] = list(canonical["arrivals"].get("load") or []) if measured else []
        self._limited = bool(plan.limits.objectives)
        self._check_arrivals()
        if self._limited:
            self._check_objectives(canonical)
        self._read()
        self._tell(canonical)

    def _check_arrivals(self) -> None:
        if self._plan.demand.is_shared:
            raise SpecError(
                "a data set knows one number of replicas that share bursts, and a plan tries many; leave --from out "
                "and simulate, or plan for Poisson arrivals",
                source=self._plan.source,
                key="demand.arrivals",
                value=self._plan.demand.arrivals.process,
            )

    def _check_objectives(self, canonical: Mapping[str, Any]) -> None:
        wanted = [[one.latency, one.percentile, one.at_most_ps] for one in self._plan.limits.objectives]
        if canonical.get("slo") != wanted:
            texts = ", ".join(f"{one.latency} {one.text}" for one in self._plan.limits.objectives)
            has = canonical.get("slo")
            there = "was not swept with limits"
            if has is not None:
                shown = [f"{name} {Objective(name, share, ps).text}" for name, share, ps in has]
                there = f"was swept with {', '.join(shown)}"
            raise SpecError(
                f"the plan's limits are {texts}, and the data set {self.name} {there}: sweep with measure "
                '"slo" and the same [slo], leave the limits out, or leave --from out and simulate',
                source=self._plan.source,
                key="limits",
            )

    def _tell(self, canonical: Mapping[str, Any]) -> None:
        if self.manifest.results_version != RESULTS_VERSION:
            self.notes.append(
                f"{self.name} was made by another version of fastq, whose numbers may differ "
                f"(results {self.manifest.results_version}, here {RESULTS_VERSION})"
            )
        if not self._loads:
            self.notes.append(
                f'no latencies: {self.name} has none (they need run.measure = ["rates"] and arrivals.load)'
            )

    def _read(self) -> None:
        rates = ["service", "slo"] if self._limited else ["service"]
        names = [f"{rate}_rate{end}_rps" for rate in rates for end in ("", "_low", "_high")]
        words = ["status", "binding", *(["slo_limit"] if self._limited else [])]
        columns = [*names, "theory_rate_rps", *words]
        table = read(self._location, columns=["point", *self._keys, *columns])
        if table.num_rows == 0:
            raise StoreError(
                f"{self.name} holds no finished block yet; 'fastq status {self.name}' says how far it is."
            )
        points = table.column("point").to_numpy()
        self._fields = {name: self._spread(table, points, name) for name in (*names, "theory_rate_rps")}
        self._words = {name: _Words(table, points, name) for name in words}
        positions = np.unravel_index(points, self._shape)
        self._lines = [
            _values(table, key, position, length)
            for key, position, length in zip(self._keys, positions[1:], self._shape[1:], strict=True)
        ]

    def _spread(self, table: pa.Table, points: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        field = np.full(math.prod(self._shape), np.nan)
        field[points] = table.column(name).to_numpy()
        return field.reshape(self._shape)

    def planned(self, option: Option) -> PlannedOption:
        """Work out one option."""
        brackets, spec = self._locate(option)
        point = spec.point(0)
        reason = infeasible_reason(point)
        if reason is not None:
            return cannot_run(option, reason)
        self._refuse_holes(option, brackets)
        figures = self._figures(point, brackets)
        planned = sized(self._plan, option, lambda _: figures)
        if planned.fleet is None or not self._loads:
            return planned
        boundary = self._fields["service_rate_rps"] / self._fields["theory_rate_rps"]
        load = planned.fleet.load.estimate
        latencies = interpolated_latencies(self._location, self._loads, boundary, brackets, load)
        if not latencies:
            self.notes.append(
                f"no latencies of {option.name}: {self.name} was not measured on both sides of its load, {load:.3g} of "
                f"the boundary (measured: {min(self._loads):g} to {max(self._loads):g} of theory's rate)"
            )
        return replace(planned, latencies=latencies)

    def _locate(self, option: Option) -> tuple[list[Bracket], Spec]:
        """Find an option in the grid, and make its spec, with the axes of the grid."""
        resolved = resolve({**self._plan.demand.layer, **option.layer})
        axes, brackets = [], []
        for key, lines in zip(self._keys, self._lines, strict=True):
            place = self._plan.place_of(option)
            if key not in resolved:
                raise SpecError(f"is an axis of {self.name}; the plan must set it", source=place, key=key)
            setting = SETTINGS[key]
            shown = setting.show(resolved[key].value)
            found = bracket(lines, shown)
            if found is None:
                raise SpecError(
                    f"lies outside of the grid {self.name}, which holds {_range(lines)}; nothing is extrapolated: "
                    "sweep a wider grid, or leave --from out and simulate",
                    source=place,
                    key=key,
                    value=shown,
                )
            brackets.append(found)
            axes.append(Axis(key, (shown,), setting.kind, (resolved[key].value,)))
        spec = self._plan.spec(option, axes)
        return [on_line(self._case(option, spec, brackets)), *brackets], spec

    def _case(self, option: Option, spec: Spec, brackets: Sequence[Bracket]) -> int:
        """Find the case whose settings are the option's; without cases, check the settings."""
        wanted = json.loads(json.dumps(canonical_document(spec)["settings"]))[0]
        modes = [number for number, key in enumerate(self._keys) if key in MODE_KEYS]
        mode = 0
        for number in modes:
            mode = mode * self._shape[1 + number] + brackets[number].lines.indices[0]
        per_case = math.prod(self._shape[1 + number] for number in modes)
        differing = []
        for case in range(self._shape[0]):
            there = self._settings[case * per_case + mode]
            keys = [key for key in dict.fromkeys((*wanted, *there)) if wanted.get(key) != there.get(key)]
            if not keys:
                return case
            differing.append((keys, there))
        keys, there = min(differing, key=lambda each: len(each[0]))
        texts = [
            f"{key}: {_text(there.get(key))} there, {_text(wanted.get(key))} in the plan"
            for key in keys[:_MOST_SHOWN]
        ]
        raise SpecError(
            f"differs from {self.name} in what that data set does not vary ({'; '.join(texts)}): sweep a grid with "
            "these settings, or leave --from out and simulate",
            source=self._plan.place_of(option),
        )

    def _refuse_holes(self, option: Option, brackets: Sequence[Bracket]) -> None:
        rates = self._fields["service_rate_rps"]
        for positions in itertools.product(*(each.lines.indices for each in brackets)):
            if not math.isnan(rates[positions]):
                continue
            index = self._point(positions)
            word = self._words["status"].at(index)
            why = "could not run" if word == "skipped" else "is not finished"
            raise StoreError(
                f"{self._plan.place_of(option)}: point {index} of {self.name}, which is next to it in the grid, {why}; "
                "finish the sweep, or leave --from out and simulate."
            )

    def _point(self, positions: Sequence[int]) -> int:
        """Return the index of a point from its lines."""
        return int(np.ravel_multi_index(tuple(positions), self._shape))

    def _around(self, name: str, brackets: Sequence[Bracket]) -> set[str]:
        """Return the words of the grid points around a place."""
        words = (
            self._words[name].at(self._point(positions))
            for positions in itertools.product(*(each.lines.indices for each in brackets))
        )
        return {word for word in words if word is not None}

    def _figures(self, point: Point, brackets: Sequence[Bracket]) -> ReplicaFigures:
        forms = closed_forms(point)
        status = min(self._around("status", brackets), key=_STATUSES.index)
        bindings = {forms.binding, *self._around("binding", brackets)}
        boundary, error = self._rate(
            "service_rate",
            brackets,
            forms.theory_rate_rps,
            scaled=status != "nonergodic",
            alike=len(bindings) == 1,
        )
        limits, limit = None, None
        if self._limited:
            limit = self._words["slo_limit"].at(self._point([each.lines.nearest for each in brackets]))
            alike = len(bindings) == 1 and len(self._around("slo_limit", brackets)) == 1
            found, _ = self._rate("slo_rate", brackets, forms.theory_rate_rps, scaled=True, alike=alike)
            limits = Interval(found.estimate, found.low, min(found.high, boundary.high))
        capacity = Capacity(boundary, limits, limit, self._plan.limits.target_load)
        return ReplicaFigures(capacity, forms, status, error)

    def _rate(
        self, name: str, brackets: Sequence[Bracket], theory_rps: float, *, scaled: bool, alike: bool
    ) -> tuple[Interval, float]:
        """Interpolate a rate over theory's, and tell the error as a share; a rate that no limit lets through is 0.

        The interval is that of the points around the place and the error of the interpolation, added up.
        """
        theory = self._fields["theory_rate_rps"]
        field, low, high = (
            np.where(np.isnan(theory), np.nan, np.nan_to_num(self._fields[f"{name}{end}_rps"])) / theory
            for end in ("", "_low", "_high")
        )
        at, error = interpolate(field, brackets)
        if not alike:
            error = max(error, farthest(field, brackets, at))
        half = float(corners(np.maximum(high - field, field - low), brackets).max())
        own = Interval(at, at - half, at + half)
        if scaled:
            own = at_confidence(own, replications=self._replications, confidence=self._plan.limits.confidence)
        interval = Interval(
            at * theory_rps, max(0.0, own.low - error) * theory_rps, (own.high + error) * theory_rps
        )
        return interval, error / at if at > 0 else 0.0


class _Words:
    """A column of words, looked up by point."""

    def __init__(self, table: pa.Table, points: NDArray[np.int64], name: str) -> None:
        self._column, self._points = table.column(name), points

    def at(self, point: int) -> str | None:
        """Return the word of a point; ``None`` where it has none or is not finished."""
        row = int(np.searchsorted(self._points, point))
        if row == len(self._points) or self._points[row] != point:
            return None
        word: str | None = self._column[row].as_py()
        return word


def _values(table: pa.Table, key: str, positions: NDArray[np.intp], length: int) -> list[Scalar]:
    """Return the value of each line of an axis as the table shows it; an empty text, which no value is, where none."""
    lines, rows = np.unique(positions, return_index=True)
    values: list[Scalar] = [""] * length
    for line, value in zip(lines.tolist(), table.column(key).take(rows).to_pylist(), strict=True):
        values[line] = value
    return values


def _range(lines: Sequence[Scalar]) -> str:
    numbers = [line for line in lines if isinstance(line, int | float)]
    words = [line or "unlimited" for line in lines if line is None or (isinstance(line, str) and line)]
    parts = [f"{shown_number(min(numbers))} to {shown_number(max(numbers))}"] if numbers else []
    parts += words[:_MOST_SHOWN] + (["..."] if len(words) > _MOST_SHOWN else [])
    return ", ".join(parts)


def _text(value: object) -> str:
    if isinstance(value, dict) and "sha256" in value:
        return f"lengths {value['sha256'][:8]}"
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
