"""Differences of rates between two runs: their errors, the tests against a tolerance, and how often those err."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from fastq.analysis.differences import Estimates, LogRatios, Throughputs, independent, paired
from fastq.analysis.intervals import CONFIDENCE, mean_interval, pooled_throughput, student_quantile
from fastq.analysis.replication import PS_PER_S, Distribution, Replication
from fastq.analysis.tolerance import holm, judge, ranges_beyond

REPLICATIONS = 8
REQUESTS = 2000.0
NOISE = 0.01
"""Of a replication's throughput, relative: 0.35% of the mean of eight."""


def drawn(
    rng: np.random.Generator, points: int, *, ratio: float = 1.0, common: float = 0.0
) -> tuple[Throughputs, Throughputs]:
    """Two runs at rates of 1 and ``ratio``; ``common`` is the share of the noise's variance that both have."""
    shared, *own = (rng.normal(0, NOISE, (points, REPLICATIONS)) for _ in range(3))
    noises = [np.sqrt(common) * shared + np.sqrt(1 - common) * each for each in own]
    requests = np.full((points, REPLICATIONS), REQUESTS)
    old, new = (
        Throughputs(requests, REQUESTS / rate * (1 + noise))
        for rate, noise in zip((1.0, ratio), noises, strict=True)
    )
    return old, new


def estimates(run: Throughputs) -> Estimates:
    """The same rates with the intervals that a table of points gives."""
    error = run.relative_residuals().std(axis=1, ddof=1) / np.sqrt(REPLICATIONS)
    half_rps = run.rate_rps * error * student_quantile(REPLICATIONS - 1, CONFIDENCE)
    return Estimates(run.rate_rps, run.rate_rps - half_rps, run.rate_rps + half_rps, REPLICATIONS)


def compared(old: Throughputs, new: Throughputs, *, pairs: bool) -> LogRatios:
    return paired(old, new) if pairs else independent(estimates(old), estimates(new))


def replication(requests: int, elapsed_s: float) -> Replication:
    nothing = Distribution(0, 0, 0, np.zeros(0, np.int64))
    counts = dict.fromkeys(Replication.__slots__, 0)
    return Replication(
        **{
            **counts,
            "requests": requests,
            "elapsed_ps": int(elapsed_s * PS_PER_S),
            "iteration_time": nothing,
            "latencies": {},
        }
    )


def test_the_error_is_that_of_the_pooled_throughput() -> None:
    """Against a run without noise, the interval of a difference is that of ``service_rate_rps``."""
    requests, windows_s = [100, 104, 97, 101], [10.0, 10.3, 9.9, 10.2]
    expected = [1.01, 0.99, 1.0, 1.02]
    interval = pooled_throughput(
        [replication(*each) for each in zip(requests, windows_s, strict=True)], expected
    )
    run = Throughputs(np.array([requests], np.float64), np.array([windows_s]) * np.array([expected]))
    exact = Throughputs(np.full((1, 4), 50.0), np.full((1, 4), 5.0))
    assert run.rate_rps[0] == pytest.approx(interval.estimate, rel=1e-14)
    ratio = paired(exact, run)
    assert np.exp(ratio.estimate[0]) * 10.0 == pytest.approx(interval.estimate, rel=1e-14)
    half = ratio.error[0] * student_quantile(3)
    assert half == pytest.approx(interval.relative_half_width, rel=1e-12)
    assert estimates_of(interval).relative_error()[0] == pytest.approx(ratio.error[0], rel=1e-12)


def estimates_of(interval) -> Estimates:
    ends = (np.array([end]) for end in (interval.estimate, interval.low, interval.high))
    return Estimates(*ends, replications=4)


def test_what_both_runs_have_in_common_goes_out_of_the_difference() -> None:
    rng = np.random.default_rng(1)
    old, new = drawn(rng, 500, common=0.99)
    shared, apart = (np.median(compared(old, new, pairs=pairs).error) for pairs in (True, False))
    assert shared < 0.15 * apart


def test_equal_runs_differ_by_exactly_nothing() -> None:
    old, _ = drawn(np.random.default_rng(2), 3)
    ratio = paired(old, old)
    assert not ratio.estimate.any()
    assert not ratio.error.any()
    found = judge(ratio, tolerance=0.0, confidence=0.95)
    assert not found.low.any()
    assert not found.high.any()
    assert found.p_value.tolist() == found.p_adjusted_zero.tolist() == [1.0] * 3


def test_replications_that_one_run_has_alone_count_on_their_own() -> None:
    """The error of a difference of 8 replications from the first 4 of the same draws, against its true size."""
    rng = np.random.default_rng(3)
    old, new = drawn(rng, 4000, common=0.9)
    short = Throughputs(new.requests[:, :4], new.time_s[:, :4])
    ratio = paired(old, short)
    assert set(ratio.degrees) == {3.0}
    true_error = ratio.estimate.std()
    assert np.sqrt((ratio.error**2).mean()) == pytest.approx(true_error, rel=0.1)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_intervals_hold_the_true_difference_as_often_as_they_say(pairs: bool, ratio: float) -> None:
    points = 4000
    old, new = drawn(np.random.default_rng(4), points, ratio=ratio, common=0.5 if pairs else 0.0)
    found = judge(compared(old, new, pairs=pairs), tolerance=0.01, confidence=0.95)
    held = int(((found.low <= ratio - 1) & (ratio - 1 <= found.high)).sum())
    low, high = binom.interval(0.999, points, 0.95)
    assert low <= held <= high


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("ratio", "tolerance"), [(1.0, 0.0), (1.01, 0.01), (0.99, 0.01)])
def test_false_alarms_are_as_rare_as_the_family_wise_error_rate(
    pairs: bool, ratio: float, tolerance: float
) -> None:
    """400 comparisons of 30 boundaries that have come to the tolerance, but not beyond it: the worst case."""
    comparisons, points = 400, 30
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(comparisons):
        old, new = drawn(rng, points, ratio=ratio, common=0.5 if pairs else 0.0)
        found = judge(compared(old, new, pairs=pairs), tolerance=tolerance, confidence=0.95)
        alarms += bool((found.p_adjusted <= 0.05).any())
    low, high = binom.interval(0.999, comparisons, 0.05)
    assert low <= alarms <= high


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("ratio", [1.0, 1.005])
def test_within_the_tolerance_nothing_is_called_moved(pairs: bool, ratio: float) -> None:
    comparisons = 400
    rng = np.random.default_rng(6)
    for _ in range(comparisons):
        old, new = drawn(rng, 30, ratio=ratio, common=0.8)
        found = judge(compared(old, new, pairs=pairs), tolerance=0.02, confidence=0.95)
        assert (found.p_adjusted > 0.05).all()


@pytest.mark.parametrize("ratio", [1.03, 0.97])
def test_a_move_of_three_percent_is_found_among_many_that_did_not(ratio: float) -> None:
    rng = np.random.default_rng(7)
    found_moves = 0
    for _ in range(100):
        unmoved, moved = drawn(rng, 30, common=0.9), drawn(rng, 1, ratio=ratio, common=0.9)
        old, new = (
            Throughputs(np.vstack([one.requests, other.requests]), np.vstack([one.time_s, other.time_s]))
            for one, other in zip(unmoved, moved, strict=True)
        )
        p_adjusted = judge(paired(old, new), tolerance=0.01, confidence=0.95).p_adjusted
        assert (p_adjusted[:-1] > 0.05).all()
        found_moves += bool(p_adjusted[-1] <= 0.05)
    assert found_moves >= 99


def test_the_error_of_the_rate_at_which_a_search_ended_counts() -> None:
    """All replications but one came to the end: their spread is a hundredth of the error of the end."""
    rng = np.random.default_rng(8)
    ends = tuple(estimates(run) for run in drawn(rng, 2000))
    rates = [
        Estimates(end.rate_rps, end.rate_rps * (1 - 1e-5), end.rate_rps * (1 + 1e-5), REPLICATIONS)
        for end in ends
    ]
    false_alarms = [
        (
            judge(independent(*rates, searched_up_to=given), tolerance=0.0, confidence=0.95).p_value <= 0.05
        ).mean()
        for given in (ends, None)
    ]
    assert false_alarms[0] < 0.06
    assert false_alarms[1] > 0.9


def test_a_replication_that_found_nothing_shows_in_the_interval() -> None:
    rates = np.full((3, 8), 5.0) + np.random.default_rng(9).normal(0, [[0.0], [0.3], [0.3]], (3, 8))
    rates[:2, 0] = 0.0
    found = [mean_interval(row.tolist()) for row in rates]
    ends = (np.array([getattr(each, end) for each in found]) for end in ("estimate", "low", "high"))
    assert Estimates(*ends, replications=8).found_by_all().tolist() == [False, False, True]
    wide = Estimates(np.array([1.0]), np.array([0.0]), np.array([1.5]), replications=2)
    assert wide.found_by_all().tolist() == [False]


def test_holm_by_hand() -> None:
    """4 x 0.005, 3 x 0.01, 2 x 0.03; 0.04 comes to no less than the one before it."""
    adjusted = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.zeros(0)).tolist() == []


def test_ranges_are_beyond_only_where_their_nearest_ends_are() -> None:
    old = np.array([1.0, 1.0, 1.0]), np.array([1.1, 1.1, 1.1])
    new = np.array([1.105, 1.15, 0.8]), np.array([1.3, 1.3, 0.95])
    low, high, beyond = ranges_beyond(old, new, 0.02)
    assert beyond.tolist() == [False, True, True]
    assert low == pytest.approx([1.105 / 1.1 - 1, 1.15 / 1.1 - 1, 0.8 / 1.1 - 1])
    assert high == pytest.approx([0.3, 0.3, -0.05])


def test_an_interval_that_tells_nothing_is_a_number() -> None:
    wild = LogRatios(np.array([0.0]), np.array([1.0]), np.array([1.0]))
    found = judge(wild, tolerance=0.01, confidence=0.999)
    assert np.isfinite(found.high).all()
    assert found.low[0] >= -1.0
