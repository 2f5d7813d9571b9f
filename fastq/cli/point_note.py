"""What stands below a picture of one point: which point it is, and where its boundary lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastq.model.point import Point


def setting_words(point: Point) -> list[str]:
    """Return the point's case and axes as one line; no line where the grid has neither."""
    from fastq.plot.labels import facet_label

    where = ", ".join(facet_label(key, value) for key, value in point.axes.items())
    if point.case is not None:
        where = ", ".join(part for part in (f"case: {point.case}", where) if part)
    return [f"{where[0].upper()}{where[1:]}."] if where else []


def boundary_words(row: dict[str, Any]) -> str:
    """Return the boundary by theory and simulated, of a row of the table of points."""
    from fastq.cli.text_table import ends, number

    interval = ends(row["service_rate_low_rps"], row["service_rate_high_rps"])
    return (
        f"Boundary: {number(row['theory_rate_rps'])} requests/s by theory, "
        f"{number(row['service_rate_rps'])} simulated ({interval}, 95%)."
    )
