"""``fastq calibrate``: what it prints, writes and refuses, and that a spec takes its file."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from small_spec import SMALL
from test_calibration_reading import PRINTED, vllm_lines
from test_calibration_tables import write_operator_tables

from fastq.cli.completion import _commands
from fastq.cli.main import build_parser, main
from fastq.model.catalogue import load_replica
from fastq.model.load import load_spec

ROWS = 240
PLANE = (9e-3, 40e-6, 30e-6, 90e-9)
CAPACITY = 200_000
TINY = (
    *("--layers", "2", "--hidden", "64", "--heads", "4", "--kv-heads", "2", "--head-size", "16"),
    *("--intermediate", "128", "--vocab", "1000"),
)


def fastq(*words, **options):
    command = [sys.executable, "-m", "fastq", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    generator = np.random.default_rng(3)
    decode = generator.integers(1, 200, ROWS)
    prefill = np.where(np.arange(ROWS) % 2, generator.integers(1, 2000, ROWS), 0)
    kv = decode * generator.integers(50, 1000, ROWS)
    seconds = np.stack([np.ones(ROWS), prefill, decode, kv], axis=1) @ np.array(PLANE)
    seconds *= np.exp(0.01 * generator.standard_normal(ROWS))
    path = tmp_path_factory.mktemp("log") / "iterations.csv"
    rows = zip(prefill, decode, kv, seconds * 1e3, strict=True)
    lines = ["prefill_tokens,decode_seqs,kv_tokens,step_time_ms", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def made(log, tmp_path_factory):
    """Calibrate once: the replica, the picture, and the process."""
    folder = tmp_path_factory.mktemp("made")
    words = (
        "--kv-capacity-tokens",
        CAPACITY,
        "--name",
        'An "A100"',
        "--source",
        "A bench.",
        "--licence",
        "MIT",
    )
    done = fastq("calibrate", log, *words, "-o", "engine.toml", "--picture", "fit.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_it_prints_planes_errors_terms_and_what_it_wrote(made):
    folder, done = made
    for words in (
        "iteration log, 240 iterations",
        "Iteration time: one plane",
        "Held out, by number of planes",
        "Relative error of the fit",
        "decode only",
        "Not added, so not simulated",
        "no more than chance",
        "no such column",
        "attention can't be told: the log has no such column",
        "KV capacity: 200,000 tokens",
        "wrote fit.png\nwrote engine.toml\n",
    ):
        assert words in done.stdout, words
    assert done.stderr == ""
    assert sorted(path.name for path in folder.iterdir()) == ["engine.toml", "fit.png"]
    assert (folder / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_the_units_of_the_text(log, tmp_path, capsys):
    picture = tmp_path / "fit.svg"
    assert main(["calibrate", str(log), "--planes", "1", "--picture", str(picture)]) == 0
    assert "µs" in capsys.readouterr().out
    drawn = picture.read_text(encoding="utf-8")
    assert re.search(r"Iteration time: [\d.]+ ms \+ [\d.]+ µs P \+ [\d.]+ µs D", drawn)
    assert " us " not in drawn


def test_the_replica_says_where_it_comes_from_and_holds_the_plane(made, log):
    folder, _ = made
    entry = tomllib.loads((folder / "engine.toml").read_text(encoding="utf-8"))
    assert entry["replica"] == {"kv_capacity_tokens": CAPACITY, "block_size": 16}
    (plane,) = entry["iteration_time"]["planes"]
    assert plane == {
        "base_ms": pytest.approx(1e3 * PLANE[0], rel=0.02),
        "prefill_token_us": pytest.approx(1e6 * PLANE[1], rel=0.02),
        "decode_seq_us": pytest.approx(1e6 * PLANE[2], rel=0.05),
        "kv_token_ns": pytest.approx(1e9 * PLANE[3], rel=0.02),
    }
    told = entry["provenance"]
    assert told["name"] == 'An "A100"'
    assert told["licence"] == "MIT"
    assert told["source"].startswith("A bench. Read as iteration log, 240 batches, by fastq ")
    assert "iterations.csv (SHA-256 " in told["source"]
    assert "Given on the command line." in told["kv_capacity"]
    assert "median" in told["fit"]
    assert str(log.parent) not in (folder / "engine.toml").read_text(encoding="utf-8")


def test_the_recorded_command_makes_the_file_again(made, log, tmp_path, monkeypatch, capsys):
    folder, _ = made
    shipped = (folder / "engine.toml").read_bytes()
    command = shlex.split(tomllib.loads(shipped.decode())["provenance"]["command"])
    assert command[:2] == ["fastq", "calibrate"]
    (tmp_path / log.name).symlink_to(log)
    monkeypatch.chdir(tmp_path)
    assert main(command[1:]) == 0
    assert "wrote engine.toml" in capsys.readouterr().out
    assert (tmp_path / "engine.toml").read_bytes() == shipped


def test_a_spec_takes_the_file_relative_to_itself(made, tmp_path):
    folder, _ = made
    spec = tmp_path / "specs" / "spec.toml"
    spec.parent.mkdir()
    (tmp_path / "engine.toml").write_bytes((folder / "engine.toml").read_bytes())
    text = SMALL.replace("kv_capacity_tokens = 2000", 'catalogue = "../engine.toml"')
    spec.write_text(text.replace('[iteration_time]\nconstant = "20 ms"\n', ""))
    point = load_spec(str(spec)).point(0)
    assert point.replica.kv_capacity_tokens == CAPACITY
    assert point.iteration_time.planes[0].base_ps == pytest.approx(1e12 * PLANE[0], rel=0.02)
    assert main(["theory", str(spec)]) == 0


def test_terms_that_a_log_shows_are_written_and_simulated(log, tmp_path, monkeypatch, capsys):
    """2 ms are planted where a batch prefills, which does both in this log, and 5 ms beyond 1,024 tokens."""
    lines = [line.split(",") for line in log.read_text().splitlines()[1:]]
    rows = [(int(p), int(d), int(k), float(ms)) for p, d, k, ms in lines]
    planted = [(p, d, k, ms + 2 * (p > 0) + 5 * (p + d > 1024)) for p, d, k, ms in rows]
    header = "prefill_tokens,decode_seqs,kv_tokens,step_time_ms\n"
    (tmp_path / "planted.csv").write_text(
        header + "\n".join(",".join(map(str, row)) for row in planted) + "\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["calibrate", "planted.csv", "--planes", "1", "--kv-capacity-tokens", str(CAPACITY)]
    assert main([*words, "-o", "engine.toml"]) == 0
    printed = capsys.readouterr().out
    assert "Added to the largest plane" in printed
    assert "a jump beyond 1,024 tokens" in printed
    entry = tomllib.loads((tmp_path / "engine.toml").read_text(encoding="utf-8"))
    assert entry["iteration_time"]["jump_ms"] == pytest.approx(5, rel=0.1)
    assert entry["iteration_time"]["jump_beyond_tokens"] == 1024
    assert entry["iteration_time"]["prefill_ms"] == pytest.approx(2, rel=0.3)
    assert "a batch that prefills" in entry["provenance"]["fit"]
    assert "prefills" not in entry["provenance"]["missing"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["key"] for each in found["added_terms"]} == {"prefill_ms", "jump_ms"}
    assert found["held_out_error_with_terms"] < found["held_out_error_of_planes"]
    (tmp_path / "spec.toml").write_text(
        "[workload]\nprompt_tokens = { constant = 40 }\noutput_tokens = { constant = 40 }\n"
        "[replica]\ncatalogue = './engine.toml'\n"
    )
    terms = load_spec(str(tmp_path / "spec.toml")).point(0).iteration_time.terms
    written = {each["key"]: each["ps"] for each in found["added_terms"]}
    assert (terms.prefill_ps, terms.jump_ps) == (written["prefill_ms"], written["jump_ms"])


def test_json_holds_what_the_text_does(log):
    done = fastq("calibrate", log, "--json", "--planes", 1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (plane,) = found["planes"]
    assert plane["base_ps"]["low_ps"] <= 1e12 * PLANE[0] <= plane["base_ps"]["high_ps"]
    assert found["untold"] == {"attention": "the log has no such column"}
    assert [each["planes"] for each in found["held_out"]] == [1]
    assert found["errors"][0]["rows"] == ROWS
    assert found["kv_capacity_tokens"] is None
    assert {each["carries_weight"] for each in found["terms"]} <= {True, False}


@pytest.mark.parametrize(
    ("every", "factor", "less", "fast", "high"),
    [(21, 8.0, "less", "fast", "high"), (7, 0.2, "more", "slow", "low")],
)
def test_a_fit_whose_time_of_all_batches_is_off_says_what_that_means(
    log, tmp_path, capsys, every, factor, less, fast, high
):
    """Most rows say one thing and a fit of relative errors follows them; a few others hold much of the time."""
    header, *lines = log.read_text().splitlines()
    rows = [line.rpartition(",") for line in lines]
    off = [
        f"{batch},{float(ms) * (factor if row % every == 0 else 1)}"
        for row, (batch, _, ms) in enumerate(rows)
    ]
    path = tmp_path / "off.csv"
    path.write_text("\n".join([header, *off]) + "\n")
    words = ["calibrate", str(path), "--planes", "1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    total = found["errors"][0]["total"]
    assert (total < -0.05) if less == "less" else (total > 0.05)
    (warning,) = found["warnings"]
    assert f"all batches together take {abs(total):.1%} {less} time than was measured" in warning
    assert (
        f"that much too {fast}, and its boundary about {abs(1 / (1 + total) - 1):.0%} too {high}" in warning
    )
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "  time of all: fitted over measured, less 1\n" in printed
    assert f"Warning: {warning}" in " ".join(printed.split())
    assert main(["calibrate", str(log), "--planes", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert main(["calibrate", str(log), "--planes", "1"]) == 0
    assert "Warning" not in capsys.readouterr().out


def test_operator_tables_give_a_replica_with_its_memory(tmp_path):
    tables = write_operator_tables(tmp_path / "a_card")
    words = (
        *TINY,
        "--memory-gib",
        "0.01",
        "--reserve-gib",
        "0.0",
        "--memory-bandwidth-gb-s",
        "1000",
        "--mixed-attention",
        "1.5",
        "-o",
        tmp_path / "tiny.toml",
        "--planes",
        2,
    )
    done = fastq("calibrate", tables, *words)
    assert done.returncode == 0, done.stderr
    assert "KV memory, a card at a time" in done.stdout
    entry = load_replica(str(tmp_path / "tiny.toml"))
    weights = 2 * (2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 2 * 1000 * 64 + 64)
    blocks = (int(round(0.01 * 2**30) * 0.9) - weights) // (2 * 2 * 2 * 16 * 2 * 16)
    assert entry["replica"]["kv_capacity_tokens"] == 16 * (blocks - 1)
    command = str(entry["provenance"]["command"])
    assert "--layers 2 --hidden 64" in command
    assert "--memory-bandwidth-gb-s 1000 --mixed-attention 1.5" in command


def test_what_a_config_tells_of_its_memory_is_said_and_kept(log, tmp_path, capsys):
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"head_dim": 16, "intermediate_size": 128, "vocab_size": 1000}
    config, replica = tmp_path / "config.json", tmp_path / "engine.toml"
    config.write_text(json.dumps({**sizes, "torch_dtype": "float32", "sliding_window": 4096}))
    words = ["calibrate", str(log), "--planes", "1", "--model", str(config), "--memory-gib", "1"]
    words += ["--reserve-gib", "0"]
    says = (
        "sliding_window = 4,096 in the config",
        "so the capacity is a lower bound",
        "float32 in the config",
    )
    assert main([*words, "-o", str(replica)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    kept = str(load_replica(str(replica))["provenance"]["kv_capacity"])
    assert main([*words, "--json"]) == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["kv_memory"]["notes"])
    for each in says:
        assert each in printed
        assert each in kept
        assert each in notes


def test_the_log_of_a_server_tells_its_kv_capacity_too(tmp_path, capsys):
    path = tmp_path / "server.log"
    path.write_text("".join([PRINTED, *vllm_lines()]))
    assert main(["calibrate", str(path), "--planes", "1", "-o", str(tmp_path / "engine.toml")]) == 0
    assert "vLLM iteration log, 20 iterations" in capsys.readouterr().out
    entry = load_replica(str(tmp_path / "engine.toml"))
    assert entry["replica"]["kv_capacity_tokens"] == 100_000
    assert "one block that vLLM counts and never uses" in str(entry["provenance"]["kv_capacity"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tensor-parallel", "4"), "--tensor-parallel = 4: server.log tells of 2 cards .* of 4$"),
        (
            (*TINY, "--memory-gib", "1", "--reserve-gib", "0"),
            "--tensor-parallel = 1: server.log tells of 2 cards",
        ),
        ((*TINY, "--memory-gib", "1", "--reserve-gib", "0", "--tensor-parallel", "2"), None),
        (("--tensor-parallel", "2"), None),
        ((), None),
    ],
)
def test_another_number_of_cards_than_the_log_tells_is_refused(tmp_path, capsys, words, says):
    path, replica = tmp_path / "server.log", tmp_path / "engine.toml"
    told = "INFO 10-05 11:58:00 [core.py:58] Initializing a V1 LLM engine with config: tensor_parallel_size=2, seed=0\n"
    path.write_text("".join([told, PRINTED, *vllm_lines()]))
    assert main(["calibrate", str(path), "--planes", "1", *words, "-o", str(replica)]) == (2 if says else 0)
    if says:
        assert re.search(says, capsys.readouterr().err.strip())
        assert not replica.exists()
    else:
        assert load_replica(str(replica))["provenance"]["gpus"] == 2


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("-o", "engine.txt"), 2, "the name must end in .toml"),
        (("-o", "nowhere/engine.toml"), 2, "--output = 'nowhere': there is no such directory"),
        (
            ("--column", "kv_tokens=a", "--column", "kv_tokens=b"),
            2,
            "kv_tokens is given twice, as a and as b",
        ),
        (("--picture", "fit.doc"), 2, "--picture = 'fit.doc': a picture's name must end in one of .png"),
        (("--picture", "nowhere/fit.png"), 2, "--picture = 'nowhere': there is no such directory"),
        (("--memory-gib", "80"), 2, "--memory-gib = 80.0: needs the model"),
        ((*TINY, "--memory-gib", "80", "--kv-capacity-tokens", "9"), 2, "not both"),
        (("--column", "kv"), 2, "'kv' is not NAME=VALUE"),
        (("--column", "seconds=step_time_us"), 2, "there is no such column"),
        (("--planes", "9"), 2, "--planes"),
        (("--tensor-parallel", "0"), 2, "'0' is not a whole number from 1 on"),
        (("--utilisation", "1.5"), 2, "'1.5' is not a share"),
        (("--memory-bandwidth-gb-s", "2.039"), 2, "'2.039' is not a memory bandwidth in GB/s, 10 to 100,000"),
        (("--mixed-attention", "191"), 2, "'191' is not a factor from 1 to 20"),
        (("--model", "config.json"), 2, "config.json: --model: can't be read"),
    ],
)
def test_mistakes_are_explained_and_nothing_is_written(
    log, tmp_path, monkeypatch, capsys, words, status, message
):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(["calibrate", str(log), *words])
    except SystemExit as stopped:
        found = int(str(stopped.code))
    shown = capsys.readouterr()
    assert found == status
    assert message in shown.err
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_replica_that_prefills_for_nothing_is_not_written(log, tmp_path, capsys):
    lines = log.read_text().splitlines()
    decode_only = tmp_path / "decode.csv"
    decode_only.write_text(
        "\n".join([lines[0], *(line for line in lines[1:] if line.startswith("0,"))]) + "\n"
    )
    (tmp_path / "engine.toml").write_text("kept")
    assert main(["calibrate", str(decode_only), "-o", str(tmp_path / "engine.toml")]) == 2
    assert "prefill_tokens: what prefill_tokens cost can't be told" in capsys.readouterr().err
    assert (tmp_path / "engine.toml").read_text() == "kept"
    assert main(["calibrate", str(decode_only)]) == 0
    assert "prefill_tokens can't be told: it is 0 in every row" in capsys.readouterr().out


def test_a_file_that_can_not_be_written_leaves_nothing_behind(log, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert main(["calibrate", str(log), "--planes", "1", "-o", str(tmp_path / "engine.toml")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_is_helped_and_completed():
    done = fastq("calibrate", "--help")
    assert done.returncode == 0
    for words in (
        "--column",
        "examples:",
        "fastq calibrate iterations.csv",
        'replica.catalogue = "./a100.toml"',
    ):
        assert words in done.stdout
    _, arguments = _commands(build_parser())["calibrate"]
    flags = {flag: each for each in arguments for flag in each.flags}
    assert flags["-o"].takes_file
    assert flags["--model"].takes_file
    assert flags["--dtype"].words[0] == "bfloat16"
    assert next(each for each in arguments if not each.flags).takes_file
