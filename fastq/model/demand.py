"""Reading a plan's demand: workloads, mixed into one law, and how many requests arrive when."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.model.arrival_process import CV_KEY, PROCESS_KEY, check_process, check_spread_is_used
from fastq.model.law_cache import LawCache, lengths
from fastq.model.mixture import Part, mixed_law
from fastq.model.plan import HOURS, Demand
from fastq.model.point import POISSON, REPLAY
from fastq.model.reading import (
    Place,
    exact,
    read_choice,
    read_list,
    read_real,
    read_table,
    read_text,
    shown_number,
    unknown,
)
from fastq.model.resolve import settled
from fastq.model.settings import SETTINGS, Layer, Value, check_rivals
from fastq.model.trace import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.trace import Trace

DEMAND_KEYS = ("workload", "peak_rps", "hourly_rps", "growth", "arrivals")
PROCESSES = (POISSON, "gamma", REPLAY)
PROCESS_LEAVES = ("process", "interarrival_cv")
WORKLOAD_KEYS = tuple(key.partition(".")[2] for key in SETTINGS if key.startswith("workload."))
PART_KEYS = ("name", "share", *WORKLOAD_KEYS)

LARGEST_DEMAND_RPS = 1e9
LEAST_GROWTH, MOST_GROWTH = 1e-3, 1e6
MAX_PARTS = 100
FROM_TRACE = "trace"

_HOUR_S = 3600.0
_HOURLY = f'must be a list of {HOURS} numbers, requests/s in each hour of a day, or "{FROM_TRACE}"'


def read_demand(value: object, place: Place) -> Demand:
    """Read the table ``[demand]``."""
    if value is None:
        raise place.missing("is missing: a plan needs a workload and peak_rps or hourly_rps")
    table = read_table(value, place, "must be a table")
    for key, entry in table.items():
        if key not in DEMAND_KEYS:
            raise place.below(f".{key}").error(unknown(key, DEMAND_KEYS), entry)
    if "workload" not in table:
        raise place.below(".workload").missing(
            "is missing: give a table as the [workload] of a spec, or several [[demand.workload]] with a share each"
        )
    layer, mixture = _read_workloads(table["workload"], place.below(".workload"))
    layer = {**layer, **_read_process(table.get("arrivals", {}), place.below(".arrivals"))}
    check_process({PROCESS_KEY: POISSON, **layer}, lambda key: place.below(f".{key}"))
    check_spread_is_used([{PROCESS_KEY: POISSON, **layer}], place.below(f".{CV_KEY}"))
    return Demand(
        layer=layer,
        mixture=mixture,
        rates_rps=_read_rates(table, place),
        growth=read_real(table.get("growth", 1.0), place.below(".growth"), LEAST_GROWTH, MOST_GROWTH),
    )


def _read_process(value: object, place: Place) -> Layer:
    """Read when requests arrive: the process alone, since the demand has the rates."""
    table = read_table(
        value, place, 'must be a table, { process = "gamma", interarrival_cv = 3 } for example'
    )
    for key, entry in table.items():
        if key not in PROCESS_LEAVES:
            raise place.below(f".{key}").error(unknown(key, PROCESS_LEAVES), entry)
    read_choice(table.get("process", POISSON), place.below(".process"), PROCESSES)
    return {
        f"arrivals.{leaf}": SETTINGS[f"arrivals.{leaf}"].read(entry, place.below(f".{leaf}"))
        for leaf, entry in table.items()
    }


def _read_workloads(value: object, place: Place) -> tuple[Layer, str]:
    if not isinstance(value, (list, tuple)):
        layer = _read_workload(value, place, WORKLOAD_KEYS)
        return layer, ""
    entries = read_list(value, place, "must be a table, or a list of at least one")
    if len(entries) > MAX_PARTS:
        raise place.missing(f"a plan mixes at most {MAX_PARTS:,} workloads")
    if len(entries) == 1:
        table = dict(read_table(entries[0], place.below("[0]"), "must be a table"))
        if "share" in table:
            _read_share(table.pop("share"), place.below("[0].share"))
        table.pop("name", None)
        return _read_workload(table, place.below("[0]"), WORKLOAD_KEYS), ""
    parts = [_read_part(entry, place.below(f"[{position}]")) for position, entry in enumerate(entries)]
    whole = sum((part.share for part in parts), Fraction(0))
    law = mixed_law([Part(part.name, part.share / whole, part.law) for part in parts])
    return {"workload.trace": law}, law.name


def _read_part(value: object, place: Place) -> Part:
    table = dict(read_table(value, place, "must be a table"))
    if "share" not in table:
        raise place.below(".share").missing(
            "is missing: where workloads are mixed each needs its share of the requests, 0.7 for example"
        )
    layer = _read_workload(table, place, PART_KEYS)
    law = LawCache().law(lengths(settled(layer)))
    name = read_text(table.get("name", law.name), place.below(".name"), "must be a text that is not empty")
    return Part(name, _read_share(table["share"], place.below(".share")), law)


def _read_share(value: object, place: Place) -> Fraction:
    smallest, largest = 1e-6, 1e9
    return exact(read_real(value, place, smallest, largest))


def _read_workload(value: object, place: Place, keys: tuple[str, ...]) -> Layer:
    """Read a workload as the table of a spec; what else stands in its table is left to the caller."""
    table = read_table(value, place, "must be a table, as the [workload] of a spec")
    layer: dict[str, Value] = {}
    for leaf, entry in table.items():
        if leaf not in keys:
            raise place.below(f".{leaf}").error(unknown(leaf, keys), entry)
        if leaf in WORKLOAD_KEYS:
            key, where = f"workload.{leaf}", place.below(f".{leaf}")
            check_rivals(key, layer, where, entry)
            layer[key] = SETTINGS[key].read(entry, where)
    if not {"workload.catalogue", "workload.trace"} & set(layer):
        for leaf in ("prompt_tokens", "output_tokens"):
            if f"workload.{leaf}" not in layer:
                raise place.below(f".{leaf}").missing(
                    "is missing: give a law such as { uniform = [10, 1600] }, or catalogue or trace in place of "
                    "both lengths"
                )
    return layer


def _read_rates(table: Mapping[str, object], place: Place) -> tuple[float, ...]:
    if "peak_rps" in table and "hourly_rps" in table:
        raise place.below(".peak_rps").error(
            "can't be given together with demand.hourly_rps", table["peak_rps"]
        )
    if "peak_rps" in table:
        where = place.below(".peak_rps")
        return (_positive(read_real(table["peak_rps"], where, 0, LARGEST_DEMAND_RPS, "requests/s"), where),)
    if "hourly_rps" not in table:
        raise place.below(".peak_rps").missing(
            f"is missing: give the arrival rate at the peak, requests/s, or demand.hourly_rps, {HOURS} of them"
        )
    value, where = table["hourly_rps"], place.below(".hourly_rps")
    if value == FROM_TRACE:
        return hourly_rates(_trace_of(table, where), where)
    entries = read_list(value, where, _HOURLY)
    if len(entries) != HOURS:
        raise where.error(f"{_HOURLY}; here are {len(entries):,}", value)
    rates = [
        read_real(entry, where.below(f"[{hour}]"), 0, LARGEST_DEMAND_RPS, "requests/s")
        for hour, entry in enumerate(entries)
    ]
    _positive(max(rates), where)
    return tuple(rates)


def _positive(rate_rps: float, place: Place) -> float:
    if rate_rps == 0:
        raise place.error("must be above 0: nobody has to be served", rate_rps)
    return rate_rps


def _trace_of(table: Mapping[str, object], place: Place) -> Trace:
    """Read again the trace that is the workload, for its times."""
    workload = table["workload"]
    entries = workload if isinstance(workload, (list, tuple)) else [workload]
    name = entries[0].get("trace") if len(entries) == 1 and isinstance(entries[0], dict) else None
    if not isinstance(name, str):
        raise place.error(
            "the rates of a trace are known only where the one workload is a trace: give "
            f"demand.workload.trace, or {HOURS} numbers",
            FROM_TRACE,
        )
    return read_trace(place.directory / Path(name).expanduser())


def hourly_rates(trace: Trace, place: Place) -> tuple[float, ...]:
    """Count the arrivals of a trace hour by hour from its first request.

    Of several days the fullest counts, hour by hour: a fleet has to serve each of them. The last hour may be cut short
    by up to half, and its rate is that of the part.

    Raises
    ------
    SpecError
        If the trace has no times, or covers less than a day.
    """
    import numpy as np

    if trace.arrival_s is None:
        raise place.error(f"{trace.name} has no arrival times; give {HOURS} numbers", FROM_TRACE)
    since_s = trace.arrival_s - trace.arrival_s.min()
    span_s = float(since_s.max())
    hours = int(span_s / _HOUR_S + 0.5)
    if hours < HOURS:
        raise place.error(
            f"{trace.name} covers {shown_number(round(span_s / _HOUR_S, 2))} hours, not a day of {HOURS}; give "
            f"demand.peak_rps, or {HOURS} numbers",
            FROM_TRACE,
        )
    counts = np.bincount((since_s // _HOUR_S).astype(np.int64), minlength=hours)[:hours]
    rates = counts / np.minimum(_HOUR_S, span_s - _HOUR_S * np.arange(hours))
    return tuple(float(rates[hour::HOURS].max()) for hour in range(HOURS))
