"""Estimates with a 95% confidence interval, from independent replications."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from fastq.analysis.replication import PS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.analysis.replication import Replication

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width over the estimate."""
        return (self.high - self.low) / 2 / self.estimate


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of independent ``values`` (at least two)."""
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = student_quantile(n - 1, confidence) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def pooled_throughput(
    replications: Sequence[Replication],
    expected: Sequence[float] | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Completions over time, pooled over replications, requests/s.

    A ratio estimator: the variance is that of the residuals requests - rate x time, the quantile Student's.
    (A mean of the replications' rates would be biased.)

    Parameters
    ----------
    replications
        At least two.
    expected
        For each, the rate that its sample of requests lets expect, over that of the law. Its time is scaled by
        it: the noise that comes of the sample goes.
    confidence
        Of the interval.
    """
    n = len(replications)
    scales = expected or [1.0] * n
    seconds = [
        replication.elapsed_ps / PS_PER_S * scale
        for replication, scale in zip(replications, scales, strict=True)
    ]
    total_s = math.fsum(seconds)
    rate = sum(replication.requests for replication in replications) / total_s
    residuals = [
        replication.requests - rate * time_s
        for replication, time_s in zip(replications, seconds, strict=True)
    ]
    variance = math.fsum(residual**2 for residual in residuals) / (n - 1)
    half = student_quantile(n - 1, confidence) * math.sqrt(variance / n) / (total_s / n)
    return Interval(rate, rate - half, rate + half)


@cache
def student_quantile(degrees_of_freedom: int, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + confidence / 2))
