"""The configuration that the benchmarks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.model.load import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.spec import Spec

KV_CAPACITY_TOKENS = 70_000


def standard_spec(preset: str = "vllm", **sections: Mapping[str, Any]) -> Spec:
    """Prompts U(200, 800), outputs U(50, 350), M = 70,000 tokens; limits, blocks and policies of the preset.

    ``sections`` are tables of the spec (``replica``, ``run``, ``grid``, ``arrivals``) that are laid over it.
    """
    document: dict[str, Any] = {
        "title": "benchmark",
        "workload": {"prompt_tokens": {"uniform": [200, 800]}, "output_tokens": {"uniform": [50, 350]}},
        "replica": {"kv_capacity_tokens": KV_CAPACITY_TOKENS, "prefill_chunk_tokens": 2048},
        "iteration_time": {
            "planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]
        },
        "scheduler": {"preset": preset},
    }
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    return parse_spec(document, source="benchmarks")
