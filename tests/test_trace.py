"""Traces: the three formats, the columns they may have, and what is wrong with a bad one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastq.errors import SpecError
from fastq.model.trace import read_trace
from fastq.model.trace_bulk import read_bulk

PROMPTS, OUTPUTS = [374, 396, 879], [44, 109, 55]
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
"""


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", newline="")
    return path


def assert_lengths(trace):
    assert trace.prompt_tokens.tolist() == PROMPTS
    assert trace.output_tokens.tolist() == OUTPUTS
    assert trace.prompt_tokens.dtype == trace.output_tokens.dtype == np.int32


@pytest.mark.parametrize(
    "content",
    [
        "prompt_tokens,output_tokens\n374,44\n396,109\n879,55\n",
        "prompt_tokens,output_tokens\r\n374,44\r\n396,109\r\n879,55",
        "\ufeffoutput_tokens, prompt_tokens ,user\n44,374,a\n\n109,396.0,b\n 55 ,879,c\n",
        '"prompt_tokens","output_tokens"\n"374","44"\n396,109\n879,55\n',
        AZURE,
        AZURE.replace("\n", "\r\n").rstrip(),
    ],
)
def test_csv(tmp_path, content):
    assert_lengths(read_trace(write(tmp_path / "trace.csv", content)))


def test_azure_timestamps_count_from_the_first_request(tmp_path):
    trace = read_trace(write(tmp_path / "trace.csv", AZURE))
    assert trace.arrival_s is not None
    assert trace.arrival_s.tolist() == pytest.approx([0, 4.314579, 4.541877], abs=1e-6)


def test_arrival_times_are_kept(tmp_path):
    trace = read_trace(
        write(
            tmp_path / "trace.csv",
            "arrival_s,prompt_tokens,output_tokens\n0.5,374,44\n1e1,396,109\n11,879,55\n",
        )
    )
    assert_lengths(trace)
    assert trace.arrival_s is not None
    assert trace.arrival_s.tolist() == [0.5, 10, 11]


def test_json_lines(tmp_path):
    rows = [
        {"prompt_tokens": prompt, "output_tokens": output, "user": "x"}
        for prompt, output in zip(PROMPTS, OUTPUTS, strict=True)
    ]
    content = "\n\n".join(map(json.dumps, rows))
    assert_lengths(read_trace(write(tmp_path / "trace.jsonl", content)))
    assert_lengths(read_trace(write(tmp_path / "trace.ndjson", content)))


@pytest.mark.parametrize("type_", [pa.int32(), pa.int64(), pa.uint16(), pa.float64()])
def test_parquet(tmp_path, type_):
    folder = tmp_path / "key=7"  # a folder that reads as a partition is none
    folder.mkdir()
    path = folder / "trace.parquet"
    pq.write_table(
        pa.table(
            {
                "output_tokens": pa.array(OUTPUTS, type_),
                "prompt_tokens": pa.array(PROMPTS, type_),
                "x": [1, 2, 3],
            }
        ),
        path,
    )
    assert_lengths(read_trace(path))


def test_parquet_with_timestamps(tmp_path):
    path = tmp_path / "trace.parquet"
    moments = pa.array([0, 1_500_000, 2_000_000], pa.timestamp("us"))
    pq.write_table(
        pa.table({"TIMESTAMP": moments, "ContextTokens": PROMPTS, "GeneratedTokens": OUTPUTS}), path
    )
    trace = read_trace(path)
    assert_lengths(trace)
    assert trace.arrival_s is not None
    assert trace.arrival_s.tolist() == [0, 1.5, 2]


def test_the_law_is_the_table_of_pairs(tmp_path):
    made = read_trace(write(tmp_path / "mine.csv", AZURE)).law()
    assert made.joint
    assert made.name == "mine.csv"
    assert made.prompt_tokens.tolist() == PROMPTS
    other = read_trace(write(tmp_path / "other.jsonl", '{"prompt_tokens": 374, "output_tokens": 44}')).law()
    assert other.digest != made.digest


ARRIVED = "arrival_s,prompt_tokens,output_tokens,user\n0.5,374,44,a\n1e1,396,109,b\n11,879,55,é\n"
OBJECTS = """{"prompt_tokens": 374, "output_tokens": 44, "arrival_s": 0.5}
{"arrival_s": 1, "prompt_tokens": 396, "output_tokens": 109, "user": null}
{"prompt_tokens": 879, "output_tokens": 55, "arrival_s": 11}
"""


def parquet(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def nanoseconds(zone):
    moments = [1_700_158_623_979_960_000, 1_700_158_624_031_960_999, 1_700_158_625_000_000_000]
    return parquet(
        TIMESTAMP=pa.array(moments, pa.timestamp("ns", zone)), ContextTokens=PROMPTS, output_tokens=OUTPUTS
    )


PLAIN = {
    "t.csv": ARRIVED,
    "bom.csv": "\ufeff" + ARRIVED.replace("\n", "\r\n"),
    "header.csv": ARRIVED.replace("arrival_s", '"arrival_s"', 1).replace("user", ' "user"', 1),
    "azure.csv": AZURE,
    "utc.csv": AZURE.replace("00,3", "00Z,3").replace("90,3", "90Z,3").replace("70,8", "70Z,8"),
    "t.jsonl": OBJECTS,
    "azure.jsonl": "\n".join(
        json.dumps(dict(zip(AZURE.split()[0].split(","), line.split(","), strict=True)))
        for line in AZURE.splitlines()[1:]
    ),
    "t.parquet": parquet(arrival_s=[0.5, 1.0, 11.0], prompt_tokens=PROMPTS, output_tokens=OUTPUTS),
    "float.parquet": parquet(
        arrival_s=[1, 2, 3], prompt_tokens=list(map(float, PROMPTS)), output_tokens=OUTPUTS
    ),
    "lengths.parquet": parquet(prompt_tokens=PROMPTS, output_tokens=OUTPUTS, user=["a", "b", "c"]),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_read_a_column_at_a_time_equals_the_rows(tmp_path, name):
    path = write(tmp_path / name, PLAIN[name])
    with path.open("rb") as file:
        assert read_bulk(path, file) is not None
    at_once = read_trace(path)
    with patch("fastq.model.trace.read_bulk", return_value=None):
        by_rows = read_trace(path)
    assert_lengths(at_once)
    assert_lengths(by_rows)
    assert (at_once.arrival_s is None) == (by_rows.arrival_s is None)
    if at_once.arrival_s is not None:
        assert at_once.arrival_s.dtype == by_rows.arrival_s.dtype == np.float64
        assert at_once.arrival_s.tolist() == by_rows.arrival_s.tolist()
    assert at_once.clock_start == by_rows.clock_start


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_timestamps_are_read_to_the_microsecond(tmp_path, zone):
    trace = read_trace(write(tmp_path / "t.parquet", nanoseconds(zone)))
    assert trace.clock_start == datetime(2023, 11, 16, 18, 17, 3, 979_960, tzinfo=UTC)
    assert trace.arrival_s is not None
    assert trace.arrival_s.tolist() == [0, 0.052, 1.02004]


HEADER = "prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("t.csv", "", ["prompt_tokens is missing", "line 1"]),
        ("t.csv", HEADER, ["no request"]),
        ("t.csv", "prompt_tokens,tokens\n1,2\n", ["output_tokens is missing", "prompt_tokens, tokens"]),
        (
            "t.csv",
            "prompt_tokens,prompt_tokens,output_tokens\n1,2,3\n",
            ["prompt_tokens appears more than once"],
        ),
        ("t.csv", HEADER + "5,6\n5,x\n", ["row 2 (line 3)", "output_tokens", "'x'"]),
        ("t.csv", HEADER + "5,6\n\n1.5,2\n", ["row 2 (line 4)", "prompt_tokens", "'1.5'"]),
        ("t.csv", HEADER + "-5,6\n", ["row 1 (line 2)", "prompt_tokens", "'-5'"]),
        ("t.csv", HEADER + "nan,6\n", ["row 1", "'nan'"]),
        ("t.csv", HEADER + "1_0,6\n", ["row 1", "'1_0'"]),
        ("t.csv", HEADER + ",6\n", ["row 1", "''"]),
        ("t.csv", HEADER + "1048577,6\n", ["row 1", "1,048,576"]),
        ("t.csv", HEADER + "0x1F,6\n", ["row 1", "'0x1F'"]),
        ("t.csv", "user," + HEADER + '"x,5,6\n', ["not CSV"]),
        ("t.csv", HEADER + "5\n", ["row 1", "1 values where the header has 2 columns"]),
        ("t.csv", HEADER + "5,6,7\n", ["row 1", "3 values"]),
        ("t.csv", HEADER + '5,"6\n', ["not CSV"]),
        ("t.csv", HEADER + "5,6\n5,0\n0,3\n", ["row 2 (line 3)", "output_tokens = '0'", "2 rows of 3"]),
        ("t.csv", HEADER.encode() + b"5,\xff\n", ["line 2", "UTF-8"]),
        ("t.csv", HEADER.encode("utf-16"), ["UTF-8"]),
        ("t.csv", "arrival_s," + HEADER + "inf,1,1\n", ["row 1", "arrival_s", "'inf'"]),
        ("t.csv", "TIMESTAMP," + HEADER + "soon,1,1\n", ["row 1", "TIMESTAMP", "'soon'"]),
        ("t.jsonl", "", ["no request"]),
        ("t.jsonl", "[1, 2]\n", ["row 1", "[1, 2]"]),
        ("t.jsonl", '{"prompt_tokens": 1, "output_tokens": 2}\n{"prompt', ["row 2 (line 2)", "not JSON"]),
        ("t.jsonl", '{"prompt_tokens": 1, "output_tokens": true}\n', ["row 1", "output_tokens = True"]),
        ("t.jsonl", '{"prompt_tokens": 1, "output_tokens": NaN}\n', ["row 1", "output_tokens = nan"]),
        ("t.jsonl", '{"prompt_tokens": 1, "output_tokens": null}\n', ["row 1", "output_tokens = None"]),
        ("t.jsonl", '{"prompt_tokens": 1}\n', ["row 1", "output_tokens is missing"]),
        (
            "t.jsonl",
            '{"prompt_tokens": 1, "output_tokens": 2}\n{"prompt_tokens": 1, "output_tokens": 2, "arrival_s": 3}',
            ["some rows have an arrival time"],
        ),
        ("t.jsonl", "[" * 100_000, ["row 1", "not JSON"]),
        ("t.parquet", b"", ["not a readable Parquet file"]),
        ("t.parquet", b"PAR1 and more PAR1", ["not a readable Parquet file"]),
        ("t.txt", "5,6", ["ends in one of", ".csv"]),
    ],
)
def test_bad_traces(tmp_path, name, content, shown):
    path = write(tmp_path / name, content)
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    for part in [str(path), *shown]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"prompt_tokens": [1, None], "output_tokens": [1, 1]}, ["row 2", "prompt_tokens = None"]),
        ({"prompt_tokens": [1, 0], "output_tokens": [1, 1]}, ["row 2", "prompt_tokens = 0"]),
        ({"prompt_tokens": [1.0, float("nan")], "output_tokens": [1, 1]}, ["row 2", "nan"]),
        ({"prompt_tokens": ["a"], "output_tokens": [1]}, ["row 1", "'a'"]),
        ({"prompt_tokens": [[1]], "output_tokens": [1]}, ["row 1", "[1]"]),
        ({"prompt_tokens": [1]}, ["output_tokens is missing"]),
    ],
)
def test_bad_parquet(tmp_path, columns, shown):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(SpecError) as caught:
        read_trace(path)
    for part in [str(path), *shown]:
        assert part in str(caught.value)


def test_truncated_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"prompt_tokens": list(range(1, 500)), "output_tokens": list(range(1, 500))}), path
    )
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(SpecError, match=r"t\.parquet"):
            read_trace(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(SpecError, match=r"no\.csv: the trace can't be read: No such file"):
        read_trace(tmp_path / "no.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SpecError, match=r"folder\.csv"):
        read_trace(tmp_path / "folder.csv")
