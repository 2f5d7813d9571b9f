"""Whatever a user gets wrong ends in a SpecError that says where: good specs and traces, broken at random."""

from __future__ import annotations

import copy
import datetime
import json
import tomllib
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastq.errors import SpecError
from fastq.model.feasibility import infeasible_reason
from fastq.model.load import load_spec, parse_spec
from fastq.model.trace import read_trace

GOOD = [
    """
title = "every kind of key"
[workload]
prompt_tokens = { uniform = [10, 1600] }
output_tokens = { lognormal = { mean = 200, cv = 1.5, max = 2000 } }
prompt_scale = 0.5
[arrivals]
process = "poisson"
rate_rps = [1.0, 3.0]
[slo]
ttft = { p50 = "200 ms", p99_9 = "2 s" }
e2e.p90 = "1 min"
[replica]
kv_capacity_tokens = 131_000
block_size = 16
max_num_seqs = "unlimited"
max_num_batched_tokens = 2048
prefill_chunk_tokens = 512
watermark = 0.01
max_model_len = 8192
[iteration_time]
planes = [{ base_ms = 12, prefill_token_us = 58, decode_seq_us = 43, kv_token_ns = 81, attention_ps = 3 }]
[scheduler]
preset = "vllm"
admission = "chunk"
preemption = "restart"
token_convention = "paper"
[run]
measure = ["boundary", "rates", "slo"]
seed = 1
replications = 8
requests = 20_000
warmup_requests = 1000
precision = 0.01
max_requests = 40_000
common_random_numbers = true
infeasible = "skip"
[grid]
"workload.output_scale" = { linear = [0.25, 4.0, 4] }
[grid.replica]
kv_capacity_tokens = { geometric = [16_000, 512_000, 8] }
block_size = [1, 16]
""",
    """
[workload]
catalogue = "azure-conv-2023"
[replica]
catalogue = "a100-llama-3-8b"
[[cases]]
name = "paper"
replica.prefill_chunk_tokens = 512
[cases.scheduler]
preset = "paper"
[[cases]]
name = "constant"
[cases.workload]
prompt_tokens = { geometric = { mean = 100 } }
output_tokens = { constant = 10 }
[cases.iteration_time]
constant = "37.2 ms"
[grid]
"replica.max_num_seqs" = [64, "unlimited"]
""",
]

JUNK = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            -1,
            2**20 + 1,
            2**31,
            2**63,
            2**64,
            10**30,
            -(10**400),
            10**5000,
            0.0,
            -0.0,
            0.5,
            1e-300,
            1e300,
            float("nan"),
            float("inf"),
            float("-inf"),
            "",
            " ",
            "unlimited",
            "37.2 ms",
            "1e999 s",
            "vllm",
            "a\0b",
            "~nobody-here/x.csv",
            "../../nothing.csv",
            b"bytes",
            [],
            [[]],
            {},
            [1, 2],
            [2, 1],
            [1, 2, 3],
            [1, 1],
            [None],
            {"uniform": [1, 5]},
            {"constant": 5},
            {"lognormal": {"mean": 1, "cv": 100, "max": 1}},
            {"geometric": {"mean": 1e6}},
            {"linear": [1, 2, 2]},
            {"linear": [1, 2, 10**9]},
            {"geometric": [0, 2, 5]},
            {"name": "x"},
            {1: 2},
            datetime.date(2023, 11, 16),
            object(),
        ]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(-5, 5) | st.text(max_size=3), max_size=3),
)


def containers(value, path=()):
    """List the paths of all entries of tables and lists."""
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    else:
        return []
    return [found for key, inner in entries for found in [(*path, key), *containers(inner, (*path, key))]]


def at(value, path):
    for key in path:
        value = value[key]
    return value


@st.composite
def broken_documents(draw):
    """Break a good document at one to three places: drop, replace, rename, add, move."""
    document = copy.deepcopy(tomllib.loads(draw(st.sampled_from(GOOD))))
    for _ in range(draw(st.integers(1, 3))):
        paths = containers(document)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        parent, key = at(document, path[:-1]), path[-1]
        action = draw(st.sampled_from(["drop", "replace", "replace", "rename", "add", "move"]))
        if action == "drop":
            del parent[key]
        elif action == "replace":
            parent[key] = copy.deepcopy(draw(JUNK))
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(draw(JUNK)))
        elif action == "rename":
            name = str(key)
            place = draw(st.integers(0, len(name) - 1)) if name else 0
            parent[name[:place] + draw(st.sampled_from(["", "x", "_", "."])) + name[place + 1 :]] = (
                parent.pop(key)
            )
        elif action == "add":
            parent[
                draw(st.text(max_size=8) | st.sampled_from(["name", "seed", "workload", "replica.catalogue"]))
            ] = copy.deepcopy(draw(JUNK))
        else:
            target = at(document, draw(st.sampled_from(paths))[:-1])
            if isinstance(target, dict):
                target[str(key)] = copy.deepcopy(parent[key])
    return document


def assert_usable(spec):
    """Use a spec as the rest of fastq does."""
    assert len(spec) >= 1
    for index in {0, len(spec) // 2, len(spec) - 1}:
        point = spec.point(index)
        assert min(point.law.prompt_tokens.min(), point.law.output_tokens.min()) >= 1
        assert max(point.law.prompt_tokens.max(), point.law.output_tokens.max()) <= 2**20
        infeasible_reason(point)
        json.dumps(point.axes, allow_nan=False)
    assert len(spec.hash) == 64
    assert all(resolved.value_text and resolved.origin for resolved in spec.resolved())


def outcome(read, *arguments, **options):
    """Return what a reader makes, or the SpecError that it raises; any other error is a failure."""
    try:
        return read(*arguments, **options)
    except SpecError as error:
        return error


def assert_told(error, source):
    assert source in error.source
    assert error.key
    assert error.message
    assert error.key in str(error)


@given(broken_documents())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_broken_documents(document):
    made = outcome(parse_spec, document, source="spec.toml", directory=Path("no such folder"))
    if isinstance(made, SpecError):
        assert_told(made, "spec.toml")
    else:
        assert_usable(made)


@pytest.mark.parametrize("text", GOOD)
def test_the_good_specs_are_good(text):
    assert_usable(parse_spec(tomllib.loads(text)))


def every_breakage():
    """Break each entry of the good documents in each of a few ways."""
    for number, text in enumerate(GOOD):
        for path in containers(tomllib.loads(text)):
            for value in (None, -1, "junk", [], {}, 10**400, float("nan"), object):
                yield number, path, value


def test_each_entry_broken_in_each_way():
    refused = 0
    for number, path, value in every_breakage():
        document = tomllib.loads(GOOD[number])
        parent = at(document, path[:-1])
        if value is object:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        made = outcome(parse_spec, document, source="spec.toml")
        if isinstance(made, SpecError):
            refused += 1
            assert_told(made, "spec.toml")
    assert refused > 400


def damaged(data, positions, replacement, cut):
    """Overwrite some bytes of a file and cut it."""
    changed = bytearray(data)
    for position in positions:
        if changed:
            changed[position % len(changed)] = replacement
    return bytes(changed[: len(changed) * cut // 100])


DAMAGE = {
    "positions": st.lists(st.integers(0, 10**6), max_size=4),
    "replacement": st.integers(0, 255) | st.sampled_from(list(b'"[]{}=,.\n\r#-x0')),
    "cut": st.just(100) | st.integers(0, 100),
}


@given(text=st.sampled_from(GOOD), **DAMAGE)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_spec_files(tmp_path, text, positions, replacement, cut):
    path = tmp_path / "spec.toml"
    path.write_bytes(damaged(text.encode(), positions, replacement, cut))
    made = outcome(load_spec, path)
    if isinstance(made, SpecError):
        assert str(path) in str(made)
    else:
        assert_usable(made)


@given(
    name=st.sampled_from(
        ["run.seed", "replica.block_size", "grid.replica.block_size", "title", "workload.trace"]
    )
    | st.text(max_size=20),
    value=st.text(max_size=20) | st.sampled_from(["[1]", "{ linear = [1, 2, 2] }", "1\n[x]", '"""', "1 # x"]),
)
@settings(max_examples=150, deadline=None)
def test_drawn_overrides(name, value):
    made = outcome(parse_spec, tomllib.loads(GOOD[0]), source="spec.toml", overrides=[(name, value)])
    if isinstance(made, SpecError):
        assert_told(made, "")
    else:
        assert_usable(made)


def good_trace(kind):
    rows = [(100 + row * 7 % 50, 1 + row * 13 % 40, row / 4) for row in range(30)]
    if kind == "parquet":
        sink = pa.BufferOutputStream()
        prompts, outputs, arrivals = zip(*rows, strict=True)
        table = pa.table({"prompt_tokens": prompts, "output_tokens": outputs, "arrival_s": arrivals})
        pq.write_table(table, sink, compression="none")
        return sink.getvalue().to_pybytes()
    if kind == "jsonl":
        keys = ("prompt_tokens", "output_tokens", "arrival_s")
        return "\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows).encode()
    if kind == "azure":
        lines = [
            f"2023-11-16 18:17:{row:02d}.9799600,{prompt},{output}"
            for row, (prompt, output, _) in enumerate(rows)
        ]
        return "\r\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode()
    return "\n".join(
        ["prompt_tokens,output_tokens,arrival_s", *(",".join(map(str, row)) for row in rows)]
    ).encode()


TRACES = {kind: good_trace(kind) for kind in ("csv", "azure", "jsonl", "parquet")}


@given(kind=st.sampled_from(sorted(TRACES)), **DAMAGE)
@example(kind="csv", positions=[], replacement=0, cut=100)
@example(kind="azure", positions=[], replacement=0, cut=100)
@example(kind="jsonl", positions=[], replacement=0, cut=100)
@example(kind="parquet", positions=[], replacement=0, cut=100)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_traces(tmp_path, kind, positions, replacement, cut):
    path = tmp_path / f"trace.{'csv' if kind == 'azure' else kind}"
    path.write_bytes(damaged(TRACES[kind], positions, replacement, cut))
    made = outcome(read_trace, path)
    if isinstance(made, SpecError):
        assert str(path) in made.source
        assert positions or cut < 100
    else:
        assert made.prompt_tokens.size == made.output_tokens.size >= 1
        assert made.prompt_tokens.min() >= 1
        assert made.output_tokens.min() >= 1
    with patch("fastq.model.trace.read_bulk", return_value=None):
        by_rows = outcome(read_trace, path)
    assert facts(made) == facts(by_rows)


def facts(made):
    """Return what can be compared of a trace, or of the error in its place."""
    if isinstance(made, SpecError):
        return str(made)
    times = None if made.arrival_s is None else made.arrival_s.tolist()
    return made.prompt_tokens.tolist(), made.output_tokens.tolist(), times, made.name, made.clock_start


CELLS = [
    "0",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e3",
    "",
    " ",
    "x",
    "1048577",
    "9" * 400,
    "٣",
    "1_000",
    '"',
    "true",
    "null",
]


@given(
    kind=st.sampled_from(["csv", "jsonl"]),
    row=st.integers(1, 29),
    column=st.sampled_from(["prompt_tokens", "output_tokens"]),
    cell=st.sampled_from(CELLS),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bad_cell_is_named_with_its_row(tmp_path, kind, row, column, cell):
    lines = TRACES[kind].decode().split("\n")
    number = row + (kind == "csv")
    if kind == "csv":
        cells = lines[row].split(",")
        cells[column == "output_tokens"] = cell
        lines[row] = ",".join(cells)
    else:
        entry = json.loads(lines[row - 1])
        text = json.dumps({**entry, column: "CELL"})
        lines[row - 1] = text.replace('"CELL"', cell)
    path = tmp_path / f"trace.{kind}"
    path.write_text("\n".join(lines), encoding="utf-8")
    if cell == "1e3":
        assert 1000 in (
            read_trace(path).prompt_tokens if column == "prompt_tokens" else read_trace(path).output_tokens
        )
        return
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    assert f"{number}" in caught.value.source.removeprefix(str(path)) or cell == '"'
