"""How many planes a log supports: cross-validation, and the fewest within one standard error of the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.folds import folds
from fastq.calibration.plane_fit import MAX_PLANES, fit_planes, fitted_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.calibration.plane_fit import Fit

_FEWEST_ROWS_A_PLANE = 12
_EQUAL = 1e-4


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Error of a number of planes on rows that were held out.

    Parameters
    ----------
    planes
        How many.
    error
        Mean relative error, |fitted / measured - 1|.
    standard_error
        Of that mean, from its spread over the parts of the log.
    by_part
        The mean in each part.
    """

    planes: int
    error: float
    standard_error: float
    by_part: tuple[float, ...]


def held_out_errors(
    columns: NDArray[np.float64], seconds: NDArray[np.float64], most: int = MAX_PLANES
) -> tuple[HeldOut, ...]:
    """Cross-validate one plane, two, and so on, each fitted afresh without the part that it is judged by.

    Parameters
    ----------
    columns
        Regressors, rows x regressors.
    seconds
        Measured times, s.
    most
        Most planes.
    """
    part = folds(columns)
    parts = int(part.max()) + 1
    counts = [planes for planes in range(1, most + 1) if planes * _FEWEST_ROWS_A_PLANE <= seconds.size]
    errors = np.empty((len(counts) or 1, parts))
    for each in range(parts):
        kept, out = part != each, part == each
        below: Fit | None = None
        for position, planes in enumerate(counts or [1]):
            below = fit_planes(columns[kept], seconds[kept], planes, below=below)
            errors[position, each] = np.abs(fitted_seconds(columns[out], below) / seconds[out] - 1).mean()
    return tuple(
        HeldOut(
            planes,
            float(row.mean()),
            float(row.std(ddof=1) / np.sqrt(parts)) if parts > 1 else 0.0,
            tuple(map(float, row)),
        )
        for planes, row in zip(counts or [1], errors, strict=True)
    )


def fewest_planes(errors: tuple[HeldOut, ...]) -> int:
    """Return the fewest planes whose error is within one standard error of the smallest.

    Errors that differ by less than a hundredth of a percent count as equal.
    """
    best = min(errors, key=lambda each: each.error)
    return next(each.planes for each in errors if each.error <= best.error + max(best.standard_error, _EQUAL))
