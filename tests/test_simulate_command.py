"""``fastq simulate``: what it prints of a point, and what it notes and refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from cli_process import fastq, in_process

from fastq.cli.main import main
from fastq.cli.text_table import ends

if TYPE_CHECKING:
    from pathlib import Path


def test_simulate_prints_settings_with_origins_and_both_boundaries(spec: Path) -> None:
    done = fastq("simulate", spec, "--point", 4, "--set", "run.seed=7")
    assert done.returncode == 0
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.startswith("  r")}
    assert lines["run.seed"] == ["run.seed", "7", "--set"]
    assert lines["replica.max_num_seqs"] == ["replica.max_num_seqs", "16", "grid"]
    assert lines["replica.block_size"] == ["replica.block_size", "16", "default"]
    assert "theory, self-consistent" in done.stdout
    assert "95% interval" in done.stdout


def test_simulate_tells_the_losses_and_how_sure_latencies_are(spec: Path) -> None:
    words = ("simulate", spec, "--point", 1, "--rate", 20)
    text = in_process(*words).stdout
    document = json.loads(in_process(*words, "--json").stdout)
    row, (rate,) = document["point"], document["rates"]
    terms = [value for name, value in row.items() if name.startswith("lost_") and "rounding" not in name]
    (total,) = [line.split() for line in text.splitlines() if line.startswith("  in all ")]
    assert total == ["in", "all", f"{sum(terms):.2%}"]
    half = (rate["wait_s_p99_high"] - rate["wait_s_p99_low"]) / 2 / rate["wait_s_p99"]
    (waits,) = [line for line in text.splitlines() if "  wait  " in line]
    assert waits.endswith(f"±{half:.0%}{'?' if 'wait_p99' in (rate['short_latencies'] or '') else ''}")


def test_simulate_marks_latencies_that_rest_on_too_few_bursts(spec: Path) -> None:
    words = ("simulate", spec, "--point", 1, "--set", "run.requests=300", "--rate", 17)
    text, document = in_process(*words).stdout, json.loads(in_process(*words, "--json").stdout)
    (rate,) = document["rates"]
    assert rate["status"] == "short"
    assert text.count("?\n") + text.count("? ") == len(rate["short_latencies"].split(", "))
    assert "\n  ?: rests on so few bursts" in text


def test_calm_queues_and_those_that_grow_are_not_marked(spec: Path) -> None:
    done = in_process(
        "simulate", spec, "--point", 1, "--set", "run.requests=20_000", "--rate", 5, "--rate", 25, "--json"
    )
    rates = json.loads(done.stdout)["rates"]
    assert [rate["verdict"] for rate in rates] == ["stable", "unstable"]
    assert {(rate["status"], rate["short_latencies"]) for rate in rates} == {("ok", None)}


def test_an_interval_shows_as_many_digits_as_tell_its_ends_apart() -> None:
    assert ends(3.231333, 3.231484) == "3.23133 to 3.23148"
    assert ends(2.7341, 2.8412) == "2.734 to 2.841"
    assert ends(5.0, 5.0) == "5 to 5"


def test_simulate_json_with_rates(spec: Path) -> None:
    done = in_process("simulate", spec, "--rate", 1, "--rate", 500, "--json")
    document = json.loads(done.stdout)
    settings = {setting["key"]: setting for setting in document["settings"]}
    assert settings["replica.kv_capacity_tokens"]["value"] == 1000
    assert settings["iteration_time.constant"]["value"] == 0.02
    assert settings["iteration_time.constant"]["text"] == "20 ms"
    assert settings["arrivals.rate_rps"]["value"] == [1.0, 500.0]
    assert [rate["verdict"] for rate in document["rates"]] == ["stable", "unstable"]
    assert document["point"]["service_rate_rps"] <= 1.05 * document["theory"]["theory_rate_rps"]


@pytest.mark.parametrize(("key", "value"), [("rate_rps", "[1, 2]"), ("load", "0.5")])
def test_rates_that_nothing_runs_at_are_told(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    out = str(tmp_path / "out")
    rates = ["--set", f"arrivals.{key}={value}"]
    for words in (["simulate", str(spec)], ["sweep", str(spec), "--out", out, "--quiet", "--workers", "1"]):
        assert main([*words, *rates]) == 0
        note = capsys.readouterr().err
        assert f"note: {spec}: arrivals.{key} is not used" in note
        assert note.count("not used") == 1
    remedy = note[note.index("run.measure=") : note.rindex("'")]
    assert main(["simulate", str(spec), *rates, "--set", remedy]) == 0
    assert main(["simulate", str(spec), *rates, "--rate", "1"]) == 0
    assert "not used" not in capsys.readouterr().err


def test_simulate_refuses_file_names_before_it_runs(spec: Path) -> None:
    for option, ending in (
        ("--timeline", ".parquet"),
        ("--trajectories", ".parquet"),
        ("--latencies", ".svg"),
    ):
        done = in_process("simulate", spec, option, "rows.gif")
        assert done.returncode == 2
        assert ending in done.stderr


def test_point_outside_the_grid_exits_2(spec: Path) -> None:
    done = in_process("simulate", spec, "--point", 12)
    assert done.returncode == 2
    assert "0 to 11" in done.stderr


def test_objectives_that_nothing_searches_are_told(spec):
    words = ("simulate", spec, "--set", 'slo.ttft={p99="2 s"}')
    told = in_process(*words)
    assert told.returncode == 0
    assert "note" in told.stderr
    assert 'run.measure=["boundary", "slo"]' in told.stderr
    searched = in_process(*words, "--set", 'run.measure=["slo"]')
    assert "note" not in searched.stderr
    assert "ttft p99" in searched.stdout or "up to stability" in searched.stdout


def test_requests_of_searches_are_not_called_a_backlog(spec: Path) -> None:
    words = ("simulate", spec, "--set", "slo.ttft={p90='200 ms'}", "--set", 'run.measure=["boundary", "slo"]')
    (effort,) = re.findall(r"([\d,]+) requests \(([\d,]+) of them in searches\)", in_process(*words).stdout)
    every, searched = (int(count.replace(",", "")) for count in effort)
    (backlog,) = re.findall(r"backlog, ([\d,]+) requests in", in_process("simulate", spec).stdout)
    assert every - searched == int(backlog.replace(",", ""))


def test_a_guarantee_above_the_simulated_rate_is_said_not_to_hold(spec: Path, tmp_path: Path) -> None:
    tight = tmp_path / "tight.toml"
    tight.write_text(
        """
        workload.prompt_tokens = { uniform = [10, 1600] }
        workload.output_tokens = { uniform = [3, 400] }
        replica = { kv_capacity_tokens = 366_109, max_num_seqs = 1024, prefill_chunk_tokens = 512 }
        iteration_time.constant = "37.2 ms"
        run.requests = 10_000
        """
    )
    found = in_process("simulate", tight)
    assert found.returncode == 0
    assert "The proof is for memory alone" in found.stdout
    assert "The proof" not in in_process("simulate", spec).stdout
