"""Two data sets compared: which points are the same, what moved, what is said of it, and how the command ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from small_spec import SMALL

import fastq
from fastq.cli.main import main
from fastq.engine.sweep import sweep

GRID = """\
[grid]
"replica.kv_capacity_tokens" = [1000, 2000, 4000]
"replica.max_num_seqs" = [4, "unlimited"]
"""
RUN = (("run.replications", "6"), ("run.requests", "1000"))

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Sweep a small spec with overrides; each once."""
    home = tmp_path_factory.mktemp("compared")
    done: dict[object, Path] = {}

    def make(*overrides: tuple[str, str], text: str = GRID) -> Path:
        key = overrides, text
        if key not in done:
            spec = home / "spec.toml"
            spec.write_text(f'title = "small"\n{SMALL}{text}')
            done[key] = home / f"set-{len(done)}"
            fastq.sweep(fastq.load(spec, (*RUN, *overrides)), done[key], workers=1, threads=1)
        return done[key]

    return make


def edited(source: Path, target: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> Path:
    """A copy of a data set in which one table is another."""
    if source != target:
        shutil.copytree(source, target)
    for path in (target / table).glob("*.parquet"):
        found = pq.read_table(path, partitioning=None)
        pq.write_table(change(found).replace_schema_metadata(found.schema.metadata), path)
    return target


def with_values(name: str, of: Callable[[dict[str, Any]], Any]) -> Callable[[pa.Table], pa.Table]:
    """A column of a table made from its rows."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array([of(row) for row in table.to_pylist()], field.type))

    return change


def rows_of(found: fastq.Comparison, finding: str) -> list[dict[str, Any]]:
    return [row for row in found.points.to_pylist() if row["finding"] == finding]


def test_a_data_set_is_exactly_itself(made: Made) -> None:
    found = fastq.compare(made(), made())
    assert found.findings == {"equal": 6, "within": 0, "unclear": 0, "moved": 0}
    assert (found.moved, found.unclear, found.same_spec, found.paired) == (False, False, True, True)
    assert found.points["difference"].to_pylist() == [0.0] * 6
    assert set(found.points["judged_by"].to_pylist()) == {"equality"}
    assert found.changes.num_rows == found.only_old.num_rows == found.only_new.num_rows == 0
    assert found.settings == ()


def test_the_difference_is_that_of_the_columns_and_pairs_are_sharper(made: Made) -> None:
    found = fastq.compare(made(), made(("scheduler.preemption", '"restart"')), tolerance=0.0)
    old, new = (fastq.read(side.location) for side in (found.old, found.new))
    assert [(change.key, change.old, change.new) for change in found.settings] == [
        ("scheduler.preemption", "recompute", "restart")
    ]
    columns = (table["service_rate_rps"].to_pylist() for table in (old, new))
    expected = [after / before - 1 for before, after in zip(*columns, strict=True)]
    assert found.points["difference"].to_pylist() == pytest.approx(expected, abs=1e-12)
    pairs = [row for row in found.points.to_pylist() if row["judged_by"] == "pairs"]
    assert pairs
    for row in pairs:
        halves = [
            (table["service_rate_high_rps"][point].as_py() - table["service_rate_low_rps"][point].as_py())
            / (2 * table["service_rate_rps"][point].as_py())
            for table, point in ((old, row["old_point"]), (new, row["new_point"]))
        ]
        half = (row["difference_high"] - row["difference_low"]) / 2
        assert half < (halves[0] ** 2 + halves[1] ** 2) ** 0.5


def test_another_capacity_moves_what_memory_binds(made: Made) -> None:
    slower = made(("iteration_time.constant", '"21 ms"'))
    found = fastq.compare(made(), slower)
    moved = rows_of(found, "moved")
    assert len(moved) == 6
    for row in moved:
        assert row["difference"] == pytest.approx(20 / 21 - 1, abs=1e-9)
        assert row["p_adjusted"] < 1e-6
    theory = found.changes.filter(pc.field("column") == "theory_rate_rps")
    assert theory["difference"].to_pylist() == pytest.approx([20 / 21 - 1] * 6)
    assert all(theory["moved"].to_pylist())
    assert not fastq.compare(made(), slower, tolerance=0.06).moved


def test_a_difference_of_exactly_the_tolerance_is_within_it(made: Made) -> None:
    """Times scaled by 101/100 scale every rate exactly: in pairs nothing but rounding is left of the error."""
    slower = made(("iteration_time.constant", '"20.2 ms"'))
    found = fastq.compare(slower, made(), tolerance=0.01)
    assert found.findings == {"equal": 0, "within": 6, "unclear": 0, "moved": 0}
    assert set(found.points["p_value"].to_pylist()) == {1.0}
    assert not found.moved
    for row in found.points.to_pylist():
        assert row["difference_low"] == row["difference_high"] == row["difference"]
    assert len(rows_of(fastq.compare(slower, made(), tolerance=0.0099), "moved")) == 6


def test_two_seeds_are_independent_and_short_runs_cannot_tell(made: Made) -> None:
    found = fastq.compare(made(), made(("run.seed", "2")), tolerance=1e-6)
    assert not found.paired
    assert set(found.points["judged_by"].to_pylist()) == {"intervals"}
    assert not found.moved
    assert found.unclear
    assert not fastq.compare(made(), made(("run.seed", "2")), tolerance=0.5).unclear


def test_draws_of_their_own_are_no_pairs(made: Made) -> None:
    own = ("run.common_random_numbers", "false")
    for other in (made(own, ("scheduler.preemption", '"restart"')), made()):
        found = fastq.compare(made(own), other)
        assert not found.paired
        assert set(found.points["judged_by"].to_pylist()) <= {"intervals", "equality"}
    assert fastq.compare(made(own), made(own)).findings["equal"] == 6


def test_points_are_joined_by_what_they_are(made: Made) -> None:
    """Another order of axes and other values: every point has another number, and the shared ones are equal."""
    other = made(
        text='[grid]\n"replica.max_num_seqs" = ["unlimited", 4, 8]\n'
        '"replica.kv_capacity_tokens" = [8000, 4000, 2000]\n'
    )
    found = fastq.compare(made(), other)
    assert (found.joined, found.findings["equal"]) == (4, 4)
    assert found.points["old_point"].to_pylist() != found.points["new_point"].to_pylist()
    assert found.only_old["replica.kv_capacity_tokens"].to_pylist() == [1000, 1000]
    assert found.only_new.num_rows == 5


def test_values_of_an_axis_are_the_same_up_to_rounding(made: Made) -> None:
    texts = [
        f'[grid]\n"workload.output_scale" = {{ linear = [0.1, {high}, {count}] }}\n'
        for high, count in ((0.7, 7), (0.4, 4))
    ]
    found = fastq.compare(made(text=texts[0]), made(text=texts[1]))
    assert found.joined == 4


def test_an_axis_of_one_data_set_is_held_at_the_value_of_the_other(made: Made, capsys: Any) -> None:
    line = made(text='[grid]\n"replica.kv_capacity_tokens" = [1000, 2000]\n')  # max_num_seqs is 256
    wide = made(
        text='[grid]\n"replica.kv_capacity_tokens" = [1000, 2000]\n"replica.max_num_seqs" = [4, 256]\n'
    )
    for old, new in ((line, wide), (wide, line)):
        found = fastq.compare(old, new)
        assert (found.joined, found.findings["equal"]) == (2, 2)
        assert {*found.old.axes_alone, *found.new.axes_alone} == {"replica.max_num_seqs"}
    assert main(["compare", str(line), str(made())]) == 2
    shown = capsys.readouterr().err
    assert "replica.max_num_seqs" in shown
    assert "has 256 throughout" in shown


def test_an_axis_of_one_value_does_not_keep_points_apart(made: Made) -> None:
    found = fastq.compare(
        made(text='[grid]\n"replica.max_num_seqs" = [4]\n'),
        made(text='[grid]\n"replica.block_size" = [32]\n'),
    )
    assert found.joined == 1
    assert found.old.axes_alone == ("replica.max_num_seqs",)
    assert {change.key for change in found.settings} == {"replica.max_num_seqs", "replica.block_size"}


def test_cases_are_joined_by_name(made: Made, capsys: Any) -> None:
    cases = [
        "".join(f'[[cases]]\nname = "{name}"\nreplica.max_num_seqs = {limit}\n' for name, limit in each)
        for each in ((("few", 4), ("many", 16)), (("many", 16), ("most", 64)))
    ]
    found = fastq.compare(made(text=cases[0]), made(text=cases[1]))
    assert found.points["case"].to_pylist() == ["many"]
    assert found.findings["equal"] == 1
    assert found.only_new["case"].to_pylist() == ["most"]
    assert main(["compare", str(made(text=cases[0])), str(made())]) == 2
    assert "few, many" in capsys.readouterr().err


def test_nothing_in_common_exits_2(made: Made, capsys: Any) -> None:
    other = made(
        text='[grid]\n"replica.kv_capacity_tokens" = [3000, 5000]\n"replica.max_num_seqs" = [4, 8]\n'
    )
    assert main(["compare", str(made()), str(other)]) == 2
    captured = capsys.readouterr()
    assert "there is nothing to compare" in captured.err
    assert captured.out == ""


def test_a_point_that_can_run_no_more_has_moved(made: Made, capsys: Any) -> None:
    small = '[grid]\n"replica.kv_capacity_tokens" = [100, 250, 2000]\n'
    skip = ("run.infeasible", '"skip"')
    old, new = made(skip, text=small), made(skip, ("replica.block_size", "128"), text=small)
    found = fastq.compare(old, new, tolerance=0.9)
    (row,) = rows_of(found, "moved")
    assert (row["replica.kv_capacity_tokens"], row["judged_by"]) == (250, "feasibility")
    assert (row["new_rps"], row["difference"], row["new_status"]) == (None, None, "skipped")
    assert found.infeasible == 1
    assert main(["compare", str(new), str(old), "--tolerance", "0.9"]) == 1
    assert "skipped -> ok" in capsys.readouterr().out


def test_a_grid_that_can_run_nowhere_is_compared(made: Made) -> None:
    nothing = made(("run.infeasible", '"skip"'), ("replica.block_size", "8192"))
    found = fastq.compare(nothing, nothing)
    assert (found.infeasible, found.points.num_rows, found.moved) == (6, 0, False)


def test_an_unfinished_data_set_is_compared_as_far_as_it_is(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(f'title = "small"\n{SMALL}{GRID}')
    monkeypatch.setitem(sweep.__kwdefaults__, "block_points", 4)
    out = tmp_path / "out"
    fastq.sweep(fastq.load(spec, RUN), out, workers=1, threads=1, shard="1/2")
    found = fastq.compare(made(), out)
    assert (found.joined, found.findings["equal"]) == (2, 2)
    assert (found.new.points_finished, found.new.points) == (2, 6)
    assert found.only_old.num_rows == 4
    assert main(["compare", str(made()), str(out)]) == 0
    shown = capsys.readouterr().out
    assert "2 of 6 points finished" in shown
    assert "is not finished" in shown


def test_an_older_release_that_lacks_columns_is_compared(tmp_path: Path, made: Made, capsys: Any) -> None:
    old = edited(
        made(), tmp_path / "old", "points", lambda table: table.drop_columns(["slo_limit", "cold_rate_rps"])
    )
    edited(old, old, "replications", lambda table: table.drop_columns(["mean_kv_blocks"]))
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["results_version"] = 1
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert main(["compare", str(old), str(made())]) == 0
    shown = capsys.readouterr().out
    assert "Results version 1 -> " in shown
    assert "6 exactly equal" in shown


def test_a_rate_that_its_replications_do_not_give_is_judged_by_intervals(tmp_path: Path, made: Made) -> None:
    """Another release may have pooled replications in another way."""
    scaled = with_values("service_rate_rps", lambda row: row["service_rate_rps"] * 1.0001)
    found = fastq.compare(made(), edited(made(), tmp_path / "new", "points", scaled))
    assert set(found.points["judged_by"].to_pylist()) == {"intervals"}
    assert found.points["difference"].to_pylist() == pytest.approx([1e-4] * 6, rel=1e-6)


@pytest.mark.parametrize("status", ["nonergodic", "short", "capped"])
def test_what_is_doubtful_is_judged_by_its_range(tmp_path: Path, made: Made, status: str) -> None:
    """A move that pairs prove is none where the ranges overlap, and is one where they are apart."""
    slower = made(("iteration_time.constant", '"21 ms"'))
    marked = edited(slower, tmp_path / "marked", "points", with_values("status", lambda _: status))
    wide = edited(
        edited(marked, tmp_path / "wide", "points", with_values("service_rate_low_rps", lambda _: 1.0)),
        tmp_path / "wide",
        "points",
        with_values("service_rate_high_rps", lambda _: 1000.0),
    )
    found = fastq.compare(made(), wide)
    assert (found.findings["unclear"], found.findings["moved"]) == (6, 0)
    assert {change["new"] for change in found.changes.to_pylist() if change["column"] == "status"} == {status}
    narrow = edited(
        edited(
            wide,
            tmp_path / "narrow",
            "points",
            with_values("service_rate_low_rps", lambda row: 0.999 * row["service_rate_rps"]),
        ),
        tmp_path / "narrow",
        "points",
        with_values("service_rate_high_rps", lambda row: 1.001 * row["service_rate_rps"]),
    )
    found = fastq.compare(narrow, narrow)
    assert found.findings["equal"] == 6
    base = fastq.read(made())
    beyond = [
        0.99 * row["service_rate_low_rps"] > 20 / 21 * 1.001 * row["service_rate_rps"]
        for row in base.to_pylist()
    ]
    assert any(beyond)
    assert fastq.compare(made(), narrow).findings["moved"] == sum(beyond)


def test_a_metastable_point_that_is_nonergodic_too_is_judged_by_its_range(tmp_path: Path, made: Made) -> None:
    """Its status says only one of the two; its low and high are the extremes of its replications."""
    base, target = made(), tmp_path / "metastable"
    rates: dict[int, list[float]] = {}
    for row in fastq.read(base, "replications").to_pylist():
        rates.setdefault(row["point"], []).append(row["throughput_rps"])
    for name, of in {
        "status": lambda row: "metastable",
        "service_rate_low_rps": lambda row: min(rates[row["point"]]),
        "service_rate_high_rps": lambda row: max(rates[row["point"]]),
    }.items():
        edited(base if not target.exists() else target, target, "points", with_values(name, of))
    found = fastq.compare(made(("iteration_time.constant", '"21 ms"')), target)
    assert set(found.points["judged_by"].to_pylist()) == {"ranges"}
    assert found.points["p_value"].null_count == 6
    ergodic = edited(base, tmp_path / "ergodic", "points", with_values("status", lambda _: "metastable"))
    found = fastq.compare(made(("iteration_time.constant", '"21 ms"')), ergodic)
    assert set(found.points["judged_by"].to_pylist()) == {"pairs"}


RATES = (
    ("run.measure", '["boundary", "rates"]'),
    ("arrivals.load", "[0.5, 1.0, 1.5]"),
)


def test_verdicts_are_joined_by_load(tmp_path: Path, made: Made, capsys: Any) -> None:
    base = made(*RATES)

    def verdict(row: dict[str, Any]) -> str:
        if row["point"] == 3:
            return {0.5: "unstable", 1.5: "undecided"}.get(row["load"], row["verdict"])
        return row["verdict"]

    changed = edited(base, tmp_path / "changed", "rates", with_values("verdict", verdict))
    found = fastq.compare(base, changed)
    listed = [(row["load"], row["old"], row["new"], row["moved"]) for row in found.changes.to_pylist()]
    assert listed == [(0.5, "stable", "unstable", True), (1.5, "unstable", "undecided", False)]
    assert found.rates == 18
    assert found.moved
    assert main(["compare", str(base), str(changed)]) == 1
    shown = capsys.readouterr().out
    assert "1 verdict moved" in shown
    assert "load 0.5" in shown
    fewer = made(RATES[0], ("arrivals.load", "[0.5, 2.0]"))
    assert (fastq.compare(base, fewer).rates, fastq.compare(base, fewer).rates_alone) == (6, 18)


def test_a_verdict_that_turns_between_two_boundaries_within_the_tolerance_has_not_moved(made: Made) -> None:
    few = ("replica.max_num_seqs", "4")
    text = '[grid]\n"replica.kv_capacity_tokens" = [4000]\n'
    theory_rps = fastq.read(made(few, text=text))["theory_rate_rps"][0].as_py()
    rates = RATES[0], ("arrivals.rate_rps", f"[{0.995 * theory_rps}]"), few
    fast, slow = made(*rates, text=text), made(*rates, ("iteration_time.constant", '"20.2 ms"'), text=text)
    for old, new in ((fast, slow), (slow, fast)):
        found = fastq.compare(old, new, tolerance=0.02)
        (change,) = (row for row in found.changes.to_pylist() if row["column"] == "verdict")
        assert {change["old"], change["new"]} == {"stable", "unstable"}
        assert not found.moved
        verdicts = [row["moved"] for row in fastq.compare(old, new, tolerance=0.005).changes.to_pylist()]
        assert verdicts == [True, True]


def test_a_queue_that_its_start_holds_and_one_that_grows_are_no_move(tmp_path: Path, made: Made) -> None:
    base = made(*RATES)
    held = edited(
        base,
        tmp_path / "held",
        "rates",
        with_values("verdict", lambda row: {"unstable": "metastable"}.get(row["verdict"], row["verdict"])),
    )
    found = fastq.compare(base, held)
    assert set(found.changes["new"].to_pylist()) == {"metastable"}
    assert not found.moved


def test_verdicts_are_joined_by_rate_where_one_has_rates(made: Made) -> None:
    given = made(RATES[0], ("arrivals.rate_rps", "[3.0, 500.0]"))
    found = fastq.compare(given, made(RATES[0], ("arrivals.rate_rps", "[3.0]")))
    assert (found.rates, found.rates_alone) == (6, 6)
    assert fastq.compare(given, made(*RATES)).rates == 0


SEARCHED = (("run.measure", '["boundary", "slo", "metastability"]'), ("slo.ttft", '{p90="500 ms"}'))


def test_searched_rates_are_compared(made: Made) -> None:
    """None of these is metastable: the rate from an empty start is that under a backlog, and has no row."""
    base = made(*SEARCHED)
    found = fastq.compare(base, base)
    assert set(found.points["boundary"].to_pylist()) == {"service_rate_rps", "slo_rate_rps"}
    assert found.findings == {"equal": 12, "within": 0, "unclear": 0, "moved": 0}
    tight = made(SEARCHED[0], ("slo.ttft", '{p90="45 ms"}'))
    moved = rows_of(fastq.compare(base, tight), "moved")
    assert {row["boundary"] for row in moved} == {"slo_rate_rps"}
    never = made(SEARCHED[0], ("slo.ttft", '{p90="1 ms"}'))
    lost = rows_of(fastq.compare(base, never), "moved")
    assert [(row["new_rps"], row["judged_by"]) for row in lost] == [(None, "feasibility")] * 6
    assert set(fastq.compare(base, made()).points["boundary"].to_pylist()) == {"service_rate_rps"}


def with_rates(source: Path, target: Path, boundary: str, of: Callable[[dict[str, Any], str], Any]) -> Path:
    """A copy in which a boundary and the ends of its interval (``""``, ``_low``, ``_high``) are others."""
    for end in ("", "_low", "_high"):
        change = with_values(f"{boundary}{end}_rps", lambda row, end=end: of(row, end))
        edited(target if target.exists() else source, target, "points", change)
    return target


def test_a_rate_from_an_empty_start_that_comes_apart_is_compared(tmp_path: Path, made: Made) -> None:
    """Where only one of the searches found it apart, the other one leaves all open up to the theoretical rate."""
    base = made(*SEARCHED)
    once, again, beyond = (
        with_rates(
            base,
            tmp_path / f"{share}",
            "cold_rate",
            lambda row, end, share=share: (
                share * row["service_rate_rps"] * {"": 1, "_low": 0.999, "_high": 1.001}[end]
            ),
        )
        for share in (1.001, 1.1, 2.0)
    )
    found = fastq.compare(base, once)
    assert not found.moved
    apart = rows_of(found, "unclear")
    assert {(row["boundary"], row["judged_by"]) for row in apart} == {("cold_rate_rps", "ranges")}
    theory = {row["point"]: row["theory_rate_rps"] for row in fastq.read(base).to_pylist()}
    for row in apart:
        assert row["difference_low"] == pytest.approx(
            0.999 * row["new_rps"] / theory[row["old_point"]] - 1, rel=0.01
        )
    for old, new, by in ((once, again, "intervals"), (base, beyond, "ranges")):
        moved = rows_of(fastq.compare(old, new), "moved")
        assert {(row["boundary"], row["judged_by"]) for row in moved} == {("cold_rate_rps", by)}


@pytest.mark.parametrize(("spread", "finding"), [(0.1, "moved"), (0.6, "unclear")])
def test_objectives_that_most_replications_fail_have_moved_only_from_where_all_met_them(
    tmp_path: Path, made: Made, spread: float, finding: str
) -> None:
    """One replication of six that failed at the least rate leaves a standard error of a fifth, a half width of 0.51."""
    never = made(SEARCHED[0], ("slo.ttft", '{p90="1 ms"}'))
    some = with_rates(
        made(*SEARCHED),
        tmp_path / "some",
        "slo_rate",
        lambda _, end: 1 + spread * {"": 0, "_low": -1, "_high": 1}[end],
    )
    for old, new in ((never, some), (some, never)):
        rows = [
            row for row in fastq.compare(old, new).points.to_pylist() if row["boundary"] == "slo_rate_rps"
        ]
        assert [(row["judged_by"], row["finding"]) for row in rows] == [("feasibility", finding)] * 6


def test_objectives_met_up_to_the_lowest_throughput_of_a_nonergodic_point_leave_more_open(
    tmp_path: Path, made: Made
) -> None:
    """The search ends there: a sharp rate, and another one with each seed."""
    base = edited(made(*SEARCHED), tmp_path / "base", "points", with_values("status", lambda _: "nonergodic"))
    low, high = (
        with_rates(
            with_rates(
                base,
                tmp_path / name,
                "service_rate",
                lambda _, end, lowest=lowest: {"_low": lowest}.get(end, 9.0),
            ),
            tmp_path / name,
            "slo_rate",
            lambda row, _: row["service_rate_low_rps"],
        )
        for name, lowest in (("low", 5.0), ("high", 7.0))
    )
    rows = rows_of(fastq.compare(low, high), "unclear")
    assert [row["boundary"] for row in rows].count("slo_rate_rps") == 6
    missed = with_rates(
        low, tmp_path / "missed", "slo_rate", lambda _, end: {"": 2.0, "_low": 1.9, "_high": 2.1}[end]
    )
    assert {row["boundary"] for row in rows_of(fastq.compare(high, missed), "moved")} == {"slo_rate_rps"}


def test_ranges_of_three_replications_prove_nothing(tmp_path: Path, made: Made) -> None:
    """One time in ten those of one law are apart."""
    text = '[grid]\n"replica.kv_capacity_tokens" = [1000]\n'
    for replications, finding in (("3", "unclear"), ("4", "moved")):
        run = ("run.replications", replications)
        slower = edited(
            made(run, ("iteration_time.constant", '"30 ms"'), text=text),
            tmp_path / replications,
            "points",
            with_values("status", lambda _: "nonergodic"),
        )
        (row,) = fastq.compare(made(run, text=text), slower).points.to_pylist()
        assert (row["judged_by"], row["finding"]) == ("ranges", finding)


def test_the_command_prints_what_moved_and_exits_1(made: Made, capsys: Any) -> None:
    words = ["compare", str(made()), str(made(("iteration_time.constant", '"21 ms"')))]
    assert main([*words, "--limit", "2"]) == 1
    text = capsys.readouterr()
    assert text.err == ""
    assert text.out.startswith("6 of 6 boundaries moved by more than 1% and 6 theoretical rates moved.\n")
    assert "iteration_time.constant  20 ms  21 ms" in text.out
    assert "... and 4 more" in text.out
    assert "-4.76%" in text.out
    assert main([*words, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["moved"] is True
    assert document["findings"]["moved"] == len(document["points"]) == 6
    assert document["settings"] == [{"key": "iteration_time.constant", "old": "20 ms", "new": "21 ms"}]
    assert main([*words[:2], words[1], "--strict"]) == 0
    assert capsys.readouterr().out.startswith("Nothing moved by more than 1%: 6 boundaries compared")


def test_strict_exits_1_where_it_cannot_be_told(made: Made, capsys: Any) -> None:
    words = ["compare", str(made()), str(made(("run.seed", "2"))), "--tolerance", "0.000001"]
    assert main(words) == 0
    assert "not every boundary could be seen that sharply" in capsys.readouterr().out
    assert main([*words, "--strict"]) == 1


def test_markdown_is_fit_for_a_pull_request(tmp_path: Path, made: Made, capsys: Any) -> None:
    target = tmp_path / "comment.md"
    target.write_text("what stood there")
    words = ["compare", str(made()), str(made(("scheduler.preemption", '"restart"')))]
    assert main([*words, "--tolerance", "0.02", "--markdown", "-o", str(target)]) == 1
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    text = target.read_text()
    assert text.startswith(f"**{line.strip()}**\n")
    assert [path.name for path in tmp_path.iterdir()] == ["comment.md"]
    moved, folded = text.index("### Moved"), text.index("<details>")
    assert moved < folded
    assert text.count("<details>") == text.count("</details>")
    for block in text[moved:].split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            assert len({each.replace("\\|", "").count("|") for each in lines}) == 1


def test_names_that_look_like_markup_keep_tables_whole(made: Made, capsys: Any) -> None:
    text = '[[cases]]\nname = "a | b\\n<i> [c](d) _e_ `f`"\nreplica.max_num_seqs = 4\n'
    sets = str(made(text=text)), str(made(("iteration_time.constant", '"21 ms"'), text=text))
    assert main(["compare", *sets, "--markdown"]) == 1
    shown = capsys.readouterr().out
    assert "| a \\| b \\<i\\> \\[c\\](d) \\_e\\_ \\`f\\` | service_rate_rps |" in shown
    assert main(["compare", *sets]) == 1
    assert "a | b <i> [c](d) _e_ `f`  service_rate_rps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--tolerance", "1"], 2, "0.01 is 1%"),
        (["--tolerance", "nan"], 2, "--tolerance"),
        (["--confidence", "0"], 2, "as 0.95 does"),
        (["-o", "no/such/place.md"], 2, "make it first"),
        (["-o", "."], 2, "is a directory"),
    ],
)
def test_bad_options_exit_2(made: Made, capsys: Any, words: list[str], status: int, said: str) -> None:
    assert main(["compare", str(made()), str(made()), *words]) == status
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [("--tolerance", "1%", "as 0.01 for 1%"), ("--limit", "all", "is no number of rows")],
)
def test_what_is_no_number_is_bad_usage(made: Made, capsys: Any, option: str, text: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(made()), str(made()), option, text])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_is_no_data_set_exits_1(tmp_path: Path, made: Made, capsys: Any) -> None:
    assert main(["compare", str(made()), str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(made() / "manifest.json", empty)
    assert main(["compare", str(made()), str(empty)]) == 1
    assert "no finished block" in capsys.readouterr().err
    broken = edited(made(), tmp_path / "broken", "rates", lambda table: table)
    (broken / "replications" / "block-000000.parquet").write_bytes(b"PAR1")
    assert main(["compare", str(made()), str(broken)]) == 1
    assert "is damaged" in capsys.readouterr().err
