"""When requests arrive, but for the rate: a renewal process or a replay, of one replica or of several in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastq.model.lengths import LengthLaw
from fastq.model.point import POISSON, REPLAY, Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastq.model.reading import Place
    from fastq.model.settings import Layer

PROCESS_KEY, CV_KEY, ROUND_ROBIN_KEY = PROCESS_KEYS = (
    "arrivals.process",
    "arrivals.interarrival_cv",
    "arrivals.round_robin",
)

SMALLEST_CV, LARGEST_CV = 0.01, 20.0
LARGEST_WEIBULL_CV = 8.0
VARYING = ("gamma", "weibull")
"""Processes that leave it open how much interarrival times vary."""

PROCESSES = (POISSON, *VARYING, "deterministic", REPLAY)
MAX_ROUND_ROBIN = 1_000_000


def arrival_process(values: Layer) -> Arrivals:
    """Make the process of settled values, with no rates yet."""
    process = str(values[PROCESS_KEY])
    cv = cast("float | None", values.get(CV_KEY))
    return Arrivals(
        process=process,
        interarrival_cv=cv if process in VARYING else None,
        round_robin=cast("int", values.get(ROUND_ROBIN_KEY, 1)),
    )


def check_process(values: Layer, place_of: Callable[[str], Place]) -> None:
    """Refuse settled values that don't go together; a spread that the process has no use for is let pass.

    Parameters
    ----------
    values
        Settings, those of the workload too.
    place_of
        Where a key stands, for messages.
    """
    process, cv = str(values[PROCESS_KEY]), cast("float | None", values.get(CV_KEY))
    if process in VARYING and cv is None:
        raise place_of(CV_KEY).missing(
            f"is missing: process {process!r} needs the coefficient of variation of the interarrival times, "
            f"{SMALLEST_CV:g} to {LARGEST_CV:g} (1: as a Poisson process; beyond: bursts)"
        )
    if process == "weibull" and cv is not None and cv > LARGEST_WEIBULL_CV:
        raise place_of(CV_KEY).error(
            f"must be at most {LARGEST_WEIBULL_CV:g} with process 'weibull'; 'gamma' takes up to {LARGEST_CV:g}",
            cv,
        )
    if process == "weibull" and values.get(ROUND_ROBIN_KEY, 1) != 1:
        raise place_of(ROUND_ROBIN_KEY).error(
            "sums of Weibull times, as they lie between every nth arrival and the next, follow no law that is known "
            "here; take process 'gamma'",
            values[ROUND_ROBIN_KEY],
        )
    if process == REPLAY:
        _check_clock(values.get("workload.trace", values.get("workload.catalogue")), place_of(PROCESS_KEY))


def check_spread_is_used(points: Iterable[Layer], place: Place) -> None:
    """Refuse a spread of interarrival times that none of some points has a use for; ``place`` is its own."""
    spread = None
    for values in points:
        if values[PROCESS_KEY] in VARYING:
            return
        spread = values.get(CV_KEY, spread)
    if spread is not None:
        raise place.error(
            f"is of the processes {' and '.join(map(repr, VARYING))}; no other leaves a choice", spread
        )


def _check_clock(lengths: object, place: Place) -> None:
    """Refuse to replay lengths that are not those of a trace with arrival times."""
    if isinstance(lengths, LengthLaw) and lengths.clock is not None:
        return
    what = f"{lengths.name} has none" if isinstance(lengths, LengthLaw) else "lengths are laws"
    raise place.error(
        "replays the requests of workload.trace at their arrival times (arrival_s or TIMESTAMP), which must be in "
        f"order and not all the same: here {what}; for bursts that are drawn take process 'gamma' with an "
        "interarrival_cv",
        REPLAY,
    )
