"""Which boundaries moved, of all that two data sets measured: one family of tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.analysis.differences import LogRatios, Throughputs, independent, log_ratios, paired
from fastq.analysis.rate_search import BISECTIONS
from fastq.analysis.tolerance import judge, ranges_beyond, ranges_tell, reaches_past
from fastq.store.compared_points import BOUNDARIES, COLD, SAME, SERVICE

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.store.compared_points import ComparedPoints

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Rows = NDArray[np.int64]

EQUAL, WITHIN, UNCLEAR, MOVED = FINDINGS = ("equal", "within", "unclear", "moved")
"""What is found of a boundary: the same runs; surely within the tolerance; its interval or range reaches past
the tolerance; surely beyond it."""

DOUBTFUL = ("short", "capped")
"""Statuses of points whose intervals must be apart too: a test alone is not to be trusted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """Rows of one boundary before they are tested, each field of shape (rows,).

    Parameters
    ----------
    points
        Which of the joined points.
    old_rps, new_rps
        Rates; NaN where there is none.
    log_ratio, error, degrees
        As in :class:`fastq.analysis.differences.LogRatios`; NaN where a rate is not there.
    low, high, beyond
        The difference by ranges, and whether those are apart by more than the tolerance; where one side has no
        rate, whether that is no chance.
    judged_by
        As in :attr:`Comparison.points`.
    """

    boundary: NDArray[np.object_]
    points: Rows
    old_rps: Floats
    new_rps: Floats
    log_ratio: Floats
    error: Floats
    degrees: Floats
    low: Floats
    high: Floats
    beyond: Bools
    judged_by: NDArray[np.object_]


def boundary_tests(
    left: ComparedPoints,
    right: ComparedPoints,
    identity: pa.Table,
    *,
    pairs: bool,
    tolerance: float,
    confidence: float,
) -> pa.Table:
    """Rows of every boundary that both measured, tested as one family."""
    import pyarrow as pa

    runs = _compared_runs(left, right, pairs=pairs)
    parts = [
        _compared(left, right, boundary, runs, tolerance=tolerance, error_rate=1 - confidence)
        for boundary in BOUNDARIES
        if left.measured(boundary) and right.measured(boundary)
    ]
    rows = _Compared(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _Compared.__slots__)
    )
    by = rows.judged_by
    testable = np.isin(by, ("equality", "pairs", "intervals"))
    ratios = LogRatios(rows.log_ratio[testable], rows.error[testable], rows.degrees[testable])
    found = judge(ratios, tolerance=tolerance, confidence=confidence)
    low, high, p_value, p_adjusted, p_zero = (np.full(len(by), np.nan) for _ in range(5))
    low[testable], high[testable] = found.low, found.high
    p_value[testable], p_adjusted[testable], p_zero[testable] = (
        found.p_value,
        found.p_adjusted,
        found.p_adjusted_zero,
    )
    doubtful = (left.has_status(*DOUBTFUL) | right.has_status(*DOUBTFUL))[rows.points]
    doubtful &= np.isin(by, ("pairs", "intervals"))
    by_range = doubtful | (by == "ranges")
    low[by_range], high[by_range] = rows.low[by_range], rows.high[by_range]
    feasibility = by == "feasibility"
    untested = feasibility | (by == "ranges")
    allowed = 1 - confidence
    with np.errstate(invalid="ignore"):
        moved = np.where(untested, rows.beyond, p_adjusted <= allowed)
        moved &= ~doubtful | rows.beyond
        apart = (low > 0) | (high < 0)
        differs = np.where(by == "ranges", apart, p_zero <= allowed)
        differs &= ~doubtful | apart
        differs = np.where(feasibility, rows.beyond, differs).astype(np.bool_)
        past = feasibility | reaches_past(low, high, tolerance)
    finding = np.select([moved, by == "equality", past], [MOVED, EQUAL, UNCLEAR], WITHIN)
    table = identity.take(rows.points)
    columns: dict[str, pa.Array[Any] | pa.ChunkedArray[Any]] = {
        "boundary": pa.array(rows.boundary, pa.string()),
        "old_rps": _known(rows.old_rps),
        "new_rps": _known(rows.new_rps),
        "difference": _known(np.expm1(rows.log_ratio)),
        "difference_low": _known(low),
        "difference_high": _known(high),
        "p_value": _known(p_value),
        "p_adjusted": _known(p_adjusted),
        "judged_by": pa.array(by, pa.string()),
        "finding": pa.array(finding.astype(object), pa.string()),
        "differs": pa.array(differs),
        "old_status": left.points.column("status").take(rows.points),
        "new_status": right.points.column("status").take(rows.points),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """What the replications of the joined points tell of the difference of throughputs; all of shape (points,).

    Parameters
    ----------
    same
        Where every replication of both sides completed the same requests in the same time.
    paired
        Where replications can be compared in pairs: those of both sides are there, and give the rates of the rows of
        points.
    error, degrees
        Standard error of the logarithm of the ratio, and its degrees of freedom, by pairs; NaN elsewhere.
    """

    same: Bools
    paired: Bools
    error: Floats
    degrees: Floats


def _compared_runs(left: ComparedPoints, right: ComparedPoints, *, pairs: bool) -> _Runs:
    points = left.points.num_rows
    same = np.zeros(points, np.bool_)
    if left.runs["requests"].shape == right.runs["requests"].shape:
        same = np.logical_and.reduce(
            [(left.runs[name] == right.runs[name]).all(axis=1) for name in ("requests", "window_s")]
        )
    usable = np.full(points, pairs)
    error, degrees = np.full(points, np.nan), np.full(points, np.nan)
    throughputs = [_throughputs(side) for side in (left, right)]
    for side, each in zip((left, right), throughputs, strict=True):
        usable &= np.isclose(each.rate_rps, side.ends(SERVICE).rate_rps, rtol=SAME, atol=0)
    if usable.any():
        found = paired(*(Throughputs(each.requests[usable], each.time_s[usable]) for each in throughputs))
        error[usable], degrees[usable] = found.error, found.degrees
    return _Runs(same, usable, error, degrees)


def _throughputs(side: ComparedPoints) -> Throughputs:
    runs = side.runs
    scale = np.where(np.isnan(runs["sample_theory_ratio"]), 1.0, runs["sample_theory_ratio"])
    return Throughputs(runs["requests"], runs["window_s"] * scale)


def _compared(
    left: ComparedPoints,
    right: ComparedPoints,
    boundary: str,
    runs: _Runs,
    *,
    tolerance: float,
    error_rate: float,
) -> _Compared:
    """Rows of one boundary, wherever at least one side has a rate and both could have one."""
    old, new = left.ends(boundary), right.ends(boundary)
    has_old, has_new = ~np.isnan(old.rate_rps), ~np.isnan(new.rate_rps)
    wanted = has_old | has_new
    by_range = left.ranged | right.ranged
    if boundary != SERVICE:
        wanted &= ~(left.skipped | right.skipped)
        not_apart = left.is_service_rate(boundary), right.is_service_rate(boundary)
        wanted &= ~(not_apart[0] & not_apart[1])
        if boundary == COLD:
            by_range = by_range | not_apart[0] | not_apart[1]
    points = np.flatnonzero(wanted)
    old, new = old.at(points), new.at(points)
    log_ratio = log_ratios(old.rate_rps, new.rate_rps)
    judged_by = np.full(len(points), "intervals", object)
    same = runs.same[points] & (log_ratio == 0)
    if boundary == SERVICE:
        ratios = independent(old, new)
        by_pairs = runs.paired[points]
        error = np.where(by_pairs, runs.error[points], ratios.error)
        degrees = np.where(by_pairs, runs.degrees[points], ratios.degrees)
        judged_by[by_pairs] = "pairs"
    else:
        ends = left.ends(SERVICE).at(points), right.ends(SERVICE).at(points)
        largest_rps = np.maximum(left.numbers("theory_rate_rps"), right.numbers("theory_rate_rps"))[points]
        step = largest_rps / np.minimum(old.rate_rps, new.rate_rps) / 2**BISECTIONS
        ratios = independent(old, new, resolution=step, searched_up_to=ends)
        error, degrees = ratios.error, ratios.degrees
        same &= (old.low_rps == new.low_rps) & (old.high_rps == new.high_rps)
    judged_by[by_range[points]] = "ranges"
    judged_by[same] = "equality"
    one_only = ~(has_old & has_new)[points]
    judged_by[one_only] = "feasibility"
    (old_low, old_high), (new_low, new_high) = left.possible(boundary), right.possible(boundary)
    low, high, beyond = ranges_beyond(
        (old_low[points], old_high[points]), (new_low[points], new_high[points]), tolerance
    )
    if not ranges_tell(old.replications, new.replications, error_rate):
        beyond &= judged_by != "ranges"
    if boundary == SERVICE:
        beyond |= one_only
    else:
        beyond |= one_only & (old.found_by_all() | new.found_by_all())
    return _Compared(
        boundary=np.full(len(points), boundary, object),
        points=points,
        old_rps=old.rate_rps,
        new_rps=new.rate_rps,
        log_ratio=log_ratio,
        error=np.where(same, 0.0, error),
        degrees=degrees,
        low=low,
        high=high,
        beyond=beyond,
        judged_by=judged_by,
    )


def _known(values: Floats) -> pa.Array[Any]:
    import pyarrow as pa

    return pa.array(values, pa.float64(), from_pandas=True)
