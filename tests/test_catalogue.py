"""The entries that ship: they load, are small, say true things of themselves, and can be made again."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fastq.cli import workload
from fastq.cli.main import main
from fastq.model.workload_file import compare, kv_area_tokens

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
TRACES = ROOT.parent / "shared" / "data"
TRACE_FILES = {
    "azure-code-2023": "azure_llm_2023/data/AzureLLMInferenceTrace_code.csv",
    "azure-conv-2023": "azure_llm_2023/data/AzureLLMInferenceTrace_conv.csv",
    "mooncake-conversation": "mooncake/mooncake_conversation.parquet",
    "sharegpt-rtx-4090": "llmservingsim_rtx4090/requests.parquet",
}
REBUILT = (
    "a100-llama-3-8b",
    "a100x8-qwen2.5-14b",
    "h100x4-qwen2.5-72b",
    "h100x8-llama-3-70b",
    "rtx-4090-llama-3.1-8b",
)
"""Each family, both cards and all forms of measurements; the others take the same path, and two seconds each."""

MEASUREMENTS = {
    "a100": "aiconfigurator/a100_sxm",
    "h100": "aiconfigurator/h100_sxm",
    "rtx": "llmservingsim_rtx4090/profile",
}
DETAILED = ("azure-code-2023", "azure-conv-2023", "mooncake-conversation")
WORKLOADS = sorted(path.stem for path in (DATA / "workloads").glob("*.parquet"))
REPLICAS = sorted(path.stem for path in (DATA / "replicas").glob("*.toml"))
GRIDS = sorted(path.stem for path in (DATA / "grids").glob("*.toml"))
POINTS = {
    "quickstart": 2304,
    "paper-table-1": 6,
    "paper-table-1-predicted": 12,
    "bursts": 81,
    "metastable": 208,
    "paper-figure-2": 1,
    "rtx-4090": 2,
    "prefill-h100": 1,
    "known-answers": 8,
}
LARGEST_FILE_BYTES = 64 * 1024


def read_workload(name):
    table = pq.read_table(DATA / "workloads" / f"{name}.parquet")
    pair = (table["prompt_tokens"].to_numpy(), table["output_tokens"].to_numpy())
    return pair, json.loads(table.schema.metadata[b"fastq"])


def trace_path(name):
    path = TRACES / TRACE_FILES[name]
    if not path.is_file():
        pytest.skip(f"the trace of {name} is not on this machine (looked for {path})")
    return path


def read_pairs(name):
    from fastq.model.trace import read_trace

    trace = read_trace(trace_path(name))
    return np.asarray(trace.prompt_tokens), np.asarray(trace.output_tokens)


def document(folder, name):
    return tomllib.loads((DATA / folder / f"{name}.toml").read_text(encoding="utf-8"))


def test_every_entry_is_known_to_the_tests():
    assert sorted(TRACE_FILES) == WORKLOADS
    assert sorted(POINTS) == GRIDS


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.*")), ids=lambda path: path.name)
def test_files_are_small_and_named_in_the_readme(path):
    if path.suffix in (".parquet", ".toml"):
        assert path.stat().st_size <= LARGEST_FILE_BYTES
        assert path.stem in (DATA / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_say_where_they_come_from(name):
    (prompts, outputs), metadata = read_workload(name)
    assert prompts.dtype == outputs.dtype == np.int32
    assert prompts.size == outputs.size == metadata["entries"]
    assert min(prompts.min(), outputs.min()) >= 1
    assert metadata["name"] == name
    assert metadata["source"]
    assert metadata["licence"] in ("CC-BY-4.0", "Apache-2.0", "MIT")
    assert metadata["command"].startswith("fastq workload ")
    assert metadata["entries"] < metadata["rows"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_recorded_figures_are_those_of_the_table(name):
    pair, metadata = read_workload(name)
    for each in compare(pair, pair):
        assert metadata["figures"][each.figure]["table"] == pytest.approx(each.table, rel=1e-6)
    total = (pair[0].astype(np.int64) + pair[1]).max()
    assert total <= metadata["trace_maximum"]["total_tokens"]


@pytest.mark.parametrize("name", DETAILED)
def test_the_recorded_errors_are_within_half_a_percent(name):
    _, metadata = read_workload(name)
    assert metadata["percentile_errors"] == {"prompt_tokens": 0, "output_tokens": 0}
    for figure, values in metadata["figures"].items():
        if not figure.startswith("max_"):
            assert abs(values["relative_error"]) <= 0.005, figure
    longest = metadata["figures"]["max_total_tokens"]
    assert longest["table"] == longest["trace"]


@pytest.mark.parametrize("name", DETAILED)
def test_workloads_are_laws_of_their_traces(name):
    trace, (table, metadata) = read_pairs(name), read_workload(name)
    percents = np.arange(1, 100)
    for column, sketch in zip(trace, table, strict=True):
        assert sketch.mean() == pytest.approx(column.mean(), rel=0.005)
        for method in ("inverted_cdf", "linear"):
            wanted = np.percentile(column, percents, method=method)
            found = np.percentile(sketch, percents, method=method)
            assert np.all(np.abs(found - wanted) <= np.maximum(1, 0.005 * wanted)), method
    for chunk in (16, 64, 256, 512, 1000, 2048, 8192, 10**6):
        assert kv_area_tokens(*table, chunk) == pytest.approx(kv_area_tokens(*trace, chunk), rel=0.005)
    assert np.corrcoef(*table)[0, 1] == pytest.approx(np.corrcoef(*trace)[0, 1], abs=0.005)
    totals = trace[0] + trace[1]
    assert metadata["trace_maximum"] == {
        "prompt_tokens": trace[0].max(),
        "output_tokens": trace[1].max(),
        "total_tokens": totals.max(),
        "longest_request": [trace[0][totals.argmax()], trace[1][totals.argmax()]],
    }
    assert tuple(metadata["trace_maximum"]["longest_request"]) in set(zip(*table, strict=True))


@pytest.mark.parametrize("name", DETAILED)
def test_outputs_depend_on_prompts_as_in_the_trace(name):
    trace, (table, _) = read_pairs(name), read_workload(name)
    edges = np.quantile(trace[0], np.linspace(0, 1, 6)[1:-1])
    fifth, fifth_of_table = np.searchsorted(edges, trace[0]), np.searchsorted(edges, table[0])
    for number in range(5):
        wanted, found = trace[1][fifth == number], table[1][fifth_of_table == number]
        spread = wanted.std() / np.sqrt(found.size)
        assert abs(found.mean() - wanted.mean()) <= 3.0 * spread


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_recorded_command_makes_the_table_again(name, tmp_path, monkeypatch, capsys):
    (prompts, outputs), metadata = read_workload(name)
    source = trace_path(name)
    parser = argparse.ArgumentParser()
    workload.add_parser(parser.add_subparsers())
    args = parser.parse_args(shlex.split(metadata["command"])[1:])
    assert args.trace.name == source.name
    monkeypatch.chdir(tmp_path)
    (tmp_path / args.trace).symlink_to(source)
    assert args.run(args) == 0
    assert "wrote" in capsys.readouterr().out
    shipped, made = DATA / "workloads" / f"{name}.parquet", tmp_path / args.out
    table = pq.read_table(made)
    assert table["prompt_tokens"].to_pylist() == prompts.tolist()
    assert table["output_tokens"].to_pylist() == outputs.tolist()
    assert json.loads(table.schema.metadata[b"fastq"]) == metadata
    if pq.read_metadata(made).created_by == pq.read_metadata(shipped).created_by:
        assert made.read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize("name", REPLICAS)
def test_replicas_hold_settings_times_and_provenance(name):
    entry = document("replicas", name)
    assert set(entry) == {"replica", "iteration_time", "provenance"}
    assert entry["replica"]["kv_capacity_tokens"] % entry["replica"]["block_size"] == 0
    planes = entry["iteration_time"]["planes"]
    assert planes[0]["base_ms"] > 0
    assert all(value > 0 for plane in planes for value in plane.values())
    told = {"name", "source", "licence", "command", "timing", "fit", "missing", "kv_capacity", "limits"}
    assert set(entry["provenance"]) == told | {"gpus"}
    assert all(entry["provenance"].values())
    cards = re.search(r"x(\d)-", name)
    assert entry["provenance"]["gpus"] == (int(cards[1]) if cards else 1)


@pytest.mark.parametrize("name", REPLICAS)
def test_replicas_name_the_command_that_makes_them(name):
    told = document("replicas", name)["provenance"]
    command = shlex.split(told["command"])
    assert command[:2] == ["fastq", "calibrate"]
    assert command[-2:] == ["-o", f"{name}.toml"]
    assert "SHA-256" in told["source"]


@pytest.mark.parametrize("name", REBUILT)
def test_the_recorded_command_makes_the_replica_again(name, tmp_path, monkeypatch, capsys):
    source = TRACES / next(path for card, path in MEASUREMENTS.items() if name.startswith(card))
    if not source.is_dir():
        pytest.skip(f"the measurements of {name} are not on this machine (looked for {source})")
    shipped = document("replicas", name)
    (tmp_path / source.name).symlink_to(source)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(shipped["provenance"]["command"])[1:]) == 0
    assert "wrote" in capsys.readouterr().out
    made = tomllib.loads((tmp_path / f"{name}.toml").read_text(encoding="utf-8"))
    assert made["replica"] == shipped["replica"]
    assert len(made["iteration_time"]["planes"]) == len(shipped["iteration_time"]["planes"])
    for found, wanted in zip(
        made["iteration_time"]["planes"], shipped["iteration_time"]["planes"], strict=True
    ):
        assert found == pytest.approx(wanted, rel=1e-2)
    terms, wanted_terms = (
        {k: v for k, v in each["iteration_time"].items() if k != "planes"} for each in (made, shipped)
    )
    assert terms == pytest.approx(wanted_terms, rel=1e-2)
    assert made["provenance"]["source"] == shipped["provenance"]["source"]


@pytest.mark.parametrize(
    ("name", "per_card_reserve", "parameters", "cards", "bytes_per_token"),
    [
        ("a100-llama-3-8b", 3_758_096_384, 8_030_261_248, 1, 131_072),
        ("h100-llama-3-8b", 3_758_096_384, 8_030_261_248, 1, 131_072),
        ("a100x4-llama-3-70b", 3_758_096_384 + 411_041_792, 70_553_706_496, 4, 81_920),
    ],
)
def test_derived_kv_capacities_follow_from_their_arithmetic(
    name, per_card_reserve, parameters, cards, bytes_per_token
):
    left = 80 * 2**30 * 9 // 10 - 2 * parameters // cards - per_card_reserve
    blocks = left // (16 * bytes_per_token) - 1
    assert document("replicas", name)["replica"]["kv_capacity_tokens"] == 16 * blocks
    assert f"{left:,}" in document("replicas", name)["provenance"]["kv_capacity"]


@pytest.mark.parametrize("name", GRIDS)
def test_grids_load_and_every_point_is_feasible(name):
    from fastq.model.load import load_spec

    spec = load_spec(name)
    assert spec.title
    assert len(spec) == POINTS[name]
    assert spec.first_infeasible() is None
    assert spec.point(len(spec) - 1).index == len(spec) - 1
