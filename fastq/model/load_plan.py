"""Loading plans: from a TOML file, from a plan that ships with fastq, or from the same tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.model.catalogue import locate
from fastq.model.demand import DEMAND_KEYS, read_demand
from fastq.model.plan import Limits, Option, Plan
from fastq.model.plan_overrides import KEYS_OF_ALL_OPTIONS, override_plan
from fastq.model.reading import (
    Place,
    nearest_key,
    read_int,
    read_list,
    read_real,
    read_table,
    read_text,
    unknown,
)
from fastq.model.run import RUN_KEYS, read_run
from fastq.model.settings import SETTINGS, ReplicaEntry, read_layer
from fastq.model.slo import SLO_KEYS, read_slo
from fastq.model.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastq.model.run import Run

PLAN_TABLES = ("title", "currency", "demand", "limits", "option", "run")
LIMIT_KEYS = (*SLO_KEYS, "target_load", "confidence")
OPTION_SECTIONS = ("replica", "iteration_time", "scheduler")
OPTION_KEYS = ("name", "gpus_per_replica", "price_per_gpu_hour", *OPTION_SECTIONS)
PLAN_RUN_KEYS = tuple(key for key in RUN_KEYS if key not in ("measure", "infeasible"))

DEFAULT_TARGET_LOAD = 0.8
DEFAULT_CONFIDENCE = 0.95
LEAST_TARGET_LOAD = 0.01
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.9999
MAX_OPTIONS = 1000
MAX_GPUS_PER_REPLICA = 10_000
MAX_PRICE = 1e9


def load_plan(path_or_name: str | os.PathLike[str], overrides: Sequence[tuple[str, object]] = ()) -> Plan:
    """Load a plan from a TOML file, or one that ships with fastq by its name.

    Parameters
    ----------
    path_or_name
        Path of the file; a bare name that is no file is looked up among the plans that ship.
    overrides
        Pairs (key, value or its text) that take the place of what the plan says, as ``--set key=value`` gives
        them. Paths of traces in them are relative to the current directory.

    Raises
    ------
    SpecError
        If anything in it can't be used.
    """
    name = os.fspath(path_or_name)
    path, source = locate(name, "plan")
    return parse_plan(read_toml(path), source=source, directory=path.parent, overrides=overrides)


def settable_plan_keys() -> list[str]:
    """List every key that ``--set`` takes on a plan."""
    return [
        "title",
        "currency",
        *(f"demand.{key}" for key in DEMAND_KEYS),
        *(f"limits.{key}" for key in LIMIT_KEYS),
        *(f"run.{key}" for key in PLAN_RUN_KEYS),
        *KEYS_OF_ALL_OPTIONS,
    ]


def parse_plan(
    document: Mapping[str, object],
    *,
    source: str = "plan",
    directory: Path | None = None,
    overrides: Sequence[tuple[str, object]] = (),
) -> Plan:
    """Make a plan of tables, as TOML holds them.

    Parameters
    ----------
    document
        Tables ``demand``, ``limits``, ``option``, ``run``, and ``title`` and ``currency``.
    source
        What messages call it.
    directory
        Where relative paths of traces start; the current directory by default.
    overrides
        Pairs (key, value or its text) that take the place of what the document says.

    Raises
    ------
    SpecError
        If anything in it can't be used.
    """
    place = Place(source, "", directory or Path())
    table = read_table(document, place, "must be a table")
    if overrides:
        table = override_plan(table, overrides)
        place = Place(f"{source} with --set {', '.join(key for key, _ in overrides)}", "", place.directory)
    for name, value in table.items():
        if name not in PLAN_TABLES:
            below = [f"demand.{key}" for key in DEMAND_KEYS] + [f"limits.{key}" for key in LIMIT_KEYS]
            known = [*PLAN_TABLES, *below, *(f"option.{key}" for key in OPTION_KEYS)]
            raise place.at(name or "''").error(unknown(name, PLAN_TABLES, nearest_key(name, known)), value)
    limits = _read_limits(table.get("limits", {}), place.at("limits"))
    options = _read_options(table, place.at("option"))
    plan = Plan(
        title=_text(table, "title", place),
        source=source,
        currency=_text(table, "currency", place),
        demand=read_demand(table.get("demand"), place.at("demand")),
        limits=limits,
        options=options,
        run=_read_run(table.get("run", {}), place.at("run"), slo=bool(limits.objectives)),
    )
    for option in plan.options:
        plan.spec(option)
    return plan


def _text(table: Mapping[str, object], key: str, place: Place) -> str:
    return read_text(table[key], place.at(key), "must be a text that is not empty") if key in table else ""


def _read_limits(value: object, place: Place) -> Limits:
    table = read_table(value, place, "must be a table of latencies, target_load and confidence")
    for key, entry in table.items():
        if key not in LIMIT_KEYS:
            raise place.below(f".{key}").error(unknown(key, LIMIT_KEYS), entry)
    return Limits(
        objectives=read_slo({key: table[key] for key in SLO_KEYS if key in table}, place),
        target_load=read_real(
            table.get("target_load", DEFAULT_TARGET_LOAD), place.below(".target_load"), LEAST_TARGET_LOAD, 1
        ),
        confidence=read_real(
            table.get("confidence", DEFAULT_CONFIDENCE),
            place.below(".confidence"),
            LEAST_CONFIDENCE,
            MOST_CONFIDENCE,
        ),
    )


def _read_options(table: Mapping[str, object], place: Place) -> tuple[Option, ...]:
    accepted = "must be a list of tables, each written as [[option]] with a name and a replica"
    if "option" not in table:
        raise place.missing(f"is missing: {accepted}")
    entries = read_list(table["option"], place, accepted)
    if len(entries) > MAX_OPTIONS:
        raise place.missing(f"a plan holds at most {MAX_OPTIONS:,} options")
    options: list[Option] = []
    for position, entry in enumerate(entries):
        where = place.below(f"[{position}]")
        option = _read_option(read_table(entry, where, accepted), where)
        if option.name in {other.name for other in options}:
            raise where.below(".name").error("every option needs a name of its own", option.name)
        options.append(option)
    prices = [option.price_per_gpu_hour is not None for option in options]
    if any(prices) and not all(prices):
        raise place.below(f"[{prices.index(False)}].price_per_gpu_hour").missing(
            f"is missing, while option {options[prices.index(True)].name!r} has one: costs can only be compared "
            "where every option has a price, or none has"
        )
    return tuple(options)


def _read_option(table: Mapping[str, object], place: Place) -> Option:
    for key, entry in table.items():
        if key.partition(".")[0] not in OPTION_KEYS:
            meant = nearest_key(key, [*OPTION_KEYS, *SETTINGS])
            raise place.below(f".{key}").error(unknown(key, OPTION_KEYS, meant), entry)
    if "name" not in table:
        raise place.below(".name").missing('every option needs a name, as in name = "one A100"')
    layer = read_layer(
        {key: entry for key, entry in table.items() if key.partition(".")[0] in OPTION_SECTIONS},
        place,
        OPTION_SECTIONS,
    )
    price = table.get("price_per_gpu_hour")
    return Option(
        name=read_text(table["name"], place.below(".name"), "must be a text that is not empty"),
        layer=layer,
        gpus_per_replica=_read_gpus(table, layer.get("replica.catalogue"), place.below(".gpus_per_replica")),
        price_per_gpu_hour=None
        if price is None
        else read_real(price, place.below(".price_per_gpu_hour"), 0, MAX_PRICE),
    )


def _read_gpus(table: Mapping[str, object], entry: object, place: Place) -> int:
    if "gpus_per_replica" in table:
        return read_int(table["gpus_per_replica"], place, 1, MAX_GPUS_PER_REPLICA, "GPUs")
    if isinstance(entry, ReplicaEntry) and entry.gpus is not None:
        return entry.gpus
    why = (
        f"{entry.name} does not say how many it has"
        if isinstance(entry, ReplicaEntry)
        else "only entries of replica.catalogue say it of themselves"
    )
    raise place.missing(f"is missing: give the number of GPUs of one replica ({why})")


def _read_run(value: object, place: Place, *, slo: bool) -> Run:
    table = read_table(value, place, "must be a table")
    for key, entry in table.items():
        if key in RUN_KEYS and key not in PLAN_RUN_KEYS:
            raise place.below(f".{key}").error(
                f"is not for plans, which measure what they need (keys here: {', '.join(PLAN_RUN_KEYS)})",
                entry,
            )
        if key not in PLAN_RUN_KEYS:
            raise place.below(f".{key}").error(unknown(key, PLAN_RUN_KEYS), entry)
    measure = ["boundary", "slo"] if slo else ["boundary"]
    return read_run({**table, "measure": measure, "infeasible": "skip"}, place)
