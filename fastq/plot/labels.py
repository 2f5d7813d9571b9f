"""Plain words, with units, for the keys of a spec, and short text for their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.model.point import Scalar

_WORDS = {
    "case": "case",
    "workload.prompt_tokens": "prompt length (tokens)",
    "workload.output_tokens": "output length (tokens)",
    "workload.catalogue": "workload",
    "workload.trace": "trace",
    "workload.prompt_scale": "prompt length scale (× workload)",
    "workload.output_scale": "output length scale (× workload)",
    "arrivals.process": "arrival process",
    "arrivals.interarrival_cv": "burstiness (CV of interarrival times)",
    "arrivals.round_robin": "replicas that take turns",
    "replica.catalogue": "replica",
    "replica.kv_capacity_tokens": "KV cache capacity (tokens)",
    "replica.block_size": "KV block size (tokens)",
    "replica.max_num_seqs": "sequence limit (requests)",
    "replica.max_num_batched_tokens": "token budget per iteration (tokens)",
    "replica.prefill_chunk_tokens": "prefill chunk (tokens)",
    "replica.watermark": "watermark (share of blocks)",
    "replica.max_model_len": "longest request accepted (tokens)",
    "iteration_time.constant": "iteration time (s)",
    "iteration_time.planes": "iteration time",
    "iteration_time.host_ms": "host time added to every iteration (ms)",
    "iteration_time.prefill_seq_us": "added for a prompt in prefill (µs)",
    "iteration_time.finished_prompt_us": "added for a prompt that ends its prefill (µs)",
    "iteration_time.prefill_kv_token_ns": "added for a cached token of a chunk (ns)",
    "iteration_time.prefill_ms": "added where a batch prefills (ms)",
    "iteration_time.mixed_ms": "added where a batch does both (ms)",
    "iteration_time.mixed_kv_token_ns": "added for a KV token where a batch does both (ns)",
    "iteration_time.jump_ms": "jump of the iteration time (ms)",
    "iteration_time.jump_beyond_tokens": "batch size of the jump (tokens)",
    "scheduler.preset": "scheduler preset",
    "scheduler.admission": "admission",
    "scheduler.preemption": "preemption",
    "scheduler.token_convention": "token convention",
}

BINDING_WORDS = {"kv": "KV memory", "seqs": "sequence limit", "tokens": "token budget"}
"""What each value of the ``binding`` column means."""

STATUS_WORDS = {
    "short": "window short for its batch",
    "capped": "precision not reached",
    "nonergodic": "replications disagree",
    "metastable": "metastable: the start decides",
}
"""What each status that calls for care means."""


def axis_label(key: str) -> str:
    """Return the words for a dotted key, first letter in upper case; the key itself where there are none."""
    words = _WORDS.get(key)
    return words[0].upper() + words[1:] if words else key


def facet_label(key: str, value: Scalar) -> str:
    """Return one setting in words, as 'sequence limit = 256 requests'."""
    words = _WORDS.get(key, key)
    name, _, unit = words.partition(" (")
    shown = setting_label(key, value)
    return (
        f"{name}: {shown} {unit.rstrip(')')}".rstrip() if unit and value is not None else f"{name}: {shown}"
    )


def setting_label(key: str, value: Scalar) -> str:
    """Return the value of a setting as :func:`value_label` does, planes with the signs of their units."""
    if key == "iteration_time.planes" and isinstance(value, str):
        return with_micro_signs(value)
    return value_label(value)


def with_micro_signs(text: str) -> str:
    """Write µs for the us that planes have as text in specs and result tables."""
    return re.sub(r"(?<=\d) us\b", " µs", text)


def rate_label(rate_rps: float) -> str:
    """Return an arrival rate in words, as '2.5 requests/s'."""
    shown = value_label(rate_rps)
    return f"{shown} request/s" if shown == "1" else f"{shown} requests/s"


def duration_label(time_s: float) -> str:
    """Return a duration with a unit that suits it: 1 s, 58.4 min, 3.2 days."""
    for limit_s, factor_s, unit in ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (86400.0, 3600.0, "h")):
        if time_s < limit_s:
            return f"{time_s / factor_s:.3g} {unit}"
    days = time_s / 86400.0
    return f"{days:.3g} days" if days < 1000.0 else f"{days:,.0f} days"


def value_label(value: Scalar) -> str:
    """Return a value in at most a few digits; null is 'unlimited'."""
    if value is None:
        return "unlimited"
    if isinstance(value, bool | str):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def tick_label(value: float) -> str:
    """Return a short tick label: 0.5, 64, 1,024, 16k, 1.5M."""
    size = abs(value)
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * (1 if factor > 1e3 else 10):
            return f"{value / factor:.3g}{letter}"
    return f"{value:.4g}" if size < 1000 else f"{value:,.0f}"
