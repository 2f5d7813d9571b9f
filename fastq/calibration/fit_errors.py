"""How far a fit is from what was measured, overall and by what the batches hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import IterationLog

DECODE_ONLY, PREFILL_ONLY, MIXED = "decode only", "prefill only", "mixed"
ALL = "all"

_FAR = 0.5
_OFF_ON_BALANCE = 0.05


@dataclass(frozen=True, slots=True)
class RegionError:
    """Errors of the batches of one kind.

    Parameters
    ----------
    region
        Which batches.
    rows
        How many.
    median, p90, worst
        Of the relative error, |fitted / measured - 1|; ``None`` where there is no such batch.
    mean
        Its mean.
    total
        Time of all of them, fitted over measured, less 1: what the fit gets wrong on balance.
    """

    region: str
    rows: int
    median: float | None
    p90: float | None
    worst: float | None
    mean: float | None
    total: float | None


@dataclass(frozen=True, slots=True)
class FarOff:
    """Batches that the fit is off by more than half: stalls, or times that are not of one iteration.

    Parameters
    ----------
    rows
        How many.
    time_share
        Their share of all measured time.
    """

    rows: int
    time_share: float


def far_off(log: IterationLog, fitted: NDArray[np.float64]) -> FarOff:
    """Count the batches whose fitted time is off by more than half."""
    far = np.abs(fitted / log.seconds - 1) > _FAR
    return FarOff(int(far.sum()), float(log.seconds[far].sum() / log.seconds.sum()))


def off_on_balance(errors: Sequence[RegionError]) -> float | None:
    """Return what the time of all batches is off by, fitted over measured less 1, where that is more than 5%.

    Parameters
    ----------
    errors
        As of :func:`errors_by_region`.

    Returns
    -------
    float or None
        ``None`` where the time of all is within 5% of what was measured.
    """
    total = next(each.total for each in errors if each.region == ALL)
    return total if total is not None and abs(total) > _OFF_ON_BALANCE else None


def batch_kinds(log: IterationLog) -> dict[str, NDArray[np.bool_]]:
    """Return which rows decode only, prefill only, or do both."""
    prefills, decodes = log.prefill_tokens > 0, log.decode_seqs > 0
    return {DECODE_ONLY: ~prefills & decodes, PREFILL_ONLY: prefills & ~decodes, MIXED: prefills & decodes}


def errors_by_region(log: IterationLog, fitted: NDArray[np.float64]) -> tuple[RegionError, ...]:
    """Measure a fit over all rows, by kind of batch, and by the KV tokens of those that decode.

    Parameters
    ----------
    log
        The iterations.
    fitted
        Fitted times, s, one a row.
    """
    regions: dict[str, NDArray[np.bool_]] = {ALL: np.ones(log.rows, dtype=np.bool_), **batch_kinds(log)}
    decodes = log.decode_seqs > 0
    if decodes.any():
        middle = float(np.median(log.kv_tokens[decodes]))
        regions[f"KV up to {middle:,.0f} tokens"] = decodes & (log.kv_tokens <= middle)
        regions[f"KV above {middle:,.0f} tokens"] = decodes & (log.kv_tokens > middle)
    return tuple(_region(name, log.seconds[rows], fitted[rows]) for name, rows in regions.items())


def _region(name: str, measured: NDArray[np.float64], fitted: NDArray[np.float64]) -> RegionError:
    if not measured.size:
        return RegionError(name, 0, None, None, None, None, None)
    errors = np.abs(fitted / measured - 1)
    return RegionError(
        name,
        int(measured.size),
        float(np.median(errors)),
        float(np.quantile(errors, 0.9)),
        float(errors.max()),
        float(errors.mean()),
        float(fitted.sum() / measured.sum() - 1),
    )
