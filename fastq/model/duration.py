"""Durations as text with a unit, to whole picoseconds by exact decimal arithmetic."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from fastq.model.reading import round_half_up

if TYPE_CHECKING:
    from fastq.model.reading import Place

PS_PER_S = 10**12
MAX_DURATION_PS = 1000 * PS_PER_S

UNITS_PS = {
    "ps": 1,
    "ns": 10**3,
    "us": 10**6,
    "µs": 10**6,
    "μs": 10**6,  # Greek mu; the entry above is the micro sign
    "ms": 10**9,
    "s": PS_PER_S,
    "min": 60 * PS_PER_S,
}

_DURATION = re.compile(
    r"\s*(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})((?:[eE][+-]?\d{1,3})?)\s*([^\W\d]+)\s*", re.ASCII
)
_ACCEPTED = (
    'must be a duration with its unit (min, s, ms, us, ns), as in "37.2 ms", above 0 and at most 1000 s'
)


def read_duration_ps(value: object, place: Place) -> int:
    """Read a duration such as ``37.2 ms``; whole picoseconds, halves up."""
    if not isinstance(value, str):
        raise place.error(_ACCEPTED, value)
    match = _DURATION.fullmatch(value.replace("µ", "u").replace("μ", "u"))
    if match is None or match[3] not in UNITS_PS:
        raise place.error(_ACCEPTED, value)
    duration_ps = round_half_up(Fraction(match[1] + match[2]) * UNITS_PS[match[3]])
    if not 0 < duration_ps <= MAX_DURATION_PS:
        raise place.error(_ACCEPTED, value)
    return duration_ps


def shown_duration(duration_ps: int) -> str:
    """Show a duration exactly: in seconds from one on, in milliseconds below."""
    unit, digits = ("s", 12) if duration_ps >= PS_PER_S else ("ms", 9)
    whole, rest = divmod(duration_ps, UNITS_PS[unit])
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") + f" {unit}"


def seconds(duration_ps: int) -> float:
    """Return a duration in seconds, as result tables show it."""
    return duration_ps / PS_PER_S
