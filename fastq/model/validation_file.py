"""Published measurements and exact answers that ship: what was measured, by whom, and which column of fastq says it.

``data/validation/NAME.toml`` holds one source and its rows. A row names a grid that ships, the overrides and the
points of it that it stands for, and a column: so every prediction is one that a user can print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from fastq.errors import SpecError
from fastq.model.catalogue import grid_names, validation_paths
from fastq.model.reading import (
    Place,
    check_names,
    read_choice,
    read_int,
    read_list,
    read_real,
    read_table,
    read_text,
)
from fastq.model.toml_file import read_toml

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["counts", "throughput", "end to end", "exact"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Given a measured iteration time: counts, which hardly depend on it, and throughput; given none; exact answers."""

_SOURCE_KEYS = ("name", "citation", "system", "open")
_REQUIRED = ("kind", "what", "quantity", "measured", "grid", "column")
_OPTIONAL = ("unit", "set", "where", "rate_rps", "load", "closed_form", "replicas")
_MOST_REPLICAS = 1_000_000
_LARGEST = 1e15
_TEXT = "must be a text that is not empty"


@dataclass(frozen=True, slots=True)
class Source:
    """Where measurements come from.

    Parameters
    ----------
    name
        Short, for tables.
    citation
        In full.
    system
        What was run, and how it was measured.
    open
        What is not reported, and what stands in for it.
    """

    name: str
    citation: str
    system: str
    open: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured or exact value, and where fastq says the same thing.

    Parameters
    ----------
    source
        Where it comes from.
    kind
        What the prediction is given, one of :data:`KINDS`.
    what, quantity, unit
        Of what system, which quantity, in which unit; words have no unit.
    measured
        The ends of a range, equal where one number is reported; or a word.
    grid, overrides
        Name of the grid, and pairs as ``--set`` takes them.
    where
        Values of axes, or of ``case``, that the points must have; all that have them make the range.
    rate_rps, load
        Which row of the table of rates; both ``None`` for the table of points.
    column
        Column of that table.
    closed_form
        Field of :class:`fastq.ClosedForms`, or ``verdict``: whether the rate lies below theory's; ``None`` where
        no closed form says it.
    replicas
        Independent replicas, by whose number a rate is multiplied.
    """

    source: Source
    kind: Kind
    what: str
    quantity: str
    unit: str
    measured: tuple[float, float] | str
    grid: str
    overrides: tuple[tuple[str, str], ...]
    where: tuple[tuple[str, object], ...]
    rate_rps: float | None
    load: float | None
    column: str
    closed_form: str | None
    replicas: int

    @property
    def needs_rates(self) -> bool:
        """Whether the column stands in the table of rates."""
        return self.rate_rps is not None or self.load is not None


def load_measurements() -> tuple[Measurement, ...]:
    """Load all that ship, by file and then in the order in which they stand there."""
    return tuple(row for path in validation_paths() for row in read_measurements(path))


def read_measurements(path: Path) -> tuple[Measurement, ...]:
    """Read one file.

    Raises
    ------
    SpecError
        Names the file, the key and what would be accepted.
    """
    place = Place(str(path))
    document = read_toml(path)
    check_names(document, place, ("source", "rows"), ("source", "rows"))
    table = read_table(document["source"], place.at("source"), "must be a table")
    check_names(table, place.at("source"), _SOURCE_KEYS, _SOURCE_KEYS)
    source = Source(*(read_text(table[key], place.at(f"source.{key}"), _TEXT) for key in _SOURCE_KEYS))
    rows = read_list(document["rows"], place.at("rows"), "must be a list of tables")
    return tuple(_read_row(row, place.at(f"rows[{number}]"), source) for number, row in enumerate(rows))


def _read_row(value: object, place: Place, source: Source) -> Measurement:
    row = read_table(value, place, "must be a table")
    check_names(row, place, (*_REQUIRED, *_OPTIONAL), _REQUIRED)
    if "rate_rps" in row and "load" in row:
        raise place.below(".load").error("can't be given together with rate_rps", row["load"])

    def text(key: str) -> str:
        return read_text(row[key], place.below(f".{key}"), _TEXT)

    def real(key: str) -> float | None:
        return read_real(row[key], place.below(f".{key}"), 0, _LARGEST) if key in row else None

    overrides = read_table(row.get("set", {}), place.below(".set"), "must be a table of texts")
    kind = read_choice(row["kind"], place.below(".kind"), KINDS)
    return Measurement(
        source=source,
        kind=next(each for each in KINDS if each == kind),
        what=text("what"),
        quantity=text("quantity"),
        unit=text("unit") if "unit" in row else "",
        measured=_read_measured(row["measured"], place.below(".measured")),
        grid=read_choice(row["grid"], place.below(".grid"), grid_names()),
        overrides=tuple(
            (key, read_text(entry, place.below(f".set.{key}"), _TEXT)) for key, entry in overrides.items()
        ),
        where=tuple(read_table(row.get("where", {}), place.below(".where"), "must be a table").items()),
        rate_rps=real("rate_rps"),
        load=real("load"),
        column=text("column"),
        closed_form=text("closed_form") if "closed_form" in row else None,
        replicas=read_int(row.get("replicas", 1), place.below(".replicas"), 1, _MOST_REPLICAS),
    )


def _read_measured(value: object, place: Place) -> tuple[float, float] | str:
    if isinstance(value, str):
        return read_text(value, place, _TEXT)
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2:
        raise SpecError(
            "must be a number, a word, or the two ends of a range",
            source=place.source,
            key=place.key,
            value=value,
        )
    low, high = (read_real(end, place, 0, _LARGEST) for end in ends)
    if not 0 < low <= high:
        raise place.error("must be above 0, and the ends of a range in order", value)
    return low, high
