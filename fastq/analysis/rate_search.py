"""Where something that holds at low rates begins to fail, for one replication at a time.

A search asks for runs and is told what fails in them: whoever runs them decides how many searches stand at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from fastq.analysis.replication import Replication

    RunAt = Callable[[int, float], Replication]
    Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]

Found = tuple[float | None, str | None]
Bisection = Generator[float, str | None, Found]
T = TypeVar("T")

BISECTIONS = 10
"""The last bracket is a thousandth of the first one wide."""


def bisect_rate(least_rps: float, most_rps: float) -> Bisection:
    """Bisect for the rate at which something begins to fail.

    Parameters
    ----------
    least_rps, most_rps
        Ends of the search, requests/s.

    Yields
    ------
    float
        A rate to look at, requests/s; send what fails there, ``None`` where nothing does.

    Returns
    -------
    float or None
        The rate, ``most_rps`` where nothing fails up to there; ``None`` where something fails at ``least_rps``.
    str or None
        What fails first beyond it; ``None`` where nothing does.
    """
    first = yield least_rps
    if first is not None:
        return None, first
    reason = yield most_rps
    if reason is None:
        return most_rps, None
    holds, fails = least_rps, most_rps
    for _ in range(BISECTIONS):
        middle = (holds + fails) / 2
        found = yield middle
        if found is None:
            holds = middle
        else:
            fails, reason = middle, found
    return (holds + fails) / 2, reason


@dataclass(frozen=True, slots=True)
class Searches(Generic[T]):
    """One search in every replication of a point, and what they come to.

    Parameters
    ----------
    replications
        How many there are; 0 where the answer is known without a run.
    least_rps, most_rps
        Ends of each search, requests/s.
    failing
        ``failing(number, rate_rps, replication)``: what fails in a run of replication ``number`` at a rate;
        ``None`` where nothing does. Called in the order of a bisection for each number, in any order among them.
    conclude
        Makes the answer of what was found in every replication, by number.
    """

    replications: int
    least_rps: float
    most_rps: float
    failing: Callable[[int, float, Replication], str | None]
    conclude: Callable[[list[Found]], T]

    def bisection(self) -> Bisection:
        """The search of one replication, not begun."""
        return bisect_rate(self.least_rps, self.most_rps)


def settle(searches: Searches[T], run_at: RunAt, each: Each = map) -> T:
    """Run all searches to their end.

    Parameters
    ----------
    searches
        Of every replication.
    run_at
        Runs a replication, by number, at a rate, requests/s.
    each
        Maps a function over their numbers, in order, perhaps several at a time.
    """

    def found(number: int) -> Found:
        bisection = searches.bisection()
        rate_rps = next(bisection)
        while True:
            reason = searches.failing(number, rate_rps, run_at(number, rate_rps))
            try:
                rate_rps = bisection.send(reason)
            except StopIteration as end:
                last: Found = end.value
                return last

    return searches.conclude(list(each(found, range(searches.replications))))
