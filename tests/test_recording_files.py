"""The Parquet files of ``fastq simulate``: what they are made from, units, and null where nothing is meant."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from small_spec import SMALL

from fastq.cli.main import main
from fastq.model.load import load_spec
from fastq.model.version import RESULTS_VERSION
from fastq.store.recording_schema import ITERATIONS, REQUESTS

SPEC = (
    SMALL.replace("output_tokens = { uniform = [10, 100] }", "output_tokens = { uniform = [1, 3] }")
    + """
[grid]
"replica.max_num_seqs" = [4, 16]
"""
)
SINCE_ARRIVAL = ("wait_s", "ttft_s", "e2e_s")


@pytest.fixture(scope="module")
def spec_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def recorded(spec_path, tmp_path):
    def record(*words):
        files = [tmp_path / "requests.parquet", tmp_path / "iterations.parquet"]
        options = ["--point", "1", "--trajectories", str(files[0]), "--timeline", str(files[1])]
        assert main(["simulate", str(spec_path), *options, *words]) == 0
        return [pq.read_table(file) for file in files]

    return record


@pytest.mark.parametrize("rate", [(), ("--rate", "2", "--rate", "5")])
def test_every_column_has_unit_and_description_and_the_file_its_origin(recorded, spec_path, rate):
    spec = load_spec(spec_path)
    if rate:
        spec = spec.at_rates([2.0, 5.0])
    for table, columns in zip(recorded(*rate), (REQUESTS, ITERATIONS), strict=True):
        assert table.column_names == [column.name for column in columns]
        for column in columns:
            metadata = table.schema.field(column.name).metadata
            assert metadata[b"unit"].decode() == column.unit
            assert metadata[b"description"].decode() == column.description != ""
        assert table.schema.metadata[b"spec_hash"].decode() == spec.hash
        assert table.schema.metadata[b"results_version"].decode() == str(RESULTS_VERSION)
        assert table.schema.metadata[b"point"] == b"1"


def test_under_a_backlog_nothing_is_measured_from_the_arrival(recorded):
    requests, iterations = recorded()
    for name in ("arrival_rate_rps", *SINCE_ARRIVAL):
        assert requests[name].null_count == requests.num_rows > 0
    assert requests["arrival_s"].null_count == requests["finish_s"].null_count == 0
    assert iterations["arrival_rate_rps"].null_count == iterations.num_rows > 0


@pytest.mark.parametrize("rate", [(), ("--rate", "5")])
def test_one_output_token_has_no_time_per_token(recorded, rate):
    requests, _ = recorded(*rate)
    single = pc.equal(requests["output_tokens"], 1)
    assert 0 < pc.sum(single).as_py() < requests.num_rows
    assert pc.is_null(requests["tpot_s"]).equals(single)
    assert np.isfinite(requests["tpot_s"].drop_null().to_numpy()).all()


def test_at_a_rate_all_else_is_measured(recorded):
    requests, iterations = recorded("--rate", "5")
    assert all(requests[name].null_count == 0 for name in requests.column_names if name != "tpot_s")
    assert all(iterations[name].null_count == 0 for name in iterations.column_names)
    wait_s, ttft_s, e2e_s = (requests[name].to_numpy() for name in SINCE_ARRIVAL)
    assert (wait_s < ttft_s).all()
    assert (ttft_s <= e2e_s).all()
    np.testing.assert_allclose(requests["finish_s"].to_numpy() - requests["arrival_s"].to_numpy(), e2e_s)
