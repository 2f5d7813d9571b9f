"""What is said of a whole trace: published figures, the command, its JSON, its mistakes and its picture."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_traces import lengths, poisson, trace_of

import fastq
from fastq.analysis.workload_description import describe_trace
from fastq.cli.main import main
from fastq.errors import SpecError
from fastq.plot import style
from fastq.plot.workload_picture import draw_workload

TRACES = Path(__file__).resolve().parents[2] / "shared" / "data"

PUBLISHED = {
    "azure_llm_2023/data/AzureLLMInferenceTrace_code.csv": (8819, 2.566, 13.15, 2048, 27.9, 5.94e4),
    "azure_llm_2023/data/AzureLLMInferenceTrace_conv.csv": (19366, 5.530, 1.09, 1155, 211, 2.59e5),
    "mooncake/mooncake_conversation.parquet": (12031, 3.401, 3.03, 12035, 343, 4.50e6),
    "mooncake/mooncake_synthetic.parquet": (3993, 3.906, 1.01, 15325, 149, 1.09e6),
    "llmservingsim_rtx4090/requests.parquet": (300, 10.27, 0.94, 858, 652, 7.86e5),
}


def shared_trace(name):
    path = TRACES / name
    if not path.is_file():
        pytest.skip(f"the trace is not on this machine (looked for {path})")
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_traces(name):
    requests, rate, cv, prompt, output, area = PUBLISHED[name]
    found = fastq.describe_workload(shared_trace(name))
    assert found.requests == requests
    assert found.arrivals.mean_rate_rps == pytest.approx(rate, abs=0.0051)
    assert found.arrivals.interarrival_cv == pytest.approx(cv, abs=0.0051)
    assert found.lengths.prompt.mean_tokens == pytest.approx(prompt, abs=0.6)
    assert found.lengths.output.mean_tokens == pytest.approx(output, abs=0.6)
    assert found.lengths.decode_kv_area_tokens == pytest.approx(area, rel=0.005)


def test_what_published_traces_are_like():
    """Mooncake's times lie on a grid of 3 s; Azure's conversations drift; its code comes in bursts."""
    mooncake = fastq.describe_workload(shared_trace("mooncake/mooncake_conversation.parquet"))
    assert mooncake.arrivals.ties.grid_s == pytest.approx(3, abs=0.01)
    conversation = fastq.describe_workload(
        shared_trace("azure_llm_2023/data/AzureLLMInferenceTrace_conv.csv")
    )
    assert conversation.arrivals.ties.resolution_s == 1e-6
    assert all(test.differs for test in conversation.drift.tests)
    code = fastq.describe_workload(shared_trace("azure_llm_2023/data/AzureLLMInferenceTrace_code.csv"))
    assert not any(test.differs for test in code.drift.tests)
    assert len(code.arrivals.bursty_windows_s) == 4


def test_a_description_of_rows_in_any_order_is_the_same():
    times, prompts, outputs = poisson(900), lengths(900, seed=1), lengths(900, seed=2)
    order = np.random.default_rng(2).permutation(900)
    ordered = describe_trace(trace_of(times, prompts, outputs))
    shuffled = describe_trace(trace_of(times[order], prompts[order], outputs[order]))
    assert shuffled.drift == ordered.drift
    assert shuffled.serial_correlation == ordered.serial_correlation


def test_times_that_can_not_be_those_of_a_trace():
    with pytest.raises(SpecError, match="arrival times from -1e\\+300 s to 1e\\+300 s"):
        describe_trace(trace_of(np.array([-1e300, 1e300]), [1, 2], [3, 4]))


def write_trace(path, *, requests=400, timed=True, drifting=False):
    prompts, outputs = lengths(requests, seed=1), lengths(requests, seed=2)
    if drifting:
        prompts = np.ceil(prompts * np.linspace(1, 8, requests)).astype(np.int64)
    times = poisson(requests, rate=2.0)
    rows = [
        f"{time:.6f},{prompt},{output}" for time, prompt, output in zip(times, prompts, outputs, strict=True)
    ]
    header = "arrival_s,prompt_tokens,output_tokens"
    if not timed:
        header, rows = header.partition(",")[2], [row.partition(",")[2] for row in rows]
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def test_the_command_describes_a_trace(tmp_path, capsys):
    assert main(["workload", str(write_trace(tmp_path / "t.csv", drifting=True))]) == 0
    shown = capsys.readouterr().out
    for part in (
        "t.csv: 400 requests in",
        "coefficient of variation",
        "variance/mean of counts",
        "counts vary as those of Poisson arrivals",
        "times are multiples of 1 µs",
        "KV area of decoding",
        "prompts: drift, p < 0.001",
        "one law for the whole span is an average",
        "neighbours",
    ):
        assert part in shown
    assert max(map(len, shown.splitlines())) <= 130
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"]


def test_json_is_the_result_of_the_library(tmp_path, capsys):
    path = write_trace(tmp_path / "t.csv")
    assert main(["workload", str(path), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    expected = dataclasses.asdict(fastq.describe_workload(path))
    assert json.loads(line) == json.loads(json.dumps(expected))


def test_a_trace_without_arrival_times_is_described_by_its_lengths(tmp_path, capsys):
    path = write_trace(tmp_path / "t.csv", timed=False)
    found = fastq.describe_workload(str(path))
    assert (found.arrivals, found.drift, found.serial_correlation) == (None, None, None)
    picture = tmp_path / "t.svg"
    assert main(["workload", str(path), "--picture", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "without arrival times" in shown
    assert "Only lengths are described" in shown
    assert "neighbours" not in shown
    assert "Arrivals (requests/s)" not in picture.read_text(encoding="utf-8")


def test_a_law_is_written_beside_the_description(tmp_path, capsys):
    path, out = write_trace(tmp_path / "t.csv"), tmp_path / "law.parquet"
    command = ["workload", str(path), "--name", "mine", "--out", str(out), "--entries", "100"]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["table"]["path"] == str(out)
    assert document["table"]["bytes"] == out.stat().st_size
    assert document["table"]["entries"] == 100
    area = document["table"]["figures"]["kv_area_chunk_512_tokens"]
    assert area["is_kept"] == (abs(area["relative_error"]) <= 0.005)
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "arrivals" in shown
    assert "law of its lengths" in shown
    assert f"wrote {out}" in shown


def test_figures_that_a_law_can_not_keep_are_named(tmp_path, capsys):
    """One request of a million tokens among 20,000 of 100: no table of 500 equally likely entries holds its square."""
    path = tmp_path / "t.csv"
    rows = ["100,10"] * 20_000 + ["1000000,10"]
    path.write_text("\n".join(["prompt_tokens,output_tokens", *rows]), encoding="utf-8")
    out = tmp_path / "law.parquet"
    assert main(["workload", str(path), "--name", "a", "--out", str(out), "--entries", "500"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"not kept within 0\.5% or a token: .*mean_square_prompt_tokens", shown)
    assert "the trace's 1,000,010" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "x"], "--out: is missing"),
        (["--out", "x.parquet"], "--name: is missing"),
        (["--entries", "7"], "--name: is missing: --entries"),
        (["--licence", "MIT"], "--name: is missing: --licence"),
        (["--picture", "x.gif"], ".png, .svg, .pdf"),
        (["--picture", "no/such/x.png"], "--picture = 'no/such'"),
        (["--name", "x", "--out", "x.csv"], "must end in .parquet"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write_trace(tmp_path / "t.csv")
    assert main(["workload", "t.csv", *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_bad_trace_leaves_nothing_behind(tmp_path, capsys):
    path = write_trace(tmp_path / "t.csv")
    path.write_text(path.read_text(encoding="utf-8") + "nan,1,1\n", encoding="utf-8")
    options = ["--picture", str(tmp_path / "t.png"), "--name", "x", "--out", str(tmp_path / "x.parquet")]
    assert main(["workload", str(path), *options]) == 2
    assert "row 401" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_the_picture_says_what_the_description_says_and_is_the_same_again(tmp_path):
    times, prompts, outputs = poisson(3000), lengths(3000, seed=1), lengths(3000, seed=2)
    trace = trace_of(times, prompts * np.linspace(1, 6, 3000), outputs)
    description = describe_trace(trace)
    made = []
    for name in ("a.svg", "b.svg"):
        size = style.SIZES["page"]
        style.save(draw_workload(description, trace, size=size), tmp_path / name, size=size)
        made.append((tmp_path / name).read_text(encoding="utf-8"))
    assert made[0] == made[1]
    for words in (
        "t.csv: 3,000 requests in",
        "Arrivals (requests/s)",
        "Drift, p &lt; 0.001",
        "Prompt (tokens)",
        "No drift",
    ):
        assert words in made[0]


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 2**20), st.integers(1, 2**20)), min_size=1, max_size=8
    ),
    repeat=st.sampled_from([1, 60]),
    size_name=st.sampled_from(["page", "slide"]),
)
def test_any_trace_can_be_described_and_drawn(rows, repeat, size_name):
    times, prompts, outputs = (np.array(column * repeat) for column in zip(*rows, strict=True))
    trace = trace_of(times / 1000, prompts, outputs)
    description = describe_trace(trace)
    json.dumps(dataclasses.asdict(description), allow_nan=False)
    figure = draw_workload(description, trace, size=style.SIZES[size_name])
    assert len(figure.axes) >= 2
