"""The data set on disk: columns, blocks, the manifest, and places that can't be used."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from fake_grid import FakeSpec, evaluate

from fastq.engine.sweep import sweep
from fastq.errors import StoreError
from fastq.model.load import load_spec
from fastq.model.run import Run
from fastq.store.local import ABANDONED_AFTER_S, LocalDirectory
from fastq.store.location import open_location
from fastq.store.manifest import claim, load_manifest, manifest_of
from fastq.store.reader import read
from fastq.store.schema import LATENCY_STATISTICS, AxisColumn, table_columns
from fastq.store.writer import write_block

BLOCK_POINTS = 8
RATES = FakeSpec(run=Run(measure=("boundary", "rates")))


def run(spec, out, **options):
    return sweep(spec, out, evaluate=evaluate, block_points=BLOCK_POINTS, workers=1, threads=1, **options)


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


def tables_of(spec, block):
    tables = evaluate(spec, block, block_points=BLOCK_POINTS, backend="cpu", threads=1)
    return {"points": tables.points, "replications": tables.replications, "rates": tables.rates}


def test_a_block_is_one_file_with_one_row_group_in_each_table(tmp_path):
    run(RATES, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        "points",
        "rates",
        "replications",
    ]
    for table in ("points", "rates", "replications"):
        files = sorted((tmp_path / table).iterdir())
        assert [file.name for file in files] == [f"block-{block:06d}.parquet" for block in range(8)]
        for file in files:
            metadata = pq.read_metadata(file)
            assert metadata.num_row_groups == 1
            assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_every_column_of_the_registry_stands_with_unit_and_description(tmp_path):
    run(RATES, tmp_path)
    manifest = load_manifest(open_location(tmp_path))
    for table in manifest.tables:
        schema = pq.read_schema(tmp_path / table / "block-000003.parquet")
        columns = table_columns(table, manifest.axes)
        assert schema.names == [column.name for column in columns]
        assert schema.metadata[b"spec_hash"].decode() == RATES.hash
        assert schema.metadata[b"results_version"].decode() == str(manifest.results_version)
        for column in columns:
            metadata = schema.field(column.name).metadata
            assert metadata[b"unit"].decode() == column.unit
            assert metadata[b"description"].decode() == column.description != ""


def test_an_axis_of_text_has_no_unit():
    assert AxisColumn("replica.kv_capacity_tokens", "int").column().unit == "tokens"
    assert AxisColumn("workload.prompt_tokens", "str").column().unit == ""


def test_names_that_the_documentation_promises():
    promised = {
        "points": "point case service_rate_rps service_rate_low_rps service_rate_high_rps "
        "theory_rate_rps theory_stable_rps paper_rate_rps binding mean_iteration_s "
        "median_iteration_s mean_running mean_kv_tokens "
        "preemptions_per_request recomputed_tokens_per_request rejected_share requests iterations status",
        "rates": "point arrival_rate_rps load throughput_rps verdict backlog_slope_rps backlog_slope_rps_low "
        "backlog_slope_rps_high mean_waiting max_waiting "
        + " ".join(
            f"{name}_{s}" for name in ("wait_s", "ttft_s", "tpot_s", "e2e_s") for s in LATENCY_STATISTICS
        ),
    }
    for table, names in promised.items():
        assert set(names.split()) <= {column.name for column in table_columns(table, ())}


def test_axes_are_typed_columns_and_what_was_not_measured_is_null(tmp_path):
    run(FakeSpec(), tmp_path)
    table = read(tmp_path)
    assert [str(table.schema.field(axis.key).type) for axis in FakeSpec().axes] == [
        "int64",
        "double",
        "string",
    ]
    assert table.column("replica.kv_capacity_tokens").to_pylist()[::6] == list(range(1000, 1010))
    assert table.column("theory_rate_rps").null_count == len(FakeSpec())
    assert table.column("case").null_count == len(FakeSpec())
    assert not (tmp_path / "rates").exists()


def test_read_is_ordered_by_point_and_takes_columns_and_a_filter(tmp_path):
    run(FakeSpec(), tmp_path)
    assert read(tmp_path).column("point").to_pylist() == list(range(60))
    some = read(
        tmp_path,
        columns=["scheduler.preset", "service_rate_rps"],
        filter=(pc.field("scheduler.preset") == "paper") & (pc.field("point") > 50),
    )
    assert some.column_names == ["scheduler.preset", "service_rate_rps"]
    assert some.num_rows == 5
    assert read(str(tmp_path), "replications").num_rows == 120


def test_columns_that_an_older_version_did_not_write_are_null(tmp_path):
    run(RATES, tmp_path)
    whole = read(tmp_path)
    for path in sorted((tmp_path / "points").iterdir())[:2]:
        pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["expected_rate_rps"]), path)
    found = read(tmp_path)
    assert found.schema.equals(whole.schema, check_metadata=True)
    assert found.drop_columns(["expected_rate_rps"]).equals(whole.drop_columns(["expected_rate_rps"]))
    missing = found["expected_rate_rps"].is_null().to_pylist()
    assert missing[: 2 * BLOCK_POINTS] == [True] * 2 * BLOCK_POINTS
    chosen = read(
        tmp_path, columns=["expected_rate_rps", "point"], filter=pc.field("expected_rate_rps").is_null()
    )
    assert chosen.column_names == ["expected_rate_rps", "point"]
    assert chosen["point"].to_pylist()[: 2 * BLOCK_POINTS] == list(range(2 * BLOCK_POINTS))
    few = read(tmp_path, filter=pc.field("point") < 3)
    assert few.equals(found.slice(0, 3))


def test_duckdb_polars_and_pyarrow_open_each_table_as_it_is(tmp_path):
    run(RATES, tmp_path)
    (tmp_path / ".points-block-000001.parquet.0123abcd-1-0123456789ab.partial").write_bytes(b"half")
    expected = read(tmp_path).column("service_rate_rps").to_numpy()
    query = "SELECT point, service_rate_rps FROM '{}/points/*.parquet' ORDER BY point"
    ducks = duckdb.sql(query.format(tmp_path)).fetchnumpy()["service_rate_rps"]
    np.testing.assert_array_equal(ducks, expected)
    np.testing.assert_array_equal(
        pl.read_parquet(tmp_path / "points")["service_rate_rps"].to_numpy(), expected
    )
    whole = pyarrow.dataset.dataset(tmp_path / "rates", format="parquet").to_table()
    assert whole.num_rows == 60


def test_a_manifest_holds_no_times_and_is_the_same_everywhere(tmp_path):
    run(FakeSpec(), tmp_path / "a")
    time.sleep(0.01)
    run(FakeSpec(), tmp_path / "b", shard="1/2")
    run(FakeSpec(), tmp_path / "b", shard="0/2")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["spec_hash"] == FakeSpec().hash
    assert manifest["resolved"]["run.seed"] == {"value": 1, "text": "1", "origin": "spec"}


def test_a_data_set_with_a_manifest_of_texts_goes_on_and_is_compared(tmp_path):
    run(FakeSpec(), tmp_path, shard="0/2")
    path = tmp_path / "manifest.json"
    document = json.loads(path.read_text())
    del document["versions"]["manifest"]
    document["resolved"] = {"run.seed": {"value": "1", "origin": "spec"}}
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"They differ in run\.seed: 1 there, 2 here\."):
        run(FakeSpec(seed=2), tmp_path)
    run(FakeSpec(), tmp_path)
    assert json.loads(path.read_text()) == document
    assert read(tmp_path).num_rows == len(FakeSpec())


def test_the_manifest_has_typed_values_and_none_for_keys_that_vary(tmp_path):
    spec = load_spec(
        "paper-table-1",
        [
            ("grid.replica.kv_capacity_tokens", "[131_000, 262_000]"),
            ("replica.max_num_batched_tokens", "2048"),
        ],
    )
    resolved = manifest_of(spec, BLOCK_POINTS).document["resolved"]
    assert resolved["replica.max_num_batched_tokens"] == {"value": 2048, "text": "2048", "origin": "--set"}
    assert resolved["replica.max_model_len"]["value"] is None
    assert resolved["workload.output_scale"]["value"] == 1.0
    assert resolved["run.measure"]["value"] == ["boundary"]
    assert resolved["run.common_random_numbers"]["value"] is True
    varied = [key for key, entry in resolved.items() if "value" not in entry]
    assert {"replica.kv_capacity_tokens", "workload.prompt_tokens", "iteration_time.constant"} <= set(varied)
    assert all(entry["text"] and entry["origin"] for entry in resolved.values())


def test_another_spec_is_refused_with_what_differs(tmp_path):
    run(FakeSpec(), tmp_path)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"holds another data set, 'fake'.*run\.seed: 1 there, 2 here"):
        run(FakeSpec(seed=2), tmp_path)
    assert tree(tmp_path) == before


def test_another_title_is_the_same_data_set(tmp_path):
    run(FakeSpec(), tmp_path)
    before = tree(tmp_path)
    assert run(FakeSpec(title="renamed"), tmp_path).blocks_run == 0
    assert tree(tmp_path) == before


def test_another_block_size_is_refused(tmp_path):
    run(FakeSpec(), tmp_path)
    with pytest.raises(StoreError, match="blocks of 8 points, not 16"):
        sweep(FakeSpec(), tmp_path, evaluate=evaluate, block_points=16)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"title": 3}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match=r"manifest\.json is not a manifest of fastq, or is damaged"):
        run(FakeSpec(), tmp_path)


def test_a_directory_with_other_files_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match=r"not empty.*thesis\.tex"):
        run(FakeSpec(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_tables_without_a_manifest_are_refused(tmp_path):
    run(FakeSpec(), tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"holds no manifest\.json \(found: points, replications\)"):
        run(FakeSpec(), tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    file = tmp_path / "results"
    file.write_text("a file")
    for out in (file, file / "below"):
        with pytest.raises(StoreError, match="is a file"):
            run(FakeSpec(), out)
    assert file.read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        run(FakeSpec(), tmp_path / "closed")


def test_a_file_system_that_takes_no_files_is_refused():
    with pytest.raises(StoreError, match="can't be made or written to"):
        run(FakeSpec(), "/proc/self/results")


def test_an_unknown_kind_of_uri_is_refused():
    with pytest.raises(StoreError, match=r"nosuch://bucket can't be opened.*s3://"):
        run(FakeSpec(), "nosuch://bucket")


def test_a_uri_without_a_bucket_is_refused():
    with pytest.raises(StoreError, match=r"s3:// names no bucket"):
        read("s3://")


def test_a_place_without_a_data_set_can_not_be_read(tmp_path):
    with pytest.raises(StoreError, match=r"holds no manifest\.json"):
        read(tmp_path / "nowhere")


def test_a_table_or_column_that_is_not_there_is_named(tmp_path):
    run(FakeSpec(), tmp_path)
    with pytest.raises(StoreError, match=r'run\.measure = \["rates"\]'):
        read(tmp_path, "rates")
    with pytest.raises(StoreError, match="'latencies': one of points, replications"):
        read(tmp_path, "latencies")
    with pytest.raises(StoreError, match=r"no column 'mu'; it has point, case,"):
        read(tmp_path, columns=["mu"])
    with pytest.raises(StoreError, match=r"a list of names, as in columns=\['point'\]"):
        read(tmp_path, columns="point")


@pytest.mark.parametrize("filter", [pc.field("mu") < 1, pc.field("point") < "a", "point < 100"])
def test_a_filter_that_does_not_fit_is_not_blamed_on_a_file(tmp_path, filter):
    run(FakeSpec(), tmp_path)
    with pytest.raises(StoreError, match="the filter does not go with table points") as refused:
        read(tmp_path, filter=filter)
    assert "damaged" not in str(refused.value)
    assert "Delete" not in str(refused.value)


def test_a_file_uri_is_a_directory(tmp_path):
    run(FakeSpec(), f"file://{tmp_path}/results")
    run(FakeSpec(), tmp_path / "plain")
    assert tree(tmp_path / "results") == tree(tmp_path / "plain")


def test_a_uri_of_pyarrow_holds_the_same_bytes(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    try:
        open_location("fsspec+memory://bucket/results")
    except StoreError:
        pytest.skip("this pyarrow knows no fsspec+ URIs")
    uri = "fsspec+memory://bucket/results"
    run(RATES, uri, shard="0/2")
    assert run(RATES, uri).blocks_run == 4
    run(RATES, tmp_path)
    memory = fsspec.filesystem("memory")
    there = {
        path.removeprefix("/bucket/results/"): memory.cat(path) for path in memory.find("/bucket/results")
    }
    assert there == tree(tmp_path)
    assert read(uri).equals(read(tmp_path))
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("table", ["points", "replications"])
def test_a_truncated_block_is_named_and_nothing_finished_is_lost(tmp_path, table):
    run(FakeSpec(), tmp_path)
    whole = tree(tmp_path)
    victim = tmp_path / table / "block-000002.parquet"
    victim.write_bytes(victim.read_bytes()[:-100])
    for attempt in (lambda: run(FakeSpec(), tmp_path), lambda: read(tmp_path, table)):
        with pytest.raises(StoreError, match=rf"{table}/block-000002\.parquet is damaged.*Delete this file"):
            attempt()
    victim.unlink()
    assert run(FakeSpec(), tmp_path).blocks_run == 1
    assert tree(tmp_path) == whole


def test_a_flipped_bit_is_found_when_the_block_is_read(tmp_path):
    run(FakeSpec(), tmp_path)
    victim = tmp_path / "points" / "block-000002.parquet"
    data = bytearray(victim.read_bytes())
    rates = pq.read_metadata(victim).row_group(0).column(5)
    data[rates.data_page_offset + rates.total_compressed_size - 1] ^= 1
    victim.write_bytes(data)
    with pytest.raises(StoreError, match=r"block-000002\.parquet is damaged"):
        read(tmp_path)


def test_a_block_of_another_data_set_is_named(tmp_path):
    run(FakeSpec(), tmp_path / "a")
    run(FakeSpec(seed=2), tmp_path / "b")
    stranger = tmp_path / "b" / "points" / "block-000004.parquet"
    stranger.replace(tmp_path / "a" / "points" / "block-000004.parquet")
    with pytest.raises(StoreError, match=r"block-000004\.parquet belongs to another data set"):
        run(FakeSpec(), tmp_path / "a")


def test_a_block_without_all_its_files_is_run_again(tmp_path):
    run(RATES, tmp_path)
    whole = tree(tmp_path)
    (tmp_path / "rates" / "block-000005.parquet").unlink()
    assert read(tmp_path).num_rows == 52
    summary = run(RATES, tmp_path)
    assert (summary.blocks_run, summary.blocks_kept, summary.points_run) == (1, 7, 8)
    assert tree(tmp_path) == whole


def test_cases_are_a_column(tmp_path):
    spec = FakeSpec(case_names=("a100", "h100"), axes=FakeSpec().axes[1:])

    def with_cases(spec, block, **options):
        tables = evaluate(spec, block, **options)
        tables.points["case"] = [spec.case_names[point // 6] for point in tables.points["point"]]
        return tables

    sweep(spec, tmp_path, evaluate=with_cases, block_points=BLOCK_POINTS, workers=1)
    assert read(tmp_path, columns=["case"]).column(0).to_pylist() == ["a100"] * 6 + ["h100"] * 6


def test_a_skipped_block_has_empty_tables(tmp_path):
    def skip(spec, block, **options):
        tables = evaluate(spec, block, **options)
        tables.points.update(status=["skipped"] * len(tables.points["point"]))
        return replace(tables, replications={})

    summary = sweep(FakeSpec(), tmp_path, evaluate=skip, block_points=BLOCK_POINTS, workers=1)
    assert summary.nothing_feasible
    assert read(tmp_path, "replications").num_rows == 0


def test_rows_that_are_not_the_blocks_are_a_fault(tmp_path):
    location, manifest = open_location(tmp_path), manifest_of(FakeSpec(), BLOCK_POINTS)
    claim(location, manifest)
    good = tables_of(FakeSpec(), 1)
    for tables, message in (
        (tables_of(FakeSpec(), 2), "must hold 8 to 15"),
        ({**good, "points": {**good["points"], "goodput": [1.0] * 8}}, "no columns"),
        ({**good, "points": {**good["points"], "status": ["ok"]}}, "has 8 rows"),
        ({**good, "points": {"point": good["points"]["point"]}}, "lacks the columns"),
    ):
        with pytest.raises(ValueError, match=message):
            write_block(location, manifest, 1, tables)
    assert not list((tmp_path / "points").iterdir())


def test_a_full_disk_is_said_and_leaves_no_temporary_file(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run(FakeSpec(), tmp_path, shard="0/4")
    before = tree(tmp_path)
    monkeypatch.setattr("os.write", full)
    with pytest.raises(
        StoreError, match=r"No space left on device.*disk is full.*run the same command again"
    ):
        run(FakeSpec(), tmp_path)
    monkeypatch.undo()
    assert tree(tmp_path) == before
    assert run(FakeSpec(), tmp_path).blocks_kept == 2


def test_a_real_limit_on_file_sizes_is_said(tmp_path):
    program = (
        "import resource, sys\n"
        "from fake_grid import FakeSpec, evaluate\n"
        "from fastq.engine.sweep import sweep\n"
        "from fastq.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "try:\n"
        "    sweep(FakeSpec(), sys.argv[1], evaluate=evaluate, block_points=60, workers=1)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in result.stdout
    assert set(tree(tmp_path)) == {"manifest.json"}


def test_temporary_files_of_dead_writers_are_removed_and_of_live_ones_kept(tmp_path):
    place = LocalDirectory(tmp_path)
    with place._partial("points-block-000001.parquet") as (_, mine):
        kernel = mine.name.split(".")[-2].split("-")[0]
        dead = tmp_path / f".points-block-000002.parquet.{kernel}-1-0123456789ab.partial"
        elsewhere = tmp_path / ".points-block-000003.parquet.0badcafe-1-0123456789ab.partial"
        ancient = tmp_path / ".points-block-000004.parquet.0badcafe-1-0123456789ab.partial"
        stranger = tmp_path / ".bashrc"
        for path in (dead, elsewhere, ancient, stranger):
            path.write_bytes(b"half")
        long_ago = time.time() - 2 * ABANDONED_AFTER_S
        os.utime(ancient, (long_ago, long_ago))
        assert set(place.clean()) == {dead.name, ancient.name}
        assert mine.exists()
        assert elsewhere.exists()
        assert stranger.exists()
    assert not mine.exists()


def test_a_file_system_without_locks_works_and_cleans_nothing(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    place = LocalDirectory(tmp_path)
    with place._partial("probe") as (_, mine):
        assert place.clean() == []
        assert mine.exists()
    assert run(FakeSpec(), tmp_path).complete
