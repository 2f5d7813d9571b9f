"""How far the coefficients move when the log is drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.folds import resamples
from fastq.calibration.plane_fit import add_terms, fit_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.calibration.plane_fit import Fit

RESAMPLES = 200
"""Times that the log is drawn again."""

_CONFIDENCE = 0.95


def coefficient_intervals(
    columns: NDArray[np.float64], seconds: NDArray[np.float64], fit: Fit, terms: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return 95% bootstrap intervals (percentiles) of the coefficients of a fit.

    Parameters
    ----------
    columns
        Regressors, rows x regressors.
    seconds
        Measured times, s.
    fit
        The fit; each resample starts from it, and its planes take the places of those whose rows they have.
    terms
        Values of its terms, rows x terms.

    Returns
    -------
    tuple
        Low and high ends of the planes, planes x regressors, and of the terms, s per unit.
    """
    drawn = [
        _drawn(columns[rows], seconds[rows], fit, terms[rows]) for rows in resamples(seconds.size, RESAMPLES)
    ]
    ends = ((1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2)
    low, high = np.quantile(np.stack([_in_places(each, fit, columns) for each in drawn]), ends, axis=0)
    term_low, term_high = np.quantile(np.stack([each.shared for each in drawn]), ends, axis=0)
    return low, high, term_low, term_high


def _drawn(
    columns: NDArray[np.float64], seconds: NDArray[np.float64], fit: Fit, terms: NDArray[np.float64]
) -> Fit:
    if fit.shared.size:
        return add_terms(columns, seconds, terms, fit, signed=False)
    return fit_planes(columns, seconds, fit.planes.shape[0], starts=(fit.planes,))


def _in_places(drawn: Fit, fit: Fit, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the planes of ``drawn``, each in the place of that of ``fit`` with whose rows it shares most."""
    from scipy.optimize import linear_sum_assignment

    shared_rows = np.zeros((fit.planes.shape[0],) * 2)
    largest, largest_drawn = ((columns @ each.planes.T).argmax(axis=1) for each in (fit, drawn))
    np.add.at(shared_rows, (largest, largest_drawn), 1)
    _, places = linear_sum_assignment(shared_rows, maximize=True)
    return drawn.planes[places]
