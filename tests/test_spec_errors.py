"""An error in a spec names file, key and value, and what is accepted."""

from __future__ import annotations

import pytest
from spec_documents import error_of


@pytest.mark.parametrize(
    ("changes", "key", "shown"),
    [
        ({"workload__prompt_tokens": None}, "workload.prompt_tokens", "is missing"),
        ({"workload": {}}, "workload.prompt_tokens", "workload.catalogue"),
        ({"replica__kv_capacity_tokens": None}, "replica.kv_capacity_tokens", "replica.catalogue"),
        ({"iteration_time__constant": None}, "iteration_time", "is missing"),
        ({"iteration_time__planes": [{"base_ms": 1}]}, "iteration_time.planes", "together"),
        ({"workload__catalogue": "azure-conv-2023"}, "workload.catalogue", "together"),
        ({"workload__prompt_tokens": 512}, "workload.prompt_tokens", "{ constant = n }"),
        ({"workload__prompt_scale": 0}, "workload.prompt_scale", ">="),
        ({"replica__kv_capacity_tokens": 0}, "replica.kv_capacity_tokens", "between 1 and 2,147,483,647"),
        ({"replica__kv_capacity_tokens": "unlimited"}, "replica.kv_capacity_tokens", "whole number"),
        ({"replica__kv_capacity_tokens": 2**31}, "replica.kv_capacity_tokens", "2147483648"),
        ({"replica__block_size": 1.5}, "replica.block_size", "1.5"),
        ({"replica__max_num_seqs": "many"}, "replica.max_num_seqs", '"unlimited"'),
        ({"replica__watermark": 1}, "replica.watermark", "< 1"),
        ({"replica__watermark": -0.1}, "replica.watermark", ">= 0"),
        ({"replica__kv_capacity": 5}, "replica.kv_capacity", "did you mean replica.kv_capacity_tokens"),
        ({"replica__preset": "vllm"}, "replica.preset", "did you mean scheduler.preset"),
        ({"replica": 5}, "replica", "table"),
        ({"replicas": {}}, "replicas", "did you mean replica"),
        ({"seed": 1}, "seed", "run"),
        ({"title": 5}, "title", "text"),
        ({"replica__catalogue": "a100"}, "replica.catalogue", "there are"),
        (
            {"workload": {"catalogue": "azure-conv-2032"}},
            "workload.catalogue",
            "did you mean azure-conv-2023",
        ),
        ({"workload": {"catalogue": "../x"}}, "workload.catalogue", "no such entry"),
        ({"scheduler__preset": "VLLM"}, "scheduler.preset", "vllm, paper"),
        ({"scheduler__admission": "promt"}, "scheduler.admission", "did you mean prompt"),
        ({"scheduler__preemption": "swap"}, "scheduler.preemption", "recompute, restart"),
        ({"arrivals__process": "hawkes"}, "arrivals.process", "poisson"),
        ({"arrivals__rate": 1}, "arrivals.rate", "did you mean rate_rps"),
        ({"arrivals__rate_rps": 0}, "arrivals.rate_rps", ">="),
        ({"arrivals__rate_rps": []}, "arrivals.rate_rps", "at least one"),
        ({"arrivals__rate_rps": [1, 1.0]}, "arrivals.rate_rps[1]", "once"),
        ({"arrivals__rate_rps": 1e7}, "arrivals.rate_rps", "1000000"),
        ({"arrivals": {"rate_rps": 1, "load": 0.5}}, "arrivals.load", "together"),
        ({"arrivals__load": "half"}, "arrivals.load", "number"),
        ({"run__measure": ["rates"]}, "arrivals.rate_rps", "needs"),
        ({"run__measure": []}, "run.measure", "one or more"),
        ({"run__measure": ["boundary", "boundary"]}, "run.measure", "each once"),
        ({"run__measure": ["bound"]}, "run.measure[0]", "boundary, rates"),
        ({"run__seed": -1}, "run.seed", "between 0"),
        ({"run__seed": 2**64}, "run.seed", "18,446,744,073,709,551,615"),
        ({"run__replications": 1}, "run.replications", "between 2"),
        ({"run__requests": 0}, "run.requests", "between 1"),
        ({"run__precision": 0}, "run.precision", ">="),
        ({"run__precision": 1}, "run.precision", "< 1"),
        ({"run__max_requests": 5}, "run.max_requests", "20,000"),
        ({"run__common_random_numbers": 1}, "run.common_random_numbers", "true or false"),
        ({"run__infeasible": "ignore"}, "run.infeasible", "error, skip"),
        ({"run__sed": 1}, "run.sed", "did you mean seed"),
    ],
)
def test_errors_name_file_key_value_and_what_is_accepted(changes, key, shown):
    error = error_of(**changes)
    assert error.source == "spec.toml"
    assert error.key == key
    assert shown in str(error)
    assert str(error).startswith(f"spec.toml: {key}")
