"""The rate to expect, against the simulation: within percent, where the bound is tens of percent off."""

from __future__ import annotations

import math

import pytest

from fastq.closed_forms import closed_forms
from fastq.engine.evaluate import evaluate_point
from fastq.model.load import parse_spec

AZURE = {"catalogue": "azure-conv-2023"}
A100 = {"catalogue": "a100-llama-3-8b"}
RTX = {"catalogue": "rtx-4090-llama-3.1-8b"}
PAPER = {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}}
ONE_PLANE = {"planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]}
CHAT = {"prompt_tokens": {"uniform": [200, 800]}, "output_tokens": {"uniform": [50, 350]}}
CODE = {"catalogue": "azure-code-2023"}


def point_and_rate(replica: dict, workload: dict, **sections: dict):
    spec = parse_spec({"workload": workload, "replica": replica, **sections}, source="test")
    return closed_forms(spec.point(0)), evaluate_point(spec, 0).point["service_rate_rps"]


# Simulated over expected, and the least that the bound is above the simulation: what each case is for.
@pytest.mark.parametrize(
    ("replica", "workload", "sections", "off", "bound_off"),
    [
        pytest.param({**A100, "max_num_seqs": 64}, AZURE, {}, 0.005, 0.12, id="slots, batches of two kinds"),
        pytest.param({**A100, "kv_capacity_tokens": 400_000}, CODE, {}, 0.01, 0.03, id="token budget"),
        pytest.param({**A100, "kv_capacity_tokens": 60_000}, AZURE, {}, 0.03, 0.2, id="memory, recomputation"),
        pytest.param({**A100, "kv_capacity_tokens": 131_000}, PAPER, {}, 0.04, 0.3, id="memory, half preempted"),
        pytest.param({**RTX, "kv_capacity_tokens": 41_408}, AZURE, {}, 0.05, 0.3, id="two planes and a jump"),
        pytest.param(
            {"kv_capacity_tokens": 70_000}, CHAT, {"iteration_time": ONE_PLANE}, 0.005, 0.008,
            id="one plane, recomputation",
        ),
        pytest.param(
            {"kv_capacity_tokens": 70_000}, CHAT, {"iteration_time": ONE_PLANE, "scheduler": {"admission": "peak"}},
            0.005, 0.02, id="reserved peaks",
        ),
    ],
)  # fmt: skip
def test_it_is_within_percent_of_the_simulation(replica, workload, sections, off, bound_off):
    forms, simulated_rps = point_and_rate(replica, workload, **sections)
    assert simulated_rps == pytest.approx(forms.expected_rate_rps, rel=off)
    assert forms.theory_rate_rps > (1 + bound_off) * simulated_rps


@pytest.mark.parametrize("admission", ["prompt", "lookahead", "peak"])
def test_on_one_plane_with_slots_that_bind_it_is_the_bound(admission):
    forms, _ = point_and_rate(
        {"kv_capacity_tokens": 10_000_000, "max_num_seqs": 16},
        CHAT,
        iteration_time=ONE_PLANE,
        scheduler={"admission": admission},
        run={"requests": 100, "replications": 2},
    )
    assert forms.expected_rate_rps == pytest.approx(forms.theory_rate_rps, rel=1e-12)


def test_preemptions_are_as_many_as_it_expects():
    """Growth over prompt, times the share of iterations that complete nothing: within 15% over a range of 6."""
    for output_scale, prompt_scale in ((0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, 0.5)):
        workload = {**CHAT, "output_scale": output_scale, "prompt_scale": prompt_scale}
        spec = parse_spec(
            {"workload": workload, "replica": {"kv_capacity_tokens": 20_000}, "iteration_time": ONE_PLANE},
            source="test",
        )
        forms = closed_forms(spec.point(0))
        decodes = forms.charged_tokens_per_request - forms.mean_prompt_tokens
        expected = decodes / forms.mean_prompt_tokens * math.exp(-forms.completions_per_iteration)
        assert evaluate_point(spec, 0).point["preemptions_per_request"] == pytest.approx(expected, rel=0.15)


def test_it_is_never_above_the_bound():
    """One request at a time, a chunk in every iteration: by chance two batches of five would have none."""
    spec = parse_spec(
        {
            "workload": {"prompt_tokens": {"constant": 60}, "output_tokens": {"constant": 1}},
            "replica": {"kv_capacity_tokens": 10_000, "max_num_seqs": 1, "prefill_chunk_tokens": 10},
            "iteration_time": {"planes": [{"base_ms": 1}], "prefill_ms": 5},
            "run": {"requests": 100, "replications": 2},
        },
        source="test",
    )
    forms = closed_forms(spec.point(0))
    assert forms.expected_rate_rps == forms.theory_rate_rps
    simulated_rps = evaluate_point(spec, 0).point["service_rate_rps"]
    assert simulated_rps == pytest.approx(1 / 0.036, rel=1e-9)
    assert forms.expected_rate_rps == pytest.approx(simulated_rps, rel=1e-9)


@pytest.mark.parametrize("budget", [64, 128, 500, 512])
@pytest.mark.parametrize(("prompt", "output"), [(313, 77), (700, 130)])
def test_batches_that_are_full_do_not_jump_where_the_jump_is_beyond_full_ones(budget, prompt, output):
    spec = parse_spec(
        {
            "workload": {
                "prompt_tokens": {"uniform": [1, prompt]},
                "output_tokens": {"uniform": [1, output]},
            },
            "replica": {"kv_capacity_tokens": 10_000_000, "max_num_batched_tokens": budget},
            "iteration_time": {
                "planes": [{"base_ms": 5, "prefill_token_us": 20}],
                "jump_ms": 10,
                "jump_beyond_tokens": budget,
            },
        },
        source="test",
    )
    forms = closed_forms(spec.point(0))
    assert forms.binding == "tokens"
    assert forms.expected_rate_rps == pytest.approx(forms.theory_rate_rps, rel=0.01)
