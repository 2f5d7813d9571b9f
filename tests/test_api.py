"""What ``import fastq`` offers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fastq

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = {
    "title": "small",
    "workload": {"prompt_tokens": {"uniform": [10, 100]}, "output_tokens": {"uniform": [10, 100]}},
    "replica": {"kv_capacity_tokens": 2000},
    "iteration_time": {"constant": "20 ms"},
    "run": {"requests": 200, "replications": 2, "warmup_requests": 100},
    "grid": {"replica.max_num_seqs": [4, 16, "unlimited"]},
}


@pytest.fixture
def spec(tmp_path: Path) -> fastq.Spec:
    return fastq.parse_spec(DOCUMENT, source="here", directory=tmp_path)


def test_public_names_are_sorted_and_there() -> None:
    assert sorted(fastq.__all__) == fastq.__all__
    for name in fastq.__all__:
        assert getattr(fastq, name) is not None
    assert set(fastq.__all__) <= set(dir(fastq))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="it offers"):
        fastq.nothing  # noqa: B018


def test_import_is_quick() -> None:
    import subprocess
    import sys

    def import_s(module: str) -> float:
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        return time.perf_counter() - began_s

    assert min(import_s("fastq") for _ in range(3)) - min(import_s("sys") for _ in range(3)) < 0.15


def test_theory_is_a_table_with_a_row_per_point(spec: fastq.Spec) -> None:
    table = fastq.theory(spec)
    assert table.num_rows == len(spec) == 3
    assert table["replica.max_num_seqs"].to_pylist() == [4, 16, None]
    assert table["infeasible"].null_count == 3
    assert table["theory_rate_rps"].to_pylist() == sorted(table["theory_rate_rps"].to_pylist())


def test_simulate_one_point_at_one_rate(spec: fastq.Spec) -> None:
    result = fastq.simulate(spec, point=1, arrival_rate=1.0)
    assert result.point["point"] == 1
    assert [rate["arrival_rate_rps"] for rate in result.rates] == [1.0]
    assert fastq.simulate(spec, point=1).rates == []


def test_simulate_refuses_a_point_outside(spec: fastq.Spec) -> None:
    with pytest.raises(fastq.SpecError, match="3 points"):
        fastq.simulate(spec, point=3)


def test_simulate_takes_the_numbers_of_numpy(spec: fastq.Spec) -> None:
    by_list = fastq.simulate(spec, point=1, arrival_rate=[1.0, 2.0]).rates
    assert fastq.simulate(spec, point=1, arrival_rate=np.array([1.0, 2.0])).rates == by_list
    assert fastq.simulate(spec, point=1, arrival_rate=np.int64(2)).rates == by_list[1:]


@pytest.mark.parametrize("backend", ["gpu", "CUDA", ""])
def test_a_backend_that_there_is_not_is_refused(spec: fastq.Spec, tmp_path: Path, backend: str) -> None:
    with pytest.raises(fastq.SpecError, match=f"backend = '{backend}': must be one of auto, cpu, cuda"):
        fastq.simulate(spec, backend=backend)
    with pytest.raises(fastq.SpecError, match="must be one of auto, cpu, cuda"):
        fastq.sweep(spec, tmp_path / "out", backend=backend)
    assert not (tmp_path / "out").exists()


def test_simulate_refuses_fewer_than_one_thread(spec: fastq.Spec) -> None:
    for threads in (0, -1):
        with pytest.raises(fastq.SpecError, match=r"--threads = .*must be 1 or more"):
            fastq.simulate(spec, threads=threads)


def test_sweep_and_read(spec: fastq.Spec, tmp_path: Path) -> None:
    summary = fastq.sweep(spec, tmp_path / "out", workers=1, threads=1)
    assert summary.complete
    points = fastq.read(tmp_path / "out")
    assert points["replica.max_num_seqs"].to_pylist() == [4, 16, None]
    assert fastq.read(tmp_path / "out", "replications", columns=["throughput_rps"]).num_rows == 6


def test_overrides_are_a_mapping_or_pairs_of_values_or_texts():
    given = {"run.seed": 3, "arrivals.load": [0.5, 0.9], "replica.max_num_seqs": "unlimited", "title": "mine"}
    specs = [fastq.load("quickstart", given), fastq.load("quickstart", [*given.items()])]
    specs.append(fastq.load("quickstart", [("run.seed", "3"), ("arrivals.load", "[0.5, 0.9]")]))
    assert [spec.run.seed for spec in specs] == [3, 3, 3]
    assert [spec.rates.loads for spec in specs] == [(0.5, 0.9)] * 3
    assert specs[0].title == "mine"
    for wrong in (["run.seed=3"], [("run.seed", "3", "4")], [(1, 2)]):
        with pytest.raises(fastq.SpecError, match=r"overrides = .*must be a mapping"):
            fastq.load("quickstart", wrong)


def test_what_is_no_spec_is_refused_with_what_makes_one(tmp_path):
    for wrong in ("a100.toml", {"workload": {}}):
        for call in (fastq.theory, fastq.simulate, lambda spec: fastq.sweep(spec, tmp_path / "out")):
            with pytest.raises(fastq.SpecError, match=r"spec = .*must be a spec, as fastq\.load"):
                call(wrong)
    assert not (tmp_path / "out").exists()
