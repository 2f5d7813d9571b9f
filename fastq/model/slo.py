"""Service-level objectives: latencies that a share of the requests must not exceed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from fastq.model.duration import read_duration_ps, shown_duration
from fastq.model.reading import read_table, unknown

if TYPE_CHECKING:
    from fastq.model.reading import Place

SLO_KEYS = ("wait", "ttft", "tpot", "e2e")
_PERCENTILE = re.compile(r"p([1-9]\d?|0(?=_))(?:_(\d{0,3}[1-9]))?", re.ASCII)
_ACCEPTED = (
    'must be a table of percentiles and durations, as in { p50 = "200 ms", p99 = "2 s", p99_9 = "5 s" }'
)


@dataclass(frozen=True, slots=True)
class Objective:
    """One limit.

    Parameters
    ----------
    latency
        ``wait``, ``ttft``, ``tpot`` or ``e2e``.
    percentile
        As it is written: ``p99``, ``p99_9``.
    at_most_ps
        The largest that the quantile may be, ps.
    """

    latency: str
    percentile: str
    at_most_ps: int

    @property
    def share(self) -> Fraction:
        """Share of the requests that must be within the limit."""
        return _share(self.percentile)

    @property
    def name(self) -> str:
        """What result tables call it: ``ttft_p99``."""
        return f"{self.latency}_{self.percentile}"

    @property
    def text(self) -> str:
        """What a person reads."""
        return f"{self.percentile.replace('_', '.')} <= {shown_duration(self.at_most_ps)}"


def read_slo(value: object, place: Place) -> tuple[Objective, ...]:
    """Read the table ``[slo]``: for some latencies, a duration for each of some percentiles."""
    table = read_table(value, place, "must be a table")
    objectives = []
    for latency, entry in table.items():
        where = place.below(f".{latency}")
        if latency not in SLO_KEYS:
            raise where.error(unknown(latency, SLO_KEYS), entry)
        limits = read_table(entry, where, _ACCEPTED)
        if not limits:
            raise where.error(_ACCEPTED, entry)
        for percentile, limit in limits.items():
            at = where.below(f".{percentile}")
            if _PERCENTILE.fullmatch(percentile) is None:
                raise at.error(
                    "the percentile must be written as p50, p99 or p99_9, above 0 and below 100", limit
                )
            objectives.append(Objective(latency, percentile, read_duration_ps(limit, at)))
    return tuple(sorted(objectives, key=lambda one: (SLO_KEYS.index(one.latency), one.share)))


def _share(percentile: str) -> Fraction:
    match = _PERCENTILE.fullmatch(percentile)
    if match is None:
        raise ValueError(f"no percentile: {percentile!r}")
    whole, rest = match[1], match[2] or ""
    return Fraction(int(whole + rest), 100 * 10 ** len(rest))
