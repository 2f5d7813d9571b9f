"""Intervals of latencies against numbers by hand, and their mark on cases built to lie on either side of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastq.analysis.intervals import Interval, student_quantile
from fastq.analysis.latency_intervals import (
    MEAN,
    MEAN_STEP,
    Band,
    Rested,
    Shares,
    inverted,
    latency_intervals,
    lopsided,
    moved,
    resting_on_waits,
    squared_correlation,
)
from fastq.analysis.replication import Distribution, occupied_part
from fastq.engine.bins import bin_edges
from fastq.kernels.histogram import BINS, bin_of

MS = 1_000_000
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def distribution(values: dict[int, int]) -> Distribution:
    """Values, ns, with how often each comes."""
    bins = np.zeros(BINS, np.int64)
    for value, count in values.items():
        bins[bin_of(value)] += count
    total = sum(value * count for value, count in values.items())
    return Distribution(sum(values.values()), total, *occupied_part(bins))


def found(parts: list[dict[int, int]]) -> dict[str, Rested]:
    return latency_intervals([distribution(part) for part in parts], bin_edges(), SHARES)


def test_shares_and_their_errors_by_hand() -> None:
    """2 of 10 and 4 of 10 values above: 6 of 20, residuals -1 and 1, error sqrt(2 / (2 - 1) / 2) x 2 / 20."""
    above = Shares.above(np.array([10, 10]), np.array([[0, 8], [0, 6]]))
    assert above.share.tolist() == pytest.approx([1.0, 0.3])
    assert above.error.tolist() == pytest.approx([0.0, 0.1])
    assert above.residuals[:, 1].tolist() == pytest.approx([-1.0, 1.0])
    assert above.error_of_log_odds.tolist() == pytest.approx([0.0, 0.1 / 0.21])
    assert [above.bursts_at(level) for level in range(2)] == pytest.approx([math.inf, 9.0])


def test_a_share_moves_on_the_scale_of_log_odds() -> None:
    assert moved(0.5, math.log(3)) == pytest.approx(0.75)
    assert moved(0.01, -math.log(2)) == pytest.approx(0.5 / 99.5)
    assert moved(0.99, 800.0 / 30) < 1


def one_level(share: float, error: float, half: float) -> tuple[Interval, float]:
    """A mean of 100 with one level, 16 above the smallest value and below the largest, from three replications."""
    levels = 2 * MEAN_STEP + 1
    shares = np.full(levels, share)
    above = Shares(shares, np.full(levels, error), np.zeros((3, levels)))
    return lopsided(Interval(100.0, 100.0 - half, 100.0 + half), above, np.arange(levels))


def test_a_mean_is_as_lopsided_as_its_shares() -> None:
    """Share 0.2 of error 0.1 over a stretch of 16: odds 1/4 times and through exp(0.5 t x 0.1 / 0.16)."""
    t = student_quantile(2)
    interval, bursts = one_level(0.2, 0.1, half=0.5 * t * 1.6)
    factor = math.exp(0.5 * t * 0.625)
    assert interval.high == pytest.approx(100 + 16 * (factor / (4 + factor) - 0.2))
    assert interval.low == pytest.approx(100 - 16 * (0.2 - 1 / (1 + 4 * factor)))
    assert bursts == pytest.approx(4.0), "one level: its own (0.2 / 0.1) squared"


def test_a_mean_keeps_the_noise_that_its_levels_do_not_show() -> None:
    t = student_quantile(2)
    interval, _ = one_level(0.5, 0.1, half=t * 1.6 + 3.0)
    up = 16 * (moved(0.5, t * 0.4) - 0.5)
    assert interval.high == pytest.approx(100 + up + 3.0)
    assert interval.low == pytest.approx(100 - up - 3.0)
    assert one_level(0.5, 0.0, half=3.0) == (Interval(100.0, 97.0, 103.0), math.inf)


def test_little_noise_gives_students_interval() -> None:
    interval, _ = one_level(0.2, 1e-6, half=1e-5)
    assert interval.low == pytest.approx(100 - 1e-5, abs=1e-9)
    assert interval.high == pytest.approx(100 + 1e-5, abs=1e-9)


def test_the_range_of_a_quantile_by_hand() -> None:
    """The odds of 0.4 to 0.6 are 2/3. Those at level 10 are 1, within twice that; at 20 they are 1/4, and are not."""
    share, levels = np.array([1.0, 0.5, 0.2, 0.0]), np.array([0, 10, 20, 30])
    low, high = inverted(Band.around(share, np.array([0, math.log(2), math.log(2), 0])), levels, 0.6) or (
        0,
        0,
    )
    assert low == 0, "nothing lies between the first level that may be and the smallest value"
    assert high == pytest.approx(10 + 10 * math.log(3) / math.log(4))
    assert inverted(Band.around(share, np.full(4, 0.1)), levels, 0.6) is None


def test_a_median_at_a_jump_is_any_value_across_it() -> None:
    """Half of the values are 0, give or take: the median may be 0 or anything up to the others."""
    parts = [{0: 500 + k, 40 * MS: 500 - k} for k in (-9, -4, 2, 7, 3, -6, 8, 1)]
    median = found(parts)["p50"]
    assert median.interval.low == 0
    assert median.interval.high >= 39 * MS
    assert median.bursts < 1e5, "its lower side has no noise, its upper side has"


def bursts_in(replications: int, *, long: int) -> dict[str, Rested]:
    """8 replications of 1,000 values from 1 to 2 ms, some with ``long`` values of a second."""
    calm = {(100 + k) * MS // 100: 10 for k in range(100)}
    burst = calm | {MS: 10 - long % 10, 1000 * MS: long}
    return found([burst] * replications + [calm] * (8 - replications))


@pytest.mark.parametrize(("replications", "short"), [(1, True), (5, True), (6, False), (8, False)])
def test_a_mean_is_short_where_five_of_eight_replications_see_bursts(replications: int, short: bool) -> None:
    """The same burst in m of 8 replications rests on 7 m / (8 - m) of them: 11.7 for 5 and 21 for 6."""
    mean = bursts_in(replications, long=5)[MEAN]
    assert mean.short is short
    if replications < 8:
        assert mean.bursts == pytest.approx(7 * replications / (8 - replications), rel=0.05)


@pytest.mark.parametrize(("replications", "short"), [(3, True), (4, False)])
def test_a_quantile_is_short_where_three_of_eight_do(replications: int, short: bool) -> None:
    """4.2 for 3 and 7 for 4; the other quantiles lie among the values that all have."""
    each = bursts_in(replications, long=40)
    assert each["p99"].short is short
    assert each["p99"].bursts == pytest.approx(7 * replications / (8 - replications), rel=0.05)
    assert not each["p50"].short


def test_a_mean_that_rests_on_one_burst_may_be_far_larger() -> None:
    mean = bursts_in(1, long=5)[MEAN].interval
    assert mean.low > 0
    assert mean.high - mean.estimate > 2 * (mean.estimate - mean.low)


def test_without_noise_nothing_is_short() -> None:
    each = found([{3 * MS: 100}] * 8)
    assert [(rested.interval, rested.short) for rested in each.values()] == [
        (Interval(3.0 * MS, 3.0 * MS, 3.0 * MS), False)
    ] * 4


def rested(residuals: tuple[float, ...], *, short: bool = False) -> Rested:
    return Rested(Interval(1.0, 0.5, 2.0), 100.0, short, residuals)


def test_correlation_by_hand() -> None:
    assert squared_correlation(rested((1, -1, 0)), rested((-2, 2, 0))) == pytest.approx(1.0)
    assert squared_correlation(rested((1, -1, 0)), rested((1, 1, -2))) == 0.0
    assert squared_correlation(rested((0, 0, 0)), rested((1, 1, -2))) == 0.0


def test_what_follows_a_short_wait_is_short() -> None:
    burst, other = (7.0, -1, -1, -1, -1, -1, -1, -1), (1.0, 1, 1, 1, -1, -1, -1, -1)
    like = tuple(a + 0.3 * b for a, b in zip(burst, other, strict=True))
    for short in (True, False):
        marked = resting_on_waits(
            {
                "wait": {MEAN: rested(burst, short=short), "p50": rested(other), "p90": rested(other)},
                "e2e": {MEAN: rested(like), "p50": rested(other), "p90": rested(like)},
                "tpot": {},
            }
        )
        assert marked["e2e"][MEAN].short is marked["e2e"]["p90"].short is short
        assert not marked["e2e"]["p50"].short
        assert not marked["wait"]["p50"].short
        assert marked["tpot"] == {}


def test_a_quantile_follows_the_same_quantile_of_the_wait() -> None:
    burst, other = (7.0, -1, -1, -1, -1, -1, -1, -1), (1.0, 1, 1, 1, -1, -1, -1, -1)
    waits = {MEAN: rested(other), "p90": rested(other), "p99": rested(burst, short=True)}
    marked = resting_on_waits({"wait": waits, "e2e": {"p90": rested(burst), "p99": rested(burst)}})
    assert marked["e2e"]["p99"].short
    assert not marked["e2e"]["p90"].short
