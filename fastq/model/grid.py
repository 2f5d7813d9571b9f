"""Grid axes and cases: what varies, and in which order.

An axis is a list of values, ``{ linear = [lo, hi, n] }`` or ``{ geometric = [lo, hi, n] }``. Cases are one
more axis, before all others, whose entries are layers of settings with a name. The first axis varies slowest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from fastq.model.duration import read_duration_ps
from fastq.model.lengths import LengthLaw
from fastq.model.reading import (
    Place,
    check_names,
    exact,
    read_int,
    read_list,
    read_real,
    read_table,
    read_text,
    round_half_up,
    unknown,
)
from fastq.model.settings import SECTIONS, SETTINGS, Layer, Setting, Value, read_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastq.model.point import Scalar

MAX_AXIS_VALUES = 1_000_000
MAX_POINTS = 10**12

_SPACINGS = ("linear", "geometric")
_ACCEPTED = "an axis is a list of values, { linear = [lo, hi, n] } or { geometric = [lo, hi, n] }"
_DIGITS = Context(prec=60)
_SNAP_DIGITS = Context(prec=40)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a grid.

    Parameters
    ----------
    key
        Dotted key that varies.
    values
        What result tables show: durations in seconds, laws as canonical text, "unlimited" as ``None``.
    kind
        Type of its column: ``float``, ``int`` or ``str``.
    settings
        The values themselves.
    """

    key: str
    values: tuple[Scalar, ...]
    kind: Literal["float", "int", "str"]
    settings: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One entry of the axis of cases: settings that vary together."""

    name: str
    layer: Layer


def read_axis(setting: Setting, value: object, place: Place) -> Axis:
    """Read the values of one axis; two that are equal are an error."""
    if isinstance(value, dict):
        settings = _spaced(setting, value, place)
    else:
        entries = read_list(value, place, f"{_ACCEPTED}; it needs at least one value")
        _check_size(len(entries), place, value)
        settings = [
            setting.read(entry, place.below(f"[{position}]")) for position, entry in enumerate(entries)
        ]
    shown = tuple(setting.show(entry) for entry in settings)
    _refuse_equals(setting, settings, shown, place, value)
    return Axis(setting.key, shown, setting.kind, tuple(settings))


def _refuse_equals(
    setting: Setting, settings: list[Value], shown: tuple[Scalar, ...], place: Place, written: object
) -> None:
    """Refuse two values that are the same, or that result tables could not tell apart."""
    first_of: dict[object, int] = {}
    for position, (entry, name) in enumerate(zip(settings, shown, strict=True)):
        identities = (name, entry.digest) if isinstance(entry, LengthLaw) else (name,)
        for identity in identities:
            first = first_of.setdefault(identity, position)
            if first != position:
                rounded = " after rounding: take fewer" if isinstance(written, dict) else ""
                both = f"values {first + 1} and {position + 1} of the axis are both {setting.text(entry)}"
                raise place.error(f"{both}{rounded}; each may stand once", written)


def check_axes(axes: tuple[Axis, ...], place: Place) -> None:
    """Refuse two axes that say the same in different ways."""
    keys = {axis.key for axis in axes}
    for axis in axes:
        for rival in SETTINGS[axis.key].rivals & keys:
            raise place.at(f"grid.{axis.key}").missing(
                f"can't be an axis together with {rival}; put both into [[cases]]"
            )


def _check_size(count: int, place: Place, value: object) -> None:
    if count > MAX_AXIS_VALUES:
        raise place.error(f"an axis holds at most {MAX_AXIS_VALUES:,} values", value)


def _spaced(setting: Setting, value: object, place: Place) -> list[Value]:
    table = read_table(value, place, _ACCEPTED)
    if not any(spacing in table for spacing in _SPACINGS):
        raise place.error(f"{_ACCEPTED}; it is no list of values", value)
    check_names(table, place, _SPACINGS, ())
    if len(table) != 1:
        raise place.error(_ACCEPTED, value)
    ((spacing, parameters),) = table.items()
    where = place.below(f".{spacing}")
    if setting.spacing is None:
        raise where.error(f"values of {setting.key} can't be spaced: list them", parameters)
    if setting.spacing == "duration":
        low, high, count = _three(parameters, where)
        ends = [
            Fraction(read_duration_ps(end, where.below(f"[{position}]")))
            for position, end in enumerate((low, high))
        ]
        return [
            round_half_up(number)
            for number in _between(spacing, ends, _count(count, where), where, parameters)
        ]
    numbers = spaced_numbers(spacing, parameters, where)
    if setting.spacing == "whole":
        return [setting.read(round_half_up(number), where) for number in numbers]
    return [setting.read(float(number), where) for number in numbers]


def spaced_numbers(spacing: str, parameters: object, place: Place) -> Iterator[Fraction]:
    """Read ``[lo, hi, n]`` and space ``n`` numbers from ``lo`` to ``hi``, both included."""
    low, high, count = _three(parameters, place)
    largest = 1e15
    ends = [
        exact(read_real(end, place.below(f"[{position}]"), -largest, largest))
        for position, end in enumerate((low, high))
    ]
    return _between(spacing, ends, _count(count, place), place, parameters)


def _three(parameters: object, place: Place) -> list[object]:
    accepted = "must be [lo, hi, n]: two ends and the number of values"
    entries = read_list(parameters, place, accepted)
    if len(entries) != 3:
        raise place.error(accepted, parameters)
    return entries


def _count(count: object, place: Place) -> int:
    return read_int(count, place.below("[2]"), 2, MAX_AXIS_VALUES, "values")


def _between(
    spacing: str, ends: list[Fraction], count: int, place: Place, parameters: object
) -> Iterator[Fraction]:
    low, high = ends
    if spacing == "linear":
        return (low + (high - low) * position / (count - 1) for position in range(count))
    if low <= 0 or high <= 0:
        raise place.error("both ends of a geometric axis must be above 0; take linear instead", parameters)
    return _geometric(low, high, count)


def _geometric(low: Fraction, high: Fraction, count: int) -> Iterator[Fraction]:
    """Space numbers evenly in their logarithm, in decimals, so that every machine finds the same.

    Sixty digits are carried and forty kept: values that are whole come out whole.
    """
    ratio = high / low
    log_step = _DIGITS.divide(
        _DIGITS.ln(_DIGITS.divide(Decimal(ratio.numerator), Decimal(ratio.denominator))), Decimal(count - 1)
    )
    step = _DIGITS.exp(log_step)
    number = _DIGITS.divide(Decimal(low.numerator), Decimal(low.denominator))
    yield low
    for _ in range(count - 2):
        number = _DIGITS.multiply(number, step)
        yield Fraction(_SNAP_DIGITS.plus(number))
    yield high


def read_cases(value: object, place: Place, axes: tuple[Axis, ...]) -> tuple[Case, ...]:
    """Read the list ``[[cases]]``: each entry a name and settings that no axis varies too."""
    entries = read_list(value, place, "must be a list of at least one table, each with a name and settings")
    _check_size(len(entries), place, value)
    cases: list[Case] = []
    names = set()
    for position, entry in enumerate(entries):
        case = _read_case(entry, place.below(f"[{position}]"))
        if case.name in names:
            raise place.below(f"[{position}].name").error("every case needs a name of its own", case.name)
        names.add(case.name)
        for axis in axes:
            for key in (axis.key, *SETTINGS[axis.key].rivals):
                if key in case.layer:
                    raise place.below(f"[{position}].{key}").missing(
                        f"case {case.name!r} sets what the axis {axis.key} varies; give it in one of the two"
                    )
        cases.append(case)
    return tuple(cases)


def _read_case(value: object, place: Place) -> Case:
    table = dict(read_table(value, place, "must be a table with a name and settings"))
    if "name" not in table:
        raise place.below(".name").missing('every case needs a name, as in name = "2:1"')
    case = read_text(table.pop("name"), place.below(".name"), "must be a text that is not empty")
    for key, entry in table.items():
        section = key.partition(".")[0]
        if section in ("run", "grid", "title"):
            raise place.below(f".{key}").error(
                f"a case holds settings of {', '.join(SECTIONS)}; {section} is the same for every point",
                entry,
            )
        inner = entry if isinstance(entry, dict) and key == "arrivals" else {}
        for name in (key, *(f"{key}.{leaf}" for leaf in inner)):
            if name in ("arrivals.rate_rps", "arrivals.load"):
                raise place.below(f".{name}").error(
                    "rates and loads are the same for every point, a list in [arrivals]", entry
                )
        if section not in SECTIONS:
            raise place.below(f".{key}").error(unknown(section, ("name", *SECTIONS)), entry)
    return Case(case, read_layer(table, place))


def count_points(cases: tuple[Case, ...], axes: tuple[Axis, ...], place: Place) -> int:
    """Count the points of a grid; a grid that is too large to number is an error."""
    count = max(1, len(cases)) * math.prod(len(axis.values) for axis in axes)
    if count > MAX_POINTS:
        raise place.missing(f"the grid has {count:,} points; at most {MAX_POINTS:,} are supported")
    return count
