"""The points of one data set as a comparison sees them: boundaries, what they were made from, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.analysis.differences import Estimates
from fastq.store.joined import same_value

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.store.joined import DataSet

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.int64]

BOUNDARIES = SERVICE, COLD, SLO = ("service_rate_rps", "cold_rate_rps", "slo_rate_rps")
"""Columns of points that are compared, each with the ends of its interval."""

TEXTS = ("status", "binding", "slo_limit")
"""Columns of points whose changes are listed."""

SKIPPED = "skipped"

SAME = 1e-9
"""Relative difference up to which a rate that is put together again from its replications is the one of its row."""

_ENDS = ("_rps", "_low_rps", "_high_rps")
_MEASURES = {COLD: "metastability", SLO: "slo"}
_RUNS = ("requests", "window_s", "sample_theory_ratio")


@dataclass(frozen=True)
class ComparedPoints:
    """Points of one data set, all or those at some rows."""

    data_set: DataSet
    points: pa.Table

    @classmethod
    def of(cls, data_set: DataSet) -> ComparedPoints:
        """Read all finished points."""
        axes = [axis.key for axis in data_set.manifest.axes]
        rates = [f"{name.removesuffix('_rps')}{end}" for name in BOUNDARIES for end in _ENDS]
        return cls(
            data_set,
            data_set.table(
                "points", ("point", "case", *axes, *rates, "theory_rate_rps", *TEXTS, "skip_reason")
            ),
        )

    def at(self, rows: Rows) -> ComparedPoints:
        """Those at some rows, in that order."""
        return ComparedPoints(self.data_set, self.points.take(rows))

    def numbers(self, column: str) -> Floats:
        """(points,) values; NaN where there is none."""
        values = self.points.column(column).to_numpy()
        return np.asarray(values, np.float64)

    def words(self, column: str) -> list[str | None]:
        """(points,) texts."""
        return list(self.points.column(column).to_pylist())

    @cached_property
    def skipped(self) -> Bools:
        """(points,) which can't run."""
        return self.has_status(SKIPPED)

    def has_status(self, *statuses: str) -> Bools:
        """(points,) which have one of these."""
        return np.array([status in statuses for status in self.words("status")], np.bool_)

    @property
    def run(self) -> dict[str, Any]:
        """How it was run."""
        run: dict[str, Any] = self.data_set.manifest.document["canonical"]["run"]
        return run

    def measured(self, boundary: str) -> bool:
        """Whether the run measured a boundary."""
        return boundary not in _MEASURES or _MEASURES[boundary] in self.run["measure"]

    def ends(self, boundary: str) -> Estimates:
        """Estimate, low and high of a boundary."""
        estimate, low, high = (self.numbers(f"{boundary.removesuffix('_rps')}{end}") for end in _ENDS)
        return Estimates(estimate, low, high, self.run["replications"])

    def is_service_rate(self, boundary: str) -> Bools:
        """(points,) where a searched rate is the throughput under a backlog."""
        own, service = self.ends(boundary), self.ends(SERVICE)
        ends = ("rate_rps", "low_rps", "high_rps")
        same: Bools = np.logical_and.reduce([getattr(own, end) == getattr(service, end) for end in ends])
        return same

    def possible(self, boundary: str) -> tuple[Floats, Floats]:
        """Lowest and highest that each rate may be: its interval, but for what a search left open.

        One from an empty start that found nothing apart from the throughput under a backlog leaves open all up to
        the theoretical rate; one for objectives at a nonergodic point ends at the lowest of its throughputs, and
        where it got so far leaves open all up to the highest.
        """
        own, service = self.ends(boundary), self.ends(SERVICE)
        high_rps = own.high_rps
        if boundary == COLD:
            high_rps = np.where(
                self.is_service_rate(boundary),
                np.fmax(high_rps, self.numbers("theory_rate_rps")),
                high_rps,
            )
        elif boundary == SLO:
            ended = self.ranged & (high_rps >= (1 - SAME) * service.low_rps)
            high_rps = np.where(ended, np.fmax(high_rps, service.high_rps), high_rps)
        return own.low_rps, high_rps

    @cached_property
    def ranged(self) -> Bools:
        """(points,) whose low and high are a range over starts: there is no error to test with.

        The status ``metastable`` hides whether a point is nonergodic too; its range tells.
        """
        service, runs = self.ends(SERVICE), self.runs
        with np.errstate(invalid="ignore"):
            throughputs = runs["requests"] / runs["window_s"]
        hidden = np.isclose(service.low_rps, throughputs.min(axis=1), rtol=SAME, atol=0)
        hidden &= np.isclose(service.high_rps, throughputs.max(axis=1), rtol=SAME, atol=0)
        ranged: Bools = self.has_status("nonergodic") | (self.has_status("metastable") & hidden)
        return ranged

    @cached_property
    def runs(self) -> dict[str, Floats]:
        """(points, replications) columns of the replications under a backlog; NaN where there is none."""
        import pyarrow.compute as pc

        backlog = pc.field("arrival_rate_rps").is_null()
        table = self.data_set.table("replications", ("point", "replication", *_RUNS), backlog)
        every = self.points.column("point").to_numpy()
        order = np.argsort(every, kind="stable")
        points, numbers = table.column("point").to_numpy(), table.column("replication").to_numpy()
        places = np.minimum(np.searchsorted(every, points, sorter=order), len(every) - 1)
        rows = order[places]
        wanted = every[rows] == points
        shape = len(every), int(numbers.max(initial=0)) + 1
        found = {}
        for name in _RUNS:
            found[name] = np.full(shape, np.nan)
            values = np.asarray(table.column(name).to_numpy(), np.float64)
            found[name][rows[wanted], numbers[wanted]] = values[wanted]
        return found

    def verdicts(self, column: str) -> dict[tuple[int, float], str]:
        """Verdicts by row and by rate, which is told by ``load`` or ``arrival_rate_rps``."""
        row_of = {point: row for row, point in enumerate(self.points.column("point").to_pylist())}
        table = self.data_set.table("rates", ("point", column, "verdict"))
        points, rates, verdicts = (table.column(name).to_pylist() for name in ("point", column, "verdict"))
        return {
            (row_of[point], same_value(rate)): str(verdict)
            for point, rate, verdict in zip(points, rates, verdicts, strict=True)
            if point in row_of
        }
