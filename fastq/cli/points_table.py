"""A small data set as a table: simulation beside theory, a line a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.cli.text_table import number, render, scalar, seconds

if TYPE_CHECKING:
    from fastq.model.spec import Spec

MAX_POINTS = 24
"""Grids up to this size are shown point by point; larger ones are for ``fastq map``."""


def points_table(spec: Spec, out: str) -> str:
    """Return the finished points of a small grid as text; empty for a large one."""
    from fastq.store.reader import read

    if len(spec) > MAX_POINTS:
        return ""
    axes = [axis.key for axis in spec.axes]
    named = ["case"] if spec.case_names else []
    header = [
        "point", *named, *axes, "simulated/s", "95% interval", "theory/s", "memory only/s", "limit", "iteration",
        "running", "preemptions", "status",
    ]  # fmt: skip
    rows = [
        [
            str(row["point"]),
            *(scalar(row[key]) for key in named + axes),
            number(row["service_rate_rps"]),
            f"{number(row['service_rate_low_rps'])} to {number(row['service_rate_high_rps'])}",
            number(row["theory_rate_rps"]),
            number(row["paper_rate_rps"]),
            row["binding"] or "-",
            seconds(row["mean_iteration_s"]),
            number(row["mean_running"], 3),
            number(row["preemptions_per_request"], 3),
            row["status"],
        ]
        for row in read(out).to_pylist()
    ]
    return render(rows, header=header, left=range(1, 1 + len(named) + len(axes)))
