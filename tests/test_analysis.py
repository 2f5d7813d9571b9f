"""Estimates, intervals, quantiles, ergodicity and verdicts on synthetic replications."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastq.analysis.ergodicity import is_nonergodic
from fastq.analysis.intervals import Interval, mean_interval, pooled_throughput, student_quantile
from fastq.analysis.latency_intervals import MEAN, latency_intervals
from fastq.analysis.quantiles import merged, quantile
from fastq.analysis.replication import PS_PER_S, Distribution, Replication, Work, occupied_part
from fastq.analysis.verdict import Verdict, verdict_at
from fastq.engine.bins import bin_edges
from fastq.kernels.histogram import BINS, bin_of

finite = st.floats(-1e6, 1e6, allow_nan=False)


def distribution(values: list[int]) -> Distribution:
    bins = np.zeros(BINS, np.int64)
    for value in values:
        bins[bin_of(value)] += 1
    return Distribution(len(values), sum(values), *occupied_part(bins))


def distribution_of(values: np.ndarray) -> Distribution:
    """The same of many values at once."""
    whole = values.astype(np.int64)
    bins = np.bincount(np.searchsorted(bin_edges(), whole, side="right") - 1, minlength=BINS)
    return Distribution(len(whole), int(whole.sum()), *occupied_part(bins))


def replication(
    requests: int, seconds: float, half_requests: int = 0, half_seconds: float = 0.0
) -> Replication:
    """A replication of which only throughput, and that of its halves, is known."""
    return Replication(
        requests=requests,
        iterations=1,
        elapsed_ps=round(seconds * PS_PER_S),
        idle_ns=0,
        half_requests=half_requests,
        half_elapsed_ps=round(half_seconds * PS_PER_S),
        running_sum=0,
        waiting_sum=0,
        kv_tokens_sum=0,
        blocks_sum=0,
        max_waiting=0,
        max_running=0,
        preemptions=0,
        recomputed_tokens=0,
        backlog_growth=0,
        warmup_requests=0,
        warmup_elapsed_ps=0,
        executed=Work(0, 0, 0, 0, 0, 0, 0),
        redone=Work(0, 0, 0, 0, 0, 0, 0),
        stopped_kv=0,
        stopped_seqs=0,
        stopped_tokens=0,
        stopped_kv_blocks=0,
        stopped_limit_blocks=0,
        iteration_time=distribution([]),
        latencies={},
    )


@given(st.lists(finite, min_size=2, max_size=30))
def test_mean_intervals_are_those_of_scipy(values):
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-6, abs=1e-6)
    assert interval.estimate - interval.low == pytest.approx(half, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("degrees", [1, 2, 7, 15, 1000])
def test_student_quantiles_are_those_of_scipy(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-12)


windows = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0.1, 1e5)), min_size=2, max_size=20)


@given(windows)
def test_pooled_throughput_is_all_completions_over_all_time(drawn):
    runs = [replication(requests, seconds) for requests, seconds in drawn]
    interval = pooled_throughput(runs)
    requests = np.array([run.requests for run in runs], float)
    seconds = np.array([run.elapsed_ps for run in runs]) / PS_PER_S
    rate = requests.sum() / seconds.sum()
    assert interval.estimate == pytest.approx(rate, rel=1e-12)
    # The textbook ratio estimator: W. G. Cochran, "Sampling Techniques", from moments rather than residuals.
    n = len(runs)
    covariance = np.cov(requests, seconds)
    variance = covariance[0, 0] - 2 * rate * covariance[0, 1] + rate**2 * covariance[1, 1]
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(max(variance, 0) / n) / seconds.mean()
    scale = 1e-6 * (rate + requests.max() / seconds.mean())
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-3, abs=scale)
    assert interval.estimate - interval.low == pytest.approx(
        interval.high - interval.estimate, rel=1e-9, abs=scale
    )


def test_pooling_equal_windows_is_the_mean_of_their_rates():
    runs = [replication(requests, 10.0) for requests in (90, 100, 104, 110)]
    assert pooled_throughput(runs).estimate == pytest.approx(10.1)
    expected = mean_interval([9.0, 10.0, 10.4, 11.0])
    assert pooled_throughput(runs).low == pytest.approx(expected.low)
    assert pooled_throughput(runs).high == pytest.approx(expected.high)


def test_equal_replications_have_an_interval_of_no_width():
    interval = pooled_throughput([replication(100, 10.0) for _ in range(4)])
    assert interval.low == pytest.approx(interval.high)
    assert interval.relative_half_width == pytest.approx(0, abs=1e-12)
    assert mean_interval([3.0] * 5) == Interval(3.0, 3.0, 3.0)


def assert_covers_95_percent(covered: int, tries: int, *, least: float = 0.95) -> None:
    """Within four standard deviations of the nominal 95%; ``least`` lets small-sample bias be stated."""
    spread = 4 * math.sqrt(0.95 * 0.05 / tries)
    assert least - spread < covered / tries < 0.95 + spread


@pytest.mark.parametrize("count", [2, 8, 30])
def test_mean_intervals_cover_the_mean_of_normals(count):
    draw = np.random.default_rng(count)
    tries = 4000
    intervals = [mean_interval(values) for values in draw.normal(5.0, 2.0, (tries, count)).tolist()]
    assert_covers_95_percent(sum(interval.low <= 5.0 <= interval.high for interval in intervals), tries)


def test_pooled_intervals_cover_the_rate_of_noisy_windows():
    """Windows of 400 requests at a mean of 0.5 s each: a ratio estimator of 8 covers a little less than 95%."""
    draw = np.random.default_rng(3)
    tries = 4000
    covered = 0
    for seconds in draw.gamma(400, 0.5, (tries, 8)):
        interval = pooled_throughput([replication(400, window_s) for window_s in seconds])
        covered += interval.low <= 2.0 <= interval.high
    assert_covers_95_percent(covered, tries, least=0.945)


def test_pooled_throughput_is_less_biased_than_a_mean_of_rates():
    """Two of three windows last a tenth: the long run rate is that over all time."""
    draw = np.random.default_rng(4)
    seconds = draw.choice([10.0, 1.0, 1.0], 3000)
    runs = [replication(10, window_s) for window_s in seconds]
    assert pooled_throughput(runs).estimate == pytest.approx(10 / 4.0, rel=0.05)
    assert np.mean([run.throughput_rps for run in runs]) > 2 * pooled_throughput(runs).estimate


@given(st.integers(0, 2**50), st.integers(1, 50), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_exact_where_all_values_are_equal(value, count, share):
    assert quantile(distribution([value] * count), bin_edges(), share) == value


values_of_any_size = st.one_of(st.integers(0, 300), st.integers(0, 10**6), st.integers(0, 2**52))


@settings(max_examples=300)
@given(st.lists(values_of_any_size, min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_in_the_same_bin_as_those_of_numpy(values, share):
    """A bin is 1/128 of a value wide at most: within one percent."""
    known = int(np.quantile(values, share, method="inverted_cdf"))
    found = quantile(distribution(values), bin_edges(), share)
    assert found == pytest.approx(known, rel=1 / 128, abs=0)
    assert bin_of(math.floor(found)) == bin_of(known)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_quantiles_take_the_right_rank_whatever_the_number_of_values(share):
    """Values 1, ..., n have bins of their own up to 256; the rank is the exact ceiling of share x n."""
    exact = Fraction(str(share))
    for n in range(1, 257):
        assert quantile(distribution(list(range(1, n + 1))), bin_edges(), share) == math.ceil(exact * n)


def test_quantiles_lie_in_their_bin_as_its_values_do():
    """Values 16,384, ..., 16,639 fill two bins of 128 evenly."""
    pooled = distribution(list(range(1 << 14, (1 << 14) + 256)))
    for share in (0.1, 0.3, 0.6, 0.9):
        assert quantile(pooled, bin_edges(), share) == pytest.approx((1 << 14) + 256 * share, abs=1)


@given(st.lists(values_of_any_size, min_size=1, max_size=40))
def test_quantiles_rise_with_their_share(values):
    pooled = distribution(values)
    found = [quantile(pooled, bin_edges(), k / 20) for k in range(1, 21)]
    assert found == sorted(found)


def test_there_is_no_quantile_and_no_mean_of_nothing():
    assert quantile(distribution([]), bin_edges(), 0.5) is None
    assert latency_intervals([distribution([])] * 2, bin_edges(), {"p50": 0.5}) == {}


@given(st.lists(st.lists(values_of_any_size, min_size=1, max_size=20), min_size=1, max_size=5))
def test_merging_is_counting_together(parts):
    together = merged([distribution(part) for part in parts])
    expected = distribution([value for part in parts for value in part])
    assert (together.count, together.total) == (expected.count, expected.total)
    assert together.first_bin == expected.first_bin
    assert np.array_equal(together.bins, expected.bins)


samples = st.lists(st.lists(values_of_any_size, min_size=1, max_size=30), min_size=2, max_size=6)


@given(samples)
def test_interval_of_a_mean_is_about_the_mean_of_all_values(parts):
    interval = latency_intervals([distribution(part) for part in parts], bin_edges(), {})[MEAN].interval
    assert interval.estimate == pytest.approx(np.mean([value for part in parts for value in part]))
    assert interval.low <= interval.estimate <= interval.high


@given(samples, st.sampled_from([0.1, 0.5, 0.9, 0.99]))
def test_interval_of_a_quantile_holds_it_and_stays_within_the_values(parts, share):
    found = latency_intervals([distribution(part) for part in parts], bin_edges(), {"q": share})
    interval = found["q"].interval
    pooled = merged([distribution(part) for part in parts])
    assert interval.estimate == quantile(pooled, bin_edges(), share)
    values = [value for part in parts for value in part]
    assert min(values) / 1.01 <= interval.low <= interval.estimate <= interval.high <= 1.01 * max(values)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_intervals_of_quantiles_cover_where_replications_differ_as_a_whole(share):
    """Exponential waits whose scale differs from replication to replication, as under load: 8 of 2,000 values.

    Of 600 intervals 95% hold the quantile of the mixture, give or take 3%: 4 standard errors are 3.6%.
    """
    draw = np.random.default_rng(11)
    spread = draw.gamma(20, 1 / 20, (600, 8))
    known = np.quantile(draw.exponential(np.repeat(draw.gamma(20, 1 / 20, 40_000), 50)), share) * 1e6
    covered = 0
    for scales in spread:
        parts = [distribution_of(draw.exponential(scale, 2000) * 1e6) for scale in scales]
        interval = latency_intervals(parts, bin_edges(), {"q": share})["q"].interval
        covered += interval.low <= known <= interval.high
    assert 0.91 < covered / 600 < 0.985


def halves(first_rps: float, second_rps: float, half_s: float = 100.0) -> Replication:
    first, second = round(first_rps * half_s), round(second_rps * half_s)
    return replication(first + second, 2 * half_s, first, half_s)


def test_replications_in_two_modes_are_nonergodic():
    """Each keeps to its own rate, 4 or 7, with noise of 1% in every half."""
    draw = np.random.default_rng(5)
    for _ in range(200):
        modes = [4.0, 7.0] * 4
        runs = [halves(*draw.normal(mode, 0.01 * mode, 2), half_s=1000.0) for mode in modes]
        assert is_nonergodic(runs)


@pytest.mark.parametrize("spread", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("count", [2, 8, 30])
def test_replications_of_independent_halves_are_ergodic(spread, count):
    """A false alarm in 2,000 tries at 1e-5 each is a chance of 2%, and the seed is fixed."""
    draw = np.random.default_rng(6)
    alarms = sum(
        is_nonergodic([halves(*rates, half_s=1e4) for rates in draw.normal(5.0, 5.0 * spread, (count, 2))])
        for _ in range(2000)
    )
    assert alarms == 0


def test_replications_within_a_percent_of_each_other_agree():
    """However sharp the halves: exact cycles repeat to the last bit."""
    assert not is_nonergodic([halves(rate, rate, half_s=1e4) for rate in (5.0, 5.02, 5.04, 5.0)])
    assert is_nonergodic([halves(rate, rate, half_s=1e4) for rate in (5.0, 5.5, 5.0, 5.5)])


def test_drift_within_replications_is_no_sign_of_modes():
    """All speed up from the first half to the second in the same way: they disagree no more than chance has it."""
    draw = np.random.default_rng(7)
    for _ in range(200):
        noise = draw.normal(0, 0.05, (8, 2))
        assert not is_nonergodic([halves(4.0 + a, 6.0 + b, half_s=1e4) for a, b in noise])


GROWING = Interval(99.0, 98.0, 100.0)
"""Growth of the backlog as of any overload here."""

ORDER = {Verdict.STABLE: 0, Verdict.UNDECIDED: 1, Verdict.METASTABLE: 1, Verdict.UNSTABLE: 2}


@given(
    st.floats(0.1, 10), st.floats(0, 3), st.lists(st.floats(1e-3, 20), min_size=2, max_size=30), st.booleans()
)
def test_verdicts_turn_once_as_the_rate_rises(low, width, rates, nonergodic):
    service_rate = Interval(low + width / 2, low, low + width)
    verdicts = [verdict_at(rate, service_rate, GROWING, nonergodic=nonergodic) for rate in sorted(rates)]
    assert [ORDER[verdict] for verdict in verdicts] == sorted(ORDER[verdict] for verdict in verdicts)
    between = Verdict.METASTABLE if nonergodic else Verdict.UNDECIDED
    assert set(verdicts) <= {Verdict.STABLE, between, Verdict.UNSTABLE}
    assert verdict_at(low, service_rate, GROWING, nonergodic=nonergodic) is between
    assert verdict_at(low + width, service_rate, GROWING, nonergodic=nonergodic) is between
    assert verdict_at(math.nextafter(low, 0), service_rate, GROWING, nonergodic=nonergodic) is Verdict.STABLE
    assert (
        verdict_at(math.nextafter(low + width, 99), service_rate, GROWING, nonergodic=nonergodic)
        is Verdict.UNSTABLE
    )


def test_a_queue_that_should_grow_and_does_not_is_held_by_its_start():
    service_rate = Interval(4.0, 3.9, 4.1)
    for slope, verdict in (
        (Interval(0.0, -0.1, 0.1), Verdict.METASTABLE),
        (Interval(0.8, -0.4, 2.0), Verdict.UNSTABLE),  # too wide an interval to tell
        (Interval(1.9, 1.8, 2.0), Verdict.UNSTABLE),
    ):
        assert verdict_at(6.1, service_rate, slope, nonergodic=False) is verdict
        assert verdict_at(3.8, service_rate, slope, nonergodic=False) is Verdict.STABLE
        assert verdict_at(4.0, service_rate, slope, nonergodic=False) is Verdict.UNDECIDED


def test_verdicts_are_the_words_of_the_result_tables():
    assert [str(verdict) for verdict in Verdict] == ["stable", "unstable", "metastable", "undecided"]
