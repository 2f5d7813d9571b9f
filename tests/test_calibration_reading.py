"""Logs are read whatever their columns are called, and bad ones are refused with the reason and the place."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastq.calibration.iteration_log import PREFILL_SEQS, held_against
from fastq.calibration.log_checks import check_log
from fastq.calibration.log_columns import read_log
from fastq.calibration.splitwise import is_splitwise, read_splitwise
from fastq.calibration.vllm_log import read_vllm_log
from fastq.errors import SpecError

ROWS = 20
COLUMNS = {
    "prefill_tokens": [0 if row % 2 else 16 * row + 1 for row in range(ROWS)],
    "decode_seqs": [row + 1 for row in range(ROWS)],
    "kv_tokens": [100 * (row + 1) + row * row for row in range(ROWS)],
    "seconds": [0.01 + 0.001 * row for row in range(ROWS)],
}
THEIRS = {
    "prefill_tokens": "num_prefill_tokens",
    "decode_seqs": "num_decode_seqs",
    "kv_tokens": "total_kv_tokens",
    "seconds": "step_time_ms",
}


def columns(**changed):
    return {name: values for name, values in {**COLUMNS, **changed}.items() if values is not None}


def write_csv(path, table):
    lines = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path, renamed=(), kept=()):
    return read_log(path, dict(renamed), dict(kept))


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_every_format_holds_the_same_log(tmp_path, ending):
    path = tmp_path / f"log{ending}"
    table = columns(attention=[float(row) for row in range(ROWS)], note=["x"] * ROWS)
    if ending == ".csv":
        write_csv(path, table)
    elif ending == ".parquet":
        pq.write_table(pa.table(table), path)
    else:
        entries = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    log = read(path)
    assert log.prefill_tokens.tolist() == COLUMNS["prefill_tokens"]
    assert log.decode_seqs.tolist() == COLUMNS["decode_seqs"]
    assert log.kv_tokens.tolist() == COLUMNS["kv_tokens"]
    assert log.attention is not None
    assert log.attention.tolist() == table["attention"]
    assert log.seconds == pytest.approx(COLUMNS["seconds"])
    assert log.rows == ROWS
    assert [each.name for each in log.files] == [path.name]
    assert len(log.files[0].sha256) == 64


def test_common_names_and_units_are_known(tmp_path):
    table = {THEIRS[name]: values for name, values in COLUMNS.items()}
    table["num_ctx_requests"] = [2] * ROWS
    log = read(write_csv(tmp_path / "log.csv", table))
    assert log.seconds == pytest.approx(np.array(COLUMNS["seconds"]) / 1000)
    assert log.attention is None
    assert log.extras[PREFILL_SEQS].tolist() == [2.0] * ROWS


@pytest.mark.parametrize(
    ("ours", "theirs", "unit_s"),
    [("seconds", "t", 1), ("time_us", "t", 1e-6), ("seconds", "wall_ms", 1e-3), ("time_s", "wall_ms", 1)],
)
def test_columns_can_be_named_and_their_unit_with_them(tmp_path, ours, theirs, unit_s):
    path = write_csv(tmp_path / "log.csv", columns(seconds=None, **{theirs: COLUMNS["seconds"]}))
    assert read(path, {ours: theirs}).seconds == pytest.approx(unit_s * np.array(COLUMNS["seconds"]))


def test_rows_can_be_chosen(tmp_path):
    path = write_csv(tmp_path / "log.csv", columns(card=["a", "b"] * (ROWS // 2)))
    assert read(path, kept={"card": "b"}).decode_seqs.tolist() == COLUMNS["decode_seqs"][1::2]
    with pytest.raises(SpecError, match="no row has this value; the column holds a, b"):
        read(path, kept={"card": "c"})
    with pytest.raises(SpecError, match="no such column"):
        read(path, kept={"cards": "a"})


@pytest.mark.parametrize(
    ("changed", "renamed", "message"),
    [
        ({"kv_tokens": None}, {}, "kv_tokens: this column is missing .*--column kv_tokens=THEIRS"),
        ({"seconds": None}, {}, "the iteration time is missing .*--column time_ms=THEIRS"),
        ({"time_ms": [1.0] * ROWS}, {}, "several columns could be the iteration time: seconds, time_ms"),
        (
            {"decode_seqs": None, "decode_tokens": [1] * ROWS, "num_decode_seqs": [1] * ROWS},
            {},
            "several columns could be decode_seqs: num_decode_seqs, decode_tokens",
        ),
        ({}, {"time_ms": "seconds", "seconds": "seconds"}, "given more than once, as seconds and as time_ms"),
        ({}, {"kv_token": "x"}, "must be OURS=THEIRS .*did you mean kv_tokens"),
        ({}, {"kv_tokens": "x"}, "there is no such column"),
        (
            {"kv_tokens": [100, "many", *[100] * (ROWS - 2)]},
            {},
            r"row 2 \(line 3\): kv_tokens = 'many': must be a finite",
        ),
        (
            {"kv_tokens": [100, -1, *[100] * (ROWS - 2)]},
            {},
            r"row 2 \(line 3\): kv_tokens = -1.0: must be a number >= 0",
        ),
        (
            {"seconds": [0.1, 0, *[0.1] * (ROWS - 2)]},
            {},
            r"row 2 \(line 3\): seconds = '0': an iteration takes more",
        ),
        ({"seconds": [-0.1] * ROWS}, {}, r"row 1 .*\(20 rows of 20\)"),
        ({"seconds": ["nan"] * ROWS}, {}, "must be a finite number"),
    ],
)
def test_bad_columns_are_named(tmp_path, changed, renamed, message):
    with pytest.raises(SpecError, match=message):
        read(write_csv(tmp_path / "log.csv", columns(**changed)), renamed)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("log.csv", b"a,b\n1\n", "1 values where the header has 2 columns"),
        ("log.csv", b"a,a\n1,2\n", "appears more than once"),
        ("log.csv", b"a,b\n", "holds no row"),
        ("log.csv", b"\xff\xfe\n", "not text in UTF-8"),
        ("log.jsonl", b'{"a": 1}\n{"b": 1}\n', "some lines have this key"),
        ("log.jsonl", b"[1]\n", "must be an object"),
        ("log.jsonl", b"{\n", "not JSON"),
        ("log.parquet", b"PAR1", "not a readable Parquet file"),
        ("log.parquet", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ("log.xlsx", b"", "ends in one of .csv"),
    ],
)
def test_bad_files_are_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SpecError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "factor", "renamed", "message"),
    [
        ("seconds", 1e3, {}, "seconds: .* milliseconds read as seconds.*: --column time_ms=seconds$"),
        ("seconds", 1e6, {}, "microseconds read as seconds.*: --column time_us=seconds$"),
        ("seconds", 1e9, {}, "nanoseconds read as seconds.*: --column time_ns=seconds$"),
        (
            "step_time_s",
            1e3,
            {},
            "step_time_s: .* milliseconds read as seconds.*: --column time_ms=step_time_s$",
        ),
        ("step_time_ms", 1, {}, " seconds read as milliseconds.*: --column time_s=step_time_ms$"),
        ("step_time_ms", 1e6, {}, "microseconds read as milliseconds.*: --column time_us=step_time_ms$"),
        ("t", 1e3, {"seconds": "t"}, "milliseconds read as seconds.*: --column time_ms=t$"),
        ("t", 1e3, {"time_ns": "t"}, "milliseconds read as nanoseconds.*: --column time_ms=t$"),
        ("seconds", 1e-6, {}, "read as seconds, and in no other unit would the numbers be iterations"),
        ("step_time_ms", 1e-6, {}, "read as milliseconds, and in no other unit"),
    ],
)
def test_times_in_another_unit_are_refused_with_the_one_that_fits(tmp_path, name, factor, renamed, message):
    times = [factor * each for each in COLUMNS["seconds"]]
    path = write_csv(tmp_path / "log.csv", columns(**{"seconds": None, name: times}))
    with pytest.raises(SpecError, match=message) as refused:
        check_log(read(path, renamed))
    assert str(refused.value).count("read as") == 1
    if (advised := str(refused.value).rpartition("--column ")[2]) != str(refused.value):
        ours, _, theirs = advised.partition("=")
        check_log(read(path, {ours: theirs}))


def test_times_of_a_form_of_its_own_have_no_unit_to_name(tmp_path):
    path = tmp_path / "server.log"
    path.write_text("".join([PRINTED, *(line.replace(" time: ", " time: 9000") for line in vllm_lines())]))
    with pytest.raises(
        SpecError, match=r"iterations take 200 µs to 5 s: is the file .* vLLM iteration log"
    ) as refused:
        check_log(read_vllm_log(path, None, 16))
    assert "--column" not in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"seconds": [30_000.0, *COLUMNS["seconds"][1:]]},
            "row 1: seconds: an iteration of 3e\\+04 s .1 rows",
        ),
        ({"seconds": [3e-9, *COLUMNS["seconds"][1:]]}, "an iteration of 3 ns"),
        ({"prefill_tokens": [0] * ROWS, "decode_seqs": [0] * ROWS}, "an empty batch is no iteration"),
        ({"kv_tokens": [1] * ROWS}, "the sum over the decoding requests, not the mean .19 rows of 20"),
        (
            {name: values[:1] * ROWS for name, values in COLUMNS.items()},
            "all 20 rows are one and the same batch",
        ),
        (
            {name: values[:4] * 5 for name, values in COLUMNS.items()},
            "only 4 different batches among 20 rows",
        ),
    ],
)
def test_logs_that_can_not_be_fitted_are_refused(tmp_path, changed, message):
    with pytest.raises(SpecError, match=message):
        check_log(read(write_csv(tmp_path / "log.csv", columns(**changed))))


def test_batches_beyond_the_capacity_are_noted(tmp_path):
    log = read(write_csv(tmp_path / "log.csv", COLUMNS))
    held = held_against(log, 1000)
    assert held.rows == ROWS
    assert held.notes[-1].startswith("11 batches hold more than the given capacity of 1,000 KV tokens")
    assert held_against(log, 10**6) is log
    assert held_against(log, None) is log


ITERATION = (
    "INFO 10-05 12:00:{second:02d} [loggers.py:182] Engine 000: Iteration({second}): {prompts} context "
    "requests, {prefill} context tokens, {decode} generation requests, {generated} generation tokens, iteration "
    "elapsed time: {ms:.2f} ms{rest}\n"
)


def vllm_lines(rest=", GPU KV cache usage: {usage:.1f}%", drafted=0):
    lines = []
    for second in range(20):
        prefill = 0 if second % 3 else 100 + second
        lines.append(
            ITERATION.format(
                second=second,
                prompts=int(prefill > 0),
                prefill=prefill,
                decode=second,
                generated=second + drafted,
                ms=10 + second,
                rest=rest.format(usage=second / 2),
            )
        )
    return lines


PRINTED = "INFO 10-05 11:59:00 [kv_cache_utils.py:868] GPU KV cache size: 100,016 tokens\n"
PERIODIC = (
    "INFO 10-05 12:00:09 [loggers.py:127] Engine 000: Avg prompt throughput: 10.0 tokens/s, Avg generation "
    "throughput: 90.1 tokens/s, Running: 3 reqs, Waiting: 0 reqs, GPU KV cache usage: 1.2%\n"
)


def test_the_iterations_of_a_vllm_log_are_read(tmp_path):
    path = tmp_path / "server.log"
    dummy = ITERATION.format(second=0, prompts=0, prefill=0, decode=0, generated=0, ms=1, rest=" (dummy)")
    path.write_text(
        "".join([PRINTED, *vllm_lines(), PERIODIC, dummy, "INFO Asynchronous scheduling is enabled.\n"])
    )
    log = read_vllm_log(path, None, 16)
    assert log.rows == 20
    assert log.kv_capacity_tokens == 100_000
    assert log.seconds == pytest.approx((10 + np.arange(20)) / 1000)
    assert log.decode_seqs.tolist() == list(range(20))
    assert log.prefill_tokens[:4].tolist() == [100, 0, 0, 103]
    assert log.kv_tokens[:4].tolist() == [0, 500, 1000, 1500 - 103]
    assert log.attention is None
    assert any("1 lines of empty or dummy" in note for note in log.notes)
    assert any("asynchronously" in note for note in log.notes)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [PRINTED, PERIODIC],
            "the periodic lines of vLLM tell throughputs over seconds.*--enable-logging-iteration-details",
        ),
        (["nothing\n"], "no line of an iteration"),
        ([PRINTED, *vllm_lines(rest="")], "20 of 20 lines of iterations lack 'GPU KV cache usage'"),
        (vllm_lines(), "give --kv-capacity-tokens"),
        ([PRINTED, *vllm_lines(drafted=3)], "speculative decoding"),
    ],
)
def test_vllm_logs_that_tell_too_little_are_refused(tmp_path, lines, message):
    path = tmp_path / "server.log"
    path.write_text("".join(lines))
    with pytest.raises(SpecError, match=message):
        read_vllm_log(path, None, 16)


def test_a_row_of_splitwise_is_two_iterations(tmp_path):
    table = {
        "model": ["m", "m", "n"],
        "hardware": ["a", "a", "a"],
        "tensor_parallel": [2, 2, 2],
        "prompt_size": [512, 128, 1],
        "batch_size": [2, 4, 1],
        "token_size": [127, 63, 1],
        "prompt_time": [200.0, 100.0, 1.0],
        "token_time": [50.0, 40.0, 1.0],
    }
    path = write_csv(tmp_path / "perf_model.csv", table)
    assert is_splitwise(path)
    log = read_splitwise(path, {"model": "m"})
    assert log.prefill_tokens.tolist() == [1024, 512, 0, 0]
    assert log.decode_seqs.tolist() == [0, 0, 2, 4]
    assert log.kv_tokens.tolist() == [0, 0, 2 * (512 + 64), 4 * (128 + 32)]
    assert log.attention is not None
    assert log.attention.tolist() == [512 * 512, 2 * 128 * 128, 0, 0]
    assert log.seconds == pytest.approx([0.2, 0.1, 0.05, 0.04])
    with pytest.raises(SpecError, match="of several: m, n; choose one with --where model=m"):
        read_splitwise(path, {})
