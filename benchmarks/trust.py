"""How far intervals and verdicts can be trusted: a study that anyone can run.

``python -m benchmarks.trust`` repeats the estimate of saturated throughput thousands of times on systems whose true
rate is known, exactly or from a run that is a thousand times as long, and counts: how often the 95% interval holds the
truth, how often a verdict at a share of the true rate is wrong or undecided, and how many times fewer requests the
estimate needs than plain completions over time.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastq.analysis.intervals import Interval, pooled_throughput
from fastq.analysis.verdict import VERDICT_CONFIDENCE, Verdict, verdict_at
from fastq.closed_forms import closed_forms
from fastq.closed_forms.sampled import sampled_theory
from fastq.engine.checkpoints import sample_of
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.model.load import parse_spec
from fastq.model.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastq.analysis.replication import Replication
    from fastq.model.point import Point

REPLICATIONS = 8
RUN_LENGTHS = (500, 20_000)
LOADS = (0.5, 0.8, 0.9, 0.97, 0.99, 1.01, 1.03, 1.1, 1.25, 2.0)
TRUTH_REPLICATIONS, TRUTH_REQUESTS, TRUTH_SEED = 64, 1_000_000, 2**40
BATCH = 256
"""Replications that are run in one compiled call."""

PLANES = {"planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]}
STANDARD: dict[str, Any] = {
    "workload": {"prompt_tokens": {"uniform": [200, 800]}, "output_tokens": {"uniform": [50, 350]}},
    "replica": {"kv_capacity_tokens": 70_000},
    "iteration_time": PLANES,
}
PAPER: dict[str, Any] = {
    "workload": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
    "replica": {"kv_capacity_tokens": 131_000, "prefill_chunk_tokens": 512},
    "iteration_time": {"constant": "37.2 ms"},
}


@dataclass(frozen=True)
class Family:
    """A system of the study.

    Parameters
    ----------
    name
        In the table.
    document
        Its spec.
    exact
        Whether theory's rate is the true one: slots bind alone, one affine plane.
    """

    name: str
    document: dict[str, Any]
    exact: bool = False


def _with(base: dict[str, Any], **sections: dict[str, Any]) -> dict[str, Any]:
    return {name: {**base.get(name, {}), **sections.get(name, {})} for name in base | sections}


FAMILIES = (
    Family(
        "slots bind", _with(STANDARD, replica={"max_num_seqs": 64, "kv_capacity_tokens": 200_000}), exact=True
    ),
    Family("KV binds, recompute", STANDARD),
    Family("KV binds, restart", _with(STANDARD, scheduler={"preemption": "restart"})),
    Family("KV binds, peak", _with(STANDARD, scheduler={"admission": "peak"})),
    Family(
        "tokens bind",
        _with(
            STANDARD,
            replica={"max_num_batched_tokens": 256, "kv_capacity_tokens": 400_000, "max_num_seqs": 1024},
        ),
    ),
    Family("paper's 1:1, constant b", PAPER),
    Family(
        "Azure conv, A100",
        {
            "workload": {"catalogue": "azure-conv-2023"},
            "replica": {"catalogue": "a100-llama-3-8b", "kv_capacity_tokens": 60_000},
        },
    ),
    Family(
        "Mooncake, A100",
        {"workload": {"catalogue": "mooncake-conversation"}, "replica": {"catalogue": "a100-llama-3-8b"}},
    ),
)


@dataclass
class Tally:
    """Counts over the repetitions of one family at one run length."""

    truth_rps: float
    repetitions: int = 0
    covered: int = 0
    error_sum: float = 0.0
    half_width_sum: float = 0.0
    plain_squares: float = 0.0
    squares: float = 0.0
    wrong: Counter[float] = field(default_factory=Counter)
    undecided: Counter[float] = field(default_factory=Counter)

    def add(self, replications: Sequence[Replication], expected: Sequence[float]) -> None:
        """Count one repetition."""
        interval = pooled_throughput(replications, expected)
        decisive = pooled_throughput(replications, expected, confidence=VERDICT_CONFIDENCE)
        self.repetitions += 1
        self.covered += interval.low <= self.truth_rps <= interval.high
        error = interval.estimate / self.truth_rps - 1
        self.error_sum += error
        self.squares += error**2
        self.plain_squares += (pooled_throughput(replications).estimate / self.truth_rps - 1) ** 2
        self.half_width_sum += interval.relative_half_width
        for load in LOADS:
            verdict = _verdict(load * self.truth_rps, decisive)
            right = Verdict.STABLE if load < 1 else Verdict.UNSTABLE
            self.undecided[load] += verdict is Verdict.UNDECIDED
            self.wrong[load] += verdict not in (right, Verdict.UNDECIDED)


def _verdict(rate_rps: float, decisive: Interval) -> Verdict:
    """The verdict of a queue that grows as its overload must."""
    growth = Interval(math.inf, math.inf, math.inf)
    return verdict_at(rate_rps, decisive, growth, nonergodic=False)


def replicate(point: Point, *, seed: int, count: int, requests: int) -> Iterator[Replication]:
    """Yield replications 0, 1, ... under a backlog, every other one from aged requests."""
    encoded = encode(point, Run(seed=seed), mean_running=closed_forms(point).mean_running)
    for first in range(0, count, BATCH):
        yield from Ensemble(encoded, range(first, min(first + BATCH, count))).run_to(requests)


def true_rate_rps(family: Family, point: Point) -> float:
    """Exact, or from 64 million requests of other draws."""
    if family.exact:
        return closed_forms(point).theory_rate_rps
    theory = sampled_theory(point)
    long = list(replicate(point, seed=TRUTH_SEED, count=TRUTH_REPLICATIONS, requests=TRUTH_REQUESTS))
    return pooled_throughput(long, [theory.ratio(sample_of(each)) for each in long]).estimate


def study(family: Family, requests: int, repetitions: int, truth_rps: float) -> Tally:
    """Repeat the estimate of one family at one run length."""
    point = parse_spec(family.document, source=family.name).point(0)
    theory, tally = sampled_theory(point), Tally(truth_rps)
    group: list[Replication] = []
    for replication in replicate(point, seed=1, count=REPLICATIONS * repetitions, requests=requests):
        group.append(replication)
        if len(group) == REPLICATIONS:
            tally.add(group, [theory.ratio(sample_of(each)) for each in group])
            group = []
    return tally


def row(family: Family, requests: int, tally: Tally) -> str:
    """A line of the Markdown table."""
    n = tally.repetitions
    near = [load for load in LOADS if round(abs(load - 1), 6) >= 0.03]
    cells = (
        family.name,
        f"{requests:,}",
        f"{tally.truth_rps:.4f}",
        f"{tally.covered / n:.1%}",
        f"{tally.half_width_sum / n:.3%}",
        f"{tally.error_sum / n:+.3%}",
        f"{tally.plain_squares / tally.squares:.0f}",
        f"{sum(tally.wrong[load] for load in near):,} of {n * len(near):,}",
        f"{max(tally.undecided[load] for load in near) / n:.1%}",
        f"{sum(tally.wrong[load] for load in (0.99, 1.01)):,} of {2 * n:,}",
        f"{max(tally.undecided[load] for load in (0.99, 1.01)) / n:.1%}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument(
        "--requests", type=int, action="append", help="run lengths, in place of 500 and 20,000; several times"
    )
    parser.add_argument("--family", action="append", help="only these; may be given several times")
    args = parser.parse_args()
    print(
        "| system | requests | true rate | coverage of 95% | half-width | bias | gain | wrong, 3% off or more | "
        "undecided there | wrong, 1% off | undecided there |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for family in FAMILIES:
        if args.family and family.name not in args.family:
            continue
        truth_rps = true_rate_rps(family, parse_spec(family.document, source=family.name).point(0))
        for requests in args.requests or RUN_LENGTHS:
            print(row(family, requests, study(family, requests, args.repetitions, truth_rps)), flush=True)


if __name__ == "__main__":
    main()
