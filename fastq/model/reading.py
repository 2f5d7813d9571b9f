"""Reading values that a user wrote: types, bounds and choices, with errors that say where they stand."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands.

    Parameters
    ----------
    source
        File, or other origin.
    key
        Dotted key.
    directory
        Directory that relative paths start from.
    """

    source: str
    key: str = ""
    directory: Path = Path()

    def at(self, key: str) -> Place:
        """Return the place of another key of the same source."""
        return replace(self, key=key)

    def below(self, suffix: str) -> Place:
        """Return the place of a part of this value."""
        return replace(self, key=f"{self.key}{suffix}")

    def missing(self, message: str) -> SpecError:
        """Make the error of a key that is not there."""
        return SpecError(message, source=self.source, key=self.key)

    def error(self, message: str, value: object) -> SpecError:
        """Make the error of a value that can't be used."""
        return SpecError(message, source=self.source, key=self.key, value=value)


def read_int(value: object, place: Place, low: int, high: int, unit: str = "") -> int:
    """Read a whole number between ``low`` and ``high``, both included; 1e5 is one too."""
    accepted = f"must be a whole number between {low:,} and {high:,}{unit and ' ' + unit}"
    if isinstance(value, bool) or not isinstance(value, (Integral, float)):
        raise place.error(accepted, value)
    if isinstance(value, float) and not value.is_integer():
        raise place.error(accepted, value)
    number = int(value)
    if not low <= number <= high:
        raise place.error(accepted, value)
    return number


def read_real(
    value: object, place: Place, low: float, high: float, unit: str = "", *, below_high: bool = False
) -> float:
    """Read a number between ``low`` and ``high``, the latter included unless ``below_high``."""
    accepted = (
        f"must be a number >= {shown_number(low)} and {'<' if below_high else '<='} {shown_number(high)}"
    )
    accepted += unit and " " + unit
    if isinstance(value, bool) or not isinstance(value, Real):
        raise place.error(accepted, value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not low <= number <= high or (below_high and number == high):
        raise place.error(accepted, value)
    return number + 0.0  # -0.0 and 0.0 are one value


def read_choice(value: object, place: Place, choices: Sequence[str]) -> str:
    """Read one of a few words."""
    if isinstance(value, str) and value in choices:
        return str(value)
    meant = nearest(value, choices)
    raise place.error(f"must be one of {', '.join(choices)}{meant and f'; did you mean {meant}?'}", value)


def read_bool(value: object, place: Place) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise place.error("must be true or false", value)


def read_text(value: object, place: Place, accepted: str) -> str:
    """Read a text that is not empty."""
    if isinstance(value, str) and value.strip():
        return str(value)
    raise place.error(accepted, value)


def read_table(value: object, place: Place, accepted: str) -> dict[str, object]:
    """Read a table."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise place.error(accepted, value)


def read_list(value: object, place: Place, accepted: str) -> list[object]:
    """Read a list that is not empty."""
    if isinstance(value, (list, tuple)) and value:
        return list(value)
    raise place.error(accepted, value)


def check_names(
    table: Mapping[str, object], place: Place, names: Sequence[str], required: Iterable[str]
) -> None:
    """Refuse names of a table that mean nothing, and the lack of those that are required."""
    for name in table:
        if name not in names:
            raise place.below(f".{name}").error(unknown(name, names), table[name])
    for name in required:
        if name not in table:
            raise place.error(f"{name} is missing", table)


def unknown(name: object, known: Sequence[str], meant: str = "") -> str:
    """Say that a key means nothing, which one was probably meant, and which there are."""
    meant = meant or nearest(name, known)
    return f"unknown key{meant and f'; did you mean {meant}?'} (keys here: {', '.join(known)})"


def nearest_key(key: str, known: Sequence[str]) -> str:
    """Return the dotted key that was probably meant, also one in another table; empty where there is none."""
    leaf = key.rpartition(".")[2]
    leaves = {name.rpartition(".")[2]: name for name in reversed(known)}
    return leaves.get(leaf) or nearest(key, known) or leaves.get(nearest(leaf, leaves), "")


def nearest(value: object, choices: Iterable[str]) -> str:
    """Return the choice that ``value`` was probably meant to be; empty where there is none."""
    if not isinstance(value, str) or len(value) > 200:
        return ""
    return next(iter(difflib.get_close_matches(value.strip(), list(choices), n=1)), "")


def exact(number: float) -> Fraction:
    """Return the decimal number that was written, exactly: 0.1 is one tenth, not the nearest binary."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


def round_half_up(number: Fraction) -> int:
    """Round to the nearest whole number, halves up."""
    return math.floor(number + Fraction(1, 2))


def shown_number(number: float) -> str:
    """Show a number as briefly as it can be told apart from every other: 10, not 10.0."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return repr(number)
