"""Counting replicas: the fewest that hold, what one less fails, what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastq.analysis.fleet import (
    MOST_SHARING,
    Capacity,
    cost_per_million,
    day,
    fewest_sharing,
    fleet,
    replicas_for,
)
from fastq.analysis.intervals import Interval, at_confidence, mean_interval


def sure(rate_rps):
    return Interval(rate_rps, rate_rps, rate_rps)


def capacity(boundary, limits=None, limit=None, target_load=0.8):
    return Capacity(boundary, limits, limit, target_load)


def alike(one):
    """The same capacity, however many replicas there are."""
    return lambda _: one


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


@settings(max_examples=300)
@given(
    demand_rps=st.floats(0.1, 500),
    rises=st.lists(st.floats(0, 3), min_size=1, max_size=40),
    steps=st.integers(1, 50),
)
def test_the_fewest_that_share_are_those_that_trying_all_finds(demand_rps, rises, steps):
    """Rates that rise with the number of replicas, in steps; a few replicas may be given nothing."""
    most = np.cumsum(np.maximum(np.array(rises) - 1, 0))

    def at_most_rps(replicas):
        return float(most[min((replicas - 1) // steps, len(most) - 1)])

    found = fewest_sharing(demand_rps, at_most_rps)
    if at_most_rps(MOST_SHARING) == 0:
        assert found is None
        return

    def is_enough(replicas):
        return at_most_rps(replicas) > 0 and replicas_for(demand_rps, at_most_rps(replicas)) <= replicas

    assert is_enough(found)
    assert not any(is_enough(count) for count in range(1, min(found, 5000)))


@settings(max_examples=300)
@given(
    demand_rps=st.floats(0.1, 300),
    ripple=st.floats(0, 0.2),
    phase=st.integers(1, 12),
    gentle=st.floats(0.5, 30),
)
def test_with_ripples_the_count_is_enough_and_one_less_is_not(demand_rps, ripple, phase, gentle):
    def at_most_rps(replicas):
        return replicas / (replicas + gentle) * (1 - ripple * (replicas % phase == 0))

    def is_enough(replicas):
        return replicas_for(demand_rps, at_most_rps(replicas)) <= replicas

    found = fewest_sharing(demand_rps, at_most_rps)
    assert is_enough(found)
    assert found == 1 or not is_enough(found - 1)


def test_bursts_that_more_replicas_share_count_once():
    """Limits let through 1 - 1/n of what the boundary does: 9 replicas for 71 of 80, and one less gets too much."""
    asked = []

    def among(count):
        asked.append(count)
        return capacity(sure(10), sure(10 * (1 - 1 / count)), "ttft_p99", target_load=1.0)

    found = fleet(71, among)
    assert (found.replicas, found.fewer_fail) == (9, ("ttft_p99",))
    assert found.headroom_to_limits.estimate == pytest.approx(10 * (1 - 1 / 9) / (71 / 9) - 1)
    assert len(set(asked)) < 9, "it does not try them all"
    assert day([71, 8, 0], among).replicas == (9, 2, 0)


def test_no_fleet_where_replicas_share_so_badly_that_no_number_is_enough():
    assert fewest_sharing(10.0, lambda count: 1.0 / count) is None
    assert fewest_sharing(0.5, lambda count: 1.0 / count) == 1


def test_no_fleet_where_no_number_of_replicas_helps():
    assert fleet(5, alike(capacity(sure(10), sure(0), "ttft_p99"))) is None


def test_the_target_load_counts_against_the_lower_end():
    found = fleet(40, alike(capacity(Interval(5.1, 4.9, 5.3))))
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
    found = fleet(40, alike(limited))
    assert limited.sized_by == "ttft_p99"
    assert (found.replicas, found.replicas_at_best) == (16, 12)
    assert found.fewer_fail == ("ttft_p99",)
    assert found.headroom_to_limits.low == pytest.approx(0)


def test_one_replica_less_may_fail_both():
    found = fleet(79, alike(capacity(sure(10), sure(7.95), "tpot_p90")))
    assert found.replicas == 10
    assert found.fewer_fail == ("target_load", "tpot_p90")


def test_a_single_replica_has_none_to_spare():
    found = fleet(1, alike(capacity(sure(10))))
    assert found.replicas == 1
    assert found.fewer_fail == ()


def test_a_day_of_a_fixed_and_of_a_following_fleet():
    hourly = [0.0] * 8 + [4.0] * 8 + [12.5] * 8
    followed = day(hourly, alike(capacity(sure(5))))
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
