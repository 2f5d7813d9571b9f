"""Verdicts: how often is one wrong, and how often undecided, at rates around the boundary?

Each trial is the whole of what ``fastq simulate --rate`` does: replications under a backlog and from empty at every
rate, and the verdict that its table shows.
"""

from __future__ import annotations

from collections import Counter

from benchmarks.trust.intervals import true_rate_rps
from benchmarks.trust.systems import SYSTEMS
from fastq.engine.evaluate import evaluate_point
from fastq.model.load import parse_spec

LOADS = (0.5, 0.8, 0.9, 0.97, 0.99, 1.01, 1.03, 1.1, 1.25, 2.0)
HEADER = ("system", "trials", *(f"{load:g}" for load in LOADS))


def study(name: str, trials: int, requests: int) -> list[tuple[str, ...]]:
    """One line: at each load, wrong / undecided of the trials."""
    system = SYSTEMS[name]
    truth_rps = true_rate_rps(system.point())
    seen: dict[float, Counter[str]] = {load: Counter() for load in LOADS}
    for seed in range(trials):
        document = system.document | {
            "arrivals": {"rate_rps": [load * truth_rps for load in LOADS]},
            "run": {"measure": ["rates"], "requests": requests, "seed": seed},
        }
        result = evaluate_point(parse_spec(document, source=name), 0)
        for load, row in zip(LOADS, result.rates, strict=True):
            seen[load][row["verdict"]] += 1
    return [(name, f"{trials:,}", *(_wrong_and_undecided(load, seen[load]) for load in LOADS))]


def _wrong_and_undecided(load: float, verdicts: Counter[str]) -> str:
    right = "stable" if load < 1 else "unstable"
    wrong = verdicts.total() - verdicts[right] - verdicts["undecided"]
    return f"{wrong} / {verdicts['undecided']}"
