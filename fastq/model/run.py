"""How much is simulated: measures, replications, windows, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.model.reading import read_bool, read_choice, read_int, read_list, read_real, read_table, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.reading import Place

MEASURES = ("boundary", "rates", "slo", "metastability")
INFEASIBLE = ("error", "skip")
MAX_REPLICATIONS = 65_536
MAX_REQUESTS = 10**9
GROWTH = 64
"""Default of ``max_requests``, in windows of ``requests``: six doublings."""


@dataclass(frozen=True, slots=True)
class Run:
    """Settings of the estimate, the same for every point of a grid.

    Parameters
    ----------
    measure
        Any of ``boundary``, ``rates``, ``slo`` and ``metastability``.
    seed
        64-bit seed.
    replications
        Independent replications of a point, >= 2.
    requests
        Requests completed in the window of a replication.
    warmup_requests
        Requests completed before the window; ``None``: max(1000, 10 x the largest number running so far), and of a
        replay at least a round of the trace.
    precision
        Relative half-width (95%) at which a point stops; ``None``: fixed length.
    max_requests
        Most requests in the window of a replication, with ``precision``; by default 64 x ``requests``.
    common_random_numbers
        Whether replication r has the same draws at every point.
    infeasible
        ``error`` or ``skip``.
    """

    measure: tuple[str, ...] = ("boundary",)
    seed: int = 1
    replications: int = 8
    requests: int = 20_000
    warmup_requests: int | None = None
    precision: float | None = None
    max_requests: int = 1_280_000
    common_random_numbers: bool = True
    infeasible: str = "error"


RUN_KEYS = (
    "measure",
    "seed",
    "replications",
    "requests",
    "warmup_requests",
    "precision",
    "max_requests",
    "common_random_numbers",
    "infeasible",
)


def read_run(value: object, place: Place) -> Run:
    """Read the table ``[run]``."""
    table = read_table(value, place, "must be a table")
    for name, entry in table.items():
        if name not in RUN_KEYS:
            raise place.below(f".{name}").error(unknown(name, RUN_KEYS), entry)
    default = Run()
    requests = _count(table, place, "requests", default.requests)
    max_requests = _count(table, place, "max_requests", min(GROWTH * requests, MAX_REQUESTS))
    if max_requests < requests:
        raise place.below(".max_requests").error(f"must be at least run.requests, {requests:,}", max_requests)
    return Run(
        measure=_read_measure(table, place, default.measure),
        seed=read_int(table.get("seed", default.seed), place.below(".seed"), 0, 2**64 - 1),
        replications=read_int(
            table.get("replications", default.replications), place.below(".replications"), 2, MAX_REPLICATIONS
        ),
        requests=requests,
        warmup_requests=(
            read_int(table["warmup_requests"], place.below(".warmup_requests"), 0, MAX_REQUESTS, "requests")
            if "warmup_requests" in table
            else None
        ),
        precision=_read_precision(table, place),
        max_requests=max_requests,
        common_random_numbers=read_bool(
            table.get("common_random_numbers", default.common_random_numbers),
            place.below(".common_random_numbers"),
        ),
        infeasible=read_choice(
            table.get("infeasible", default.infeasible), place.below(".infeasible"), INFEASIBLE
        ),
    )


def _count(table: Mapping[str, object], place: Place, name: str, default: int) -> int:
    return read_int(table.get(name, default), place.below(f".{name}"), 1, MAX_REQUESTS, "requests")


def _read_measure(table: Mapping[str, object], place: Place, default: tuple[str, ...]) -> tuple[str, ...]:
    where = place.below(".measure")
    accepted = f"must be a list of one or more of {', '.join(MEASURES)}, each once"
    value = table.get("measure", default)
    entries = read_list([value] if isinstance(value, str) else value, where, accepted)
    for position, entry in enumerate(entries):
        read_choice(entry, where.below(f"[{position}]"), MEASURES)
    if len(set(map(str, entries))) != len(entries):
        raise where.error(accepted, value)
    return tuple(measure for measure in MEASURES if measure in entries)


def _read_precision(table: Mapping[str, object], place: Place) -> float | None:
    if "precision" not in table:
        return None
    where = place.below(".precision")
    smallest = 1e-6
    return read_real(table["precision"], where, smallest, 1, below_high=True)
