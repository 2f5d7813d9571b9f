"""Where something that holds at low rates begins to fail, for one replication at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastq.analysis.replication import Replication

    Failing = Callable[[float], str | None]
    RunAt = Callable[[int, float], Replication]
    Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]
    Found = tuple[float | None, str | None]

BISECTIONS = 10
"""The last bracket is a thousandth of the first one wide."""


def search_rate(failing: Failing, least_rps: float, most_rps: float) -> Found:
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


def search_each(
    failing: Callable[[int, float], str | None],
    least_rps: float,
    most_rps: float,
    *,
    replications: int,
    each: Each = map,
) -> list[Found]:
    """Search every replication, by number, as :func:`search_rate` does one.

    ``each`` maps a function over their numbers, in order, perhaps several at a time.
    """
    return list(
        each(lambda number: search_rate(partial(failing, number), least_rps, most_rps), range(replications))
    )
