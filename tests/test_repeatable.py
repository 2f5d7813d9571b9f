"""One spec, one data set: the same bytes from any number of threads and workers, and from any executor."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastq.engine.sweep import sweep
from fastq.model.load import parse_spec

SPEC = {
    "workload": {
        "prompt_tokens": {"uniform": [10, 60]},
        "output_tokens": {"lognormal": {"mean": 20, "cv": 1, "max": 80}},
    },
    "arrivals": {"load": [0.5, 0.9]},
    "replica": {"kv_capacity_tokens": 2000, "max_num_batched_tokens": 128, "prefill_chunk_tokens": 64},
    "iteration_time": {
        "planes": [{"base_ms": 5, "prefill_token_us": 30, "kv_token_ns": 150}, {"base_ms": 6}]
    },
    "run": {
        "measure": ["boundary", "rates"],
        "replications": 3,
        "requests": 60,
        "precision": 0.05,
        "max_requests": 200,
    },
    "grid": {"scheduler.admission": ["prompt", "lookahead"], "replica.kv_capacity_tokens": [500, 1000, 2000]},
}


def bytes_of(directory):
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def run(tmp_path, name, **options):
    out = tmp_path / name
    sweep(parse_spec(SPEC, source="test"), str(out), block_points=2, **options)
    return bytes_of(out)


@pytest.fixture
def reference(tmp_path):
    files = run(tmp_path, "reference", workers=1, threads=1)
    assert len(files) == 1 + 3 * 3  # the manifest, and three blocks of three tables
    return files


def test_threads(tmp_path, reference):
    assert run(tmp_path, "threads", workers=1, threads=2) == reference


def test_spawned_workers(tmp_path, reference):
    assert run(tmp_path, "workers", workers=2, threads=1) == reference


def test_executor(tmp_path, reference):
    with ThreadPoolExecutor(2) as executor:
        assert run(tmp_path, "executor", executor=executor) == reference


def test_shards_in_any_order(tmp_path, reference):
    out = tmp_path / "shards"
    for index in (1, 0):
        sweep(parse_spec(SPEC, source="test"), str(out), block_points=2, shard=f"{index}/2", threads=1)
    assert bytes_of(out) == reference
