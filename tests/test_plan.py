"""Plans worked out: against queues with known rates, by simulation and from a data set."""

from __future__ import annotations

import copy
import math
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastq
from fastq.engine.plan_result import LATENCY_COLUMNS
from fastq.store.plan_schema import OPTIONS

MD1 = {
    "replica": {"kv_capacity_tokens": 64, "max_num_seqs": 1},
    "iteration_time": {"constant": "10 ms"},
    "gpus_per_replica": 2,
}
"""One request at a time, 10 ms each: M/D/1, stable up to exactly 100 requests/s."""
ONE_TOKEN = {"prompt_tokens": {"constant": 1}, "output_tokens": {"constant": 1}}
RUN = {"requests": 4000, "replications": 4, "warmup_requests": 200}


def plan(options=({},), *, peak_rps=400.0, limits=None, workload=None, **demand):
    demand = {"workload": workload or ONE_TOKEN, "peak_rps": peak_rps, **demand}
    if "hourly_rps" in demand:
        del demand["peak_rps"]
    return {
        "demand": demand,
        "limits": limits or {},
        "option": [
            {"name": f"option {number}", **copy.deepcopy(MD1), **option}
            for number, option in enumerate(options)
        ],
        "run": RUN,
    }


@pytest.mark.parametrize(
    ("peak_rps", "target_load", "replicas"),
    [(400, 0.8, 5), (400.1, 0.8, 6), (79, 0.8, 1), (100, 1.0, 1), (101, 1, 2)],
)
def test_replicas_where_the_boundary_is_exact(peak_rps, target_load, replicas):
    (option,) = fastq.plan(plan(peak_rps=peak_rps, limits={"target_load": target_load})).options
    assert option.figures.capacity.boundary.estimate == pytest.approx(100, rel=1e-9)
    assert option.fleet.replicas == option.fleet.replicas_at_best == replicas
    assert option.gpus == 2 * replicas
    assert option.fleet.load.estimate == pytest.approx(peak_rps / replicas / 100)
    assert option.fleet.fewer_fail == (("target_load",) if replicas > 1 else ())
    assert option.infeasible is None


def test_overrides_of_a_loaded_plan_are_refused_not_forgotten():
    loaded = fastq.parse_plan(plan())
    assert fastq.plan(loaded).options[0].fleet.replicas == 5
    with pytest.raises(fastq.SpecError, match=r"demand\.growth = '2': a loaded plan takes no overrides"):
        fastq.plan(loaded, overrides=[("demand.growth", "2")])
    assert fastq.plan(plan(), overrides=[("demand.growth", "2")]).options[0].fleet.replicas == 10


def test_growth_multiplies_the_demand():
    assert fastq.plan(plan(growth=1.5)).options[0].fleet.replicas == 8


def test_the_latencies_are_those_at_the_peak():
    (option,) = fastq.plan(plan(peak_rps=80, limits={"target_load": 0.4})).options
    assert option.fleet.rate_rps == 40
    assert option.verdict == "stable"
    assert set(option.latencies) == {name for name in LATENCY_COLUMNS if not name.startswith("tpot")}
    assert option.latencies["wait_s_p50"].estimate == 0.0, "60% of the requests find M/D/1 at load 0.4 idle"
    assert option.latencies["ttft_s_p50"].estimate == pytest.approx(0.01, rel=0.01)
    waits_at_most = (1 - 0.4) * math.exp(0.4)
    assert 0.89 < waits_at_most < 0.9, "so 90% wait about one service"
    assert option.latencies["wait_s_p90"].estimate == pytest.approx(0.01, rel=0.05)


def test_a_limit_of_waits_sizes_the_fleet_where_md1_says():
    limits = {"wait": {"p90": "10 ms"}, "target_load": 0.9}
    (option,) = fastq.plan(plan(peak_rps=1000, limits=limits)).options
    limit_rps = 39.17  # (1 - rho) exp(rho) = 0.9
    assert option.figures.capacity.limits.low < limit_rps < option.figures.capacity.limits.high
    assert option.figures.capacity.sized_by == "wait_p90"
    assert option.fleet.fewer_fail == ("wait_p90",)
    assert option.fleet.rate_rps <= option.figures.capacity.limits.low
    assert option.fleet.replicas >= 26


def test_a_wider_confidence_takes_more_replicas_until_it_knows_nothing():
    options = [
        fastq.plan(plan(peak_rps=4000, limits={"wait": {"p90": "10 ms"}, "confidence": confidence})).options[
            0
        ]
        for confidence in (0.5, 0.95, 0.99, 0.9999)
    ]
    counts = [option.fleet.replicas for option in options[:3]]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]
    assert (
        "at 0.9999 confidence the interval of the rate that meets wait p90 <= 10 ms" in options[3].infeasible
    )


def test_the_cheapest_feasible_option_is_marked():
    slow = {"iteration_time": {"constant": "20 ms"}}
    options = [{"price_per_gpu_hour": 3.0}, {"price_per_gpu_hour": 1.0, **slow}, {"price_per_gpu_hour": 0.01}]
    options[2]["iteration_time"] = {"constant": "50 ms"}
    result = fastq.plan(plan(options, limits={"ttft": {"p50": "45 ms"}}))
    assert [option.infeasible is None for option in result.options] == [True, True, False]
    assert "no rate meets ttft p50 <= 45 ms" in result.options[2].infeasible
    assert [row["choice"] for row in result.rows()] == ["feasible", "cheapest", "infeasible"]
    assert result.cheapest is result.options[1]
    assert result.options[0].cost_per_hour == 3.0 * 2 * result.options[0].fleet.replicas
    assert result.options[2].cost_per_hour is None
    assert result.options[2].figures.capacity.boundary.estimate == pytest.approx(20)


def test_without_prices_the_fewest_gpus_are_marked():
    result = fastq.plan(plan([{}, {"gpus_per_replica": 1}]))
    assert result.cheapest is result.options[1]
    assert result.rows()[1]["cost_per_hour"] is None


def test_costs_of_tokens():
    workload = {"prompt_tokens": {"constant": 3}, "output_tokens": {"constant": 1}}
    (option,) = fastq.plan(plan([{"price_per_gpu_hour": 1.8}], workload=workload)).options
    assert option.cost_per_hour == pytest.approx(5 * 2 * 1.8)
    requests_per_hour = 400 * 3600
    assert option.cost_per_million_tokens == pytest.approx(18 / (requests_per_hour * 4) * 1e6)
    assert option.cost_per_million_output_tokens == pytest.approx(18 / requests_per_hour * 1e6)


def test_the_hours_of_a_day():
    hourly_rps = [0.0] * 6 + [80.0] * 6 + [240.0] * 6 + [320.0] * 6
    (option,) = fastq.plan(plan([{"price_per_gpu_hour": 1.0}], hourly_rps=hourly_rps)).options
    assert option.day.replicas == (0,) * 6 + (1,) * 6 + (3,) * 6 + (4,) * 6
    assert option.fixed_gpu_hours_per_day == 24 * 4 * 2
    assert option.following_gpu_hours_per_day == 6 * 8 * 2
    assert option.following_cost_per_day == 96
    tokens = 6 * 3600 * 640 * 2
    assert option.cost_per_million_tokens == pytest.approx(24 * 8 / tokens * 1e6)


def test_a_request_that_never_fits_is_explained():
    long = {"prompt_tokens": {"constant": 100}, "output_tokens": {"constant": 1}}
    result = fastq.plan(plan(workload=long))
    assert "100 prompt and 1 output tokens needs 7 blocks" in result.options[0].infeasible
    assert result.cheapest is None
    assert result.rows()[0]["choice"] == "infeasible"


def test_rejected_requests_are_not_served():
    workload = [
        {"share": 3, **ONE_TOKEN},
        {"share": 1, "prompt_tokens": {"constant": 100}, "output_tokens": {"constant": 1}},
    ]
    option = {"replica": {**MD1["replica"], "max_model_len": 50}}
    (found,) = fastq.plan(plan([option], workload=workload)).options
    assert found.figures.forms.rejected_share == 0.25
    assert found.fleet.replicas == 4
    assert found.fleet.rate_rps == 75
    assert found.verdict == "stable"


def test_the_same_plan_gives_the_same_answer_on_any_number_of_threads():
    document = plan(limits={"wait": {"p90": "10 ms"}})
    assert fastq.plan(document, threads=1).rows() == fastq.plan(document, threads=3).rows()


def test_the_table_has_every_column_with_its_unit():
    table = fastq.plan(plan()).table()
    assert table.column_names == [column.name for column in OPTIONS]
    assert table.schema.field("boundary_rps").metadata[b"unit"] == b"requests/s"
    assert table["replicas"].to_pylist() == [5]


SWEPT = {
    "workload": {"prompt_tokens": {"uniform": [10, 200]}, "output_tokens": {"uniform": [10, 100]}},
    "replica": {"max_num_seqs": 64},
    "iteration_time": {
        "planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]
    },
    "slo": {"ttft": {"p90": "200 ms"}},
    "arrivals": {"load": [0.2, 0.4, 0.6, 0.8]},
    "run": {
        "measure": ["boundary", "rates", "slo"],
        "requests": 1000,
        "replications": 4,
        "warmup_requests": 500,
    },
    "grid": {
        "replica.kv_capacity_tokens": {"geometric": [1500, 12000, 4]},
        "workload.output_scale": {"linear": [0.5, 1.5, 3]},
        "scheduler.preemption": ["recompute", "restart"],
    },
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("swept") / "results"
    fastq.sweep(fastq.parse_spec(SWEPT, source="swept"), out, workers=1, threads=2)
    return out


def asked(kv_capacity_tokens=4000, preemption="recompute", *, output_scale=1.0, limits=True, **replica):
    return {
        "demand": {"workload": {**SWEPT["workload"], "output_scale": output_scale}, "peak_rps": 100},
        "limits": SWEPT["slo"] if limits else {},
        "option": [
            {
                "name": "asked",
                "gpus_per_replica": 1,
                "replica": {**SWEPT["replica"], "kv_capacity_tokens": kv_capacity_tokens, **replica},
                "iteration_time": SWEPT["iteration_time"],
                "scheduler": {"preemption": preemption},
            }
        ],
        "run": {key: SWEPT["run"][key] for key in ("requests", "replications", "warmup_requests")},
    }


@pytest.mark.parametrize("preemption", ["recompute", "restart"])
def test_on_the_grid_the_answer_is_the_simulated_one(swept, preemption):
    document = asked(3000, preemption, output_scale=1.5)
    (simulated,), (found,) = fastq.plan(document).options, fastq.plan(document, data_set=swept).options
    assert found.figures.interpolation_error == 0
    assert found.fleet.replicas == simulated.fleet.replicas
    for name in ("boundary", "limits"):
        ours, theirs = (getattr(each.figures.capacity, name) for each in (found, simulated))
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (theirs.estimate, theirs.low, theirs.high)
        )
    assert found.figures.capacity.limit == simulated.figures.capacity.limit
    assert found.verdict is None


def test_between_grid_points_the_interval_holds_the_simulated_answer(swept):
    document = asked(4300, output_scale=0.8)
    (simulated,), (found,) = fastq.plan(document).options, fastq.plan(document, data_set=swept).options
    assert 0 < found.figures.interpolation_error < 0.1
    for name in ("boundary", "limits"):
        ours, theirs = (getattr(each.figures.capacity, name) for each in (found, simulated))
        assert ours.low < theirs.estimate < ours.high
    assert found.figures.forms.theory_rate_rps == simulated.figures.forms.theory_rate_rps
    for name in ("ttft_s_p50", "tpot_s_p50"):
        assert found.latencies[name].low < simulated.latencies[name].estimate < found.latencies[name].high


def test_nothing_is_extrapolated(swept):
    with pytest.raises(fastq.SpecError, match=r"kv_capacity_tokens = 1400: lies outside .* 1500 to 12000"):
        fastq.plan(asked(1400), data_set=swept)
    with pytest.raises(fastq.SpecError, match=r"output_scale = 2\.0: lies outside .* 0\.5 to 1\.5"):
        fastq.plan(asked(output_scale=2.0), data_set=swept)


def test_what_the_data_set_does_not_vary_must_agree(swept):
    with pytest.raises(fastq.SpecError, match=r"replica\.max_num_seqs: 64 there, 32 in the plan"):
        fastq.plan(asked(max_num_seqs=32), data_set=swept)
    other = asked()
    other["demand"]["workload"] = {"catalogue": "azure-conv-2023"}
    with pytest.raises(fastq.SpecError, match=r"workload\.prompt_tokens: .* there, not set in the plan"):
        fastq.plan(other, data_set=swept)


def test_limits_must_be_those_of_the_data_set(swept):
    document = asked()
    document["limits"] = {"ttft": {"p90": "100 ms"}}
    with pytest.raises(
        fastq.SpecError, match=r"limits are ttft p90 <= 100 ms, .* was swept with ttft p90 <= 200 ms"
    ):
        fastq.plan(document, data_set=swept)
    assert fastq.plan(asked(limits=False), data_set=swept).options[0].figures.capacity.limits is None


def with_statuses(swept, folder, statuses):
    """Copy a data set, with other statuses of its first points."""
    shutil.copytree(swept, folder)
    (file,) = (folder / "points").glob("*.parquet")
    table = pq.read_table(file)
    words = table["status"].to_pylist()
    words[: len(statuses)] = statuses
    column = table.column_names.index("status")
    pq.write_table(table.set_column(column, table.schema.field(column), pa.array(words, pa.string())), file)
    return folder


@pytest.mark.parametrize("statuses", [["short", "ok", "nonergodic"], ["nonergodic", "ok", "short"]])
def test_a_range_next_to_the_place_is_no_interval_of_another_confidence(swept, tmp_path, statuses):
    asked_at = {}
    for confidence in (0.95, 0.99):
        document = asked(1500, output_scale=0.8)
        document["limits"] = {**SWEPT["slo"], "confidence": confidence}
        for data_set in (swept, tmp_path / "apart"):
            if not data_set.exists():
                with_statuses(swept, data_set, statuses)
            asked_at[data_set.name, confidence] = fastq.plan(document, data_set=data_set).options[0].figures
    assert asked_at["apart", 0.95].status == "nonergodic"
    assert asked_at["apart", 0.95].capacity.boundary == asked_at["apart", 0.99].capacity.boundary
    widths = {
        key: figures.capacity.limits.estimate - figures.capacity.limits.low
        for key, figures in asked_at.items()
    }
    assert widths["results", 0.99] > widths["results", 0.95]
    assert widths["apart", 0.99] == widths["results", 0.99], (
        "each replication's own rate within limits: Student's"
    )


def test_the_limit_of_the_nearest_point_is_named(swept, tmp_path):
    found = {
        scale: fastq.plan(asked(1500, output_scale=scale), data_set=swept).options[0].figures.capacity.limit
        for scale in (0.5, 1.0, 0.6, 0.9)
    }
    assert found[0.6] == found[0.5]
    assert found[0.9] == found[1.0]


def test_without_rates_there_are_no_latencies_and_it_is_said(tmp_path):
    spec = fastq.parse_spec({**SWEPT, "run": {**SWEPT["run"], "measure": ["boundary"]}}, source="swept")
    fastq.sweep(spec, tmp_path / "out", workers=1, threads=2)
    result = fastq.plan(asked(limits=False), data_set=tmp_path / "out")
    assert result.options[0].latencies == {}
    assert "no latencies" in result.notes[0]
    assert result.rows()[0]["ttft_s_p99"] is None


def test_a_load_that_was_not_measured_has_no_latencies_and_it_is_said(swept):
    document = asked(limits=False)
    document["limits"] = {"target_load": 0.05}
    result = fastq.plan(document, data_set=swept)
    assert result.options[0].latencies == {}
    assert "not measured on both sides of its load" in result.notes[0]


def test_cases_are_found_by_their_settings(tmp_path):
    cases = [
        {"name": "few", "replica": {"max_num_seqs": 16}},
        {"name": "many", "replica": {"max_num_seqs": 48}},
    ]
    run = {**SWEPT["run"], "measure": ["boundary"]}
    grid = {"replica.kv_capacity_tokens": [3000, 12000]}
    document = {**SWEPT, "replica": {}, "run": run, "grid": grid, "cases": cases}
    fastq.sweep(fastq.parse_spec(document, source="swept"), tmp_path / "out", workers=1, threads=2)
    rates = fastq.read(tmp_path / "out")["service_rate_rps"].to_pylist()
    for number, limit in enumerate((16, 48)):
        (found,) = fastq.plan(
            asked(12000, limits=False, max_num_seqs=limit), data_set=tmp_path / "out"
        ).options
        assert found.figures.capacity.boundary.estimate == pytest.approx(rates[2 * number + 1])
    with pytest.raises(fastq.SpecError, match=r"max_num_seqs: (16|48) there, 32 in the plan"):
        fastq.plan(asked(12000, limits=False, max_num_seqs=32), data_set=tmp_path / "out")


def test_next_to_a_point_that_could_not_run_there_is_no_answer(tmp_path):
    run = {**SWEPT["run"], "measure": ["boundary"], "infeasible": "skip"}
    document = {**SWEPT, "run": run, "grid": {"replica.kv_capacity_tokens": [160, 3000]}}
    fastq.sweep(fastq.parse_spec(document, source="swept"), tmp_path / "out", workers=1, threads=2)
    with pytest.raises(fastq.StoreError, match=r"point 0 of .*could not run"):
        fastq.plan(asked(1000, limits=False), data_set=tmp_path / "out")
    (option,) = fastq.plan(asked(200, limits=False), data_set=tmp_path / "out").options
    assert "needs 19 blocks" in option.infeasible


BURSTY = {"process": "gamma", "interarrival_cv": 4.0}
WAITS = {"wait": {"p90": "50 ms"}, "target_load": 0.9}


def test_bursts_take_more_replicas_than_poisson_arrivals_of_the_same_rate():
    (poisson,) = fastq.plan(plan(peak_rps=300, limits=WAITS)).options
    (bursty,) = fastq.plan(plan(peak_rps=300, limits=WAITS, arrivals=BURSTY)).options
    assert bursty.fleet.replicas > poisson.fleet.replicas
    assert bursty.figures.capacity.sized_by == "wait_p90"
    assert bursty.fleet.fewer_fail == ("wait_p90",)
    assert bursty.figures.capacity.boundary == poisson.figures.capacity.boundary, "no process moves stability"


def test_bursts_that_more_replicas_share_leave_each_more():
    """Four times the spread of Poisson arrivals, dealt out in turn: sixteen replicas see the spread of Poisson ones."""
    small, large = (
        fastq.plan(plan(peak_rps=peak, limits=WAITS, arrivals=BURSTY)).options[0] for peak in (50, 5000)
    )
    limits = [option.figures.capacity.limits.estimate for option in (small, large)]
    assert limits[0] < 0.8 * limits[1]
    assert large.fleet.load.estimate > small.fleet.load.estimate


def test_a_plan_by_a_trace_deals_its_requests_out(tmp_path):
    """Every second, 16 requests at once, 10 ms each: the last of those that 3 replicas share waits 50 ms."""
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{k // 16}.0,1,1\n" for k in range(1600))
    trace.write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}")
    (option,) = fastq.plan(
        plan(
            peak_rps=16.0,
            limits={"wait": {"p99_9": "52 ms"}},
            workload={"trace": str(trace)},
            arrivals={"process": "trace"},
        )
    ).options
    assert option.fleet.replicas == 3
    assert option.latencies["wait_s_p99"].estimate == pytest.approx(0.05, rel=0.02)
    assert option.fleet.fewer_fail == ("wait_p99_9",)


def test_hours_with_fewer_replicas_see_larger_parts_of_a_burst():
    hourly = [1000.0] * 12 + [100.0] * 12
    (option,) = fastq.plan(plan(hourly_rps=hourly, limits=WAITS, arrivals=BURSTY)).options
    night, peak = option.day.replicas[-1], option.day.replicas[0]
    assert peak == option.fleet.replicas
    assert night > peak / 10, "as many as a tenth of the rate would take if bursts were shared by all"


def test_bursts_without_limits_leave_the_fleet_and_lengthen_the_waits():
    (poisson,), (bursty,) = (
        fastq.plan(plan(peak_rps=150, limits={"target_load": 0.8}, arrivals=arrivals)).options
        for arrivals in ({}, BURSTY)
    )
    assert bursty.fleet.replicas == poisson.fleet.replicas == 2
    assert bursty.latencies["wait_s_p90"].low > poisson.latencies["wait_s_p90"].high


def test_no_number_of_replicas_is_told_where_a_burst_of_one_is_too_much():
    limits = {"ttft": {"p50": "5 ms"}}
    (option,) = fastq.plan(plan(peak_rps=100, limits=limits, arrivals=BURSTY)).options
    assert option.fleet is None
    assert "no rate meets ttft p50 <= 5 ms" in option.infeasible


def test_bursts_are_not_interpolated(swept):
    document = asked()
    document["demand"]["arrivals"] = BURSTY
    with pytest.raises(fastq.SpecError, match=r"demand\.arrivals = 'gamma': a data set knows one number"):
        fastq.plan(document, data_set=swept)


def test_a_data_set_of_bursts_does_not_answer_for_poisson_arrivals(tmp_path):
    spec = fastq.parse_spec(
        {
            **SWEPT,
            "arrivals": {**SWEPT["arrivals"], **BURSTY},
            "grid": {"replica.kv_capacity_tokens": [2000, 4000]},
        },
        source="swept",
    )
    fastq.sweep(spec.with_run(requests=200), tmp_path / "results", workers=1, threads=2)
    with pytest.raises(fastq.SpecError, match=r'arrivals\.process: "gamma" there, not set in the plan'):
        fastq.plan(asked(), data_set=tmp_path / "results")
