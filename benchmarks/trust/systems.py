"""The systems of the studies, and replications of them in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.model.load import parse_spec
from fastq.model.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastq.analysis.replication import Replication
    from fastq.model.point import Point

REPLICATIONS = 8
"""Replications of an estimate, as by default."""

TRUTH_REPLICATIONS, TRUTH_REQUESTS, TRUTH_SEED = 64, 1_000_000, 2**40
"""Truth comes from 64 million requests of draws that no estimate sees."""

BATCH = 256
"""Replications that are run in one compiled call."""

ONE_PLANE = {
    "planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}],
}
TWO_PLANES = {
    "planes": [
        {"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 50},
        {"base_ms": 12, "kv_token_ns": 60},
    ]
}
STANDARD: dict[str, Any] = {
    "workload": {"prompt_tokens": {"uniform": [200, 800]}, "output_tokens": {"uniform": [50, 350]}},
    "replica": {"kv_capacity_tokens": 70_000},
    "iteration_time": ONE_PLANE,
}
PAPER: dict[str, Any] = {
    "workload": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
    "replica": {"kv_capacity_tokens": 131_000, "prefill_chunk_tokens": 512},
    "iteration_time": {"constant": "37.2 ms"},
}


@dataclass(frozen=True)
class System:
    """A system of a study: its name in the table, and its spec."""

    name: str
    document: dict[str, Any]

    def point(self) -> Point:
        """Its only point."""
        return parse_spec(self.document, source=self.name).point(0)


def _with(base: dict[str, Any], **sections: dict[str, Any]) -> dict[str, Any]:
    return {name: {**base.get(name, {}), **sections.get(name, {})} for name in base | sections}


KV_RECOMPUTE = System("KV binds, recompute", STANDARD)
AZURE = System(
    "Azure conv, A100",
    {
        "workload": {"catalogue": "azure-conv-2023"},
        "replica": {"catalogue": "a100-llama-3-8b", "kv_capacity_tokens": 60_000},
    },
)
BURSTY = System(
    "Azure conv, A100, gamma arrivals of CV 3",
    {**AZURE.document, "arrivals": {"process": "gamma", "interarrival_cv": 3.0}},
)
SINGLE_SERVER = System(
    "one at a time (M/D/1)",
    {
        "workload": {"prompt_tokens": {"constant": 1}, "output_tokens": {"constant": 1}},
        "replica": {"kv_capacity_tokens": 1000, "max_num_seqs": 1},
        "iteration_time": {"constant": "1 ms"},
    },
)
SATURATED = (
    System(
        "slots bind, two planes",
        _with(
            STANDARD,
            replica={"max_num_seqs": 64, "kv_capacity_tokens": 200_000},
            iteration_time=TWO_PLANES,
        ),
    ),
    KV_RECOMPUTE,
    System("KV binds, restart", _with(STANDARD, scheduler={"preemption": "restart"})),
    System("KV binds, peak", _with(STANDARD, scheduler={"admission": "peak"})),
    System(
        "tokens bind, two planes",
        _with(
            STANDARD,
            replica={"max_num_batched_tokens": 256, "kv_capacity_tokens": 400_000, "max_num_seqs": 1024},
            iteration_time=TWO_PLANES,
        ),
    ),
    System("paper's 1:1, constant b", PAPER),
    AZURE,
    System(
        "Mooncake, A100",
        {
            "workload": {"catalogue": "mooncake-conversation"},
            "replica": {"catalogue": "a100-llama-3-8b"},
        },
    ),
)
"""The families of saturated throughput: each constraint, each kind of loss, two real workloads."""

LATENCIES = (SINGLE_SERVER, KV_RECOMPUTE, AZURE, BURSTY)
"""Those of latencies."""

UNSEEN = (
    System(
        "Azure code, A100",
        {
            "workload": {"catalogue": "azure-code-2023"},
            "replica": {"catalogue": "a100-llama-3-8b", "kv_capacity_tokens": 40_000},
        },
    ),
    System(
        "short prompts",
        _with(
            STANDARD,
            workload={
                "prompt_tokens": {"geometric": {"mean": 50}},
                "output_tokens": {"geometric": {"mean": 100}},
            },
            replica={"kv_capacity_tokens": 10_000},
        ),
    ),
    System(
        "lognormal outputs, peak",
        _with(
            STANDARD,
            workload={"output_tokens": {"lognormal": {"mean": 200, "cv": 1.5, "max": 3000}}},
            scheduler={"admission": "peak"},
        ),
    ),
    System(
        "long prompts",
        _with(
            STANDARD,
            workload={"prompt_tokens": {"lognormal": {"mean": 4000, "cv": 1.5, "max": 30_000}}},
            replica={"kv_capacity_tokens": 200_000},
        ),
    ),
    System(
        "32 slots, lognormal outputs",
        _with(
            STANDARD,
            workload={"output_tokens": {"lognormal": {"mean": 300, "cv": 2, "max": 6000}}},
            replica={"max_num_seqs": 32, "kv_capacity_tokens": 300_000},
        ),
    ),
    System(
        "lookahead",
        _with(STANDARD, replica={"kv_capacity_tokens": 15_000}, scheduler={"admission": "lookahead"}),
    ),
    System(
        "watermark, wide outputs",
        _with(
            STANDARD,
            workload={"output_tokens": {"uniform": [10, 1500]}},
            replica={"watermark": 0.1, "kv_capacity_tokens": 60_000},
        ),
    ),
)
"""Those that nothing about intervals of latencies was chosen on; studied where they are named."""

SYSTEMS = {system.name: system for system in (*SATURATED, *LATENCIES, *UNSEEN)}


def replicate(
    point: Point, *, seed: int, count: int, requests: int, rate_rps: float | None = None
) -> Iterator[Replication]:
    """Yield replications 0, 1, ...: at a rate from empty, or under a backlog, every other one from aged requests."""
    encoded = encode(point, Run(seed=seed), mean_running=closed_forms(point).mean_running)
    for first in range(0, count, BATCH):
        yield from Ensemble(encoded, range(first, min(first + BATCH, count)), rate_rps).run_to(requests)


def long_run(point: Point, rate_rps: float | None = None) -> list[Replication]:
    """The replications that truth comes from."""
    return list(
        replicate(
            point,
            seed=TRUTH_SEED,
            count=TRUTH_REPLICATIONS,
            requests=TRUTH_REQUESTS,
            rate_rps=rate_rps,
        )
    )
