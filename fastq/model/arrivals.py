"""Reading when requests arrive: a renewal process or a replay, and the rates to run it at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.model.grid import spaced_numbers
from fastq.model.lengths import LengthLaw
from fastq.model.point import REPLAY, Arrivals
from fastq.model.reading import check_names, read_choice, read_int, read_list, read_real, read_table, unknown

if TYPE_CHECKING:
    from fastq.model.reading import Place

LARGEST_CV = {"gamma": 20.0, "weibull": 8.0}
"""By process whose interarrival times vary by choice: how much at most."""

SMALLEST_CV = 0.01
PROCESSES = ("poisson", *LARGEST_CV, "deterministic", REPLAY)
SMALLEST_RATE_RPS, LARGEST_RATE_RPS = 1e-6, 1e6
SMALLEST_LOAD, LARGEST_LOAD = 1e-6, 1e3
MAX_RATES = 10_000
MAX_ROUND_ROBIN = 1_000_000

ARRIVAL_KEYS = ("process", "interarrival_cv", "round_robin", "rate_rps", "load")


def read_arrivals(value: object, place: Place) -> Arrivals:
    """Read the table ``[arrivals]``."""
    table = read_table(value, place, "must be a table")
    for name, entry in table.items():
        if name not in ARRIVAL_KEYS:
            raise place.below(f".{name}").error(unknown(name, ARRIVAL_KEYS), entry)
    if "rate_rps" in table and "load" in table:
        raise place.below(".load").error("can't be given together with arrivals.rate_rps", table["load"])
    process = read_choice(table.get("process", "poisson"), place.below(".process"), PROCESSES)
    return Arrivals(
        process=process,
        interarrival_cv=_read_cv(table, process, place.below(".interarrival_cv")),
        round_robin=_read_round_robin(table, process, place.below(".round_robin")),
        rates_rps=_read_rates(
            table, place.below(".rate_rps"), "rate_rps", SMALLEST_RATE_RPS, LARGEST_RATE_RPS
        ),
        loads=_read_rates(table, place.below(".load"), "load", SMALLEST_LOAD, LARGEST_LOAD),
    )


def check_clock(lengths: object, place: Place) -> None:
    """Refuse to replay lengths that are not those of a trace with arrival times; ``place`` is that of the process."""
    if isinstance(lengths, LengthLaw) and lengths.clock is not None:
        return
    what = f"{lengths.name} has none" if isinstance(lengths, LengthLaw) else "lengths are laws"
    raise place.error(
        "replays the requests of workload.trace at their arrival times (arrival_s or TIMESTAMP), which must be in "
        f"order and not all the same: here {what}; for bursts that are drawn take process 'gamma' with an "
        "interarrival_cv",
        REPLAY,
    )


def _read_cv(table: dict[str, object], process: str, place: Place) -> float | None:
    """Read the coefficient of variation: processes that leave the choice need one, the others take none."""
    largest = LARGEST_CV.get(process)
    if largest is not None:
        if "interarrival_cv" not in table:
            raise place.missing(
                f"is missing: process {process!r} needs the coefficient of variation of the interarrival times, "
                f"{SMALLEST_CV:g} to {largest:g} (1: as a Poisson process; beyond: bursts)"
            )
        return read_real(table["interarrival_cv"], place, SMALLEST_CV, largest)
    if "interarrival_cv" in table:
        raise place.error(
            f"is of the processes {' and '.join(map(repr, LARGEST_CV))}; {process!r} leaves no choice",
            table["interarrival_cv"],
        )
    return None


def _read_round_robin(table: dict[str, object], process: str, place: Place) -> int:
    replicas = read_int(table.get("round_robin", 1), place, 1, MAX_ROUND_ROBIN, "replicas")
    if process == "weibull" and replicas > 1:
        raise place.error(
            "sums of Weibull times, as every so manieth request has them between arrivals, follow no law that is "
            'known here; take process "gamma"',
            replicas,
        )
    return replicas


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
        rate = read_real(entry, where, low, high)
        if rate in rates:
            raise where.error("every rate may stand once", entry)
        rates.append(rate)
    return tuple(rates)
