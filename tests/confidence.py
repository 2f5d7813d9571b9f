"""Confidence intervals for tests: wide enough that a right program fails about once in a thousand."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import t as student

from fastq.analysis.intervals import CONFIDENCE, Interval, mean_interval

WIDE = 0.999


def wide_interval(values: Sequence[float]) -> Interval:
    """The interval of the mean of independent ``values`` at 99.9%, from the one that fastq gives at 95%."""
    interval = mean_interval(values)
    quantiles = [student.ppf(0.5 + level / 2, len(values) - 1) for level in (WIDE, CONFIDENCE)]
    half = (interval.high - interval.low) / 2 * quantiles[0] / quantiles[1]
    return Interval(interval.estimate, interval.estimate - half, interval.estimate + half)


def assert_covers(values: Sequence[float], known: float, *, half_width: float) -> None:
    """The interval of ``values`` holds ``known``, and its half-width is at most ``half_width`` of it."""
    interval = wide_interval(values)
    assert interval.low <= known <= interval.high, (interval, known)
    assert (interval.high - interval.low) / 2 <= half_width * abs(known), (interval, known)
