"""The largest of a few planes, fitted to measured times with coefficients that are never negative.

The planes c_1 .. c_m minimise the mean over rows of h(log(max_k x c_k) - log y), where x are the regressors,
y the measured time and h is Huber's function: quadratic up to :data:`HUBER`, linear beyond, so that a row
that is far off counts no more than one that is off by that much, whether its time is too long or too short.
Logarithms of fitted over measured are relative errors where they are small, and treat twice and half alike.

Each step of Gauss and Newton is a problem of non-negative least squares: a row belongs to the plane that is
largest there, and its logarithm is linear in that plane's coefficients near those of before. A step that does
not help is halved. That finds a local minimum; several starts, all of them determined by the data and a seed,
are tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HUBER = 0.1
"""Error (as a logarithm, near enough relative) from which on a row counts linearly."""

MAX_PLANES = 4
"""Most planes that are fitted."""

_STEPS = 60
_ROUGH_STEPS = 10
_HALVINGS = 12
_SETTLED = 1e-6
_OPEN = 1e-13
_FEWEST_ROWS = 8
_RANDOM_STARTS = 5
_REFINED = 2
_ROWS_TO_SCREEN = 1000
_SEED = 20_260_101


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Planes, and what further regressors add to their largest.

    Parameters
    ----------
    planes
        Coefficients, planes x regressors, >= 0, in seconds per unit; the flattest in prefill first.
    shared
        Coefficients of further regressors; empty where there are none.
    loss
        Mean of Huber's function of the errors.
    """

    planes: NDArray[np.float64]
    shared: NDArray[np.float64]
    loss: float


def fit_planes(
    columns: NDArray[np.float64],
    seconds: NDArray[np.float64],
    planes: int,
    *,
    below: Fit | None = None,
    starts: tuple[NDArray[np.float64], ...] = (),
) -> Fit:
    """Fit the largest of ``planes`` planes.

    Parameters
    ----------
    columns
        Regressors, rows x regressors, >= 0; the first is 1.
    seconds
        Measured times, s, > 0.
    planes
        How many.
    below
        The fit with one plane less, a start for this one.
    starts
        Planes to start from besides. Where there are any, nothing else is tried.
    """
    problem = _Problem(columns, seconds, None)
    if planes == 1:
        return problem.descend(starts[0] if starts else problem.one_plane())
    if starts:
        return min((problem.descend(start) for start in starts), key=lambda fit: fit.loss)
    screened = problem.sample(_ROWS_TO_SCREEN)
    rough = [screened.descend(start, _ROUGH_STEPS) for start in _starts(screened, planes, below)]
    rough.sort(key=lambda fit: fit.loss)
    best = min((problem.descend(fit.planes) for fit in rough[:_REFINED]), key=lambda fit: fit.loss)
    return best if below is None or best.loss < below.loss else problem.descend(_doubled(below.planes))


def add_terms(
    columns: NDArray[np.float64],
    seconds: NDArray[np.float64],
    terms: NDArray[np.float64],
    fit: Fit,
    *,
    signed: bool,
) -> Fit:
    """Fit further regressors beside the planes of a fit, all at once.

    Parameters
    ----------
    columns
        Regressors, rows x regressors.
    seconds
        Measured times, s.
    terms
        Further regressors, rows x terms, added to the largest plane.
    fit
        Where to start from: a fit without them, or with the first of them.
    signed
        Whether their coefficients may be negative.
    """
    shared = np.append(fit.shared, np.zeros(terms.shape[1] - fit.shared.size))
    return _Problem(columns, seconds, terms, signed=signed).descend(fit.planes, shared=shared)


def fitted_seconds(
    columns: NDArray[np.float64], fit: Fit, terms: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the times that a fit gives, s; never below a nanosecond."""
    times = (columns @ fit.planes.T).max(axis=1)
    if terms is not None and fit.shared.size:
        times = times + terms @ fit.shared
    return np.asarray(np.maximum(times, 1e-9))


def huber(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the square of an error up to :data:`HUBER`, and its tangent beyond."""
    size = np.abs(errors)
    return np.where(size <= HUBER, size * size / 2, HUBER * (size - HUBER / 2))


class _Problem:
    """Rows to fit; columns are scaled so that their largest value is 1."""

    def __init__(
        self,
        columns: NDArray[np.float64],
        seconds: NDArray[np.float64],
        terms: NDArray[np.float64] | None,
        *,
        signed: bool = True,
    ) -> None:
        self.signed = signed
        self.columns, self.seconds = columns, seconds
        self.terms = np.empty((seconds.size, 0)) if terms is None else terms
        self.scale = _largest(columns)
        self.term_scale = _largest(self.terms)
        self._scaled = columns / self.scale
        self._scaled_terms = self.terms / self.term_scale

    def sample(self, rows: int) -> _Problem:
        """Return as many rows at most, evenly from those ordered by time."""
        if self.seconds.size <= rows:
            return self
        order = np.argsort(self.seconds, kind="stable")
        kept = order[np.linspace(0, order.size - 1, rows).round().astype(np.int64)]
        return _Problem(self.columns[kept], self.seconds[kept], self.terms[kept] if self.terms.size else None)

    def one_plane(self, rows: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Fit one plane to some of the rows by least squares of the relative error."""
        scaled = self._scaled if rows is None else self._scaled[rows]
        seconds = self.seconds if rows is None else self.seconds[rows]
        weighed = scaled / seconds[:, None]
        return np.asarray((_nnls(weighed, np.ones(seconds.size)) / self.scale)[None, :])

    def descend(
        self, planes: NDArray[np.float64], steps: int = _STEPS, *, shared: NDArray[np.float64] | None = None
    ) -> Fit:
        """Go from a start towards the local minimum below it, so many steps at most."""
        planes = planes * self.scale
        shared = np.zeros(self.terms.shape[1]) if shared is None else shared * self.term_scale
        loss = self._loss(planes, shared)
        for _ in range(steps):
            target_planes, target_shared = self._step(planes, shared)
            share = 1.0
            for _ in range(_HALVINGS):
                tried = planes + share * (target_planes - planes)
                tried_shared = shared + share * (target_shared - shared)
                tried_loss = self._loss(tried, tried_shared)
                if tried_loss < loss:
                    break
                share /= 2
            else:
                break
            gained = loss - tried_loss
            planes, shared, loss = tried, tried_shared, tried_loss
            if gained <= _SETTLED * loss:
                break
        planes = planes / self.scale
        order = np.lexsort(planes.T[::-1][: max(1, planes.shape[1] - 1)])
        return Fit(planes[order], shared / self.term_scale, float(loss))

    def _times(
        self, planes: NDArray[np.float64], shared: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        each = self._scaled @ planes.T
        largest = each.argmax(axis=1)
        times = each[np.arange(largest.size), largest]
        if shared.size:
            times = times + self._scaled_terms @ shared
        return largest, np.maximum(times, 1e-9)

    def _loss(self, planes: NDArray[np.float64], shared: NDArray[np.float64]) -> float:
        _, times = self._times(planes, shared)
        return float(huber(np.log(times / self.seconds)).mean())

    def _step(
        self, planes: NDArray[np.float64], shared: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Solve the problem as it looks from here."""
        largest, times = self._times(planes, shared)
        errors = np.log(times / self.seconds)
        weights = np.sqrt(np.minimum(1.0, HUBER / np.maximum(np.abs(errors), 1e-12)))
        regressors = self._scaled * (weights / times)[:, None]
        wanted = weights * (1.0 - errors)
        solved = planes.copy()
        if not shared.size:
            for plane in range(planes.shape[0]):
                rows = largest == plane
                if int(rows.sum()) >= _FEWEST_ROWS:
                    solved[plane] = _nnls(regressors[rows], wanted[rows])
            return solved, shared
        count, width = planes.shape
        extra = self._scaled_terms * (weights / times)[:, None]
        signs = 2 if self.signed else 1
        whole = np.zeros((self.seconds.size, count * width + signs * shared.size))
        for plane in range(count):
            rows = largest == plane
            whole[rows, plane * width : (plane + 1) * width] = regressors[rows]
        whole[:, count * width : count * width + shared.size] = extra
        if self.signed:
            whole[:, count * width + shared.size :] = -extra
        solution = _nnls(whole, wanted)
        solved = solution[: count * width].reshape(count, width)
        for plane in range(count):
            if int((largest == plane).sum()) < _FEWEST_ROWS:
                solved[plane] = planes[plane]
        found = solution[count * width :]
        return solved, found[: shared.size] - found[shared.size :] if self.signed else found


def _starts(problem: _Problem, planes: int, below: Fit | None) -> Iterator[NDArray[np.float64]]:
    """Yield planes to start from: rows cut along what they hold or at random, and one plane less."""
    columns, seconds = problem.columns, problem.seconds
    if below is not None:
        times = fitted_seconds(columns, below)
        errors = np.log(times / seconds)
        for rows in (errors < np.quantile(errors, 0.2), errors > np.quantile(errors, 0.8)):
            if int(rows.sum()) >= _FEWEST_ROWS:
                yield np.concatenate([below.planes, problem.one_plane(rows)])
    tokens = columns[:, 1] + columns[:, 2]
    for values in (tokens, columns[:, 1], columns[:, 2], columns[:, 3], columns[:, 4], seconds):
        edges = np.quantile(values, np.linspace(0, 1, planes + 1)[1:-1])
        yield from _by_group(problem, np.searchsorted(edges, values, side="left"), planes)
    for split in (64, 128, 256, 512):
        if planes == 2 and tokens.min() < split < tokens.max():
            yield from _by_group(problem, (tokens > split).astype(np.int64), 2)
    generator = np.random.default_rng((_SEED, planes))
    features = np.log1p(columns[:, 1:])
    spread = np.ptp(features, axis=0)
    features = features / np.where(spread > 0, spread, 1.0)
    for _ in range(_RANDOM_STARTS):
        centres = features[generator.choice(seconds.size, planes, replace=False)]
        nearest = ((features[:, None, :] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        yield from _by_group(problem, nearest, planes)


def _by_group(problem: _Problem, group: NDArray[np.int64], planes: int) -> Iterator[NDArray[np.float64]]:
    """Yield a plane for each group of rows, unless a group is too small."""
    masks = [group == each for each in range(planes)]
    if all(int(mask.sum()) >= _FEWEST_ROWS for mask in masks):
        yield np.concatenate([problem.one_plane(mask) for mask in masks])


def rows_of_planes(columns: NDArray[np.float64], fit: Fit) -> NDArray[np.int64]:
    """Return for how many rows each plane is the largest."""
    return np.bincount((columns @ fit.planes.T).argmax(axis=1), minlength=fit.planes.shape[0])


def _doubled(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([planes, planes[-1:]])


def _largest(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(columns).max(axis=0) if columns.size else np.ones(columns.shape[1])
    return np.where(largest > 0, largest, 1.0)


def _nnls(regressors: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve non-negative least squares on the normal equations, which are small whatever the number of rows.

    Their matrix is taken apart into eigenvectors, so that directions which the rows leave open do no harm. A regressor
    that is 0 in all rows gets 0: what rounding makes of it would be beyond all bounds.
    """
    from scipy.optimize import nnls

    products = regressors.T @ regressors
    seen = products.diagonal() > 0
    values, vectors = np.linalg.eigh(products[np.ix_(seen, seen)])
    told = values > _OPEN * values[-1]
    roots = np.sqrt(values[told])
    triangle = roots[:, None] * vectors[:, told].T
    aim = (vectors[:, told].T @ (regressors[:, seen].T @ wanted)) / roots
    solution = np.zeros(regressors.shape[1])
    solution[seen], _ = nnls(triangle, aim)
    return solution
