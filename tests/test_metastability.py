"""The largest rate from an empty start, beside the throughput under a backlog."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fastq.analysis.intervals import Interval
from fastq.analysis.metastability import ColdRate, cold_rate
from fastq.analysis.rate_search import settle
from fastq.analysis.replication import PS_PER_S
from fastq.analysis.verdict import Verdict, verdict_at
from fastq.engine.evaluate import evaluate_block, evaluate_point
from fastq.model.load import load_spec, parse_spec

SATURATED = Interval(4.0, 3.99, 4.01)
FLAT = Interval(0.0, -0.01, 0.01)


def search(tips_at, replications=4, theory_rate_rps=9.0):
    """Replications that keep up to ``tips_at(number)`` requests/s and serve 4 beyond, from 350 s after their start.

    Windows of 1000 s, after a warm-up of 50 s.
    """

    def run_at(number, rate_rps):
        growth = 0 if rate_rps <= tips_at(number) else round(700 * (rate_rps - 4.0))
        return SimpleNamespace(
            backlog_growth=growth, elapsed_ps=1000 * PS_PER_S, warmup_elapsed_ps=50 * PS_PER_S
        )

    searches = cold_rate(replications=replications, saturated=SATURATED, theory_rate_rps=theory_rate_rps)
    return settle(searches, run_at)


def test_the_search_finds_where_each_replication_tips():
    cold = search(lambda number: 6.0 + 0.1 * number)
    assert cold.rate.estimate == pytest.approx(6.15, abs=0.01)
    assert cold.decisive.low < cold.rate.low < 6.0 < 6.3 < cold.rate.high < cold.decisive.high
    assert cold.apart
    assert cold.tip_s == pytest.approx(350, abs=1)


def test_one_rate_from_any_start_is_the_rate_under_a_backlog():
    alike = ColdRate(SATURATED, SATURATED, apart=False)
    assert search(lambda _: 4.0) == alike
    assert search(lambda _: 99.0, theory_rate_rps=4.1) == alike  # theory leaves no room for another
    assert search(lambda number: 4.0 if number else 8.0) == alike  # one of four: too uncertain


def test_no_rate_is_beyond_theory():
    cold = search(lambda _: 99.0)
    assert cold.rate == cold.decisive == Interval(9.0, 9.0, 9.0)
    assert cold.tip_s is None


def test_verdicts_turn_from_stable_to_metastable_to_unstable():
    cold = Interval(6.0, 5.9, 6.1)
    verdicts = [
        verdict_at(rate, SATURATED, FLAT, cold, nonergodic=False) for rate in (3.9, 4.0, 5.0, 6.0, 6.2)
    ]
    assert verdicts == [
        Verdict.STABLE,
        Verdict.UNDECIDED,
        Verdict.METASTABLE,
        Verdict.UNDECIDED,
        Verdict.UNSTABLE,
    ]
    assert verdict_at(5.0, SATURATED, FLAT, SATURATED, nonergodic=False) is Verdict.UNSTABLE


def system(preemption):
    return parse_spec(
        {
            "workload": {"prompt_tokens": {"constant": 50}, "output_tokens": {"constant": 800}},
            "arrivals": {"rate_rps": [3.8, 6.5, 12.0]},
            "replica": {"kv_capacity_tokens": 70_000},
            "iteration_time": {
                "planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]
            },
            "scheduler": {"preemption": preemption},
            "run": {"measure": ["rates", "metastability"], "requests": 5000, "replications": 4},
        },
        source="test",
    )


def test_requests_that_start_over_are_metastable():
    """Under a backlog of 256 sequences 4.78 requests/s; from empty at least the 6.9 that 60,000 were seen to keep."""
    result = evaluate_point(system("restart"), 0)
    assert result.point["status"] == "metastable"
    assert result.point["service_rate_rps"] == pytest.approx(4.78, rel=0.02)
    assert result.point["cold_rate_low_rps"] > 6.9
    assert result.point["cold_rate_high_rps"] < result.point["theory_rate_rps"]
    # A run of 5,000 requests lasts some 700 s, and a queue that tips in its second half is taken to be held.
    assert 0 < result.point["cold_tip_s"] < 700
    assert [row["verdict"] for row in result.rates] == ["stable", "metastable", "unstable"]


def test_requests_that_keep_their_tokens_are_not():
    row = evaluate_point(system("recompute"), 0).point
    assert row["status"] == "ok"
    assert row["cold_rate_rps"] == row["service_rate_rps"]


def test_the_shipped_grid_holds_points_of_both_kinds():
    """A sequence limit below what memory holds keeps the replica from admitting too many."""
    overrides = [
        ("run.requests", "2000"),
        ("run.replications", "4"),
        ("grid.replica.kv_capacity_tokens", "[40_000]"),
        ("grid.replica.max_num_seqs", "[32, 192]"),
    ]
    points = evaluate_block(load_spec("metastable", overrides), 0).points
    assert points["status"] == ["ok", "metastable"]
