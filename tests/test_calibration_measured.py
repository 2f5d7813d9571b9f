"""Calibrations from published measurements, where they are on this machine: against earlier fits and what is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_calibration_tables import LLAMA_3_8B, LLAMA_3_70B

from fastq.calibration.calibration import calibrate
from fastq.calibration.design import design_of
from fastq.calibration.layer_profile import read_layer_profile
from fastq.calibration.model_shape import ModelShape
from fastq.calibration.operator_batches import read_operator_batches
from fastq.calibration.splitwise import read_splitwise

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
QWEN_3_14B = {
    "layers": 40,
    "hidden": 5120,
    "heads": 40,
    "kv_heads": 8,
    "head_size": 128,
    "intermediate": 17408,
    "vocab": 151936,
}
CONFIGURATIONS = {
    "L3-8B A100 TP1": ("a100_sxm", ModelShape(**LLAMA_3_8B), 438_592),
    "L3-8B H100 TP1 v0.24": ("h100_sxm", ModelShape(**LLAMA_3_8B), 438_592),
    "L3-70B A100 TP4": ("a100_sxm", ModelShape(**LLAMA_3_70B, tensor_parallel=4), 462_176),
    "L3-70B H100 TP4 v0.24": ("h100_sxm", ModelShape(**LLAMA_3_70B, tensor_parallel=4), 462_176),
    "Q3-14B H100 TP1 v0.24": ("h100_sxm", ModelShape(**QWEN_3_14B), None),
}
FORMS = ("affine all", "affine+hinge", "affine+quadattn")
SHARES = {"decode": 1371, "long": 2361, "short": 3838 - 1371 - 2361}
"""Batches of the earlier fits that only decode, that prefill 512 tokens or more, and others; which ones is not told."""


def wanted(*parts):
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"these measurements are not on this machine (looked for {path})")
    return path


def earlier_seconds(fit, columns):
    c = fit["rel"]
    planes = np.array([c["c0"], c["c1"], c["c2"], c["c3"], 2 * c.get("c4(sum L^2)", 0.0)])
    tokens = columns[:, 1] + columns[:, 2]
    return 1e-3 * (columns @ planes + c.get("ch256", 0.0) * np.maximum(tokens - 256, 0))


def error_at_their_shares(log, fitted):
    errors = np.abs(fitted / log.seconds - 1)
    kinds = {"decode": log.prefill_tokens == 0, "long": log.prefill_tokens >= 512}
    kinds["short"] = ~(kinds["decode"] | kinds["long"])
    return sum(SHARES[kind] * errors[rows].mean() for kind, rows in kinds.items()) / sum(SHARES.values())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_planes_beat_the_earlier_fits(name):
    earlier = json.loads(wanted("fits_operator_sum.json").read_text(encoding="utf-8"))[name]
    folder, shape, capacity = CONFIGURATIONS[name]
    log = read_operator_batches(wanted("aiconfigurator", folder), shape, kv_capacity_tokens=capacity)
    columns = design_of(log).columns
    found = calibrate(log)
    chosen = error_at_their_shares(log, found.fitted_s)
    for form in FORMS:
        assert chosen < error_at_their_shares(log, earlier_seconds(earlier[form], columns)), form
    assert chosen < earlier["affine all"]["rel_stats"]["mean"]
    assert found.errors[0].worst < 0.75 * earlier["affine+quadattn"]["rel_stats"]["max"]
    assert found.held_out[len(found.iteration_time.planes) - 1].error < 0.5 * found.held_out[0].error + 0.005
    last = found.iteration_time.planes[-1]
    assert last.prefill_token_ps == pytest.approx(1e9 * earlier["mixed P>=512 +quad"]["rel"]["c1"], rel=0.2)
    for plane in found.iteration_time.planes[:1]:
        assert plane.base_ps == pytest.approx(1e9 * earlier["decode only"]["rel"]["c0"], rel=0.12)
        assert plane.kv_token_ps == pytest.approx(1e9 * earlier["decode only"]["rel"]["c3"], rel=0.1)


def test_the_rtx_4090_decodes_as_its_layers_do():
    profile = wanted("llmservingsim_rtx4090", "profile")
    found = calibrate(read_layer_profile(profile, 32, kv_capacity_tokens=41_408))
    decode = next(each for each in found.errors if each.region == "decode only")
    assert decode.median < 0.03
    assert decode.p90 < 0.06
    assert abs(decode.total) < 0.03
    first = found.iteration_time.planes[0]
    assert first.base_ps == pytest.approx(16.88e9, rel=0.05)
    assert first.kv_token_ps == pytest.approx(149_000, rel=0.25)
    again = found.added[0]
    assert again.name == "KV that prefill chunks read again"
    assert again.drop > 0.015
    assert 500 < found.iteration_time.terms.prefill_kv_token_ps / 1000 < 1100
    assert found.error_with_terms < 0.6 * found.error_of_planes


def test_splitwise_has_batches_that_prefill_and_batches_that_decode():
    path = wanted("splitwise_sim", "data", "perf_model.csv")
    kept = {"model": "llama2-70b", "hardware": "a100-80gb", "tensor_parallel": "8"}
    found = calibrate(read_splitwise(path, kept))
    assert found.log.rows == 210
    decode = next(each for each in found.errors if each.region == "decode only")
    assert decode.median < 0.02
    assert all(plane.attention_ps >= 0 for plane in found.iteration_time.planes)
