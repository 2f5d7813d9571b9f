"""What an iteration time lacks: further regressors, each judged by the error it takes off held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.folds import folds
from fastq.calibration.iteration_log import CACHED_TOKENS, FINISHING_PROMPTS, PREFILL_SEQS
from fastq.calibration.plane_fit import Fit, add_terms, fit_planes, fitted_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import IterationLog

CAPTURE_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024)
"""Batch sizes, tokens, beyond which a jump is looked for: those that engines record CUDA graphs for, and a
few more."""

_FEWEST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Term:
    """A further term of the iteration time.

    Parameters
    ----------
    name
        What it counts.
    unit
        Of what its coefficient is the time.
    coefficient_s
        Seconds per unit, fitted on all rows; ``None`` where the log can't tell.
    drop
        Held-out mean relative error without it, less that with it.
    drop_error
        Standard error of the drop, over the parts of the log.
    why_not
        Why it was not tested; empty where it was.
    """

    name: str
    unit: str
    coefficient_s: float | None
    drop: float | None
    drop_error: float | None
    why_not: str = ""

    @property
    def carries_weight(self) -> bool:
        """Whether the error it takes away is more than the standard error of that."""
        return self.drop is not None and self.drop_error is not None and self.drop > self.drop_error


def missing_terms(log: IterationLog, columns: NDArray[np.float64], fit: Fit) -> tuple[Term, ...]:
    """Test each further term alone, beside the planes of a fit.

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
    parts = int(part.max()) + 1
    without = []
    for each in range(parts):
        kept = part != each
        without.append(
            fit_planes(columns[kept], log.seconds[kept], fit.planes.shape[0], starts=(fit.planes,))
        )
    judge = _Judge(log.seconds, columns, part, tuple(without), fit)
    terms = []
    for name, (unit, column) in _TERMS.items():
        values = column(log)
        if values is None:
            terms.append(Term(name, unit, None, None, None, "no such column"))
        elif _adds_nothing(columns, values):
            terms.append(Term(name, unit, None, None, None, "constant, or told by the others"))
        else:
            terms.append(judge.term(name, unit, lambda _, values=values: values))  # type: ignore[misc]
    terms.append(_jump(log, judge))
    return tuple(terms)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Judges terms on the same parts of a log, against the same fits without them."""

    seconds: NDArray[np.float64]
    columns: NDArray[np.float64]
    part: NDArray[np.int64]
    without: tuple[Fit, ...]
    fit: Fit

    def term(self, name: str, unit: str, column: Callable[[NDArray[np.bool_]], NDArray[np.float64]]) -> Term:
        """Judge a term; ``column`` makes its values from the rows that may be looked at."""
        drops = []
        for each, before in enumerate(self.without):
            kept, out = self.part != each, self.part == each
            values = column(kept)[:, None]
            after = add_terms(self.columns[kept], self.seconds[kept], values[kept], before)
            drops.append(self._error(out, before, None) - self._error(out, after, values))
        values = column(np.ones(self.seconds.size, dtype=np.bool_))[:, None]
        whole = add_terms(self.columns, self.seconds, values, self.fit)
        error = float(np.std(drops, ddof=1) / np.sqrt(len(drops))) if len(drops) > 1 else 0.0
        return Term(name, unit, float(whole.shared[0]), float(np.mean(drops)), error)

    def _error(self, rows: NDArray[np.bool_], fit: Fit, values: NDArray[np.float64] | None) -> float:
        terms = None if values is None else values[rows]
        times = fitted_seconds(self.columns[rows], fit, terms)
        return float(np.abs(times / self.seconds[rows] - 1).mean())


def _jump(log: IterationLog, judge: _Judge) -> Term:
    """Look for the batch size beyond which every iteration takes longer by a constant."""
    name, unit = "a jump beyond a batch size", "iteration"
    tokens = log.prefill_tokens + log.decode_seqs
    sizes = [
        size
        for size in CAPTURE_SIZES
        if min(int((tokens > size).sum()), int((tokens <= size).sum())) >= _FEWEST_ROWS
    ]
    if not sizes:
        return Term(name, unit, None, None, None, "all batches are of one size, or nearly")

    def best(rows: NDArray[np.bool_]) -> int:
        losses = [
            add_terms(
                judge.columns[rows],
                judge.seconds[rows],
                (tokens[rows] > size).astype(float)[:, None],
                judge.fit,
            ).loss
            for size in sizes
        ]
        return sizes[int(np.argmin(losses))]

    term = judge.term(name, unit, lambda rows: (tokens > best(rows)).astype(np.float64))
    found = best(np.ones(tokens.size, dtype=np.bool_))
    return Term(f"a jump beyond {found:,} tokens", unit, term.coefficient_s, term.drop, term.drop_error)


def _adds_nothing(columns: NDArray[np.float64], values: NDArray[np.float64]) -> bool:
    """Whether a column is a linear function of those that are fitted anyway."""
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    spread = float(np.ptp(values))
    if spread == 0:
        return True
    rest = values - (columns / scale) @ np.linalg.lstsq(columns / scale, values, rcond=None)[0]
    return bool(np.abs(rest).max() <= 1e-6 * spread)


def _extra(name: str) -> Callable[[IterationLog], NDArray[np.float64] | None]:
    return lambda log: log.extras.get(name)


def _mixed(log: IterationLog) -> NDArray[np.float64]:
    return ((log.prefill_tokens > 0) & (log.decode_seqs > 0)).astype(np.float64)


_TERMS: Mapping[str, tuple[str, Callable[[IterationLog], NDArray[np.float64] | None]]] = {
    "prompts that finish their prefill": ("prompt", _extra(FINISHING_PROMPTS)),
    "prompts in prefill (host time a sequence)": ("prompt", _extra(PREFILL_SEQS)),
    "KV that prefill chunks read again": ("cached token", _extra(CACHED_TOKENS)),
    "a batch that prefills": ("iteration", lambda log: (log.prefill_tokens > 0).astype(np.float64)),
    "a batch that does both": ("iteration", _mixed),
    "KV of decoding in a batch that does both": ("KV token", lambda log: log.kv_tokens * _mixed(log)),
}
"""What is tested: its unit and its values, if the log has them."""
