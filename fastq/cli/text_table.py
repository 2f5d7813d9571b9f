"""Aligned tables for people, and numbers short enough to read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastq.model.point import Scalar

_GAP = "  "
_MOST_LISTED = 12


def render(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] | None = None, left: Iterable[int] = (0,)
) -> str:
    """Return rows of text as aligned lines.

    Parameters
    ----------
    rows
        Cells of each row.
    header
        Names of the columns, set off by a rule.
    left
        Columns that are aligned left; the others are aligned right.
    """
    lines = [[" ".join(cell.splitlines()) for cell in line] for line in (header, *rows) if line is not None]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = set(left)
    text = [
        _GAP.join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    if header is not None:
        text.insert(1, _GAP.join("-" * width for width in widths))
    return "\n".join(text) + "\n"


def indent(text: str) -> str:
    """Return the lines set in by two spaces."""
    return "".join(f"  {line}\n" for line in text.splitlines())


def listed(words: Sequence[str]) -> str:
    """Return words parted by commas, only the first of a long list."""
    return ", ".join(words[:_MOST_LISTED]) + (", ..." if len(words) > _MOST_LISTED else "")


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with a few significant digits; '-' for null."""
    if value is None:
        return "-"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return str(value)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, places)}f}" if places <= digits + 3 else f"{value:.{digits - 1}g}"


def ends(low: float, high: float) -> str:
    """Return the ends of an interval, with as many digits as tell them apart."""
    width = high - low
    digits = 4 if width <= 0 else 1 + math.ceil(math.log10(max(abs(low), abs(high)) / width))
    return " to ".join(number(end, min(max(digits, 4), 9)) for end in (low, high))


def seconds(value: float | None) -> str:
    """Return a duration with its unit: 37.2 ms, 4.1 s, 2.5 min; '-' for null."""
    if value is None:
        return "-"
    for factor, unit in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min")):
        limit = {"µs": 1e-3, "ms": 1.0, "s": 120.0, "min": math.inf}[unit]
        if abs(value) < limit:
            return f"{value / factor:.3g} {unit}"
    return f"{value:g} s"


def scalar(value: Scalar) -> str:
    """Return the value of an axis as text; null is 'unlimited'."""
    if value is None:
        return "unlimited"
    return value if isinstance(value, str) else number(value, 5)


def size(size_bytes: float) -> str:
    """Return a size with its unit: 812 B, 1.4 MB."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes:.0f} B"
