"""The largest rate that meets service-level objectives: specs, search, and queues whose waits are known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fastq.analysis.intervals import Interval
from fastq.analysis.rate_search import settle
from fastq.analysis.replication import Distribution, Replication
from fastq.analysis.service_level import LEAST_SHARE, STABILITY, service_level
from fastq.engine.bins import bin_edges
from fastq.engine.evaluate import evaluate_point
from fastq.errors import SpecError
from fastq.kernels.histogram import BINS, bin_of
from fastq.model.load import parse_spec
from fastq.model.slo import Objective

MS = 10**9
"""Picoseconds."""


def system(slo=None, measure=("slo",), replica=None, **run):
    document = {
        "workload": {"prompt_tokens": {"constant": 1}, "output_tokens": {"constant": 1}},
        "replica": {"kv_capacity_tokens": 1600, "max_num_seqs": 1, **(replica or {})},
        "iteration_time": {"constant": "10 ms"},
        "run": {"measure": list(measure), "requests": 40_000, "warmup_requests": 4000, **run},
    }
    if slo is not None:
        document["slo"] = slo
    return parse_spec(document, source="test")


def test_objectives_are_read_in_one_order():
    spec = system({"tpot": {"p50": "40 ms"}, "ttft": {"p99_9": "5 s", "p99": "2 s"}})
    assert spec.slo == (
        Objective("ttft", "p99", 2000 * MS),
        Objective("ttft", "p99_9", 5000 * MS),
        Objective("tpot", "p50", 40 * MS),
    )
    assert [one.share for one in spec.slo] == [Fraction(99, 100), Fraction(999, 1000), Fraction(1, 2)]
    assert [one.name for one in spec.slo] == ["ttft_p99", "ttft_p99_9", "tpot_p50"]
    shown = {key.key: key.value_text for key in spec.resolved()}
    assert shown["slo.ttft"] == "p99 <= 2 s, p99.9 <= 5 s"


@pytest.mark.parametrize(
    ("slo", "key", "shown"),
    [
        (None, "slo", 'slo.ttft = { p99 = "2 s" }'),
        ({"itl": {"p99": "1 s"}}, "slo.itl", "wait, ttft, tpot, e2e"),
        ({"ttft": "2 s"}, "slo.ttft", "percentiles and durations"),
        ({"ttft": {}}, "slo.ttft", "percentiles and durations"),
        ({"ttft": {"p100": "2 s"}}, "slo.ttft.p100", "below 100"),
        ({"ttft": {"p0": "2 s"}}, "slo.ttft.p0", "above 0"),
        ({"ttft": {"p05": "2 s"}}, "slo.ttft.p05", "written as"),
        ({"ttft": {"p50_0": "2 s"}}, "slo.ttft.p50_0", "written as"),
        ({"ttft": {"mean": "2 s"}}, "slo.ttft.mean", "p99_9"),
        ({"ttft": {"p99": 2}}, "slo.ttft.p99", "duration with its unit"),
        (["p99"], "slo", "must be a table"),
    ],
)
def test_bad_objectives(slo, key, shown):
    with pytest.raises(SpecError) as raised:
        system(slo)
    assert raised.value.key == key
    assert shown in str(raised.value)


def test_the_hash_sees_objectives_that_are_measured_and_no_others():
    one, other = {"ttft": {"p99": "2 s"}}, {"ttft": {"p99": "3 s"}}
    assert system(one).hash != system(other).hash
    assert system(one, ["boundary"]).hash == system(other, ["boundary"]).hash


def test_objectives_can_be_set():
    def load(*overrides):
        document = {
            "workload": {"prompt_tokens": {"constant": 1}, "output_tokens": {"constant": 1}},
            "replica": {"kv_capacity_tokens": 1600},
            "iteration_time": {"constant": "10 ms"},
            "slo": {"ttft": {"p99": "2 s", "p50": "1 s"}},
        }
        return parse_spec(document, source="test", overrides=overrides).slo

    assert load(("slo.ttft.p99", '"3 s"'))[1] == Objective("ttft", "p99", 3000 * MS)
    assert len(load(("slo.ttft.p99", '"3 s"'))) == 2
    assert load(("slo.ttft", '{ p90 = "1 s" }')) == (Objective("ttft", "p90", 1000 * MS),)
    with pytest.raises(SpecError, match="can't be an axis"):
        load(("grid.slo.ttft", '["1 s"]'))


def with_latency(ns: int) -> Replication:
    bins = np.zeros(BINS, np.int64)
    bins[bin_of(ns)] = 100
    found = Distribution(100, 100 * ns, *occupied(bins))
    zeros = dict.fromkeys(
        field for field in Replication.__dataclass_fields__ if field not in ("iteration_time", "latencies")
    )
    return Replication(**dict.fromkeys(zeros, 0), iteration_time=found, latencies={"ttft": found})


def occupied(bins):
    first, *_, last = (k for k in (*np.flatnonzero(bins), np.flatnonzero(bins)[-1]))
    return int(first), bins[first : last + 1]


def search(limit_ns: int, latency_ns_at, replications: int = 4):
    searches = service_level(
        [Objective("ttft", "p99", limit_ns * 1000)],
        replications=replications,
        stable_rate=Interval(10.0, 9.9, 10.1),
        edges=bin_edges(),
    )
    return settle(searches, lambda number, rate_rps: with_latency(latency_ns_at(number, rate_rps)))


def test_the_search_finds_where_each_replication_begins_to_fail():
    """Latency rises with the rate and passes 5000 ns at 5, 5.1, 5.2, 5.3 requests/s."""
    found = search(5000, lambda number, rate: int(1000 * (rate - 0.1 * number)))
    assert found.limit == "ttft_p99"
    assert found.rate.estimate == pytest.approx(5.15, abs=0.02)
    assert found.rate.low < 5.0 < 5.3 < found.rate.high


def test_objectives_that_hold_up_to_the_boundary_or_nowhere():
    always, never = search(5000, lambda *_: 10), search(5000, lambda *_: 6000)
    assert (always.limit, always.rate) == (STABILITY, Interval(10.0, 9.9, 10.1))
    assert (never.limit, never.rate) == ("ttft_p99", None)
    barely = search(5000, lambda _, rate: 6000 if rate > 1.0001 * LEAST_SHARE * 10 else 10)
    assert 0 < barely.rate.estimate < 0.12


def waits_at_most(wait_s: float, rate_rps: float, service_s: float) -> float:
    """Distribution of the wait in M/D/1, by Erlang's sum."""
    total = sum(
        (-rate_rps * (wait_s - k * service_s)) ** k
        / math.factorial(k)
        * math.exp(rate_rps * (wait_s - k * service_s))
        for k in range(int(wait_s / service_s) + 1)
    )
    return (1 - rate_rps * service_s) * total


@pytest.mark.parametrize(("percentile", "share", "wait_ms"), [("p90", 0.9, 35), ("p99", 0.99, 55)])
def test_the_boundary_of_a_queue_with_known_waits(percentile, share, wait_ms):
    """M/D/1 of 100 requests/s: where Erlang's distribution says that the quantile passes the limit."""
    low, high = 1.0, 99.0
    for _ in range(60):
        middle = (low + high) / 2
        if waits_at_most(wait_ms / 1000, middle, 0.01) >= share:
            low = middle
        else:
            high = middle
    row = evaluate_point(system({"wait": {percentile: f"{wait_ms} ms"}}), 0).point
    assert row["slo_limit"] == f"wait_{percentile}"
    # Bins of 0.8% and bisection to 0.1 requests/s, beside the interval.
    assert row["slo_rate_low_rps"] - 0.5 < low < row["slo_rate_high_rps"] + 0.5
    assert row["slo_rate_high_rps"] - row["slo_rate_low_rps"] < 4


def test_rows_without_the_measure_are_null():
    free = evaluate_point(system({"wait": {"p90": "35 ms"}}, ["boundary"], requests=200), 0).point
    assert [free[f"slo_{name}"] for name in ("rate_rps", "rate_low_rps", "rate_high_rps", "limit")] == [
        None
    ] * 4


def test_rejected_requests_load_no_one():
    """Half of the requests are too long: the rest are a Poisson stream of half the rate, and the queue is as above."""
    document = {
        "workload": {"prompt_tokens": {"uniform": [1, 2]}, "output_tokens": {"constant": 1}},
        "replica": {"kv_capacity_tokens": 1600, "max_num_seqs": 1, "max_model_len": 2},
        "iteration_time": {"constant": "10 ms"},
        "slo": {"wait": {"p90": "35 ms"}},
        "run": {"measure": ["slo"], "requests": 20_000, "warmup_requests": 2000},
    }
    row = evaluate_point(parse_spec(document), 0).point
    whole = evaluate_point(system({"wait": {"p90": "35 ms"}}), 0).point
    assert row["rejected_share"] == 0.5
    assert row["slo_rate_rps"] == pytest.approx(whole["slo_rate_rps"], rel=0.03)


def test_threads_and_their_number_change_nothing():
    spec = system({"wait": {"p90": "35 ms"}, "e2e": {"p50": "1 s"}}, requests=2000, replications=3)
    assert evaluate_point(spec, 0, threads=2) == evaluate_point(spec, 0)
