"""Has a boundary moved between two data sets? Points are joined by what they are, and every rate is tested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fastq.errors import SpecError
from fastq.store.boundary_tests import FINDINGS, MOVED, UNCLEAR, WITHIN, boundary_tests
from fastq.store.compared_points import SERVICE, TEXTS, ComparedPoints
from fastq.store.joined import axes_of_one, join, open_data_set
from fastq.store.listed_changes import text_changes, theory_changes, verdict_changes
from fastq.store.manifest import settings_texts
from fastq.store.reader import count_values

if TYPE_CHECKING:
    import os

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.store.joined import DataSet, Joined

    Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ComparedSet:
    """One of the two data sets.

    Parameters
    ----------
    location
        Path or URI.
    title, spec_hash, fastq_version, results_version
        As its manifest has them.
    points, points_finished
        Size of the grid, and how much of it is there to be compared.
    axes_alone
        Axes, ``case`` included, that the other data set does not have.
    """

    location: str
    title: str
    spec_hash: str
    fastq_version: str
    results_version: int
    points: int
    points_finished: int
    axes_alone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A resolved setting that differs, as text; ``None`` where a data set does not have it."""

    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What differs between two data sets.

    Parameters
    ----------
    old, new
        The data sets.
    tolerance
        Relative difference up to which nothing has moved.
    confidence
        1 less the family-wise error rate, and that of the interval of each difference alone.
    same_spec
        Whether all that decides numbers, the release of fastq aside, is the same.
    paired
        Whether replications of one number shared their draws: one seed, and common random numbers in both.
    settings
        Resolved settings that differ.
    only_old, only_new
        Points of one data set only: ``point``, ``case`` and the axes that both have.
    joined
        Points in both.
    infeasible
        Points that can't run in either, among the joined.
    points
        A row for each point and boundary that both measured: ``old_point``, ``new_point``, ``case``, the axes;
        ``boundary``, the column compared; ``old_rps``, ``new_rps``; ``difference``, new over old less 1, with
        ``difference_low`` and ``difference_high``; ``p_value`` of a difference within the tolerance and
        ``p_adjusted`` by Holm over all rows; ``judged_by`` (``equality``, ``pairs``, ``intervals``, ``ranges`` or
        ``feasibility``); ``finding`` (see :data:`FINDINGS`); ``differs``, whether it surely is not 0; ``old_status``,
        ``new_status``. Points that are short or capped have the range of their intervals for an interval; a
        nonergodic one is judged by its range alone, has no p-value, and the confidence says nothing of it. A
        searched rate that is the throughput under a backlog in both has no row of its own; one from an empty start
        that is so in one of them is judged by ranges too. Objectives that can't be met in one of them have moved
        where every replication of the other met them at some rate.
    changes
        A row for each other thing that changed: ``old_point``, ``new_point``, ``case``, the axes; ``load`` or
        ``arrival_rate_rps`` of a verdict; ``column``, ``old`` and ``new`` as text; ``difference`` of
        theory_rate_rps; ``moved``, whether that is a move: of the theory beyond the tolerance, or of a verdict
        from or to stable, neither undecided, where the throughput under a backlog is not ``within`` the tolerance.
    rates, rates_alone
        Points and arrival rates whose verdicts were compared, and those in one data set only.
    """

    old: ComparedSet
    new: ComparedSet
    tolerance: float
    confidence: float
    same_spec: bool
    paired: bool
    settings: tuple[SettingChange, ...]
    only_old: pa.Table
    only_new: pa.Table
    joined: int
    infeasible: int
    points: pa.Table
    changes: pa.Table
    rates: int
    rates_alone: int

    @cached_property
    def findings(self) -> dict[str, int]:
        """Rows of ``points`` by finding."""
        return {**dict.fromkeys(FINDINGS, 0), **count_values(self.points, "finding")}

    @cached_property
    def differing(self) -> int:
        """Rows of ``points`` that surely differ, yet within the tolerance."""
        import pyarrow.compute as pc

        differing = self.points.filter(pc.field("differs"))
        return count_values(differing, "finding").get(WITHIN, 0)

    @property
    def moved(self) -> bool:
        """Whether anything moved: a boundary, theory, a verdict, or what can run."""
        import pyarrow.compute as pc

        return self.findings[MOVED] > 0 or bool(pc.any(self.changes.column("moved")).as_py())

    @property
    def unclear(self) -> bool:
        """Whether some boundary may have moved and the runs are too short to tell."""
        return self.findings[UNCLEAR] > 0


def compare(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    tolerance: float = 0.01,
    confidence: float = 0.95,
) -> Comparison:
    """Compare the boundaries of two data sets, point by point.

    Parameters
    ----------
    old, new
        Directories or ``pyarrow.fs`` URIs of data sets.
    tolerance
        Relative difference up to which nothing has moved, in [0, 1).
    confidence
        1 less the chance that anything is called moved where nothing did, in (0, 1).

    Raises
    ------
    SpecError
        No point is in both, points can't be told apart, or a number is out of range.
    StoreError
        A data set can't be read.
    """
    import pyarrow as pa

    _refuse(tolerance, confidence)
    before, after = open_data_set(old), open_data_set(new)
    sides = ComparedPoints.of(before), ComparedPoints.of(after)
    joined = join(before, after, sides[0].points, sides[1].points)
    left, right = sides[0].at(joined.old_rows), sides[1].at(joined.new_rows)
    identity = _identity(left, right, joined)
    pairs = left.run["seed"] == right.run["seed"] and all(
        side.run["common_random_numbers"] for side in (left, right)
    )
    rows = boundary_tests(left, right, identity, pairs=pairs, tolerance=tolerance, confidence=confidence)
    verdicts, rates, rates_alone = verdict_changes(left, right, identity, _surely_within(rows))
    changes = [
        *(text_changes(left, right, identity, column) for column in TEXTS),
        theory_changes(left, right, identity, tolerance),
        verdicts,
    ]
    return Comparison(
        old=_described(before, after, sides[0]),
        new=_described(after, before, sides[1]),
        tolerance=tolerance,
        confidence=confidence,
        same_spec=before.manifest.document["canonical"] == after.manifest.document["canonical"],
        paired=pairs,
        settings=_setting_changes(before, after),
        only_old=_named(sides[0], joined.only_old, joined),
        only_new=_named(sides[1], joined.only_new, joined),
        joined=len(joined.old_rows),
        infeasible=int((left.skipped & right.skipped).sum()),
        points=rows,
        changes=pa.concat_tables(changes),
        rates=rates,
        rates_alone=rates_alone,
    )


def _surely_within(rows: pa.Table) -> set[int]:
    """Points of the old data set whose throughput under a backlog moved by no more than the tolerance."""
    import pyarrow.compute as pc

    held = rows.filter((pc.field("boundary") == SERVICE) & (pc.field("finding") == WITHIN))
    return set(held.column("old_point").to_numpy().tolist())


def _identity(left: ComparedPoints, right: ComparedPoints, joined: Joined) -> pa.Table:
    import pyarrow as pa

    columns = {
        "old_point": left.points.column("point"),
        "new_point": right.points.column("point"),
        "case": left.points.column("case"),
        **{axis.key: left.points.column(axis.key) for axis in joined.axes},
    }
    return pa.table(columns)


def _named(side: ComparedPoints, rows: Rows, joined: Joined) -> pa.Table:
    return side.points.select(["point", "case", *(axis.key for axis in joined.axes)]).take(rows)


def _described(own: DataSet, other: DataSet, side: ComparedPoints) -> ComparedSet:
    manifest = own.manifest
    return ComparedSet(
        location=own.name,
        title=manifest.title,
        spec_hash=manifest.spec_hash,
        fastq_version=str(manifest.document["versions"]["fastq"]),
        results_version=manifest.results_version,
        points=manifest.points,
        points_finished=side.points.num_rows,
        axes_alone=axes_of_one(own, other),
    )


def _setting_changes(old: DataSet, new: DataSet) -> tuple[SettingChange, ...]:
    before, after = settings_texts(old.manifest), settings_texts(new.manifest)
    return tuple(
        SettingChange(key, before.get(key), after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def _refuse(tolerance: float, confidence: float) -> None:
    if not 0 <= tolerance < 1:
        raise SpecError(
            "must be at least 0 and below 1: a relative difference, 0.01 is 1%",
            key="--tolerance",
            value=tolerance,
        )
    if not 0 < confidence < 1:
        raise SpecError("must lie between 0 and 1, as 0.95 does", key="--confidence", value=confidence)
