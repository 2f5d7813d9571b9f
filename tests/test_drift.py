"""Drift of a trace: found where there is some, and elsewhere no oftener than stated."""

from __future__ import annotations

import numpy as np
import pytest
from made_traces import lengths, poisson
from scipy import stats

from fastq.analysis.drift import BLOCKS_PER_PART, ERROR_RATE, drift, kruskal_wallis, serial_correlation


def test_kruskal_wallis_of_independent_values_is_the_textbook_one():
    """Where neighbours show no likeness, nothing is corrected."""
    values = np.array([[3, 9, 1, 8, 2, 7, 3], [5, 0, 6, 1, 7, 2, 9], [4, 9, 3, 8, 4, 9, 0]], dtype=np.float64)
    assert kruskal_wallis(values.ravel(), 3) == pytest.approx(stats.kruskal(*values).pvalue)
    assert kruskal_wallis(np.full(12, 5.0), 3) == 1


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_a_stationary_trace_is_said_to_drift_as_seldom_as_stated(alike):
    """Lengths independent or alike, arrivals Poisson: at most 5% of traces, tests of three figures together."""
    traces, requests = 300, 1500
    alarms = 0
    for seed in range(traces):
        columns = (
            lengths(requests, seed=seed, alike=alike),
            lengths(requests, seed=10_000 + seed, alike=alike),
        )
        found = drift(poisson(requests, seed=seed), *columns)
        assert all(test.differs == (test.p_value < ERROR_RATE) for test in found.tests)
        alarms += any(test.differs for test in found.tests)
    assert 0 < alarms / traces <= ERROR_RATE


def test_bursts_are_no_drift():
    """Bursts of eight requests: the rate of no part differs from that of another but by chance."""
    alarms = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        starts = generator.random(2000) < 1 / 8
        times = np.cumsum(np.where(starts, generator.exponential(8, 2000), 0.001))
        columns = lengths(2000, seed=seed), lengths(2000, seed=seed + 500)
        alarms += any(test.differs for test in drift(times, *columns).tests)
    assert alarms / 200 <= ERROR_RATE


@pytest.mark.parametrize("figure", ["rate", "prompt", "output"])
@pytest.mark.parametrize("shape", ["slow", "step", "wave"])
def test_what_drifts_is_found_and_nothing_else(figure, shape):
    requests = 6000
    place = np.linspace(0, 1, requests)
    factor = {
        "slow": 0.6 + 0.8 * place,
        "step": np.where(place < 0.4, 1.0, 1.8),
        "wave": 1.0 + 0.5 * np.sin(6 * np.pi * place),
    }[shape]
    gaps = np.diff(poisson(requests, seed=4), prepend=0.0)
    columns = {"prompt": lengths(requests, seed=2), "output": lengths(requests, seed=3)}
    times = np.cumsum(gaps * factor if figure == "rate" else gaps)
    if figure != "rate":
        columns[figure] = np.ceil(columns[figure] * factor).astype(np.int32)
    found = drift(times, columns["prompt"], columns["output"])
    assert {test.figure for test in found.tests if test.differs} == {figure}
    assert [test.figure for test in found.tests] == ["rate", "prompt", "output"]


@pytest.mark.parametrize(("requests", "parts"), [(200, 4), (399, 4), (700, 7), (1200, 12), (50_003, 12)])
def test_parts_are_equal_and_cover_the_trace(requests, parts):
    times, columns = poisson(requests), (lengths(requests, seed=1), lengths(requests, seed=2))
    found = drift(times, *columns)
    sizes = [part.requests for part in found.parts]
    assert len(sizes) == parts
    assert sum(sizes) == requests
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 5 * BLOCKS_PER_PART
    weighed = [
        np.average([getattr(part, f"mean_{kind}_tokens") for part in found.parts], weights=sizes)
        for kind in ("prompt", "output")
    ]
    assert weighed == [pytest.approx(column.mean()) for column in columns]
    assert found.parts[0].start_s == times[0]
    assert found.parts[-1].end_s == times[-1]
    assert all(
        one.end_s == other.start_s for one, other in zip(found.parts[:-1], found.parts[1:], strict=True)
    )
    expected = sum(part.rate_rps * (part.end_s - part.start_s) for part in found.parts)
    assert expected == pytest.approx(requests - 1)


def test_too_few_requests_have_no_parts():
    assert drift(poisson(199), lengths(199), lengths(199)).parts == ()
    assert drift(np.zeros(5000), lengths(5000), lengths(5000)).tests == ()


def test_neighbours_that_are_alike():
    independent = serial_correlation(lengths(20_000, seed=1), lengths(20_000, seed=2))
    assert abs(independent.prompt) < independent.chance
    assert abs(independent.output) < independent.chance
    assert independent.chance == pytest.approx(2.576 / np.sqrt(20_000))
    alike = serial_correlation(lengths(20_000, seed=1, alike=0.5), lengths(20_000, seed=2))
    assert alike.prompt == pytest.approx(
        6 / np.pi * np.arcsin(0.25), abs=0.03
    )  # of ranks, for a normal copula of 0.5
    constant = serial_correlation(np.full(9, 3, np.int32), np.full(9, 4, np.int32))
    assert (constant.prompt, constant.output, constant.chance) == (None, None, None)
