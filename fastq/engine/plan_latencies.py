"""Latencies at a load, interpolated in the rates of a data set: between loads at each point, then between points.

Near its boundary a queue's latencies grow like 1/(1 - load). So loads are compared as shares of the simulated boundary
of each point, not of theory's rate, and latencies lie on nearly straight lines in logarithms over -log(1 - load).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.interpolation import bracket, corners, interpolate
from fastq.analysis.intervals import Interval
from fastq.engine.plan_result import LATENCY_COLUMNS
from fastq.store.reader import read

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastq.analysis.interpolation import Bracket

    Field = NDArray[np.float64]


def interpolated_latencies(
    location: str | os.PathLike[str],
    loads: Sequence[float],
    boundary: Field,
    brackets: Sequence[Bracket],
    load: float,
) -> dict[str, Interval]:
    """Interpolate every latency.

    Parameters
    ----------
    location
        The data set.
    loads
        At which it holds rates, as shares of theory's rate.
    boundary
        Simulated boundary over theory's rate at every point of the grid, a dimension an axis.
    brackets
        Where to look, one an axis.
    load
        As a share of the simulated boundary there.

    Returns
    -------
    dict
        By name of :data:`fastq.engine.plan_result.LATENCY_COLUMNS`, s, with 95% intervals and the error of the
        interpolation added; a latency is missing where a point around the place was not measured at loads on both
        sides of this one, below its boundary.
    """
    import pyarrow.compute as pc

    needed = [sorted({*each.lines.indices, *(each.wider.indices if each.wider else ())}) for each in brackets]
    positions = list(itertools.product(*needed))
    points = [int(np.ravel_multi_index(position, boundary.shape)) for position in positions]
    names = [f"{name}{end}" for name in LATENCY_COLUMNS for end in ("", "_low", "_high")]
    table = read(location, "rates", ["point", "load", *names], pc.field("point").isin(points))
    rows = np.searchsorted(points, table.column("point").to_numpy())
    columns = [loads.index(each) for each in table.column("load").to_pylist()]
    shape = tuple(map(len, needed))
    shares = [np.array(loads) / boundary[position] for position in positions]
    local = [_local(each, lines) for each, lines in zip(brackets, needed, strict=True)]
    found = {}
    for name in LATENCY_COLUMNS:
        three = np.full((3, len(points), len(loads)), np.nan)
        for number, end in enumerate(("", "_low", "_high")):
            three[number, rows, columns] = table.column(f"{name}{end}").to_numpy()
        each_point = np.array(
            [_at_load(three[:, number], share, load) for number, share in enumerate(shares)]
        )
        interval = _between_points(each_point.T.reshape(4, *shape), local)
        if interval is not None:
            found[name] = interval
    return found


def _at_load(latencies: Field, shares: Field, load: float) -> tuple[float, float, float, float]:
    """Interpolate a latency of one point.

    Parameters
    ----------
    latencies
        (3, loads) estimate and ends of its interval, s.
    shares
        (loads,) loads as shares of the point's boundary.
    load
        Where to look.

    Returns
    -------
    tuple of float
        Logarithm of the latency, the error of the interpolation, and the halves of its interval, NaN where unknown.
    """
    known = (shares < 1) & (latencies > 0).all(axis=0)
    at = None if load >= 1 else bracket((-np.log1p(-shares[known])).tolist(), -math.log1p(-load))
    if at is None:
        return (math.nan,) * 4
    estimate, low, high = np.log(latencies[:, known])
    value, error = interpolate(estimate, [at])
    below, above = corners(estimate - low, [at]).max(), corners(high - estimate, [at]).max()
    return value, error, float(below), float(above)


def _between_points(fields: Field, brackets: Sequence[Bracket]) -> Interval | None:
    value, error = interpolate(fields[0], brackets)
    if math.isnan(value):
        return None
    along, below, above = (float(corners(field, brackets).max()) for field in fields[1:])
    return Interval(
        math.exp(value), math.exp(value - below - along - error), math.exp(value + above + along + error)
    )


def _local(each: Bracket, lines: Sequence[int]) -> Bracket:
    """Renumber the lines of a bracket by their places among those that were read."""
    place = {line: number for number, line in enumerate(lines)}
    lines_, wider = each.lines, each.wider
    return replace(
        each,
        lines=lines_._replace(indices=tuple(place[index] for index in lines_.indices)),
        wider=None
        if wider is None
        else wider._replace(indices=tuple(place[index] for index in wider.indices)),
    )
