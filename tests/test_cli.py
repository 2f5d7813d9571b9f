"""The command line as a process: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from cli_process import COMMANDS, SPEC, fastq, in_process

from fastq.cli.main import _own_interrupts, main

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("count", ["0", "-1"])
def test_fewer_than_one_thread_exits_2(spec: Path, tmp_path: Path, count: str) -> None:
    for words in (
        ("simulate", spec),
        ("sweep", spec, "--out", tmp_path / "out"),
        ("sweep", spec, "--dry-run"),
    ):
        done = in_process(*words, "--threads", count)
        assert done.returncode == 2
        assert done.stderr == f"fastq: error: --threads = {count}: must be 1 or more\n"
    assert not (tmp_path / "out").exists()


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


def test_nothing_feasible_exits_3(spec: Path, tmp_path: Path) -> None:
    words = (spec, "--set", "replica.block_size=8192", "--set", 'run.infeasible="skip"')
    done = fastq("sweep", *words, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "Nothing was feasible. The first point: a request of 100 prompt" in done.stdout
    short = (spec, "--set", "replica.max_model_len=8", "--set", 'run.infeasible="skip"')
    done = in_process("sweep", *short, "--out", tmp_path / "short")
    assert done.returncode == 3
    assert "Nothing was feasible. The first point: every request is rejected" in done.stdout
    assert in_process("theory", *words).returncode == 3
    assert in_process("simulate", *words).returncode == 3
    assert (
        in_process("sweep", spec, "--set", "replica.block_size=8192", "--out", tmp_path / "no").returncode
        == 2
    )


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
