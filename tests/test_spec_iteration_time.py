"""Durations and planes of a spec are read exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import error_of, origins, point_of, spec_of

from fastq.model.duration import read_duration_ps
from fastq.model.iteration_time import Plane
from fastq.model.reading import Place


@pytest.mark.parametrize(
    ("text", "duration_ps"),
    [
        ("37.2 ms", 37_200_000_000),
        ("37.2ms", 37_200_000_000),
        (" 0.0372 s ", 37_200_000_000),
        ("37200 us", 37_200_000_000),
        ("37200 µs", 37_200_000_000),
        ("37200 μs", 37_200_000_000),
        ("3.72e7 ns", 37_200_000_000),
        ("0.5 min", 30 * 10**12),
        ("1.0005 ns", 1001),  # 1000.5 ps, halves up
        ("1.00049999 ns", 1000),
        (".1 ms", 100_000_000),
    ],
)
def test_durations_are_exact(text, duration_ps):
    assert read_duration_ps(text, Place("spec.toml", "iteration_time.constant")) == duration_ps


@given(st.decimals("0.000000001", "999", places=9))
def test_durations_are_exact_decimals(number):
    expected = Fraction(number) * 10**9
    assert read_duration_ps(f"{number} ms", Place("")) == int(expected + Fraction(1, 2))


@pytest.mark.parametrize(
    "value",
    [
        "37.2",
        "ms",
        "37.2 msec",
        "-1 ms",
        "0 ms",
        "0.4 ps",
        "17 min",
        "1e9 s",
        "1,5 ms",
        "nan s",
        "",
        37.2,
        37,
        None,
    ],
)
def test_bad_durations(value):
    error = error_of(iteration_time={"constant": value})
    assert error.key == "iteration_time.constant"
    assert "37.2 ms" in str(error)


def test_planes_are_exact():
    plane = {"base_ms": 11.86, "prefill_token_us": 57.716, "kv_token_ns": 80.583, "attention_ps": 3484.5}
    times = point_of(iteration_time={"planes": [plane, {"base_ms": 1}]}).iteration_time
    assert times.planes == (Plane(11_860_000_000, 57_716_000, 0, 80_583, 3485), Plane(10**9))
    text = origins(spec_of(iteration_time={"planes": [plane, {"base_ms": 1}]}))["iteration_time.planes"][0]
    assert text == "max(11.86 ms + 57.716 us P + 80.583 ns K + 3485 ps A, 1 ms)"


@pytest.mark.parametrize(
    ("planes", "key", "shown"),
    [
        ([], "iteration_time.planes", "list of 1 to 8"),
        ([{"base_ms": 1}] * 9, "iteration_time.planes", "list of 1 to 8"),
        ([{}], "iteration_time.planes", "base_ms > 0"),
        ([{"base_ms": 0}, {"decode_seq_us": 1}], "iteration_time.planes", "base_ms > 0"),
        ([{"base_ms": -1}], "iteration_time.planes[0].base_ms", ">= 0"),
        ([{"base_s": 1}], "iteration_time.planes[0].base_s", "did you mean base_ms"),
        ([{"base_ms": "1 ms"}], "iteration_time.planes[0].base_ms", "number"),
        ([{"base_ms": 1, "kv_token_ns": 1e9}], "iteration_time", "less than 1,000 s"),
    ],
)
def test_bad_planes(planes, key, shown):
    error = error_of(iteration_time={"planes": planes})
    assert error.key == key
    assert shown in str(error)


def test_planes_without_a_base_are_fine_where_no_batch_is_free():
    point = point_of(iteration_time={"planes": [{"prefill_token_us": 1}, {"kv_token_ns": 1}]})
    assert point.iteration_time.planes[0] == Plane(prefill_token_ps=10**6)
