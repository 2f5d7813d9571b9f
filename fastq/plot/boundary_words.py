"""What each boundary is called in pictures, and what the constraint of the closed form limits there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoundaryWords:
    """Words of a boundary.

    Parameters
    ----------
    name
        What it is.
    what_limits
        Heading over the constraint that binds.
    limited_by
        The same before the name of the constraint.
    """

    name: str
    what_limits: str = "What limits throughput"
    limited_by: str = "throughput limited by"


SATURATED = BoundaryWords("Simulated boundary", "What limits it", "limited by")
"""Of the saturated throughput; others may lie below what memory, slots and budget allow."""

BOUNDARIES = {
    "service": SATURATED,
    "cold": BoundaryWords("Boundary from an empty start"),
    "slo": BoundaryWords("Service-level boundary"),
}
"""By the name of its columns, ``NAME_rate_rps`` and the ends of its interval."""
