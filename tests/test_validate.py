"""``fastq validate``: every shipped measurement beside its prediction, in four forms, and how errors are counted."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fastq.cli.main import main
from fastq.engine.validation import AIMS, Comparison, Prediction, compare
from fastq.errors import SpecError
from fastq.model.load import load_spec
from fastq.model.validation_file import KINDS, Measurement, load_measurements, read_measurements

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
[source]
name = "someone"
citation = "Someone, 2026."
system = "A machine."
open = "Much."

"""
ROW = """\
[[rows]]
kind = "end to end"
what = "a queue"
quantity = "throughput"
unit = "requests/s"
measured = 16_000
grid = "known-answers"
where = { case = "bulk service" }
column = "service_rate_rps"
closed_form = "theory_rate_rps"
"""
QUICK = (("run.requests", "200"), ("run.replications", "4"), ("run.warmup_requests", "50"))


def read(tmp_path: Path, text: str) -> tuple[Measurement, ...]:
    path = tmp_path / "rows.toml"
    path.write_text(text, encoding="utf-8")
    return read_measurements(path)


def quick(measurement: Measurement) -> Measurement:
    return replace(measurement, overrides=(*measurement.overrides, *QUICK))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every row that ships, as the command writes it."""
    path = tmp_path_factory.mktemp("validate") / "rows.json"
    assert main(["validate", "-o", str(path)]) == 0
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["aims"] == AIMS
    shipped: list[dict[str, Any]] = document["rows"]
    return shipped


def test_every_measurement_has_its_row_and_a_command_that_can_be_read(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(load_measurements())
    assert [row["row"] for row in rows] == list(range(1, len(rows) + 1))
    assert [KINDS.index(row["kind"]) for row in rows] == sorted(KINDS.index(row["kind"]) for row in rows)
    for row in rows:
        words = shlex.split(row["command"])
        assert words[:2] == ["fastq", "simulate"]
        overrides = [tuple(text.split("=", 1)) for text in words[4::2]]
        assert max(row["points"]) < len(load_spec(words[2], overrides))


def test_exact_answers_are_met_within_a_percent(rows: list[dict[str, Any]]) -> None:
    exact = [row for row in rows if row["kind"] == "exact"]
    assert len(exact) == 9
    for row in exact:
        assert row["within"] == "yes", row
        assert max(abs(row["error_low"]), abs(row["error_high"])) < 0.01


def test_where_the_start_decides_both_known_rates_are_found(rows: list[dict[str, Any]]) -> None:
    (row,) = (row for row in rows if row["system"] == "two-token cycle, restart")
    assert (row["measured_low"], row["measured_high"]) == (3000, 4000)
    assert row["fastq_low"] == pytest.approx(3000, rel=1e-3)
    assert row["fastq_high"] == pytest.approx(4000, rel=1e-3)


def test_the_measured_run_is_met_given_its_iteration_time(rows: list[dict[str, Any]]) -> None:
    given = [
        row for row in rows if row["system"].startswith("RTX") and row["kind"] in ("counts", "throughput")
    ]
    assert {row["column"] for row in given} == {"mean_running", "mean_kv_tokens", "service_rate_rps"}
    for row in given:
        assert row["within"] == "yes", row
        assert row["points"] == [0, 1]


def test_unreported_settings_make_a_range(rows: list[dict[str, Any]]) -> None:
    (row,) = (row for row in rows if row["system"] == "A100, 2:1")
    values = [each["fastq"] for each in row["predictions"]]
    assert len(values) == 4
    assert row["fastq_low"] == min(each["low"] for each in row["predictions"])
    assert row["fastq_high"] == max(each["high"] for each in row["predictions"])
    assert row["error_low"] == pytest.approx(min(values) / 3.65 - 1)
    assert row["error_high"] == pytest.approx(max(values) / 3.65 - 1)
    assert row["within"] == "by setting"


def test_replicas_multiply_a_rate_and_its_closed_form(rows: list[dict[str, Any]]) -> None:
    one, eight = (
        next(row for row in rows if row["kind"] == "end to end" and row["system"].startswith(name))
        for name in ("A100, 1:1", "8 A100")
    )
    for name in ("fastq_low", "fastq_high", "closed_form_low", "closed_form_high"):
        assert eight[name] == pytest.approx(8 * one[name])


@pytest.mark.parametrize(
    ("kind", "measured", "values", "word"),
    [
        ("end to end", (10.0, 10.0), [11.0], "yes"),
        ("end to end", (10.0, 10.0), [11.0, 12.0], "by setting"),
        ("end to end", (10.0, 10.0), [8.0, 12.0], "by setting"),
        ("end to end", (10.0, 10.0), [12.0, 13.0], "no"),
        ("end to end", (8.0, 12.0), [11.0], "yes"),
        ("throughput", (10.0, 10.0), [11.0], "no"),
        ("counts", "tokens", ["tokens", "tokens"], "yes"),
        ("counts", "tokens", ["tokens", "kv"], "by setting"),
        ("counts", "tokens", ["kv"], "no"),
    ],
)
def test_whether_an_aim_is_met(
    tmp_path: Path, kind: Any, measured: Any, values: list[float | str], word: str
) -> None:
    (measurement,) = read(tmp_path, SOURCE + ROW)
    predictions = tuple(
        Prediction(
            point,
            value,
            None if isinstance(value, str) else value,
            None if isinstance(value, str) else value,
            None,
        )
        for point, value in enumerate(values)
    )
    comparison = Comparison(replace(measurement, kind=kind, measured=measured), predictions)
    assert comparison.holds == word
    assert comparison.closed_form_errors is None
    assert math.isinf(comparison.largest_error) == (
        len(set(values) - {measured}) > 0 and isinstance(measured, str)
    )


def test_an_error_beyond_the_limit_exits_1_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (measurement,) = read(tmp_path, SOURCE + ROW)
    far = replace(quick(measurement), measured=(20_000.0, 20_000.0))
    exact = replace(far, kind="exact")
    for shown, limit, status in ((far, "0.15", 1), (far, "0.25", 0), (exact, "0.15", 0)):
        monkeypatch.setattr("fastq.model.validation_file.load_measurements", lambda shown=shown: (shown,))
        assert main(["validate", "--fail-beyond", limit]) == status
        done = capsys.readouterr()
        assert "-20.0%" in done.out
        assert ("a queue, throughput (20.0%)" in done.err) == (status == 1)


def test_the_forms_hold_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (measurement,) = read(tmp_path, SOURCE + ROW)
    monkeypatch.setattr("fastq.model.validation_file.load_measurements", lambda: (quick(measurement),))
    for form, ending in (("markdown", ".md"), ("json", ".json"), ("csv", ".csv"), (None, ".txt")):
        assert main(["validate", *([f"--{form}"] if form else [])]) == 0
        printed = capsys.readouterr().out
        path = tmp_path / f"report{ending}"
        assert main(["validate", "-o", str(path)]) == 0
        assert path.read_text(encoding="utf-8") == printed
        assert capsys.readouterr().out == ""
        assert "fastq simulate known-answers" in printed
    (row,) = csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text(encoding="utf-8")))
    (same,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["rows"]
    assert float(row["fastq_low"]) == same["fastq_low"] == pytest.approx(16_000)
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3
    assert len({line.count("|") for line in table}) == 1
    assert list(tmp_path.glob(".*")) == []


def test_a_directory_that_is_not_there_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "-o", str(tmp_path / "none" / "report.md")]) == 2
    assert "no such directory" in capsys.readouterr().err
    assert main(["validate", "-o", str(tmp_path)]) == 2
    assert "give the name of a file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["validate", "--fail-beyond", "15%"])
    assert stopped.value.code == 2
    assert "as 0.15 for 15%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "end to end"', 'kind = "end"', "did you mean|must be one of counts"),
        ("measured = 16_000", "measured = [2, 1]", "in order"),
        ("measured = 16_000", "measured = [1, 2, 3]", "the two ends of a range"),
        ("measured = 16_000", "measured = 0", "above 0"),
        ('grid = "known-answers"', 'grid = "known-answer"', "did you mean known-answers"),
        ('what = "a queue"', 'wath = "a queue"', "unknown key; did you mean what"),
        ('what = "a queue"', 'what = ""', "must be a text"),
        ('quantity = "throughput"\n', "", "quantity is missing"),
        ('column = "service_rate_rps"', 'column = "service_rate_rps"\nload = 1\nrate_rps = 1', "together"),
    ],
)
def test_rows_that_mean_nothing_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        read(tmp_path, SOURCE + ROW.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bulk service", "bulk", "no point of grid known-answers"),
        ("service_rate_rps", "service_rate", "no such column; there are: .*service_rate_rps"),
        ('column = "service_rate_rps"', 'column = "throughput_rps"\nload = 0.7', "nothing runs at this rate"),
    ],
)
def test_rows_that_name_what_is_not_there_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    (measurement,) = read(tmp_path, SOURCE + ROW.replace(old, new))
    with pytest.raises(SpecError, match=words):
        compare([quick(measurement)], threads=1)
