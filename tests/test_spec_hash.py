"""What a spec's hash and a point's digest are made of."""

from __future__ import annotations

import subprocess
import sys

from spec_documents import document, spec_of, with_trace

from fastq.model.catalogue import replica_names
from fastq.model.load import load_spec, parse_spec


def test_the_hash_is_blind_to_how_a_spec_is_written(tmp_path):
    spec = spec_of()
    assert spec.hash == spec_of(title="x").hash
    assert spec.hash == parse_spec(document(), source="elsewhere").hash
    assert spec.hash == spec_of(replica={"kv_capacity_tokens": 1e4, "block_size": 16}).hash
    assert spec.hash == spec_of(iteration_time={"planes": [{"base_ms": 10}]}).hash
    assert spec.hash == spec_of(iteration_time={"constant": "0.01 s"}).hash
    assert spec.hash == spec_of(scheduler={"preset": "vllm", "admission": "prompt"}).hash
    assert spec.hash == spec_of(arrivals={"rate_rps": 3}).hash
    assert spec.hash == spec_of(overrides=[("run.seed", "1")]).hash
    assert with_trace(tmp_path, "a.csv").hash == with_trace(tmp_path, "b.csv").hash
    axis = {"replica.kv_capacity_tokens": [5000, 6000]}
    assert spec_of(grid=axis).hash == spec_of(grid=axis, replica__kv_capacity_tokens=None).hash


def test_the_hash_sees_whatever_decides_a_number(tmp_path):
    specs = [
        spec_of(),
        spec_of(replica__block_size=8),
        spec_of(replica__max_model_len=4000),
        spec_of(workload__prompt_tokens={"constant": 101}),
        spec_of(workload__prompt_scale=2),
        spec_of(iteration_time__constant="10.000000001 ms"),
        spec_of(scheduler__admission="chunk"),
        spec_of(run__seed=2),
        spec_of(run__requests=10_000),
        spec_of(run__precision=0.01),
        spec_of(run__precision=0.01, run__max_requests=50_000),
        spec_of(run__measure=["boundary", "rates"], arrivals={"rate_rps": 1}),
        spec_of(run__measure=["boundary", "rates"], arrivals={"load": 1}),
        spec_of(run__measure=["boundary", "rates"], arrivals={"load": [1, 0.5]}),
        spec_of(grid={"replica.block_size": [16]}),
        spec_of(grid={"replica.block_size": [16, 8]}),
        spec_of(grid={"replica.block_size": [8, 16]}),
        spec_of(cases=[{"name": "a"}]),
        spec_of(cases=[{"name": "b"}]),
        with_trace(tmp_path),
        with_trace(tmp_path, rows="3,4\n1,2\n"),
        spec_of(grid={"replica.catalogue": [replica_names()[0]]}),
        spec_of(grid={"replica.catalogue": [replica_names()[1]]}),
    ]
    assert len({spec.hash for spec in specs}) == len(specs)


def test_the_hash_is_the_same_in_another_process():
    code = "from fastq.model.load import load_spec; print(load_spec('paper-table-1').hash)"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert shown == [load_spec("paper-table-1").hash] * 2


def test_a_points_digest_is_of_what_it_is():
    spec = spec_of(grid={"replica.block_size": [16, 8], "workload.prompt_scale": [1, 2]})
    assert len({point.digest() for point in spec}) == 4
    assert spec.point(0).digest() == spec_of(arrivals={"rate_rps": 3}).point(0).digest()
