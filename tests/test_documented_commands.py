"""Every command that the README's tour and the help of ``fastq map`` give is run as it stands there."""

import re
import shlex
from pathlib import Path

import duckdb
import pytest
from small_spec import SMALL

from fastq.cli import compare as compare_command
from fastq.cli import map as map_command
from fastq.cli.main import main

README = Path(__file__).parents[1] / "README.md"
SHARED = Path(__file__).parents[2] / "shared" / "data"
AZURE = ("AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv")
TINY = {"run.requests": 5, "run.replications": 2, "run.warmup_requests": 1}
TAKES_SPEC = ("theory", "simulate", "sweep")
CLUSTER = "/scratch/"
STAND_INS = {"TRACE": "trace.csv", "NAME": "mine"}
"""What the tour's placeholders stand for here."""

_FENCED_OR_INLINE = re.compile(
    r"^```(?P<kind>\w+)\n(?P<block>.*?)^```|`(?P<inline>fastq [^`]+)`", re.M | re.S
)


def tour(title):
    """Yield (kind, text) of a section, in its order: its blocks by their language, its commands as ``sh``."""
    text = README.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {title}\n(.*?)^## ", text, re.M | re.S)
    for found in _FENCED_OR_INLINE.finditer(section):
        if found["inline"]:
            yield "sh", found["inline"]
        else:
            yield found["kind"], found["block"]


def commands(block):
    """Return the words of every fastq command of a block of shell; lines may go on after a backslash."""
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip().startswith("fastq ")]


def run(words):
    """Run a command, on few requests where it takes a spec, and return its exit status."""
    arguments = [re.sub("|".join(STAND_INS), lambda name: STAND_INS[name[0]], word) for word in words[1:]]
    if arguments[0] in TAKES_SPEC:
        arguments += [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    if arguments[0] == "sweep":
        arguments += ["--workers", "1"]
    try:
        return main(arguments)
    except SystemExit as stopped:
        return stopped.code


def test_the_tour_of_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("trace.csv").write_text("prompt_tokens,output_tokens\n10,20\n30,40\n")
    ran = []
    for kind, text in tour("A tour"):
        if kind == "toml":
            with Path("a100.toml").open("a") as spec:
                spec.write(text + "\n")
        elif kind == "sh":
            for words in commands(text):
                if CLUSTER not in " ".join(words):
                    assert run(words) == 0, (shlex.join(words), capsys.readouterr().err)
                    ran.append(words[1])
        elif kind == "sql":
            assert duckdb.sql(text).fetchall()
        elif kind == "python":
            assert "fastq.sweep(" in text
            names = {}
            exec(text.replace('"a100.toml"', f'"a100.toml", {[(k, str(v)) for k, v in TINY.items()]}'), names)
    assert {"simulate", "theory", "sweep", "map", "status", "info", "help", "workload"} <= set(ran)
    assert ran.count("map") == 5
    for picture in ("latency.png", "queue.png", "map.png", "lines.svg", "theory.pdf", "mine.parquet"):
        assert Path(picture).stat().st_size > 0


def test_the_way_from_measurements_to_a_plan(tmp_path, monkeypatch, capsys):
    """Every command runs on the files that the page downloads, and prints what the page shows."""
    traces = [SHARED / "azure_llm_2023/data" / name for name in AZURE]
    wanted = (*traces, SHARED / "llmservingsim_rtx4090/profile")
    for path in wanted:
        if not path.exists():
            pytest.skip(f"the measurements of the README are not on this machine (looked for {path})")
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(SMALL)
    for name in ("before", "after"):
        assert run(["fastq", "sweep", "grid.toml", "--out", name]) == 0
    printed, ran, shown = "", [], 0
    for kind, text in tour("From measurements to a plan"):
        if kind == "toml":
            Path("plan.toml").write_text(text)
        elif kind == "sh":
            for words in commands(text):
                assert run(words) == 0, (shlex.join(words), capsys.readouterr().err)
                printed = capsys.readouterr().out
                ran.append(words[1])
        elif kind == "text":
            lines = iter(printed.splitlines())
            for line in text.splitlines():
                assert line == "  ..." or line in lines, f"fastq {ran[-1]} prints no (further) line {line!r}"
            shown += 1
    assert ran == ["workload", "calibrate", "plan", "plan", "plan", "plan", "compare"]
    assert shown == 5
    for made in ("traffic.png", "fit.png", "rtx-4090.toml", "day.svg"):
        assert Path(made).stat().st_size > 0


def test_the_examples_of_map(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (made,) = re.findall("'(fastq sweep [^']+)'", map_command._EPILOG)
    examples = commands(map_command._EPILOG)
    assert len(examples) == 3
    for words in (shlex.split(made), *examples):
        assert run(words) == 0, (shlex.join(words), capsys.readouterr().err)
    assert {path.name for path in tmp_path.iterdir()} == {"results", "map.png", "lines.pdf", "theory.png"}


def test_the_example_of_compare(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(SMALL)
    *sweeps, compare = commands(compare_command._EPILOG)
    assert len(sweeps) == 2
    for words in sweeps:
        assert run(words) == 0, (shlex.join(words), capsys.readouterr().err)
    capsys.readouterr()
    assert run(compare) in (0, 1)
    assert capsys.readouterr().err == ""
    assert "replica.max_num_seqs" in Path("comparison.md").read_text()


@pytest.mark.parametrize("name", ["metastable.toml", "theory.toml"])
def test_the_specs_of_the_page_on_theory(name, capsys):
    assert run(["fastq", "simulate", str(README.parent / "docs" / name)]) == 0, capsys.readouterr().err
