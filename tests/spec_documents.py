"""Specs for tests, from a document with some keys changed."""

from __future__ import annotations

import tomllib

import pytest

from fastq.errors import SpecError
from fastq.model.load import parse_spec

FULL = """
title = "Llama-3-8B on one A100"

[workload]
prompt_tokens = { uniform = [10, 1600] }
output_tokens = { uniform = [10, 1600] }

[arrivals]
process = "poisson"
rate_rps = [1.0, 3.0, 5.0]

[replica]
kv_capacity_tokens = 131_000
max_num_batched_tokens = 2048

[iteration_time]
constant = "37.2 ms"

[scheduler]
preset = "vllm"

[run]
measure = ["boundary"]
seed = 1

[grid]
"replica.kv_capacity_tokens" = { geometric = [16_000, 512_000, 32] }
"workload.output_scale" = { linear = [0.25, 4.0, 16] }
"replica.max_num_seqs" = [64, 256, 1024]
"""


MINIMAL = """
[workload]
prompt_tokens = { constant = 100 }
output_tokens = { constant = 10 }
[replica]
kv_capacity_tokens = 10_000
[iteration_time]
constant = "10 ms"
"""


def document(text=MINIMAL, **changes):
    """Parse a spec and set dotted keys, written with two underscores; None removes one."""
    made = tomllib.loads(text)
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        if not leaf:
            made[section] = value
        elif value is None:
            made[section].pop(leaf)
        else:
            made.setdefault(section, {})[leaf] = value
    return made


def spec_of(text=MINIMAL, overrides=(), **changes):
    return parse_spec(document(text, **changes), source="spec.toml", overrides=overrides)


def point_of(text=MINIMAL, **changes):
    return spec_of(text, **changes).point(0)


def error_of(text=MINIMAL, overrides=(), **changes):
    with pytest.raises(SpecError) as caught:
        spec_of(text, overrides, **changes)
    return caught.value


def origins(spec, index=None):
    return {resolved.key: (resolved.value_text, resolved.origin) for resolved in spec.resolved(index)}


def with_trace(folder, name="trace.csv", rows="1,2\n3,4\n"):
    (folder / name).write_text(f"prompt_tokens,output_tokens\n{rows}", encoding="utf-8")
    text = document(workload={"trace": name})
    return parse_spec(text, source="spec.toml", directory=folder)
