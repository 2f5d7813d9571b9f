"""A point before it is simulated, and its rows afterwards, whatever simulated it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastq.closed_forms import closed_forms
from fastq.engine import rows
from fastq.engine.account import account
from fastq.engine.encode import encode
from fastq.model.feasibility import infeasible_reason, refusal

if TYPE_CHECKING:
    from fastq.analysis.replication import Replication
    from fastq.closed_forms import ClosedForms
    from fastq.engine.checkpoints import Saturated
    from fastq.engine.encode import Encoded
    from fastq.engine.rows import Row
    from fastq.engine.searches import Searched
    from fastq.model.point import Point
    from fastq.model.run import Run
    from fastq.model.slo import Objective
    from fastq.model.spec import Spec


@dataclass(frozen=True, slots=True)
class PointResult:
    """The rows of one point.

    Parameters
    ----------
    point
        Its row of the table of points.
    replications, rates
        Its rows of the other tables; no ``rates`` without measure ``rates``.
    searched_requests
        Completed in the windows of runs that have no row: those of searches.
    """

    point: Row
    replications: list[Row] = field(default_factory=list, repr=False)
    rates: list[Row] = field(default_factory=list, repr=False)
    searched_requests: int = 0

    @property
    def simulated_requests(self) -> int:
        """Requests completed in all windows."""
        return sum(int(row["requests"]) for row in self.replications) + self.searched_requests


@dataclass(frozen=True, slots=True)
class PreparedPoint:
    """A feasible point with all that a simulation of it needs.

    Parameters
    ----------
    point, run
        What is simulated.
    forms
        Its closed forms.
    encoded
        Its integers.
    rates
        Every arrival rate to measure, with its load.
    objectives
        Service-level objectives whose boundary to search; empty without measure ``slo``.
    """

    point: Point
    run: Run
    forms: ClosedForms
    encoded: Encoded
    rates: list[tuple[float, float]]
    objectives: tuple[Objective, ...]

    @property
    def requests_at_rates(self) -> int:
        """Requests in the window of a replication at an arrival rate."""
        return self.encoded.whole_rounds(self.run.requests)

    def result(
        self, saturated: Saturated, at_rates: list[list[Replication]], searched: Searched
    ) -> PointResult:
        """Rows of the point, from what it does under a backlog and at each of its ``rates``, and what was searched."""
        point = self.point
        replications = [
            rows.replication_row(point, number, replication, expected=expected)
            for number, (replication, expected) in enumerate(
                zip(saturated.replications, saturated.expected, strict=True)
            )
        ]
        rate_rows = []
        for (rate_rps, load), at_rate in zip(self.rates, at_rates, strict=True):
            replications += [
                rows.replication_row(point, number, replication, arrival_rate_rps=rate_rps, load=load)
                for number, replication in enumerate(at_rate)
            ]
            rate_rows.append(
                rows.rate_row(
                    point,
                    at_rate,
                    arrival_rate_rps=rate_rps,
                    load=load,
                    accepted_rate_rps=rate_rps * (1 - self.forms.rejected_share),
                    service_rate=saturated.decisive,
                    cold=None if searched.cold is None else searched.cold.decisive,
                    nonergodic=saturated.status == "nonergodic",
                )
            )
        row = rows.point_row(
            point,
            self.forms,
            saturated.replications,
            saturated.service_rate,
            account(point, saturated.replications),
            searched,
            saturated.status,
        )
        return PointResult(row, replications, rate_rows, searched.requests)


def prepare(spec: Spec, index: int) -> PreparedPoint | PointResult:
    """Make the point of ``index`` ready to be simulated; a point that can't run has its rows at once.

    Raises
    ------
    InfeasibleError
        The point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    """
    point, run = spec.point(index), spec.run
    reason = infeasible_reason(point)
    if reason is not None:
        if run.infeasible == "error":
            raise refusal(point, reason, source=spec.source)
        return PointResult(rows.skipped_row(point, reason))
    forms = closed_forms(point)
    encoded = encode(point, run, mean_running=forms.mean_running)
    rates = arrival_rates(point, forms) if "rates" in run.measure else []
    objectives = spec.slo if "slo" in run.measure else ()
    return PreparedPoint(point, run, forms, encoded, rates, objectives)


def arrival_rates(point: Point, forms: ClosedForms) -> list[tuple[float, float]]:
    """Every (rate, load) of the point: requests/s offered, and those accepted as a share of the theoretical rate."""
    full_load_rps = forms.theory_rate_rps / (1 - forms.rejected_share)
    given = point.arrivals.rates
    if given.loads:
        return [(load * full_load_rps, load) for load in given.loads]
    rates_rps = given.rates_rps
    if given.recorded:
        assert point.law.clock is not None
        rates_rps = (point.law.clock.mean_rate_rps / point.arrivals.round_robin,)
    return [(rate, rate / full_load_rps) for rate in rates_rps]


def relative_cost(forms: ClosedForms, load: float = 1.0) -> float:
    """Guess the time a point takes, in any unit: iterations a request, and the same again for the request itself.

    Below the theoretical rate, at ``load`` of it, an iteration completes less.
    """
    return 1.0 + 1.0 / (forms.completions_per_iteration * min(1.0, load))
