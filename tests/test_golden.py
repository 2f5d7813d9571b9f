"""The numbers of this release are those of the golden data sets, to the last bit; where they are not, what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastq
from fastq.cli.main import main
from fastq.model.version import RESULTS_VERSION

GOLDEN = Path(__file__).parent / "golden"
RESULTS = GOLDEN / "results"
SPEC = GOLDEN / "golden.toml"
GROWING, GROWING_SPEC = GOLDEN / "growing", GOLDEN / "growing.toml"
TABLES = ("points", "replications", "rates")
MOST_BYTES = 210_000
REMEDY = (
    "If that is meant: raise RESULTS_VERSION in fastq/model/version.py (it rises whenever any number changes), and "
    "make the data sets in tests/golden anew as CONTRIBUTING.md says."
)


def table_of(data_set: Path, table: str) -> pa.Table:
    return pq.read_table(data_set / table / "block-000000.parquet", partitioning=None)


def differences(old: pa.Table, new: pa.Table) -> list[str]:
    """What differs, in words: a column that is not in both, or the first row of each that is not equal."""
    alone = set(old.column_names) ^ set(new.column_names)
    found = [f"{name} is in one only" for name in sorted(alone)]
    if old.num_rows != new.num_rows:
        return [*found, f"{old.num_rows} rows have become {new.num_rows}"]
    for name in old.column_names:
        if name not in alone and not old[name].equals(new[name]):
            pairs = zip(old[name].to_pylist(), new[name].to_pylist(), strict=True)
            changed = [(row, *pair) for row, pair in enumerate(pairs) if pair[0] != pair[1]]
            row, before, after = changed[0]
            found.append(f"{name}: {len(changed)} rows, the first (row {row}) from {before!r} to {after!r}")
    return found


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "results"
    fastq.sweep(fastq.load(SPEC), out, workers=1)
    return out


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "growing"
    fastq.sweep(fastq.load(GROWING_SPEC), out, workers=1)
    return out


@pytest.mark.parametrize("table", TABLES)
def test_every_number_is_the_golden_one(swept: Path, grown: Path, table: str) -> None:
    for golden, made in ((RESULTS, swept), (GROWING, grown)):
        changed = differences(table_of(golden, table), table_of(made, table))
        assert not changed, f"Numbers of {golden.name}/{table} changed. {REMEDY}\n" + "\n".join(changed)


@pytest.mark.parametrize(("golden", "made"), [(RESULTS, "swept"), (GROWING, "grown")])
def test_the_golden_data_sets_are_of_this_version(
    golden: Path, made: str, request: pytest.FixtureRequest
) -> None:
    places = golden, request.getfixturevalue(made)
    manifests = [json.loads((place / "manifest.json").read_text()) for place in places]
    versions = [manifest["results_version"] for manifest in manifests]
    assert versions == [RESULTS_VERSION] * 2, (
        f"Results version {versions[0]} has become {versions[1]}. {REMEDY}"
    )
    assert manifests[0] == manifests[1], f"The golden spec, or what a manifest says, changed. {REMEDY}"


def test_compare_finds_nothing(swept: Path, capsys: Any) -> None:
    assert main(["compare", str(RESULTS), str(swept), "--tolerance", "0", "--strict"]) == 0, REMEDY
    assert "exactly equal" in capsys.readouterr().out
    found = fastq.compare(RESULTS, swept)
    assert found.findings["equal"] == found.points.num_rows > 2 * 20
    assert found.changes.num_rows == 0
    assert (found.joined, found.infeasible, found.rates) == (32, 1, 62)


def test_compare_finds_another_capacity(tmp_path: Path, capsys: Any) -> None:
    less = tmp_path / "less"
    fastq.sweep(fastq.load(SPEC, [("replica.kv_capacity_tokens", "3_800")]), less, workers=1)
    assert main(["compare", str(RESULTS), str(less)]) == 1
    assert "replica.kv_capacity_tokens" in capsys.readouterr().out
    rows = fastq.compare(RESULTS, less).points.to_pylist()
    assert {"peak", "catalogues"} <= {row["case"] for row in rows if row["finding"] == "moved"}
    assert {"slots bind"} == {row["case"] for row in rows if row["finding"] == "equal"}


def test_the_golden_grid_covers_what_decides_numbers() -> None:
    from fastq.model.arrival_process import PROCESSES
    from fastq.model.run import MEASURES
    from fastq.model.scheduler import PRESETS, Admission, Preemption, TokenConvention

    manifests = [json.loads((one / "manifest.json").read_text()) for one in (RESULTS, GROWING)]
    text = json.dumps([manifest["resolved"] for manifest in manifests])
    for name in (*PRESETS, *Admission, *Preemption, *TokenConvention, *MEASURES):
        assert str(name) in text, f"no golden point has {name}: add a case to {SPEC.name}. {REMEDY}"
    processes = [manifest["resolved"]["arrivals.process"]["text"] for manifest in manifests]
    assert {name for text in processes for name in text.split(" | ")} == {*PROCESSES}
    assert {*table_of(RESULTS, "points")["binding"].to_pylist()} == {"kv", "seqs", "tokens", None}
    assert {*table_of(RESULTS, "points")["status"].to_pylist()} >= {"ok", "short", "metastable", "skipped"}


def test_growing_windows_end_in_every_way() -> None:
    """At the first look, after some, and at the cap; verdicts are asked for close to the boundary."""
    points = table_of(GROWING, "points").to_pylist()
    assert {row["status"] for row in points} == {"ok", "short", "capped"}
    run = json.loads((GROWING / "manifest.json").read_text())["canonical"]["run"]
    looks = {run["requests"], 2 * run["requests"], run["max_requests"]}
    windows = [row["requests"] // run["replications"] for row in points]
    assert {max(look for look in looks if look <= window) for window in windows} == looks
    assert max(windows) < 1.01 * run["max_requests"]
    verdicts = {row["verdict"] for row in table_of(GROWING, "rates").to_pylist()}
    assert verdicts == {"stable", "undecided", "unstable"}


def test_the_golden_data_sets_are_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*.parquet")) < MOST_BYTES
