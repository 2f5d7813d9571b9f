"""Searches on a GPU: those of all points and replications stand side by side, each a run at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.analysis.rate_search import Found, Searches
    from fastq.analysis.replication import Replication
    from fastq.engine.gpu_points import Job

    Ran = Callable[[list[Replication]], list[Job]]

T = TypeVar("T")


def search_jobs(
    searches: Searches[T], job_at: Callable[[int, float, Ran], Job], done: Callable[[T], None]
) -> list[Job]:
    """Begin the searches of a point.

    Parameters
    ----------
    searches
        Of every replication.
    job_at
        ``job_at(number, rate_rps, ran)``: a job that runs one replication at a rate, and ends with ``ran``.
    done
        Told what they come to.

    Returns
    -------
    list
        The first job of each; when a job ends it names the next.
    """
    found: dict[int, Found] = {}

    def begin(number: int) -> Job:
        bisection = searches.bisection()

        def run_at(rate_rps: float) -> Job:
            def ran(replications: list[Replication]) -> list[Job]:
                (replication,) = replications
                reason = searches.failing(number, rate_rps, replication)
                try:
                    further_rps = bisection.send(reason)
                except StopIteration as end:
                    found[number] = end.value
                    if len(found) == searches.replications:
                        done(searches.conclude([found[n] for n in range(searches.replications)]))
                    return []
                return [run_at(further_rps)]

            return job_at(number, rate_rps, ran)

        return run_at(next(bisection))

    if not searches.replications:
        done(searches.conclude([]))
    return [begin(number) for number in range(searches.replications)]
