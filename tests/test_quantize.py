"""Quantised joint laws: what they keep of any trace, and the file and command that hold them."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from fastq.cli import workload
from fastq.errors import SpecError
from fastq.model.quantize import DEFAULT_ENTRIES, quantize
from fastq.model.workload_file import (
    Comparison,
    Origin,
    compare,
    kv_area_tokens,
    percentile_errors,
    write_workload,
)

LENGTH = st.one_of(st.integers(1, 20), st.integers(1, 200_000))
TRACES = st.lists(st.tuples(LENGTH, LENGTH), min_size=1, max_size=300)


def columns(pairs):
    return tuple(np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))


def pairs_of(prompts, outputs):
    return sorted(zip(prompts.tolist(), outputs.tolist(), strict=True))


@given(TRACES, st.integers(1, 200))
def test_tables_stay_within_the_trace(pairs, entries):
    prompts, outputs = columns(pairs)
    table = quantize(prompts, outputs, entries)
    assert table[0].size == table[1].size == min(entries, len(pairs))
    assert table[0].dtype == table[1].dtype == np.int32
    assert pairs_of(*table) == list(zip(table[0].tolist(), table[1].tolist(), strict=True))
    assert prompts.min() <= table[0].min()
    assert table[0].max() <= prompts.max()
    assert table[1].min() >= 1
    assert table[1].max() <= outputs.max()
    assert (table[0].astype(np.int64) + table[1]).max() <= (prompts + outputs).max()


@given(TRACES)
def test_a_trace_of_no_more_rows_than_entries_is_kept(pairs):
    assert pairs_of(*quantize(*columns(pairs), entries=len(pairs))) == sorted(pairs)
    assert pairs_of(*quantize(*columns(pairs))) == sorted(pairs)


@given(TRACES, st.integers(1, 100), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(pairs, entries, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert pairs_of(*quantize(*columns(pairs), entries)) == pairs_of(*quantize(*columns(shuffled), entries))


@given(TRACES, st.integers(2, 100))
def test_the_mean_prompt_is_kept_within_a_token_and_a_thousandth(pairs, entries):
    prompts, outputs = columns(pairs)
    table = quantize(prompts, outputs, entries)
    assert abs(table[0].mean() - prompts.mean()) <= 1.0 + 0.001 * prompts.mean()


@given(LENGTH, LENGTH, st.integers(1, 500), st.integers(1, 500))
def test_constant_lengths_stay(prompt, output, rows, entries):
    table = quantize(np.full(rows, prompt), np.full(rows, output), entries)
    assert set(zip(*(column.tolist() for column in table), strict=True)) == {(prompt, output)}


def draw_trace(rows, *, seed=1):
    generator = np.random.default_rng(seed)
    prompts = np.ceil(generator.lognormal(6.0, 1.0, rows)).astype(np.int64)
    outputs = np.ceil(generator.lognormal(4.0, 0.8, rows) * prompts**0.2).astype(np.int64)
    return prompts, outputs


@pytest.mark.parametrize("rows", [5_000, 100_000])
@pytest.mark.parametrize("chunk", [16, 512, 4096])
def test_means_kv_area_percentiles_and_correlation(rows, chunk):
    trace = draw_trace(rows)
    table = quantize(*trace)
    for column, sketch in zip(trace, table, strict=True):
        assert sketch.mean() == pytest.approx(column.mean(), rel=0.001)
    assert kv_area_tokens(*table, chunk) == pytest.approx(kv_area_tokens(*trace, chunk), rel=0.005)
    assert percentile_errors(trace, table) == {"prompt_tokens": 0, "output_tokens": 0}
    assert np.corrcoef(*table)[0, 1] == pytest.approx(np.corrcoef(*trace)[0, 1], abs=0.01)


def heavy_tail(kind, normal):
    """Lengths up to a million from a normal sample: lognormal of mean 500 and a cv, or Pareto."""
    name, parameter = kind
    if name == "lognormal":
        sigma = np.sqrt(np.log(1 + parameter**2))
        lengths = 500 * np.exp(sigma * normal - sigma**2 / 2)
    else:
        lengths = 30 * ndtr(-normal) ** (-1 / parameter)
    return np.clip(np.ceil(lengths), 1, 1_000_000).astype(np.int64)


@pytest.mark.parametrize(
    ("prompts_are", "outputs_are", "correlation"),
    [
        (("lognormal", 5), ("lognormal", 5), 0.0),
        (("lognormal", 5), ("lognormal", 5), 0.8),
        (("pareto", 1.1), ("pareto", 1.2), 0.0),
        (("pareto", 1.1), ("pareto", 0.9), 0.0),
        (("pareto", 0.8), ("lognormal", 1), 0.0),
        (("pareto", 1.5), ("pareto", 2.5), 0.6),
    ],
)
def test_heavy_tails_of_a_million_rows_keep_every_figure(tmp_path, prompts_are, outputs_are, correlation):
    generator = np.random.default_rng(11)
    normal, other = generator.standard_normal((2, 1_000_000))
    trace = (
        heavy_tail(prompts_are, normal),
        heavy_tail(outputs_are, correlation * normal + np.sqrt(1 - correlation**2) * other),
    )
    table = quantize(*trace)
    assert not [each for each in compare(trace, table) if not each.is_kept]
    assert max(percentile_errors(trace, table).values()) <= 1
    write_workload(tmp_path / "t.parquet", trace, table, Origin("heavy", "drawn", "none", "-"))
    assert (tmp_path / "t.parquet").stat().st_size <= 64 * 1024


def test_a_long_request_too_rare_for_an_entry_is_parted_rather_than_the_kv_area_falsified():
    """One prompt in 100 and one output in 100 are long, but not the same ones: both are long in 1 row of 10,000."""
    row = np.arange(100_000)
    trace = np.where(row % 100 == 0, 100_000, 1000), np.where(row // 100 % 100 == 0, 5000, 100)
    table = quantize(*trace, 500)
    assert kv_area_tokens(*table, 512) == pytest.approx(kv_area_tokens(*trace, 512), rel=0.1)
    assert (100_000, 5000) not in pairs_of(*table)


def test_what_is_kept():
    def kept(figure, trace, table):
        return Comparison(figure, trace, table).is_kept

    assert kept("kv_area_chunk_512_tokens", 1000.0, 1005.0)
    assert not kept("kv_area_chunk_512_tokens", 1000.0, 1005.1)
    assert kept("mean_output_tokens", 10.0, 11.0)
    assert not kept("mean_square_output_tokens", 10.0, 11.0)
    assert kept("p99_prompt_tokens", 20.0, 19.0)
    assert not kept("p99_prompt_tokens", 20.0, 18.0)
    assert kept("correlation", 0.0002, -0.0003)
    assert not kept("correlation", 0.5, 0.49)
    assert kept("correlation", None, None)
    assert kept("max_prompt_tokens", 1000.0, 10.0)


def test_outputs_follow_prompts_as_in_the_trace():
    prompts = np.repeat(np.arange(1, 1001), 20)
    outputs = np.where(prompts % 200 < 100, 10, 500) + np.tile(np.arange(20), 1000)
    table = quantize(prompts, outputs, 1000)
    expected = np.where(table[0] % 200 < 100, 10, 500)
    assert np.mean(np.abs(table[1] - expected) <= 20) > 0.8


def test_the_longest_request_is_kept():
    prompts, outputs = draw_trace(20_000)
    prompts, outputs = np.minimum(prompts, 3000), np.minimum(outputs, 800)
    prompts[7], outputs[7] = 3000, 801
    table = quantize(prompts, outputs)
    assert (3000, 801) in pairs_of(*table)


def test_an_outlier_is_left_out_rather_than_the_mean_falsified():
    prompts, outputs = draw_trace(50_000)
    prompts[3] = 1_000_000
    table = quantize(prompts, outputs, 1000)
    assert table[0].max() < 1_000_000
    assert table[0].mean() == pytest.approx(prompts.mean(), rel=0.001)


def test_a_million_rows_take_seconds():
    prompts, outputs = draw_trace(1_000_000)
    start = time.perf_counter()
    quantize(prompts, outputs)
    assert time.perf_counter() - start < 10.0


@pytest.mark.parametrize(
    ("prompts", "outputs", "entries", "message"),
    [
        ([], [], 4, "without rows"),
        ([1, 2], [1], 4, "two columns of one length"),
        ([1, 0], [1, 1], 4, "between 1 and"),
        ([1, 1], [1, -3], 4, "between 1 and"),
        ([1.5], [1], 4, "whole numbers"),
        ([1], [1], 0, "at least one entry"),
        ([[1]], [[1]], 4, "two columns"),
    ],
)
def test_bad_input_is_refused(prompts, outputs, entries, message):
    with pytest.raises(SpecError, match=message):
        quantize(np.array(prompts, dtype=None if prompts else np.int64), np.array(outputs), entries)


@settings(max_examples=50)
@given(st.integers(1, 300), st.integers(0, 50), st.integers(1, 64))
def test_kv_area_is_the_sum_over_iterations(prompt, output, chunk):
    output = max(output, 1)
    prefill = [min(tokens, prompt) for tokens in range(chunk, prompt + chunk, chunk)]
    decode = [prompt + token for token in range(1, output + 1)]
    assert kv_area_tokens([prompt], [output], chunk) == sum(prefill) + sum(decode)


def test_a_file_holds_table_origin_and_figures(tmp_path):
    trace = draw_trace(3000)
    table = quantize(*trace, 500)
    path = tmp_path / "made.parquet"
    written = write_workload(path, trace, table, Origin("made", "drawn", "none", "fastq workload ..."))
    read = pq.read_table(path)
    assert [str(field.type) for field in read.schema] == ["int32", "int32"]
    assert read["prompt_tokens"].to_pylist() == table[0].tolist()
    assert read["output_tokens"].to_pylist() == table[1].tolist()
    assert json.loads(read.schema.metadata[b"fastq"]) == written
    assert written["source"] == "drawn"
    assert written["rows"] == 3000
    assert written["entries"] == 500
    assert written["trace_maximum"]["prompt_tokens"] == trace[0].max()
    assert written["trace_maximum"]["total_tokens"] == (trace[0] + trace[1]).max()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_trace_gives_the_same_bytes(tmp_path):
    trace, origin = draw_trace(3000), Origin("made", "drawn", "none", "fastq workload ...")
    for name in ("a", "b"):
        write_workload(tmp_path / name, trace, quantize(*trace, 500), origin)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_constant_trace_has_no_correlation():
    constant = (np.full(9, 5), np.full(9, 6))
    (correlation,) = (each for each in compare(constant, constant) if each.figure == "correlation")
    assert correlation.trace is None
    assert correlation.relative_error is None


def parse(*words):
    parser = argparse.ArgumentParser()
    workload.add_parser(parser.add_subparsers())
    return parser.parse_args(["workload", *map(str, words)])


def test_the_command_writes_a_file_and_prints_its_errors(tmp_path, capsys):
    trace = tmp_path / "trace.csv"
    lines = [f"{prompt},{output}" for prompt, output in zip(*draw_trace(600), strict=True)]
    trace.write_text("prompt_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    out = tmp_path / "small.parquet"
    args = parse(
        trace, "--name", "small", "--out", out, "--entries", 50, "--source", "a b", "--licence", "MIT"
    )
    assert args.run(args) == 0
    printed = capsys.readouterr().out
    assert "kv_area_chunk_512_tokens" in printed
    assert "600" in printed
    metadata = json.loads(pq.read_schema(out).metadata[b"fastq"])
    assert metadata["command"] == (
        "fastq workload trace.csv --name small --out small.parquet --entries 50 --source 'a b' --licence MIT"
    )
    assert metadata["entries"] == 50


@pytest.mark.parametrize("out", ["small.csv", "missing/small.parquet"])
def test_the_command_refuses_a_bad_target(tmp_path, out):
    args = parse(tmp_path / "trace.csv", "--name", "small", "--out", tmp_path / out)
    with pytest.raises(SpecError, match="--out"):
        args.run(args)


def test_the_command_knows_the_default_of_the_library():
    args = parse("trace.csv", "--name", "small", "--out", "small.parquet")
    assert args.entries == DEFAULT_ENTRIES
