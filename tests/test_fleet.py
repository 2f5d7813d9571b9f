"""Counting replicas: the fewest that hold, what one less fails, what they cost."""

from __future__ import annotations

import pytest

from fastq.analysis.fleet import Capacity, cost_per_million, day, fleet, replicas_for
from fastq.analysis.intervals import Interval, at_confidence, mean_interval


def sure(rate_rps):
    return Interval(rate_rps, rate_rps, rate_rps)


def capacity(boundary, limits=None, limit=None, target_load=0.8):
    return Capacity(boundary, limits, limit, target_load)


@pytest.mark.parametrize(
    ("demand_rps", "at_most_rps", "replicas"),
    [
        (40, 4, 10),
        (40.001, 4, 11),
        (52, 0.8 * 6.5, 10),
        (0.3, 0.1, 3),
        (40 * 1.1, 0.8 * 5.5, 10),
        (1e-9, 4, 1),
        (1e9, 0.125, 8 * 10**9),
    ],
)
def test_the_fewest_replicas(demand_rps, at_most_rps, replicas):
    assert replicas_for(demand_rps, at_most_rps) == replicas


def test_the_target_load_counts_against_the_lower_end():
    found = fleet(40, capacity(Interval(5.1, 4.9, 5.3)))
    assert found.replicas == 11
    assert found.replicas_at_best == 10
    assert found.fewer_fail == ("target_load",)
    assert found.rate_rps == pytest.approx(40 / 11)
    assert found.load.estimate == pytest.approx(40 / 11 / 5.1)
    assert found.load.low == pytest.approx(40 / 11 / 5.3)
    assert found.load.high == pytest.approx(40 / 11 / 4.9)
    assert found.headroom_to_boundary.estimate == pytest.approx(5.1 * 11 / 40 - 1)
    assert found.headroom_to_limits is None


def test_the_limits_count_by_their_lower_end_and_are_named():
    limited = capacity(sure(10), Interval(3, 2.5, 3.5), "ttft_p99")
    found = fleet(40, limited)
    assert limited.sized_by == "ttft_p99"
    assert (found.replicas, found.replicas_at_best) == (16, 12)
    assert found.fewer_fail == ("ttft_p99",)
    assert found.headroom_to_limits.low == pytest.approx(0)


def test_one_replica_less_may_fail_both():
    found = fleet(79, capacity(sure(10), sure(7.95), "tpot_p90"))
    assert found.replicas == 10
    assert found.fewer_fail == ("target_load", "tpot_p90")


def test_a_single_replica_has_none_to_spare():
    found = fleet(1, capacity(sure(10)))
    assert found.replicas == 1
    assert found.fewer_fail == ()


def test_a_day_of_a_fixed_and_of_a_following_fleet():
    hourly = [0.0] * 8 + [4.0] * 8 + [12.5] * 8
    followed = day(hourly, capacity(sure(5)))
    assert followed.replicas == (0,) * 8 + (1,) * 8 + (4,) * 8
    assert followed.fixed_replica_hours == 96
    assert followed.following_replica_hours == 40
    assert followed.requests == pytest.approx(8 * 3600 * 16.5)


def test_cost_of_a_million_tokens():
    assert cost_per_million(20, 3600 * 10, 500) == pytest.approx(20 / 18)


def test_another_confidence_is_students_own():
    values = [1.0, 2.0, 4.0, 4.5, 3.0]
    for confidence in (0.5, 0.9, 0.999):
        wanted = mean_interval(values, confidence=confidence)
        found = at_confidence(mean_interval(values), replications=5, confidence=confidence)
        assert found.high == pytest.approx(wanted.high)
        assert found.low == pytest.approx(max(0.0, wanted.low))
