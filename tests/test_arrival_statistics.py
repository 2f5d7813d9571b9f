"""Arrivals of a trace: Poisson, batches, grids, hours, against known answers and against counting one by one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest
from made_traces import poisson
from scipy import stats

from fastq.analysis.arrival_statistics import arrival_statistics


def window(found, window_s):
    (each,) = (each for each in found.windows if each.window_s == window_s)
    return each


def test_poisson_arrivals_have_cv_and_dispersion_of_one():
    found = arrival_statistics(poisson(40_000), None)
    assert found.mean_rate_rps == pytest.approx(10, rel=0.02)
    assert found.interarrival_cv == pytest.approx(1, abs=0.02)
    assert [each.window_s for each in found.windows] == [1, 10, 60, 600, 3600]
    assert [each.windows for each in found.windows] == [
        int(found.span_s // each.window_s) for each in found.windows
    ]
    assert window(found, 1.0).dispersion == pytest.approx(1, abs=0.07)
    assert window(found, 10.0).dispersion == pytest.approx(1, abs=0.25)
    assert window(found, 3600.0).dispersion is None
    assert found.bursty_windows_s == ()
    assert found.ties.tied_share == 0
    assert found.ties.grid_s is None
    assert found.were_ordered


def test_poisson_arrivals_are_seldom_called_bursty():
    called = [
        bool(arrival_statistics(poisson(3000, seed=seed), None).bursty_windows_s) for seed in range(400)
    ]
    assert np.mean(called) <= 0.03


def test_evenly_spaced_arrivals_do_not_vary():
    found = arrival_statistics(np.arange(1, 1201) * 0.5, None)
    assert found.mean_rate_rps == pytest.approx(2)
    assert found.interarrival_cv == pytest.approx(0, abs=1e-9)
    assert window(found, 10.0).dispersion == 0
    assert window(found, 10.0).peak_rps == 2
    assert found.ties.resolution_s == 0.1


def test_batches_multiply_dispersion_by_their_size():
    """Batches of k at Poisson instants: counts have k times the dispersion, interarrival times CV sqrt(2k - 1)."""
    found = arrival_statistics(np.repeat(poisson(20_000), 5), None)
    assert window(found, 10.0).dispersion == pytest.approx(5, rel=0.1)
    assert found.interarrival_cv == pytest.approx(3, rel=0.03)
    assert found.bursty_windows_s[0] == 1.0
    assert found.ties.tied_share == 1
    assert found.ties.in_batches
    assert found.ties.largest_batch == 5
    assert found.ties.instants == 20_000
    assert found.ties.grid_s is None


def test_a_grid_is_found_though_its_clock_jitters():
    generator = np.random.default_rng(3)
    instants = 3.0 * np.cumsum(generator.integers(1, 3, 500)) + generator.uniform(-0.02, 0.02, 500)
    ties = arrival_statistics(np.repeat(instants, generator.integers(1, 20, 500)), None).ties
    assert ties.grid_s == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize("resolution_s", [1.0, 0.1, 0.001, 1e-6])
@pytest.mark.parametrize("first_s", [0.0, 1e6])
def test_the_resolution_of_time_stamps(resolution_s, first_s):
    found = arrival_statistics(first_s + np.floor(poisson(3000) / resolution_s) * resolution_s, None).ties
    assert found.resolution_s == resolution_s
    assert (found.grid_s is None) == (resolution_s < 0.1)


def test_no_resolution_is_told_where_numbers_are_too_large():
    assert arrival_statistics(1.7e18 + 1000 * np.floor(poisson(100)), None).ties.resolution_s is None


@pytest.mark.parametrize("window_s", [1.0, 10.0, 60.0])
def test_counts_against_every_window_counted(window_s):
    times = np.sort(np.random.default_rng(5).uniform(0, 400, 900)) ** 1.05
    found = window(arrival_statistics(times, None), window_s)
    from_first = times - times[0]
    whole = int(from_first[-1] // window_s)
    counts = [np.sum((from_first >= k * window_s) & (from_first < (k + 1) * window_s)) for k in range(whole)]
    assert found.windows == whole
    assert found.dispersion == pytest.approx(np.var(counts, ddof=1) / np.mean(counts))
    peak = max(np.sum((from_first >= first) & (from_first < first + window_s)) for first in from_first)
    assert found.peak_rps == peak / window_s
    low, high = stats.chi2.ppf([0.005, 0.995], whole - 1) / (whole - 1)
    assert (found.poisson_low, found.poisson_high) == (pytest.approx(low), pytest.approx(high))


def test_a_trace_of_years_with_a_gap_takes_no_memory():
    found = arrival_statistics(np.concatenate((poisson(1000), 3e9 + poisson(1000))), None)
    assert window(found, 1.0).windows == pytest.approx(3e9, rel=1e-3)
    assert window(found, 1.0).dispersion > 5


def test_rows_out_of_order_are_put_in_order():
    times = poisson(2000)
    shuffled = arrival_statistics(np.random.default_rng(1).permutation(times), None)
    assert not shuffled.were_ordered
    assert dataclasses.replace(shuffled, were_ordered=True) == arrival_statistics(times, None)


def test_hours_of_the_day_are_those_of_the_clock():
    """One request a minute from 22:30 to 02:30, ten a minute from 23:00 to midnight."""
    minutes = np.concatenate((np.arange(0, 241), np.repeat(np.arange(30, 90), 9)))
    start = datetime(2024, 5, 10, 22, 30, tzinfo=UTC)
    found = arrival_statistics(60.0 * minutes, start)
    assert found.hours_are_utc
    by_hour = {each.hour: each for each in found.hours}
    assert list(by_hour) == [0, 1, 2, 22, 23]
    assert [by_hour[hour].observed_s for hour in (22, 23, 0, 1, 2)] == [1800, 3600, 3600, 3600, 1800]
    assert [by_hour[hour].requests for hour in (22, 23, 0, 1, 2)] == [30, 600, 60, 60, 31]
    assert by_hour[23].rate_rps == pytest.approx(10 / 60)


def test_an_hour_that_was_hardly_seen_has_no_rate():
    found = arrival_statistics(np.append(np.arange(0.0, 7200.0, 10.0), 7200.001), None)
    assert [each.rate_rps for each in found.hours] == [pytest.approx(0.1), pytest.approx(0.1), None]
    assert found.hours[2].requests == 1


def test_hours_of_several_days_are_added_up():
    found = arrival_statistics(1800.0 * np.arange(0, 3 * 48 + 1), None)
    assert not found.hours_are_utc
    assert len(found.hours) == 24
    assert {each.observed_s for each in found.hours} == {3 * 3600}
    assert sum(each.requests for each in found.hours) == 3 * 48 + 1
    assert arrival_statistics(np.array([0.0, 7199.0]), None).hours == ()


@pytest.mark.parametrize("times", [[5.0], [5.0, 5.0, 5.0]])
def test_no_time_passes(times):
    found = arrival_statistics(np.array(times), None)
    assert (found.span_s, found.mean_rate_rps, found.interarrival_cv) == (0, None, None)
    assert found.windows == found.hours == ()
    assert found.ties.largest_batch == len(times)
