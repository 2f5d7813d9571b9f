"""A spec as it was written, taken apart into base layer, axes, cases, run, arrivals and slo; and ``--set``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.errors import SpecError
from fastq.model.arrival_process import CV_KEY, PROCESS_KEY
from fastq.model.arrivals import ARRIVAL_KEYS, RATE_KEYS
from fastq.model.reading import Place, nearest_key, read_table, unknown
from fastq.model.run import RUN_KEYS
from fastq.model.settings import SECTIONS, SETTINGS, Value, check_rivals, flat_keys, unknown_key
from fastq.model.slo import SLO_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TABLES = ("title", *SECTIONS, "slo", "run", "grid", "cases")
OVERRIDE = "--set"

_OUTSIDE_GRID = (
    "title",
    *SETTINGS,
    *(f"run.{leaf}" for leaf in RUN_KEYS),
    *(f"arrivals.{leaf}" for leaf in RATE_KEYS),
    *(f"slo.{leaf}" for leaf in SLO_KEYS),
)


_RATES = tuple(f"arrivals.{leaf}" for leaf in RATE_KEYS)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for one key, and where."""

    value: object
    place: Place


@dataclass(slots=True)
class Document:
    """A spec as it was written.

    Parameters
    ----------
    place
        The file.
    title
        What stands for the title.
    base
        Settings of every point that no axis or case changes, by dotted key.
    grid
        Axes, by dotted key, the slowest first.
    cases
        Entries of the axis of cases; ``None`` without.
    run, slo
        Their tables.
    arrivals
        The rates in their table.
    overridden
        Keys that ``--set`` gave.
    """

    place: Place
    title: object
    base: dict[str, Written]
    grid: dict[str, Written]
    cases: Written | None
    run: dict[str, object]
    arrivals: dict[str, object]
    slo: dict[str, object]
    overridden: set[str]

    def section(self, name: str) -> Place:
        """Return the place of a table, which also tells the overrides that reach into it."""
        keys = sorted(key for key in self.overridden if key.startswith(f"{name}."))
        if not keys:
            return self.place.at(name)
        return replace(self.place, source=f"{self.place.source} with {OVERRIDE} {', '.join(keys)}", key=name)


def take_apart(document: Mapping[str, object], place: Place) -> Document:
    """Split a document into its tables; keys are checked, values are not read yet."""
    table = read_table(document, place, "must be a table")
    for name, value in table.items():
        if name not in TABLES:
            meant = nearest_key(name, [*TABLES, *SETTINGS])
            raise place.at(name or "''").error(unknown(name, TABLES, meant), value)
    settings = {name: table[name] for name in SECTIONS if name in table}
    rates: dict[str, object] = {}
    if "arrivals" in table:
        arrivals = read_table(table["arrivals"], place.at("arrivals"), "must be a table")
        for leaf, value in arrivals.items():
            if leaf not in ARRIVAL_KEYS:
                raise place.at(f"arrivals.{leaf}").error(unknown(leaf, ARRIVAL_KEYS), value)
        rates = {leaf: value for leaf, value in arrivals.items() if leaf in RATE_KEYS}
        settings["arrivals"] = {leaf: value for leaf, value in arrivals.items() if leaf not in rates}
    grid = read_table(
        table.get("grid", {}), place.at("grid"), "must be a table of axes: dotted keys and their values"
    )
    for name, value in grid.items():
        _refuse_what_is_no_axis(name, value, place.at(f"grid.{name}"))
    return Document(
        place=place,
        title=table.get("title", ""),
        base={key: Written(value, place.at(key)) for key, value in flat_keys(settings, place, SECTIONS)},
        grid={
            key: Written(value, place.at(f"grid.{key}"))
            for key, value in flat_keys(grid, place.at("grid"), SECTIONS)
        },
        cases=Written(table["cases"], place.at("cases")) if "cases" in table else None,
        run=dict(read_table(table.get("run", {}), place.at("run"), "must be a table")),
        arrivals=rates,
        slo=dict(read_table(table.get("slo", {}), place.at("slo"), "must be a table")),
        overridden=set(),
    )


def settable_keys() -> list[str]:
    """List every key that ``--set`` takes, those of axes last."""
    return [*_OUTSIDE_GRID, *(f"grid.{key}" for key in SETTINGS)]


def _refuse_what_is_no_axis(key: str, value: object, place: Place) -> None:
    section = key.partition(".")[0]
    inner = value if isinstance(value, dict) and key == "arrivals" else {}
    if key in _RATES or any(f"{key}.{leaf}" in _RATES for leaf in inner):
        why = (
            "rates and loads can't be an axis: they never multiply the points of a grid, they are a second "
            "dimension; set arrivals.rate_rps = [...] or arrivals.load = [...]"
        )
    elif section in ("run", "slo", "title"):
        why = f"{key} can't be an axis: it holds for the whole sweep; set it as {key}, outside the grid"
    else:
        return
    raise place.error(f"{why} (keys that can be axes: {', '.join(SETTINGS)})", value)


def override(document: Document, name: str, given: object) -> None:
    """Apply ``--set name=given``: it replaces what the spec, its axes and its cases say of that key.

    Texts are read as ``--set`` reads them; what is no text is the value itself.
    """
    key = dotted_key(name)
    place = Place(OVERRIDE, key or "''", Path())
    value = parsed(given)
    section, _, leaf = key.partition(".")
    if key == "title":
        document.title = value
    elif section == "run" and leaf in RUN_KEYS:
        document.run[leaf] = value
    elif key in _RATES:
        document.arrivals = {leaf: value}
    elif section == "slo" and leaf.partition(".")[0] in SLO_KEYS:
        _override_objective(document, leaf, value)
    elif section == "grid":
        _refuse_what_is_no_axis(leaf, value, place)
        axis, values = _nested(leaf, value, replace(place, key="grid"), SETTINGS)
        document.grid[axis] = Written(values, place)
    else:
        _override_setting(document, *_nested(key, value, replace(place, key=""), _OUTSIDE_GRID), place)
    document.overridden.add(key)


def dotted_key(name: str) -> str:
    """Return a key that ``--set`` gives, its parts without quotes and blanks."""
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _override_objective(document: Document, leaf: str, value: object) -> None:
    """Replace the objectives of a latency, or with ttft.p99 one of them."""
    latency, _, percentile = leaf.partition(".")
    if percentile:
        others = document.slo.get(latency)
        value = {**(others if isinstance(others, dict) else {}), percentile: value}
    document.slo[latency] = value


def parsed(text: object) -> object:
    """Read a text as a value of TOML; what is no TOML is a text without its quotes, what is no text stays as it is."""
    if not isinstance(text, str):
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _nested(key: str, value: object, table: Place, known: Iterable[str]) -> tuple[str, object]:
    """Split a key of a table that reaches into a value, as workload.prompt_tokens.uniform does."""
    parts = key.split(".")
    setting = ".".join(parts[:2])
    if setting not in SETTINGS:
        raise unknown_key(key or "''", value, table, list(known))
    for part in reversed(parts[2:]):
        value = {part: value}
    return setting, value


def _override_setting(document: Document, key: str, value: object, place: Place) -> None:
    hidden = {key, *SETTINGS[key].rivals}
    for rival in SETTINGS[key].rivals:
        if rival in document.grid:
            raise place.error(
                f"can't be set where the grid varies {rival}: set grid.{rival}, or remove that axis", value
            )
    if key in document.grid:
        document.grid[key] = Written([value], place)
        return
    for rival in SETTINGS[key].rivals:
        document.base.pop(rival, None)
    if key == PROCESS_KEY and CV_KEY not in document.overridden:
        # Another process may have no use for the spread that the file has.
        document.base.pop(CV_KEY, None)
    document.base[key] = Written(value, place)
    if document.cases is not None:
        document.cases = Written(_without(document.cases.value, hidden), document.cases.place)


def _without(cases: object, hidden: set[str]) -> object:
    """Remove keys from every case; what is no list of tables stays as it is, for the reader to refuse."""
    if not isinstance(cases, (list, tuple)):
        return cases
    return [_case_without(case, hidden) if isinstance(case, dict) else case for case in cases]


def _case_without(case: Mapping[str, object], hidden: set[str]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in case.items():
        if name in hidden:
            continue
        kept[name] = (
            {leaf: entry for leaf, entry in value.items() if f"{name}.{leaf}" not in hidden}
            if isinstance(value, dict)
            else value
        )
    return kept


def read_base(document: Document) -> dict[str, Value]:
    """Read the base layer; of keys that say the same in two ways only one may be there."""
    layer: dict[str, Value] = {}
    for key, written in document.base.items():
        check_rivals(key, layer, written.place, written.value)
        layer[key] = SETTINGS[key].read(written.value, written.place)
    return layer


def read_title(document: Document) -> str:
    """Read the title."""
    if isinstance(document.title, str):
        return document.title
    raise SpecError("must be a text", source=document.place.source, key="title", value=document.title)
