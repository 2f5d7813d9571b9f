"""The command line as a process: what it prints, where, and how it exits."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from small_spec import SMALL

from fastq.cli.main import _own_interrupts, main
from fastq.cli.text_table import ends
from fastq.engine.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

SPEC = f"""\
title = "small"

{SMALL}
[grid]
"replica.kv_capacity_tokens" = [1000, 2000, 4000, 8000]
"replica.max_num_seqs" = [4, 16, "unlimited"]
"""

COMMANDS = (
    "sweep", "simulate", "theory", "map", "compare", "plan", "workload", "calibrate", "validate", "status", "info",
    "completion",
)  # fmt: skip


def fastq(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastq", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def swept(
    spec: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("swept") / "results"
    return out, fastq("sweep", spec, "--out", out, "--threads", 1)


def test_help_names_every_command_and_is_quick() -> None:
    began_s = time.perf_counter()
    done = fastq("--help")
    elapsed_s = time.perf_counter() - began_s
    assert done.returncode == 0
    for command in (*COMMANDS, "help"):
        assert f"\n    {command}" in done.stdout
    assert "examples:" in done.stdout
    assert elapsed_s < 2.0, "argparse alone takes a tenth of a second"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    done = fastq(command, "--help")
    assert done.returncode == 0
    assert f"usage: fastq {command}" in done.stdout


def test_import_loads_no_heavy_package() -> None:
    code = (
        "import sys, fastq, fastq.cli.main; "
        "print([name for name in ('numba', 'numpy', 'pyarrow', 'matplotlib', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_version() -> None:
    done = fastq("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("fastq ")


def test_unknown_command_exits_2_and_guesses() -> None:
    done = fastq("swep")
    assert done.returncode == 2
    assert "did you mean 'sweep'?" in done.stderr
    assert done.stdout == ""


def test_unknown_option_shows_the_usage_of_its_command(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", str(spec), "--trajectory", "rows.parquet"])
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: fastq simulate ")
    assert "--trajectory rows.parquet; did you mean --trajectories?" in shown
    assert "Try 'fastq simulate --help'." in shown
    with pytest.raises(SystemExit):
        main(["--quite", "theory", str(spec)])
    assert capsys.readouterr().err.startswith("usage: fastq [")


def test_help_spec_lists_keys() -> None:
    from fastq.model.run import RUN_KEYS
    from fastq.model.settings import SETTINGS

    text = fastq("help", "spec").stdout
    for key in (*SETTINGS, *RUN_KEYS):
        assert key.rpartition(".")[2] in text, key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("kv_capacity_tokens = 2000", "kv_capacity_token = 2000"), ("kv_capacity_tokens", "did you mean")),
        (("uniform = [10, 100] }", "uniform = [0, 100] }"), ("workload.prompt_tokens", "0")),
        (('constant = "20 ms"', 'constant = "20"'), ("iteration_time.constant", "unit")),
        (("[grid]", "[grid"), ("spec.toml",)),
    ],
)
def test_malformed_spec_exits_2(tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC.replace(*change, 1))
    done = fastq("sweep", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in (str(path), *words):
        assert word in done.stderr
    assert not (tmp_path / "out").exists()


def test_missing_spec_exits_2_and_lists_grids() -> None:
    done = fastq("theory", "no-such-grid")
    assert done.returncode == 2
    assert "paper-table-1" in done.stderr


def test_set_without_value_exits_2(spec: Path) -> None:
    done = fastq("theory", spec, "--set", "replica.block_size")
    assert done.returncode == 2
    assert "KEY=VALUE" in done.stderr


def test_sweep_without_out_exits_2(spec: Path) -> None:
    done = fastq("sweep", spec)
    assert done.returncode == 2
    assert "--out" in done.stderr


def test_theory_rows_are_the_same_in_every_format(spec: Path) -> None:
    table = fastq("theory", spec)
    lines = [json.loads(line) for line in fastq("theory", spec, "--json").stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(fastq("theory", spec, "--csv").stdout)))
    assert table.returncode == 0
    assert len(lines) == len(rows) == 12
    assert [line["theory_rate_rps"] for line in lines] == [float(row["theory_rate_rps"]) for row in rows]
    assert lines[2]["replica.max_num_seqs"] is None
    assert "unlimited" in table.stdout


def test_theory_prints_the_realised_means(spec: Path) -> None:
    """Scaled by 0.35 and rounded half up, the uniform law on 10, ..., 100 has no round mean."""
    done = fastq("theory", spec, "--set", "workload.output_scale=0.35")
    header, _, first, *_ = done.stdout.splitlines()
    shown = dict(zip(header.split()[:6], first.split()[:6], strict=True))
    mean_output = sum(math.floor(0.35 * tokens + 0.5) for tokens in range(10, 101)) / 91
    assert (shown["prompt"], shown["output"]) == ("55", f"{mean_output:.3f}")
    row = json.loads(
        fastq("theory", spec, "--set", "workload.output_scale=0.35", "--json").stdout.splitlines()[0]
    )
    assert float(shown["E[g]"].replace(",", "")) == pytest.approx(row["kv_area_tokens"], rel=1e-5)


def test_theory_of_a_wide_grid_is_a_summary() -> None:
    done = fastq("theory", "quickstart")
    assert done.returncode == 0
    assert {"mean prompt", "mean output", "E[g], KV area"} <= {
        line[2:17].strip() for line in done.stdout.splitlines()
    }
    assert "fastq theory quickstart --csv" in done.stdout
    assert len(done.stdout.splitlines()) < 30


def test_theory_stops_quietly_when_its_reader_leaves() -> None:
    command = f"{sys.executable} -m fastq theory quickstart --csv | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("point,case,")
    assert done.stderr == ""


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
    text = fastq(*words).stdout
    document = json.loads(fastq(*words, "--json").stdout)
    row, (rate,) = document["point"], document["rates"]
    terms = [value for name, value in row.items() if name.startswith("lost_") and "rounding" not in name]
    (total,) = [line.split() for line in text.splitlines() if line.startswith("  in all ")]
    assert total == ["in", "all", f"{sum(terms):.2%}"]
    half = (rate["wait_s_p99_high"] - rate["wait_s_p99_low"]) / 2 / rate["wait_s_p99"]
    (waits,) = [line for line in text.splitlines() if "  wait  " in line]
    assert waits.endswith(f"±{half:.0%}{'?' if 'wait_p99' in (rate['short_latencies'] or '') else ''}")


def test_simulate_marks_latencies_that_rest_on_too_few_bursts(spec: Path) -> None:
    words = ("simulate", spec, "--point", 1, "--set", "run.requests=300", "--rate", 17)
    text, document = fastq(*words).stdout, json.loads(fastq(*words, "--json").stdout)
    (rate,) = document["rates"]
    assert rate["status"] == "short"
    assert text.count("?\n") + text.count("? ") == len(rate["short_latencies"].split(", "))
    assert "\n  ?: rests on so few bursts" in text


def test_calm_queues_and_those_that_grow_are_not_marked(spec: Path) -> None:
    done = fastq(
        "simulate", spec, "--point", 1, "--set", "run.requests=20_000", "--rate", 5, "--rate", 25, "--json"
    )
    rates = json.loads(done.stdout)["rates"]
    assert [rate["verdict"] for rate in rates] == ["stable", "unstable"]
    assert {(rate["status"], rate["short_latencies"]) for rate in rates} == {("ok", None)}


def test_an_interval_shows_as_many_digits_as_tell_its_ends_apart() -> None:
    assert ends(3.231333, 3.231484) == "3.23133 to 3.23148"
    assert ends(2.7341, 2.8412) == "2.734 to 2.841"
    assert ends(5.0, 5.0) == "5 to 5"


def interrupt_oneself() -> None:
    with _own_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)


def test_an_interrupt_is_of_a_kind_that_the_interpreter_does_not_end_by() -> None:
    """It ends by the signal, whatever the exit status, once a plain one has passed through an extension's code."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            interrupt_oneself()
        assert caught.type is not KeyboardInterrupt
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupt_oneself()  # what was started to ignore it still does
    finally:
        signal.signal(signal.SIGINT, before)


def test_simulate_json_with_rates(spec: Path) -> None:
    done = fastq("simulate", spec, "--rate", 1, "--rate", 500, "--json")
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


def test_simulate_writes_trajectories_and_timelines(spec: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    trajectories, numbers, picture = (
        tmp_path / name for name in ("rows.parquet", "line.parquet", "line.svg")
    )
    done = fastq(
        "simulate", spec, "--rate", 2, "--rate", 50, "--trajectories", trajectories, "--timeline", numbers
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(trajectories)
    assert set(rows["arrival_rate_rps"].to_pylist()) == {2.0, 50.0}
    assert {"arrival_s", "prompt_tokens", "output_tokens", "wait_s", "ttft_s", "finish_s"} <= set(
        rows.column_names
    )
    assert {"start_s", "waiting", "running", "kv_tokens"} <= set(pq.read_schema(numbers).names)
    assert fastq("simulate", spec, "--rate", 1, "--rate", 50, "--timeline", picture).returncode == 0
    assert "Waiting" in picture.read_text()
    assert "50 requests/s" in picture.read_text()
    assert "1 requests/s" not in picture.read_text()


def test_simulate_draws_latencies_at_rates_up_to_the_boundary(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "latency.svg"
    done = fastq("simulate", spec, "--latencies", picture, "--json")
    assert done.returncode == 0
    assert f"wrote {picture}" in done.stderr
    result = json.loads(done.stdout)
    loads = [row["arrival_rate_rps"] / result["point"]["service_rate_rps"] for row in result["rates"]]
    assert len(loads) == 12
    assert loads == sorted(loads)
    assert [loads[0], loads[-1]] == pytest.approx([0.1, 0.99], rel=1e-3)
    text = picture.read_text()
    for words in (
        "Time to first token (s)",
        "KV cache capacity: 1,000 tokens",
        "2 replications of 200 requests",
    ):
        assert words in text, words


def test_latencies_are_drawn_at_the_rates_that_are_given(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "latency.svg"
    done = fastq(
        "simulate", spec, "--rate", 1, "--rate", 50, "--latencies", picture, "--json", "--size", "slide"
    )
    assert done.returncode == 0
    assert [row["arrival_rate_rps"] for row in json.loads(done.stdout)["rates"]] == [1, 50]
    assert "Open marks: the queue is not shown to be stable" in picture.read_text()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["simulate", "SPEC"], "--latencies FILE, or --timeline FILE that ends as a picture does"),
        (["simulate", "SPEC", "--timeline", "state.parquet"], "--latencies FILE, or --timeline FILE"),
        (["plan", "chat-and-code"], "--picture FILE"),
        (["workload", "trace.csv"], "--picture FILE"),
        (["calibrate", "log.csv"], "--picture FILE"),
    ],
)
@pytest.mark.parametrize("size", ["page", "slide"])
def test_a_size_without_a_picture_is_refused(
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    option: str,
    size: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text("prompt_tokens,output_tokens\n10,20\n30,40\n")
    before = sorted(tmp_path.iterdir())
    command = [str(spec) if word == "SPEC" else word for word in words]
    assert main([*command, "--size", size]) == 2
    shown = capsys.readouterr()
    assert f"--size = '{size}': is of a picture, and none is asked for: give {option}" in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("size", "width_pt"), [(None, 518.4), ("page", 518.4), ("slide", 936)])
def test_a_picture_has_the_size_that_is_asked_for(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str | None, width_pt: float
) -> None:
    picture, words = tmp_path / "state.svg", [] if size is None else ["--size", size]
    assert main(["simulate", str(spec), "--rate", "1", "--timeline", str(picture), *words]) == 0
    assert "wrote" in capsys.readouterr().err
    (found,) = re.findall(r'<svg [^>]*width="([\d.]+)pt"', picture.read_text())
    assert float(found) == pytest.approx(width_pt, rel=0.01)


def test_map_draws_every_point_against_theory(
    swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    picture = tmp_path / "theory.svg"
    words = ("map", swept[0], "--against-theory", "-o", picture)
    assert fastq(*words).returncode == 0
    text = picture.read_text()
    for shown in ("Simulated ÷ theory: median", "12 points", "small"):
        assert shown in text, shown
    assert fastq(*words, "--where", "replica.max_num_seqs=4").returncode == 0
    assert "4 points" in picture.read_text()
    assert "Sequence limit: 4 requests." in picture.read_text()
    refused = fastq(*words, "--x", "replica.max_num_seqs")
    assert refused.returncode == 2
    assert "can't be given together with --against-theory" in refused.stderr
    unknown = fastq(*words, "--where", "replica.watermark=1")
    assert unknown.returncode == 2
    assert "this data set has: replica.kv_capacity_tokens, replica.max_num_seqs" in unknown.stderr


def test_a_timeline_without_rates_names_preempted_requests(spec: Path, tmp_path: Path) -> None:
    picture = tmp_path / "line.svg"
    words = ("--set", 'run.measure=["boundary"]', "--timeline", picture)
    assert fastq("simulate", spec, *words).returncode == 0
    assert "always a backlog" in picture.read_text()
    assert "Preempted" in picture.read_text()
    assert "Waiting" not in picture.read_text()


def test_simulate_refuses_file_names_before_it_runs(spec: Path) -> None:
    for option, ending in (
        ("--timeline", ".parquet"),
        ("--trajectories", ".parquet"),
        ("--latencies", ".svg"),
    ):
        done = fastq("simulate", spec, option, "rows.gif")
        assert done.returncode == 2
        assert ending in done.stderr


def test_point_outside_the_grid_exits_2(spec: Path) -> None:
    done = fastq("simulate", spec, "--point", 12)
    assert done.returncode == 2
    assert "0 to 11" in done.stderr


def test_sweep_summarises_and_names_the_next_command(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = swept
    assert done.returncode == 0, done.stderr
    assert "simulated / theory" in done.stdout
    assert f"fastq map {out} --x replica.kv_capacity_tokens --y replica.max_num_seqs" in done.stdout
    assert "12/12 points" in done.stderr


def test_sweep_again_runs_nothing_and_json_says_so(
    spec: Path, swept: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    done = fastq("sweep", spec, "--out", swept[0], "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = fastq("sweep", spec, "--out", swept[0], "--json", "--quiet")
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert fastq("sweep", spec, "--out", swept[0], "--json").stdout.startswith('{"out": ')
    assert summary["points_run"] == 0
    assert summary["complete"] is True
    assert sum(summary["binding"].values()) == 12


def test_dry_run_writes_nothing(spec: Path, tmp_path: Path) -> None:
    done = fastq("sweep", spec, "--out", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(done.stdout)["points"] == 12
    assert not (tmp_path / "out").exists()


def test_dry_run_is_of_this_machine_only(spec: Path) -> None:
    for words in (("--executor", "dask"), ("--address", "tcp://elsewhere:8786")):
        done = fastq("sweep", spec, "--dry-run", *words)
        assert done.returncode == 2
        assert "leave out --executor and --address" in done.stderr


@pytest.mark.parametrize("count", ["0", "-1"])
def test_fewer_than_one_thread_exits_2(spec: Path, tmp_path: Path, count: str) -> None:
    for words in (
        ("simulate", spec),
        ("sweep", spec, "--out", tmp_path / "out"),
        ("sweep", spec, "--dry-run"),
    ):
        done = fastq(*words, "--threads", count)
        assert done.returncode == 2
        assert done.stderr == f"fastq: error: --threads = {count}: must be 1 or more\n"
    assert not (tmp_path / "out").exists()


def test_a_shard_without_blocks_says_so(spec: Path, tmp_path: Path) -> None:
    done = fastq("sweep", spec, "--out", tmp_path / "out", "--shard", "1/2")
    assert done.returncode == 0
    assert "This shard has no blocks" in done.stdout
    assert "Next:" not in done.stdout


def test_a_shard_names_the_others_before_the_map(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sweep.__kwdefaults__, "block_points", 4)
    out = str(tmp_path / "out")
    words = ["sweep", str(spec), "--out", out, "--threads", "1", "--workers", "1"]
    assert main([*words, "--shard", "1/3"]) == 0
    shown = capsys.readouterr().out
    assert "Still missing: the blocks of --shard 0/3, 2/3." in shown
    assert f"'fastq status {out} --shards 3'" in shown
    assert "fastq map" not in shown
    assert main(["status", out, "--shards", "3"]) == 0
    shown = capsys.readouterr().out
    assert "missing by shard  0/3 (1), 2/3 (1)" in shown
    assert "recorded nowhere" in shown
    assert main(["status", out, "--shards", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing_by_shard"] == {"0/3": 1, "2/3": 1}
    for shard in ("0/3", "2/3"):
        assert main([*words, "--shard", shard]) == 0
    shown = capsys.readouterr().out
    assert shown.count("Still missing") == 1
    assert shown.count("Next: fastq map") == 1


def test_out_of_memory_is_one_line(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhaust(*_: object) -> None:
        raise MemoryError("Unable to allocate 8.00 TiB")

    monkeypatch.setattr("fastq.api.theory_rows", exhaust)
    assert main(["theory", str(spec)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("fastq: error: not enough memory (Unable to allocate 8.00 TiB). ")
    assert captured.err.count("\n") == 1


def test_simulate_ends_soon_when_it_is_interrupted(spec: Path) -> None:
    words = ("simulate", spec, "--set", "run.requests=1000000000", "--threads", 2)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastq", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        time.sleep(3.0)  # past the imports; wherever it is then, it has to stop
        began_s = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        elapsed_s = time.perf_counter() - began_s
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1].startswith("fastq: error: interrupted")
    assert "Traceback" not in stderr
    assert elapsed_s < 5.0


def test_another_data_set_exits_1(spec: Path, swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = fastq("sweep", spec, "--out", swept[0], "--set", "run.seed=2")
    assert done.returncode == 1
    assert "run.seed" in done.stderr


def test_nothing_feasible_exits_3(spec: Path, tmp_path: Path) -> None:
    words = (spec, "--set", "replica.block_size=8192", "--set", 'run.infeasible="skip"')
    done = fastq("sweep", *words, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "Nothing was feasible. The first point: a request of 100 prompt" in done.stdout
    short = (spec, "--set", "replica.max_model_len=8", "--set", 'run.infeasible="skip"')
    done = fastq("sweep", *short, "--out", tmp_path / "short")
    assert done.returncode == 3
    assert "Nothing was feasible. The first point: every request is rejected" in done.stdout
    assert fastq("theory", *words).returncode == 3
    assert fastq("simulate", *words).returncode == 3
    assert fastq("sweep", spec, "--set", "replica.block_size=8192", "--out", tmp_path / "no").returncode == 2


def test_status(swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    assert "12 of 12 done" in fastq("status", swept[0]).stdout
    assert json.loads(fastq("status", swept[0], "--json").stdout)["complete"] is True
    done = fastq("status", tmp_path)
    assert done.returncode == 1
    assert "manifest.json" in done.stderr


def test_map_draws_and_names_axes(
    swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out, picture = swept[0], tmp_path / "map.png"
    words = ("--x", "replica.kv_capacity_tokens", "-o", picture)
    assert fastq("map", out, *words).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    unknown = fastq("map", out, "--x", "replica.nothing", "-o", picture)
    assert unknown.returncode == 2
    assert "replica.kv_capacity_tokens, replica.max_num_seqs" in unknown.stderr
    value = fastq("map", out, *words, "--where", "replica.max_num_seqs=5")
    assert value.returncode == 2
    assert "it has 4, 16, unlimited" in value.stderr
    assert fastq("map", out, *words, "--where", "replica.max_num_seqs=unlimited").returncode == 0
    assert fastq("map", out, "--x", "replica.kv_capacity_tokens", "-o", "map.gif").returncode == 2


def test_info() -> None:
    facts = json.loads(fastq("info", "--json").stdout)
    assert facts["cpus"]["usable"] >= 1
    assert "quickstart" in facts["catalogues"]["grids"]
    assert facts["cuda"]


def test_kernels_are_cached_in_the_users_cache_directory(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    facts = json.loads(fastq("info", "--json", env=environment).stdout)
    assert facts["cache_directory"] == str(tmp_path / "fastq" / "numba")
    chosen = json.loads(fastq("info", "--json", env={**environment, "NUMBA_CACHE_DIR": str(tmp_path)}).stdout)
    assert chosen["cache_directory"] == str(tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_know_commands_and_grids(shell: str) -> None:
    script = fastq("completion", shell).stdout
    for word in (
        "sweep",
        "--trajectories" if shell != "fish" else "-l trajectories",
        "paper-table-1",
        "slide",
        "scheduler.admission=",
    ):
        assert word in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sweep --backend c", ["cpu", "cuda"]),
        ("theory --set replica.max_n", ["replica.max_num_seqs=", "replica.max_num_batched_tokens="]),
        ("sweep --set run.se", ["run.seed="]),
        ("compare before --mark", ["--markdown"]),
        ("simulate --set grid.workload.out", ["grid.workload.output_tokens=", "grid.workload.output_scale="]),
    ],
)
def test_bash_completes(words: str, offered: list[str]) -> None:
    script = fastq("completion", "bash").stdout
    ask = f'COMP_WORDS=(fastq {words}) COMP_CWORD=3; _fastq; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered


def test_map_draws_the_boundary_that_was_asked_for(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        f"""
        slo.ttft.p90 = "200 ms"
        grid.replica.kv_capacity_tokens = [2000, 4000, 8000]
        {SMALL}
        measure = ["boundary", "slo"]
        """
    )
    out, picture = tmp_path / "out", tmp_path / "slo.svg"
    assert fastq("sweep", spec, "--out", out, "--quiet").returncode == 0
    done = fastq("map", out, "--boundary", "slo", "-o", picture)
    assert done.returncode == 0, done.stderr
    drawn = picture.read_text()
    assert "Service-level boundary" in drawn
    assert "throughput limited by" in drawn
    assert "ttft p90 within 0.2 s" in drawn
    missing = fastq("map", out, "--boundary", "cold", "-o", picture)
    assert missing.returncode == 2
    assert "no point" in missing.stderr
    assert "boundary, slo" in missing.stderr


def test_objectives_that_nothing_searches_are_told(spec):
    words = ("simulate", spec, "--set", 'slo.ttft={p99="2 s"}')
    told = fastq(*words)
    assert told.returncode == 0
    assert "note" in told.stderr
    assert 'run.measure=["boundary", "slo"]' in told.stderr
    searched = fastq(*words, "--set", 'run.measure=["slo"]')
    assert "note" not in searched.stderr
    assert "ttft p99" in searched.stdout or "up to stability" in searched.stdout
