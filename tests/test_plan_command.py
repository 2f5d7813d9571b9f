"""``fastq plan``: what it prints, what it writes, how it exits."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from fastq.cli.main import main
from fastq.store.plan_schema import OPTIONS

PLAN = """\
title = "two kinds"
currency = "EUR"
[demand]
workload = { prompt_tokens = { constant = 1 }, output_tokens = { constant = 1 } }
peak_rps = 400
[limits]
ttft = { p90 = "30 ms" }
[[option]]
name = "fast | dear"
gpus_per_replica = 1
price_per_gpu_hour = 3
replica = { kv_capacity_tokens = 64, max_num_seqs = 1 }
iteration_time.constant = "10 ms"
[[option]]
name = "slow"
gpus_per_replica = 2
price_per_gpu_hour = 0.5
replica = { kv_capacity_tokens = 64, max_num_seqs = 1 }
iteration_time.constant = "12 ms"
[[option]]
name = "too slow"
gpus_per_replica = 1
price_per_gpu_hour = 0.1
replica = { kv_capacity_tokens = 64, max_num_seqs = 1 }
iteration_time.constant = "40 ms"
[run]
requests = 1000
replications = 4
warmup_requests = 100
"""
DAY = f"demand.hourly_rps={[10.0 * hour for hour in range(1, 25)]}"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    return "plan.toml"


def run(*words):
    try:
        return main(["plan", *words])
    except SystemExit as stopped:
        return stopped.code


def test_the_report(plan, capsys):
    assert run(plan) == 0
    text = capsys.readouterr().out
    assert "two kinds\n  demand: 400 requests/s at the peak\n" in text
    assert "EUR/hour" in text
    assert "Marked *: slow, the cheapest." in text
    (marked,) = (line for line in text.splitlines() if line.startswith("  *"))
    assert " slow " in marked
    assert "too slow is infeasible: no rate meets ttft p90 <= 30 ms" in text
    assert "one less fails" in text
    assert "judged over 1,000 requests from an empty start" in text


def test_latencies_that_rest_on_too_few_bursts_are_marked(plan, capsys):
    few = (plan, "--set", "run.requests=60")
    assert run(*few) == 0
    text = capsys.readouterr().out
    assert run(*few, "--json") == 0
    options = json.loads(capsys.readouterr().out)["options"]
    shown = {"ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99"}
    marked = [
        name for each in options for name in (each["short_latencies"] or "").split(", ") if name in shown
    ]
    assert marked
    assert sum(line.count("?") for line in text.splitlines() if "±" in line) == len(marked)
    assert "\n?: rests on so few bursts" in text


def test_markdown_keeps_its_cells_apart(plan, capsys):
    assert run(plan, "--markdown", "--set", DAY) == 0
    text = capsys.readouterr().out
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert r"fast \| dear" in text
    assert "## Replicas that each hour takes" in text
    widths = {}
    for line in tables:
        widths.setdefault(line.replace("\\|", "").count("|"), []).append(line)
    assert all(len(lines) >= 3 for lines in widths.values())


def test_bursts_are_said_in_text_and_in_json(plan, capsys):
    bursty = ("--set", "demand.arrivals={process='gamma', interarrival_cv=3}")
    assert run(plan) == 0
    assert "arrivals: Poisson, split among the replicas at random" in capsys.readouterr().out
    assert run(plan, *bursty) == 0
    assert (
        "arrivals: gamma, coefficient of variation 3, dealt out to the replicas in turn"
        in capsys.readouterr().out
    )
    assert run(plan, *bursty, "--json") == 0
    assert json.loads(capsys.readouterr().out)["arrivals"] == {"process": "gamma", "interarrival_cv": 3.0}


def test_a_trace_that_is_replayed_faster_than_it_ran_is_said_to_be(plan, capsys, tmp_path):
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{k * k / 100},10,10\n" for k in range(200))
    trace.write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}")
    replayed = ("--set", f"demand.workload={{trace='{trace}'}}", "--set", "demand.arrivals.process=trace")
    assert run(plan, *replayed, "--set", "demand.peak_rps=50") == 0
    told = capsys.readouterr().out
    assert "arrivals: those of the trace, at the rate of the peak" in told
    assert "The trace is replayed 99.5 times as fast as it was recorded" in told
    assert run(plan, *replayed, "--set", "demand.peak_rps=0.6") == 0
    assert "times as fast" not in capsys.readouterr().out
    assert run(plan, *replayed[:2]) == 0
    assert "The trace has arrival times: with demand.arrivals.process" in capsys.readouterr().out


def test_csv_and_json_and_parquet_say_the_same(plan, capsys, tmp_path):
    assert run(plan, "--csv", "--set", DAY, "--parquet", "rows.parquet") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run(plan, "--json", "--set", DAY) == 0
    document = json.loads(capsys.readouterr().out)
    table = pq.read_table(tmp_path / "rows.parquet")
    assert list(rows[0]) == table.column_names == [column.name for column in OPTIONS]
    assert [row["gpus"] for row in rows] == [str(option["gpus"] or "") for option in document["options"]]
    assert table["gpus"].to_pylist() == [option["gpus"] for option in document["options"]]
    assert document["cheapest"] == "slow"
    assert document["options"][0]["replicas_by_hour"] == [int(n) for n in rows[0]["replicas_by_hour"].split()]
    assert len(document["hourly_rps"]) == 24
    assert {path.name for path in tmp_path.iterdir()} == {"plan.toml", "rows.parquet"}


@pytest.mark.parametrize("name", ["day.svg", "day.pdf", "day.png"])
@pytest.mark.parametrize("size", ["page", "slide"])
def test_the_picture_is_the_same_every_time(plan, tmp_path, name, size):
    pictures = []
    for _ in range(2):
        assert run(plan, "--set", DAY, "--picture", name, "--size", size, "-o", "plan.txt") == 0
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert (tmp_path / "plan.txt").read_text().startswith("two kinds")


def test_another_option_is_drawn_by_name(plan, tmp_path, capsys):
    assert run(plan, "--set", DAY, "--picture", "day.svg", "--option", "fast | dear") == 0
    assert "fast | dear" in (tmp_path / "day.svg").read_text()
    assert run(plan, "--set", DAY, "--picture", "none.svg", "--option", "too slow") == 0
    assert "was not drawn" in capsys.readouterr().err
    assert not (tmp_path / "none.svg").exists()


def test_nothing_feasible_exits_3_and_says_why(plan, capsys):
    assert run(plan, "--set", 'limits.ttft={p90="1 ms"}') == 3
    text = capsys.readouterr().out
    assert "No option is feasible." in text
    assert text.count("is infeasible: no rate meets ttft p90 <= 1 ms") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.toml"], "nothing.toml: can't be read"),
        (["plan.toml", "--set", "demand.peak=1"], "demand.peak = 1: unknown key; did you mean peak_rps?"),
        (["plan.toml", "--picture", "day.svg"], "demand.hourly_rps: is missing: a picture shows the day"),
        (["plan.toml", "--set", DAY, "--picture", "day.gif"], "must end in one of .png, .svg, .pdf"),
        (["plan.toml", "--option", "fast"], "--option = 'fast': no such option"),
        (["plan.toml", "--option", "slow"], "--option = 'slow': is what to draw"),
        (["plan.toml", "--parquet", "rows.csv"], "--parquet = 'rows.csv': the name must end in .parquet"),
        (["plan.toml", "-o", "no/plan.md"], "-o = 'no': there is no such directory"),
        (["plan.toml", "-o", "."], "-o = '.': is a directory"),
        (["plan.toml", "--save-workload", "x.parquet"], "--save-workload: only a mixed workload is written"),
        (["plan.toml", "--threads", "0"], "--threads = 0: must be 1 or more"),
        (["plan.toml", "--csv", "--json"], "not allowed with argument"),
        (["plan.toml", "--form", "x"], "unrecognized arguments: --form x"),
    ],
)
def test_mistakes_exit_2_and_write_nothing(plan, tmp_path, capsys, words, message):
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


MIXED = """\
[demand]
peak_rps = 100
[[demand.workload]]
share = 0.75
prompt_tokens = { uniform = [1, 40] }
output_tokens = { constant = 3 }
[[demand.workload]]
share = 0.25
prompt_tokens = { constant = 5 }
output_tokens = { constant = 30 }
[[option]]
name = "one"
gpus_per_replica = 1
replica.kv_capacity_tokens = 500
iteration_time.constant = "10 ms"
"""
SWEPT = """\
workload.trace = "mixed.parquet"
iteration_time.constant = "10 ms"
run = { requests = 500, replications = 2, warmup_requests = 100 }
grid = { "replica.kv_capacity_tokens" = [250, 1000] }
"""


def test_a_mixed_workload_can_be_swept_and_asked(plan, tmp_path, capsys):
    (tmp_path / "mixed.toml").write_text(MIXED)
    (tmp_path / "grid.toml").write_text(SWEPT)
    assert run("mixed.toml", "--save-workload", "mixed.parquet", "--set", "run.requests=100") == 0
    assert main(["sweep", "grid.toml", "--out", "swept", "--workers", "1", "--quiet"]) == 0
    capsys.readouterr()
    assert run("mixed.toml", "--from", "swept") == 0
    assert "interpolated in swept" in capsys.readouterr().out


def test_a_directory_that_is_no_data_set_exits_1(plan, capsys):
    assert run(plan, "--from", ".") == 1
    assert "it is no data set of fastq" in capsys.readouterr().err


def test_the_plan_that_ships_runs(capsys):
    assert run("chat-and-code", "--set", "run.requests=100", "--set", "run.warmup_requests=50") == 0
    assert "example prices" in capsys.readouterr().out


def test_completion_knows_plans(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "chat-and-code" in script
    assert "demand.peak_rps=" in script
