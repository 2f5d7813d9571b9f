"""How far the coefficients move when the log is drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.folds import resamples
from fastq.calibration.plane_fit import fit_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.calibration.plane_fit import Fit

RESAMPLES = 200
"""Times that the log is drawn again."""

_CONFIDENCE = 0.95


def coefficient_intervals(
    columns: NDArray[np.float64], seconds: NDArray[np.float64], fit: Fit
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 95% bootstrap intervals (percentiles) of the coefficients of a fit.

    Parameters
    ----------
    columns
        Regressors, rows x regressors.
    seconds
        Measured times, s.
    fit
        The fit; each resample starts from it, so that planes keep their places.

    Returns
    -------
    tuple
        Low and high ends, planes x regressors, s per unit.
    """
    drawn = np.stack(
        [
            fit_planes(columns[rows], seconds[rows], fit.planes.shape[0], starts=(fit.planes,)).planes
            for rows in resamples(seconds.size, RESAMPLES)
        ]
    )
    outside = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(drawn, (outside, 1 - outside), axis=0)
    return low, high
