"""The regressors of an iteration time, and which of their coefficients a log can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import IterationLog

BASE, PREFILL, DECODE, KV, ATTENTION = range(5)
FIELDS = ("base", "prefill_tokens", "decode_seqs", "kv_tokens", "attention")
"""Regressors in the order of the columns of a design: 1, P, D, K and A."""

_DEPENDENT = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Regressors of a log.

    Parameters
    ----------
    columns
        Values, rows x 5: 1, P, D, K, A; 0 in columns whose coefficient is not fitted.
    untold
        Name of each regressor whose coefficient the log can't tell: why.
    """

    columns: NDArray[np.float64]
    untold: Mapping[str, str]


def design_of(log: IterationLog) -> Design:
    """Make the regressors of a log and find those that it says nothing about."""
    rows = log.rows
    no_attention = log.attention is None
    attention = np.zeros(rows) if log.attention is None else log.attention
    columns = np.stack([np.ones(rows), log.prefill_tokens, log.decode_seqs, log.kv_tokens, attention], axis=1)
    untold: dict[str, str] = {}
    for position in (PREFILL, DECODE, KV, ATTENTION):
        name, values = FIELDS[position], columns[:, position]
        if position == ATTENTION and no_attention:
            untold[name] = "the log has no such column"
        elif values.min() == values.max():
            held = float(values[0])
            untold[name] = (
                "it is 0 in every row"
                if held == 0
                else f"it is {held:,.0f} in every row; what it costs is in the base"
            )
        else:
            cause = _explained_by(columns, position, untold)
            if cause:
                untold[name] = cause
    for name in untold:
        columns[:, FIELDS.index(name)] = 0.0
    return Design(columns, untold)


def _explained_by(columns: NDArray[np.float64], position: int, untold: Mapping[str, str]) -> str:
    """Say so where a column is a linear function of those before it, which can be told."""
    before = [each for each in range(position) if FIELDS[each] not in untold]
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    known, wanted = columns[:, before] / scale[before], columns[:, position] / scale[position]
    solution = np.linalg.lstsq(known, wanted, rcond=None)[0]
    rest = wanted - known @ solution
    if float(np.abs(rest).max()) > _DEPENDENT * float(np.ptp(wanted)):
        return ""
    causes = [
        FIELDS[each] for each, value in zip(before, solution, strict=True) if each and abs(value) > _DEPENDENT
    ]
    return (
        f"it follows from {' and '.join(causes)} in every row; what it costs is in theirs (vary one without "
        "the other)"
    )
