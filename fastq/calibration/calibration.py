"""From a log to an iteration time: planes and terms, how sure they are, how well they fit, and what they lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.coefficient_intervals import coefficient_intervals
from fastq.calibration.design import FIELDS, design_of
from fastq.calibration.fit_errors import errors_by_region, far_off
from fastq.calibration.folds import evenly
from fastq.calibration.log_checks import check_log
from fastq.calibration.plane_choice import fewest_planes, held_out_errors
from fastq.calibration.plane_fit import MAX_PLANES, fit_planes, rows_of_planes
from fastq.calibration.term_choice import choose_terms
from fastq.calibration.term_columns import JUMP_KEY, terms_seconds
from fastq.model.iteration_time import TERM_UNITS, IterationTime, Plane, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fastq.calibration.fit_errors import FarOff, RegionError
    from fastq.calibration.iteration_log import IterationLog
    from fastq.calibration.plane_choice import HeldOut
    from fastq.calibration.plane_fit import Fit
    from fastq.calibration.term_choice import Term

MOST_ROWS = 5_000
"""Rows that are fitted; of a longer log as many, evenly spaced. Errors are those of all rows."""

_PS_PER_S = 1e12
_DIGITS = 5
_LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """An iteration time fitted to a log.

    Parameters
    ----------
    log
        The iterations.
    iteration_time
        Planes and terms in whole picoseconds, as fastq simulates them, rounded to five digits.
    low_ps, high_ps
        Ends of the 95% intervals of the coefficients, planes x (base, P, D, K, A), ps per unit.
    term_low_ps, term_high_ps
        The same of the terms, in the order of ``added``.
    rows_of_planes
        For how many of the fitted rows each plane is the largest.
    untold
        Coefficients that the log can't tell: why; they are 0.
    held_out
        Errors of each number of planes on rows that were held out.
    chosen
        Whether the number of planes was chosen by these; else it was given.
    fitted_rows
        Rows that were fitted.
    fitted_s
        Times by the rounded planes and terms, s, one a row of the log.
    errors
        By region.
    far
        Batches that are off by more than half.
    added
        Terms that are added to the planes, as judged when each was taken.
    terms
        What else was tested, beside those.
    error_of_planes, error_with_terms
        Held-out mean relative error of the planes alone and with the terms that are added.
    """

    log: IterationLog
    iteration_time: IterationTime
    low_ps: NDArray[np.float64]
    high_ps: NDArray[np.float64]
    term_low_ps: NDArray[np.float64]
    term_high_ps: NDArray[np.float64]
    rows_of_planes: tuple[int, ...]
    untold: Mapping[str, str]
    held_out: tuple[HeldOut, ...]
    chosen: bool
    fitted_rows: int
    fitted_s: NDArray[np.float64]
    errors: tuple[RegionError, ...]
    far: FarOff
    added: tuple[Term, ...]
    terms: tuple[Term, ...]
    error_of_planes: float
    error_with_terms: float


def calibrate(log: IterationLog, planes: int | None = None) -> Calibration:
    """Fit an iteration time.

    Parameters
    ----------
    log
        The iterations.
    planes
        How many planes, 1 to 4; ``None``: the fewest that cross-validation does not tell from the best, and none that
        is the largest for less than a twentieth of the rows.

    Raises
    ------
    SpecError
        If the log can't be fitted, see :func:`~fastq.calibration.log_checks.check_log`.
    """
    check_log(log)
    design = design_of(log)
    kept = evenly(log.rows, MOST_ROWS)
    columns, seconds = design.columns[kept], log.seconds[kept]
    held_out = held_out_errors(columns, seconds, planes or MAX_PLANES)
    fits = [fit_planes(columns, seconds, 1)]
    for count in range(2, (planes or fewest_planes(held_out)) + 1):
        fits.append(fit_planes(columns, seconds, count, below=fits[-1]))
    fit = _without_idle(fits[-1], columns, seconds) if planes else _supported(fits, columns)
    choice = choose_terms(log.take(kept), columns, fit)
    fit = choice.fit
    low, high, term_low, term_high = coefficient_intervals(columns, seconds, fit, choice.values)
    iteration_time = IterationTime(tuple(_plane(row) for row in fit.planes), _terms(choice.added, fit))
    fitted_s = planes_seconds(iteration_time, design.columns) + terms_seconds(iteration_time.terms, log)
    return Calibration(
        log=log,
        iteration_time=iteration_time,
        low_ps=low * _PS_PER_S,
        high_ps=high * _PS_PER_S,
        term_low_ps=term_low * _PS_PER_S,
        term_high_ps=term_high * _PS_PER_S,
        rows_of_planes=tuple(int(rows) for rows in rows_of_planes(columns, fit)),
        untold=design.untold,
        held_out=held_out,
        chosen=planes is None,
        fitted_rows=int(kept.size),
        fitted_s=fitted_s,
        errors=errors_by_region(log, fitted_s),
        far=far_off(log, fitted_s),
        added=choice.added,
        terms=choice.missing,
        error_of_planes=choice.error_before,
        error_with_terms=choice.error,
    )


def planes_seconds(iteration_time: IterationTime, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times of batches by the planes alone, s.

    Parameters
    ----------
    iteration_time
        Planes in whole picoseconds.
    columns
        1, P, D, K and A of each batch, rows x 5.
    """
    coefficients = np.array(
        [
            [
                plane.base_ps,
                plane.prefill_token_ps,
                plane.decode_seq_ps,
                plane.kv_token_ps,
                plane.attention_ps,
            ]
            for plane in iteration_time.planes
        ],
        dtype=np.float64,
    )
    return np.asarray((columns @ coefficients.T).max(axis=1) / _PS_PER_S)


def _supported(fits: list[Fit], columns: NDArray[np.float64]) -> Fit:
    """Return the fit with the most planes each of which enough rows speak for."""
    fewest = _LEAST_SHARE * columns.shape[0]
    return next(
        (fit for fit in reversed(fits) if rows_of_planes(columns, fit).min() >= fewest),
        fits[0],
    )


def _without_idle(fit: Fit, columns: NDArray[np.float64], seconds: NDArray[np.float64]) -> Fit:
    """Drop planes that are the largest nowhere: the log says nothing about them."""
    used = rows_of_planes(columns, fit) > 0
    if used.all():
        return fit
    return fit_planes(columns, seconds, int(used.sum()), starts=(fit.planes[used],))


def _plane(coefficients_s: NDArray[np.float64]) -> Plane:
    ps = [_rounded_ps(value) for value in coefficients_s]
    return Plane(**dict(zip((f"{_FIELD_NAMES.get(name, name)}_ps" for name in FIELDS), ps, strict=True)))


def _terms(added: tuple[Term, ...], fit: Fit) -> Terms:
    amounts = {
        TERM_UNITS[term.key][0]: _rounded_ps(value) for term, value in zip(added, fit.shared, strict=True)
    }
    jump = next((term.beyond_tokens for term in added if term.key == JUMP_KEY), None)
    return Terms(**amounts, jump_beyond_tokens=jump or 0)


def _rounded_ps(coefficient_s: float) -> int:
    return round(float(f"{coefficient_s * _PS_PER_S:.{_DIGITS}g}"))


_FIELD_NAMES = {"prefill_tokens": "prefill_token", "decode_seqs": "decode_seq", "kv_tokens": "kv_token"}
