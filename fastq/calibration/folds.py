"""Cutting the rows of a log for cross-validation and for resampling; the same rows give the same cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FOLDS = 10
"""Parts that a log is cut into for cross-validation."""

_SEED = 20_260_102


def folds(columns: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the part of each row; equal batches share a part, so that none is judged by its own copies.

    Parameters
    ----------
    columns
        Regressors, rows x regressors.
    """
    _, group = np.unique(columns, axis=0, return_inverse=True)
    group = group.ravel()
    count = int(group.max()) + 1
    part = np.arange(count) % min(FOLDS, count)
    return np.asarray(np.random.default_rng(_SEED).permutation(part)[group])


def evenly(rows: int, most: int) -> NDArray[np.int64]:
    """Return the rows to work on where a log is longer than ``most``: evenly spaced, in order."""
    return np.arange(rows) if rows <= most else np.linspace(0, rows - 1, most).round().astype(np.int64)


def resamples(rows: int, count: int) -> Iterator[NDArray[np.int64]]:
    """Yield samples of the rows with replacement, in runs of neighbours.

    Neighbours of a log are much alike; runs of the cube root of its length keep that in the samples (moving
    blocks, Künsch 1989).
    """
    length = max(1, round(rows ** (1 / 3)))
    generator = np.random.default_rng((_SEED, rows))
    for _ in range(count):
        first = generator.integers(0, rows, -(-rows // length))
        yield ((first[:, None] + np.arange(length)[None, :]) % rows).ravel()[:rows]
