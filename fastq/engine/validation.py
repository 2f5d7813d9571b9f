"""Predictions beside published measurements and exact answers: nothing is tuned to any of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from fastq.analysis.intervals import Interval, mean_interval
from fastq.closed_forms import closed_forms
from fastq.engine.backend import warm_up
from fastq.engine.evaluate import evaluate_point
from fastq.errors import SpecError
from fastq.model.load import load_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastq.engine.point_result import PointResult
    from fastq.model.point import Point
    from fastq.model.spec import Spec
    from fastq.model.validation_file import Kind, Measurement

AIMS: dict[Kind, float] = {"counts": 0.10, "throughput": 0.03, "end to end": 0.15, "exact": 0.01}
"""How far a prediction may lie off, by what it is given: relative error."""

Value = float | str

System = tuple[str, tuple[tuple[str, str], ...]]
"""A grid and what is laid over it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What fastq says at one point.

    Parameters
    ----------
    point
        Its index in the grid.
    value
        The estimate; or a word.
    low, high
        Ends of its 95% interval; a word has none.
    closed_form
        What theory says; ``None`` where it says nothing.
    """

    point: int
    value: Value
    low: float | None
    high: float | None
    closed_form: Value | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measurement and its predictions, one for each setting that its source leaves open.

    Parameters
    ----------
    measurement
        The value, and where it comes from.
    predictions
        One or more.
    """

    measurement: Measurement
    predictions: tuple[Prediction, ...]

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest end of all intervals; ``None`` for words."""
        lows = [each.low for each in self.predictions if each.low is not None]
        highs = [each.high for each in self.predictions if each.high is not None]
        return (min(lows), max(highs)) if lows else None

    @property
    def errors(self) -> tuple[float, float] | None:
        """Lowest and highest relative error of the estimates; ``None`` for words.

        A reported range counts by its middle. An exact one says that the start decides: each end of the interval,
        then the range of the replications, is held against its own.
        """
        return self._errors([each.value for each in self.predictions], self.range)

    @property
    def closed_form_errors(self) -> tuple[float, float] | None:
        """The same of theory; ``None`` where it says nothing, or words."""
        values = [each.closed_form for each in self.predictions if each.closed_form is not None]
        return self._errors(values, self.closed_form_range)

    @property
    def closed_form_range(self) -> tuple[float, float] | None:
        """Lowest and highest value of theory."""
        values = [each.closed_form for each in self.predictions if isinstance(each.closed_form, float)]
        return (min(values), max(values)) if values else None

    @property
    def largest_error(self) -> float:
        """Of all settings: relative and without its sign; infinite for a word that differs."""
        if self.errors is not None:
            return max(map(abs, self.errors))
        return 0.0 if all(each.value == self.measurement.measured for each in self.predictions) else inf

    @property
    def smallest_error(self) -> float:
        """Of all settings: relative and without its sign; infinite where every word differs."""
        if self.errors is not None:
            low, high = self.errors
            return 0.0 if low < 0 < high else min(abs(low), abs(high))
        return 0.0 if any(each.value == self.measurement.measured for each in self.predictions) else inf

    @property
    def holds(self) -> str:
        """Whether the aim is met: ``yes``, ``no``, or ``by setting`` where it depends on what is not reported."""
        aim = AIMS[self.measurement.kind]
        if self.largest_error <= aim:
            return "yes"
        return "by setting" if self.smallest_error <= aim else "no"

    def _errors(
        self, values: Sequence[Value], found: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        measured = self.measurement.measured
        numbers = [value for value in values if isinstance(value, float)]
        if isinstance(measured, str) or not numbers:
            return None
        low, high = measured
        if self.measurement.kind == "exact" and found is not None:
            errors = (found[0] / low - 1, found[1] / high - 1) if low < high else (numbers[0] / low - 1,) * 2
            return min(errors), max(errors)
        middle = (low + high) / 2
        return min(numbers) / middle - 1, max(numbers) / middle - 1


def compare(
    measurements: Sequence[Measurement], *, threads: int, done: Callable[[int, int], None] | None = None
) -> list[Comparison]:
    """Predict each measurement; points that several of them need are simulated once.

    Parameters
    ----------
    measurements
        What was measured.
    threads
        Threads to use.
    done
        Told of (points that are simulated, all of them).

    Raises
    ------
    SpecError
        A measurement names a setting, a point or a column that is not there.
    """
    systems = {_system(each): load_spec(*_system(each)) for each in measurements}
    chosen = [_points(systems[_system(each)], each) for each in measurements]
    at_rates = {
        (_system(each), point.index): each.needs_rates
        for each, points in sorted(
            zip(measurements, chosen, strict=True), key=lambda pair: pair[0].needs_rates
        )
        for point in points
    }
    results = {}
    for number, ((system, index), with_rates) in enumerate(at_rates.items()):
        spec = systems[system] if with_rates else systems[system].with_run(measure=["boundary"])
        results[system, index] = evaluate_point(spec, index, threads=threads)
        if done is not None:
            done(number + 1, len(at_rates))
    return [
        Comparison(
            each, tuple(_predict(each, point, results[_system(each), point.index]) for point in points)
        )
        for each, points in zip(measurements, chosen, strict=True)
    ]


def warm_up_for(measurements: Sequence[Measurement]) -> None:
    """Compile, or load from the cache, all kernels that :func:`compare` needs."""
    for system in dict.fromkeys(_system(each) for each in measurements):
        warm_up(load_spec(*system))


def _system(measurement: Measurement) -> System:
    return measurement.grid, measurement.overrides


def _points(spec: Spec, measurement: Measurement) -> list[Point]:
    wanted = dict(measurement.where)
    points = [
        point
        for point in spec
        if all(({"case": point.case} | point.axes).get(key) == value for key, value in wanted.items())
    ]
    if not points:
        raise SpecError(
            f"no point of {spec.source} has these values", source=measurement.what, key="where", value=wanted
        )
    return points


def _predict(measurement: Measurement, point: Point, result: PointResult) -> Prediction:
    row = _row(measurement, result)
    if measurement.column not in row:
        raise SpecError(
            f"no such column; there are: {', '.join(row)}",
            source=measurement.what,
            key="column",
            value=measurement.column,
        )
    theory = _theory(measurement, point, row)
    value = row[measurement.column]
    if isinstance(value, str):
        return Prediction(point.index, value, None, None, theory)
    interval = _interval(measurement, row, result)
    times = measurement.replicas
    return Prediction(
        point.index,
        value * times,
        interval.low * times,
        interval.high * times,
        theory * times if isinstance(theory, float) else theory,
    )


def _row(measurement: Measurement, result: PointResult) -> dict[str, Any]:
    if not measurement.needs_rates:
        return result.point
    for row in result.rates:
        if row["arrival_rate_rps"] == measurement.rate_rps or row["load"] == measurement.load:
            return row
    raise SpecError(
        "nothing runs at this rate",
        source=measurement.what,
        key="load" if measurement.rate_rps is None else "rate_rps",
        value=measurement.load if measurement.rate_rps is None else measurement.rate_rps,
    )


def _interval(measurement: Measurement, row: dict[str, Any], result: PointResult) -> Interval:
    """Return the column's own interval; where it has none, that of its mean over the saturated replications."""
    column = measurement.column
    for low, high in (
        (f"{column}_low", f"{column}_high"),
        (column.replace("_rps", "_low_rps"), column.replace("_rps", "_high_rps")),
    ):
        if low in row and low != column:
            return Interval(row[column], row[low], row[high])
    return mean_interval([each[column] for each in result.replications if each["arrival_rate_rps"] is None])


def _theory(measurement: Measurement, point: Point, row: dict[str, Any]) -> Value | None:
    if measurement.closed_form is None:
        return None
    if measurement.closed_form == "verdict":
        return "stable" if row["load"] < 1 else "unstable"
    value: Value = getattr(closed_forms(point), measurement.closed_form)
    return value
