"""Points to rows: rejected requests, hopeless horizons, precision that stops between powers of two."""

from __future__ import annotations

import pytest

from fastq.engine.evaluate import evaluate_point
from fastq.errors import SpecError
from fastq.model.load import parse_spec


def spec_of(**sections):
    base = {
        "workload": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
        "replica": {"kv_capacity_tokens": 131_000, "prefill_chunk_tokens": 512},
        "iteration_time": {"constant": "37.2 ms"},
        "run": {"replications": 4, "requests": 2000},
    }
    return parse_spec(
        {name: base.get(name, {}) | sections.get(name, {}) for name in base | sections}, source="test"
    )


def test_rejected_requests_load_no_one():
    """Half of what is offered is rejected: the verdict and the load speak of the other half."""
    spec = spec_of(
        replica={"max_model_len": 1600}, arrivals={"rate_rps": [8.5, 30.0]}, run={"measure": ["rates"]}
    )
    result = evaluate_point(spec, 0)
    share = result.point["rejected_share"]
    assert 0.4 < share < 0.6
    calm, overloaded = result.rates
    assert calm["arrival_rate_rps"] > result.point["service_rate_rps"]
    assert calm["verdict"] == "stable"
    assert calm["throughput_rps"] == pytest.approx(8.5 * (1 - share), rel=0.05)
    assert calm["load"] == pytest.approx(8.5 * (1 - share) / result.point["theory_rate_rps"])
    assert overloaded["verdict"] == "unstable"
    assert overloaded["throughput_rps"] == pytest.approx(result.point["service_rate_rps"], rel=0.05)


def test_loads_count_accepted_requests():
    spec = spec_of(
        replica={"max_model_len": 1600}, arrivals={"load": 0.5}, run={"measure": ["rates"], "requests": 4000}
    )
    result = evaluate_point(spec, 0)
    (row,) = result.rates
    assert row["throughput_rps"] == pytest.approx(0.5 * result.point["theory_rate_rps"], rel=0.05)


def test_a_clock_that_would_overflow_is_refused():
    spec = spec_of(
        iteration_time={"constant": "900 s"},
        arrivals={"load": 1e-6},
        run={"measure": ["rates"], "requests": 20_000},
    )
    with pytest.raises(SpecError, match="simulated time"):
        evaluate_point(spec, 0)


def test_precision_stops_at_the_cap_wherever_it_lies():
    spec = spec_of(run={"precision": 1e-6, "requests": 2000, "max_requests": 3000})
    row = evaluate_point(spec, 0).point
    assert row["status"] == "capped"
    assert 4 * 3000 <= row["requests"] < 4 * 3100


def test_precision_stops_at_the_first_checkpoint_that_reaches_it():
    coarse = evaluate_point(spec_of(run={"precision": 0.5, "requests": 500}), 0).point
    assert 4 * 500 <= coarse["requests"] < 4 * 520
    fine = evaluate_point(spec_of(run={"precision": 1e-4, "requests": 500}), 0).point
    half_width = (fine["service_rate_high_rps"] - fine["service_rate_low_rps"]) / 2
    assert half_width <= 1e-4 * fine["service_rate_rps"]
    assert fine["requests"] > coarse["requests"]


def test_what_keeps_requests_waiting_is_what_binds():
    """Shares of iterations; of few long ones, so that those since the last change of reason count."""
    for replica, name in (
        ({"max_num_seqs": 4, "kv_capacity_tokens": 200_000}, "seqs"),
        ({"max_num_batched_tokens": 64, "max_num_seqs": 1024, "kv_capacity_tokens": 400_000}, "tokens"),
        ({"kv_capacity_tokens": 8_000, "max_num_seqs": "unlimited"}, "kv"),
    ):
        row = evaluate_point(spec_of(replica=replica, run={"requests": 500}), 0).point
        shares = {key: row[f"stopped_by_{key}_share"] for key in ("kv", "seqs", "tokens")}
        assert max(shares, key=lambda key: shares[key]) == name == row["binding"]
        assert shares[name] > 0.8
        assert sum(shares.values()) <= 1 + 1e-9


def test_each_loss_stands_in_its_own_column():
    """Reservation under `peak`, slots near a tie, memory kept for later under `lookahead`, half-empty blocks."""
    for name, sections in {
        "reservation": {"scheduler": {"admission": "peak"}},
        "ties": {"replica": {"max_num_seqs": 97}},
        "admission": {"scheduler": {"admission": "lookahead"}},
        "rounding": {"replica": {"block_size": 512}},
    }.items():
        row = evaluate_point(spec_of(**sections), 0).point
        lost = {key: value for key, value in row.items() if key.startswith("lost_")}
        assert max(lost, key=lost.__getitem__) == f"lost_to_{name}_share"


def test_every_latency_lies_within_its_interval():
    (row,) = evaluate_point(spec_of(arrivals={"load": 0.9}, run={"measure": ["rates"]}), 0).rates
    names = [name for name in row if f"{name}_low" in row and name != "backlog_slope_rps"]
    assert len(names) == 16
    assert all(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] for name in names)
    assert row["wait_s_mean_low"] < row["wait_s_mean"] < row["wait_s_mean_high"]


def test_verdicts_are_read_off_a_wider_interval_than_is_shown():
    """Just above the 95% interval, and inside the one of 99.9%, nothing is decided."""
    boundary = evaluate_point(spec_of(run={"requests": 500}), 0).point
    beyond = boundary["service_rate_high_rps"] * 1.0001
    spec = spec_of(arrivals={"rate_rps": [beyond]}, run={"requests": 500, "measure": ["rates"]})
    result = evaluate_point(spec, 0)
    assert result.point["service_rate_high_rps"] == boundary["service_rate_high_rps"] < beyond
    assert result.rates[0]["verdict"] == "undecided"
