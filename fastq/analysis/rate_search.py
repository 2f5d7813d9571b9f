"""Where something that holds at low rates begins to fail, for one replication at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Failing = Callable[[float], str | None]

BISECTIONS = 10
"""The last bracket is a thousandth of the first one wide."""


def search_rate(failing: Failing, least_rps: float, most_rps: float) -> tuple[float | None, str | None]:
    """Bisect for the rate at which something begins to fail.

    Parameters
    ----------
    failing
        Says what fails at a rate, requests/s; ``None`` where nothing does.
    least_rps, most_rps
        Ends of the search.

    Returns
    -------
    float or None
        The rate, ``most_rps`` where nothing fails up to there; ``None`` where something fails at ``least_rps``.
    str or None
        What fails first beyond it; ``None`` where nothing does.
    """
    first = failing(least_rps)
    if first is not None:
        return None, first
    reason = failing(most_rps)
    if reason is None:
        return most_rps, None
    holds, fails = least_rps, most_rps
    for _ in range(BISECTIONS):
        middle = (holds + fails) / 2
        found = failing(middle)
        if found is None:
            holds = middle
        else:
            fails, reason = middle, found
    return (holds + fails) / 2, reason
