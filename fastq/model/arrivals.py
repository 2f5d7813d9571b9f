"""Reading the rates that requests arrive at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.model.arrival_process import PROCESS_KEYS
from fastq.model.grid import spaced_numbers
from fastq.model.point import REPLAY, Rates
from fastq.model.reading import check_names, read_list, read_real, read_table, unknown

if TYPE_CHECKING:
    from fastq.model.reading import Place

SMALLEST_RATE_RPS, LARGEST_RATE_RPS = 1e-6, 1e6
SMALLEST_LOAD, LARGEST_LOAD = 1e-6, 1e3
MAX_RATES = 10_000

RATE_KEYS = ("rate_rps", "load")
ARRIVAL_KEYS = (*(key.partition(".")[2] for key in PROCESS_KEYS), *RATE_KEYS)


def read_rates(value: object, place: Place) -> Rates:
    """Read the table ``[arrivals]``, without what it says of the process."""
    table = read_table(value, place, "must be a table")
    for name, entry in table.items():
        if name not in RATE_KEYS:
            raise place.below(f".{name}").error(unknown(name, ARRIVAL_KEYS), entry)
    if "rate_rps" in table and "load" in table:
        raise place.below(".load").error("can't be given together with arrivals.rate_rps", table["load"])
    if table.get("rate_rps") == REPLAY:
        return Rates(recorded=True)
    return Rates(
        rates_rps=_read_rates(
            table, place.below(".rate_rps"), "rate_rps", SMALLEST_RATE_RPS, LARGEST_RATE_RPS
        ),
        loads=_read_rates(table, place.below(".load"), "load", SMALLEST_LOAD, LARGEST_LOAD),
    )


def _read_rates(
    table: dict[str, object], place: Place, name: str, low: float, high: float
) -> tuple[float, ...]:
    if name not in table:
        return ()
    value = table[name]
    if isinstance(value, dict):
        check_names(value, place, ("linear", "geometric"), ())
        if len(value) != 1:
            raise place.error(
                "must be a number, a list, { linear = [lo, hi, n] } or { geometric = [lo, hi, n] }", value
            )
        ((spacing, parameters),) = value.items()
        entries: list[object] = [
            float(number) for number in spaced_numbers(spacing, parameters, place.below(f".{spacing}"))
        ]
    elif isinstance(value, (list, tuple)):
        entries = read_list(value, place, "must be a number or a list of at least one")
    else:
        entries = [value]
    if len(entries) > MAX_RATES:
        raise place.error(f"at most {MAX_RATES:,} rates are supported", value)
    rates: list[float] = []
    for position, entry in enumerate(entries):
        where = place if entry is value else place.below(f"[{position}]")
        if entry == REPLAY and name == "rate_rps":
            raise where.error(
                'stands alone, as rate_rps = "trace": the rate of the trace, with no others', entry
            )
        rate = read_real(entry, where, low, high)
        if rate in rates:
            raise where.error("every rate may stand once", entry)
        rates.append(rate)
    return tuple(rates)
