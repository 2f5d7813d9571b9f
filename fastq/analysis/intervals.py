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

    A ratio estimator, see :func:`ratio_interval`. (A mean of the replications' rates would be biased.)

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
    scales = expected or [1.0] * len(replications)
    seconds = [
        replication.elapsed_ps / PS_PER_S * scale
        for replication, scale in zip(replications, scales, strict=True)
    ]
    return ratio_interval(
        [replication.requests for replication in replications], seconds, confidence=confidence
    )


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], *, confidence: float = CONFIDENCE
) -> Interval:
    """Ratio of two sums over independent replications (at least two).

    The variance is that of the residuals numerator - ratio x denominator, the quantile Student's.
    Source: W. G. Cochran, "Sampling Techniques", 1977, ch. 6.
    """
    n = len(numerators)
    total = math.fsum(denominators)
    ratio = math.fsum(numerators) / total
    residuals = [a - ratio * b for a, b in zip(numerators, denominators, strict=True)]
    variance = math.fsum(residual**2 for residual in residuals) / (n - 1)
    half = student_quantile(n - 1, confidence) * math.sqrt(variance / n) / (total / n)
    return Interval(ratio, ratio - half, ratio + half)


def at_confidence(interval: Interval, *, replications: int, confidence: float) -> Interval:
    """Return Student's interval of another confidence than :data:`CONFIDENCE`.

    Parameters
    ----------
    interval
        At :data:`CONFIDENCE`, of as many independent ``replications``. Of its halves the wider counts: the other
        may have been cut at what is possible.
    confidence
        Of the interval that is returned; its lower end is 0 at least.
    """
    half = max(interval.high - interval.estimate, interval.estimate - interval.low)
    half *= student_quantile(replications - 1, confidence) / student_quantile(replications - 1)
    return Interval(interval.estimate, max(0.0, interval.estimate - half), interval.estimate + half)


@cache
def student_quantile(degrees_of_freedom: int, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + confidence / 2))
