"""Which terms are added to the planes of an iteration time: each is judged by the error it takes off held-out rows.

Forward selection. The term that takes off most is taken, planes and terms are fitted again together, and the others are
judged beside them; it ends when none takes off more than the standard error of that and at least :data:`LEAST_DROP`.
A term that stood in for others, and has no time left beside them, is dropped for good. A batch can't take less time for
holding more, so coefficients are never negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.folds import folds
from fastq.calibration.plane_fit import Fit, add_terms, fit_planes, fitted_seconds, rows_of_planes
from fastq.calibration.term_columns import CANDIDATES, CAPTURE_SIZES, JUMP_KEY, beyond

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import IterationLog

    Column = Callable[[NDArray[np.bool_]], NDArray[np.float64]]

LEAST_DROP = 1e-3
"""Held-out mean relative error that a term has to take off to be simulated."""

_FEWEST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Term:
    """A further term of the iteration time.

    Parameters
    ----------
    key
        Its key in the table ``iteration_time`` of a spec.
    name
        What it counts.
    unit
        Of what its coefficient is the time.
    coefficient_s
        Seconds per unit, fitted on all rows beside what had been taken before; ``None`` where the log can't tell.
    drop
        Held-out mean relative error without it, less that with it.
    drop_error
        Standard error of the drop, over the parts of the log.
    why_not
        Why it was not tested; empty where it was.
    beyond_tokens
        Batch size of a jump; ``None`` for other terms.
    """

    key: str
    name: str
    unit: str
    coefficient_s: float | None
    drop: float | None
    drop_error: float | None
    why_not: str = ""
    beyond_tokens: int | None = None

    @property
    def carries_weight(self) -> bool:
        """Whether the error it takes away is more than the standard error of that."""
        return self.drop is not None and self.drop_error is not None and self.drop > self.drop_error

    @property
    def verdict(self) -> str:
        """Why it is not added to the planes, for one that was tested and is not."""
        if self.drop is None or self.coefficient_s is None:
            return self.why_not
        if not self.carries_weight:
            return "no more than chance"
        if self.drop < LEAST_DROP:
            return f"under {100 * LEAST_DROP:.1f} % points"
        if self.coefficient_s < 0:
            return "would be negative"
        return "would leave a plane no rows, or a term no time"


@dataclass(frozen=True, slots=True, eq=False)
class TermChoice:
    """Planes and the terms that are added to them.

    Parameters
    ----------
    fit
        Planes and coefficients of the terms, fitted together.
    values
        Values of the terms in the rows, rows x terms.
    added
        The terms, in the order in which they were taken; drops are those of their turns.
    missing
        What else was tested, beside these; coefficients may be negative here.
    error_before, error
        Held-out mean relative error of the planes alone, and with the terms.
    """

    fit: Fit
    values: NDArray[np.float64]
    added: tuple[Term, ...]
    missing: tuple[Term, ...]
    error_before: float
    error: float


def choose_terms(log: IterationLog, columns: NDArray[np.float64], fit: Fit) -> TermChoice:
    """Choose the terms that are added to the planes of a fit.

    Parameters
    ----------
    log
        The iterations.
    columns
        Their regressors, rows x regressors.
    fit
        Planes without any further term.
    """
    part = folds(columns)
    judge = _Judge(
        log, columns, part, tuple(_Fitted.planes_alone(log, columns, part, each, fit) for each in _each(part))
    )
    before = judge.error()
    whole = _Fitted(np.ones(log.rows, dtype=np.bool_), fit, np.empty((log.rows, 0)))
    added: list[Term] = []
    taken: set[str] = set()
    while True:
        tested = judge.candidates(whole, taken, signed=False)
        best = max(
            (each for each in tested if _may_be_added(each, columns)),
            key=lambda each: each.drop,
            default=None,
        )
        if best is None or best.fitted is None:
            break
        added.append(best.term)
        taken.add(best.term.key)
        judge, whole = replace(judge, without=best.by_part), best.fitted
        told = whole.fit.shared > 0
        if not told.all():
            added = [term for term, kept in zip(added, told, strict=True) if kept]
            whole = whole.only(log, columns, told)
            judge = replace(judge, without=tuple(each.only(log, columns, told) for each in judge.without))
    signed = judge.candidates(whole, {term.key for term in added}, signed=True)
    return TermChoice(
        whole.fit, whole.values, tuple(added), tuple(each.term for each in signed), before, judge.error()
    )


def _may_be_added(tested: _Tested, columns: NDArray[np.float64]) -> bool:
    """Whether a term that was tested pays, takes time, and leaves every plane rows of its own."""
    if tested.fitted is None:
        return False
    fit = tested.fitted.fit
    return (
        tested.term.carries_weight
        and tested.drop >= LEAST_DROP
        and bool(fit.shared[-1] > 0)
        and bool((rows_of_planes(columns, fit) > 0).all())
    )


def _each(part: NDArray[np.int64]) -> range:
    return range(int(part.max()) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A fit to some of the rows, and the values of its terms in all of them."""

    rows: NDArray[np.bool_]
    fit: Fit
    values: NDArray[np.float64]

    @classmethod
    def planes_alone(
        cls, log: IterationLog, columns: NDArray[np.float64], part: NDArray[np.int64], each: int, fit: Fit
    ) -> _Fitted:
        """Fit the planes afresh without one part of the rows."""
        kept = part != each
        alone = fit_planes(columns[kept], log.seconds[kept], fit.planes.shape[0], starts=(fit.planes,))
        return cls(kept, alone, np.empty((log.rows, 0)))

    def beside(
        self, log: IterationLog, columns: NDArray[np.float64], values: NDArray[np.float64], *, signed: bool
    ) -> _Fitted:
        """Fit one more term, with these values, together with all that is there."""
        more = np.column_stack([self.values, values])
        rows = self.rows
        return _Fitted(
            rows, add_terms(columns[rows], log.seconds[rows], more[rows], self.fit, signed=signed), more
        )

    def only(self, log: IterationLog, columns: NDArray[np.float64], kept: NDArray[np.bool_]) -> _Fitted:
        """Fit some of the terms alone, together with the planes."""
        values, rows = self.values[:, kept], self.rows
        start = replace(self.fit, shared=self.fit.shared[kept])
        return _Fitted(
            rows, add_terms(columns[rows], log.seconds[rows], values[rows], start, signed=False), values
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tested:
    """A term that was tested, and what it was fitted to: all rows, and all but each part."""

    term: Term
    fitted: _Fitted | None = None
    by_part: tuple[_Fitted, ...] = ()

    @property
    def drop(self) -> float:
        """Held-out error that it takes off."""
        return -np.inf if self.term.drop is None else self.term.drop


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Judges terms on the same parts of a log, against the same fits without them."""

    log: IterationLog
    columns: NDArray[np.float64]
    part: NDArray[np.int64]
    without: tuple[_Fitted, ...]

    def error(self) -> float:
        """Held-out mean relative error of the fits without a further term."""
        return float(np.mean([self._error(fitted) for fitted in self.without]))

    def candidates(self, whole: _Fitted, added: set[str], *, signed: bool) -> list[_Tested]:
        """Judge every term that has not been added; ``whole`` is the fit to all rows without it."""
        tested = []
        fitted = np.column_stack([self.columns, whole.values])
        for candidate in CANDIDATES:
            if candidate.key in added:
                continue
            values = candidate.values(self.log)
            named = Term(candidate.key, candidate.name, candidate.unit, None, None, None)
            if values is None:
                tested.append(_Tested(replace(named, why_not="no such column")))
            elif _adds_nothing(fitted, values):
                tested.append(_Tested(replace(named, why_not="constant, or told by the others")))
            else:
                tested.append(self._test(named, whole, lambda _, values=values: values, signed=signed))  # type: ignore[misc]
        if JUMP_KEY not in added:
            tested.append(self._test_jump(whole, signed=signed))
        return tested

    def _test(self, named: Term, whole: _Fitted, column: Column, *, signed: bool) -> _Tested:
        """Judge a term; ``column`` makes its values in all rows from those that may be looked at."""
        after = [
            before.beside(self.log, self.columns, column(before.rows), signed=signed)
            for before in self.without
        ]
        drops = [
            self._error(before) - self._error(fitted)
            for before, fitted in zip(self.without, after, strict=True)
        ]
        fitted = whole.beside(self.log, self.columns, column(whole.rows), signed=signed)
        error = float(np.std(drops, ddof=1) / np.sqrt(len(drops))) if len(drops) > 1 else 0.0
        term = replace(
            named,
            coefficient_s=float(fitted.fit.shared[-1]),
            drop=float(np.mean(drops)),
            drop_error=error,
        )
        return _Tested(term, fitted, tuple(after))

    def _test_jump(self, whole: _Fitted, *, signed: bool) -> _Tested:
        """Judge a jump at the batch size that suits the rows that may be looked at best."""
        named = Term(JUMP_KEY, "a jump beyond a batch size", "iteration", None, None, None)
        larger = {size: beyond(self.log, size) for size in CAPTURE_SIZES}
        sizes = [
            size
            for size, values in larger.items()
            if min(int(values.sum()), int(values.size - values.sum())) >= _FEWEST_ROWS
        ]
        if not sizes:
            return _Tested(replace(named, why_not="all batches are of one size, or nearly"))

        def best(rows: NDArray[np.bool_]) -> int:
            of_rows = replace(whole, rows=rows)
            losses = [
                of_rows.beside(self.log, self.columns, larger[size], signed=signed).fit.loss for size in sizes
            ]
            return sizes[int(np.argmin(losses))]

        found = best(whole.rows)
        named = replace(named, name=f"a jump beyond {found:,} tokens", beyond_tokens=found)
        return self._test(
            named, whole, lambda rows: larger[found if rows is whole.rows else best(rows)], signed=signed
        )

    def _error(self, fitted: _Fitted) -> float:
        out = ~fitted.rows
        times = fitted_seconds(self.columns[out], fitted.fit, fitted.values[out])
        return float(np.abs(times / self.log.seconds[out] - 1).mean())


def _adds_nothing(columns: NDArray[np.float64], values: NDArray[np.float64]) -> bool:
    """Whether a column is a linear function of those that are fitted anyway."""
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    spread = float(np.ptp(values))
    if spread == 0:
        return True
    rest = values - (columns / scale) @ np.linalg.lstsq(columns / scale, values, rcond=None)[0]
    return bool(np.abs(rest).max() <= 1e-6 * spread)
