"""Where throughput is lost against theory, one loss at a time: the experiments of ``docs/theory.md``.

``python -m benchmarks.theory`` prints all tables, ``python -m benchmarks.theory ties peak`` some. Rates are shares of
``theory_rate_rps`` unless a column says otherwise; the half-width is that of the simulated share, 95%.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from fastq.closed_forms import closed_forms
from fastq.engine.evaluate import evaluate_point
from fastq.engine.rows import LOSS_COLUMNS
from fastq.model.load import parse_spec
from fastq.model.scheduler import TokenConvention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fastq.closed_forms import ClosedForms
    from fastq.model.point import Point

Document = dict[str, Any]
Row = tuple[str, ...]


WIDE: Document = {
    "workload": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
    "replica": {
        "kv_capacity_tokens": 131_000,
        "block_size": 1,
        "max_num_seqs": "unlimited",
        "max_num_batched_tokens": "unlimited",
        "prefill_chunk_tokens": 512,
    },
    "iteration_time": {"constant": "37.2 ms"},
}
"""The first workload of Nie, Si and Zhou with no limit but memory, single tokens and a constant iteration time."""

STANDARD: Document = {
    "workload": {"prompt_tokens": {"uniform": [200, 800]}, "output_tokens": {"uniform": [50, 350]}},
    "replica": {"kv_capacity_tokens": 70_000},
    "iteration_time": {
        "planes": [{"base_ms": 8, "prefill_token_us": 30, "decode_seq_us": 20, "kv_token_ns": 150}]
    },
}
"""An engine with vLLM's defaults and one affine plane."""

EQUAL_WORKLOAD: Document = {"prompt_tokens": {"constant": 50}, "output_tokens": {"constant": 800}}
PAPER_WORKLOADS = {
    "1:1": {"prompt_tokens": {"uniform": [10, 1600]}, "output_tokens": {"uniform": [10, 1600]}},
    "2:1": {"prompt_tokens": {"uniform": [10, 2133]}, "output_tokens": {"uniform": [10, 1066]}},
    "1:2": {"prompt_tokens": {"uniform": [10, 1066]}, "output_tokens": {"uniform": [10, 2133]}},
}


@dataclass(frozen=True)
class Outcome:
    """A simulated point beside theory.

    Parameters
    ----------
    point, forms
        The configuration and its closed forms.
    columns
        Its row of the table of points.
    """

    point: Point
    forms: ClosedForms
    columns: dict[str, Any]

    @property
    def share(self) -> float:
        """Simulated over theory."""
        return float(self.columns["service_rate_rps"]) / self.forms.theory_rate_rps

    @property
    def half_width(self) -> float:
        """Of the share."""
        low, high = self.columns["service_rate_low_rps"], self.columns["service_rate_high_rps"]
        return float(high - low) / 2 / self.forms.theory_rate_rps

    def lost(self, *terms: str) -> tuple[str, ...]:
        """Shares of the time that are lost, in percent."""
        return tuple(_percent(self.columns[LOSS_COLUMNS[term]]) for term in terms)

    @property
    def shown(self) -> str:
        """The share with its half-width."""
        return f"{self.share:.5f} ± {self.half_width:.5f}"


def simulated(base: Document, **sections: Document) -> Outcome:
    """Simulate a point under a backlog; ``sections`` are laid over ``base``."""
    document = {name: {**base.get(name, {}), **sections.get(name, {})} for name in base | sections}
    spec = parse_spec(document, source="benchmarks.theory")
    point = spec.point(0)
    return Outcome(point, closed_forms(point), evaluate_point(spec, 0).point)


# Moments of the law over all pairs of lengths; every law here is small enough for that.


def lengths(point: Point) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prompts as a column, decode iterations as a row: independent marginals."""
    unemitted = 1 if point.scheduler.token_convention is TokenConvention.ENGINE else 0
    prompts = np.asarray(point.law.prompt_tokens, np.float64)
    outputs = np.asarray(point.law.output_tokens, np.float64)
    return prompts[:, None], outputs[None, :] - unemitted


def half_of_one(sizes: NDArray[np.float64]) -> float:
    """Return E[x^2] / (2 E[x]): the mean gap that sizes x, taken in order, leave below a limit."""
    return float((sizes**2).mean() / (2 * sizes.mean()))


def peak_completions(point: Point) -> tuple[float, float]:
    """Completions per iteration with the peak reserved: as in a fluid, and less the admission quantum."""
    prompts, decodes = lengths(point)
    reserved = np.ceil((prompts + decodes) / point.replica.block_size)
    iterations = np.ceil(prompts / point.replica.prefill_chunk_tokens) + decodes
    area, blocks = float((reserved * iterations).mean()), point.replica.kv_blocks
    return blocks / area, (blocks - half_of_one(reserved)) / area


def kv_spread(point: Point) -> float:
    """Coefficient of variation of the KV tokens of a request that is running, at a random iteration."""
    prompts, d = lengths(point)
    chunk = point.replica.prefill_chunk_tokens
    n, first, second = d + 0 * prompts, 0 * prompts, 0 * prompts
    for j in range(1, math.ceil(prompts.max() / chunk) + 1):
        held = np.where((j - 1) * chunk < prompts, np.minimum(j * chunk, prompts), 0.0)
        n, first, second = n + (held > 0), first + held, second + held**2
    first = first + prompts * d + d * (d + 1) / 2
    second = second + prompts**2 * d + prompts * d * (d + 1) + d * (d + 1) * (2 * d + 1) / 6
    mean, square = first.mean() / n.mean(), second.mean() / n.mean()
    return math.sqrt(square / mean**2 - 1)


def rate_rps(outcome: Outcome, completions: float) -> float:
    """``completions`` per iteration over the time of the mean batch that they make."""
    forms = outcome.forms
    return completions / max(
        plane.base_ps / 1e12
        + completions
        / 1e12
        * (
            plane.prefill_token_ps * forms.mean_prompt_tokens
            + plane.decode_seq_ps * (forms.charged_tokens_per_request - forms.mean_prompt_tokens)
            + plane.kv_token_ps * forms.decode_kv_tokens_per_request
            + plane.attention_ps * forms.attention_per_request
        )
        for plane in outcome.point.iteration_time.planes
    )


def losses() -> Iterator[Row]:
    """The account: shares of the time, in percent; all but rounding sum to 1 - simulated / theory."""
    yield "system", "admission, preemption", "simulated / theory", *LOSS_COLUMNS
    systems = {"wide, constant b": WIDE, "standard": STANDARD}
    policies = [("prompt", "recompute"), ("chunk", "recompute"), ("prompt", "restart")]
    policies += [("lookahead", "recompute"), ("peak", "recompute")]
    for name, base in systems.items():
        for admission, preemption in policies:
            found = simulated(base, scheduler={"admission": admission, "preemption": preemption})
            yield (
                name,
                admission if admission in ("lookahead", "peak") else f"{admission}, {preemption}",
                found.shown,
                *found.lost(*LOSS_COLUMNS),
            )


def quantum() -> Iterator[Row]:
    """Memory left idle while the head of the queue does not fit: half of a size-biased prompt."""
    yield "prompts", "outputs", "idle tokens, simulated", "E[s^2] / (2 E[s])"
    wide_outputs = {"uniform": [10, 1600]}
    cases: list[tuple[Document, Document]] = [
        ({"constant": prompt}, wide_outputs) for prompt in (100, 400, 1600, 3200)
    ]
    cases += [({"uniform": [10, longest]}, wide_outputs) for longest in (400, 1600, 3200)]
    cases += [({"constant": 1600}, {"uniform": [10, 400]}), ({"constant": 3200}, {"uniform": [10, 400]})]
    for prompt, output in cases:
        found = simulated(
            WIDE,
            workload={"prompt_tokens": prompt, "output_tokens": output},
            replica={**WIDE["replica"], "prefill_chunk_tokens": 4096},
        )
        idle = found.forms.mean_kv_tokens - float(found.columns["mean_kv_tokens"])
        predicted = half_of_one(lengths(found.point)[0])
        yield _law(prompt), _law(output), f"{idle:,.0f}", f"{predicted:,.0f}"


def peak() -> Iterator[Row]:
    """Reservation of the peak: the same bound with the reserved area in place of the used one."""
    yield "system", "M", "simulated / theory", "fluid", "less the quantum"
    systems: list[tuple[str, Document, Document, int]] = [
        (f"{name}, constant b", WIDE, workload, tokens)
        for name, workload in PAPER_WORKLOADS.items()
        for tokens in (20_000, 131_000)
    ]
    systems.append(("50/800, constant b", WIDE, EQUAL_WORKLOAD, 70_000))
    systems += [
        (f"standard, outputs x {scale}", STANDARD, {"output_scale": scale}, 70_000) for scale in (1, 4)
    ]
    for name, base, workload, tokens in systems:
        found = simulated(
            base,
            workload={**base["workload"], **workload},
            replica={**base["replica"], "kv_capacity_tokens": tokens},
            scheduler={"admission": "peak"},
        )
        fluid, corrected = (
            rate_rps(found, completions) / found.forms.theory_rate_rps
            for completions in peak_completions(found.point)
        )
        yield name, f"{tokens:,}", found.shown, f"{fluid:.4f}", f"{corrected:.4f}"


def recompute() -> Iterator[Row]:
    """Recomputation: what it costs in memory, and in time."""
    yield (
        "system",
        "chunk",
        "preemptions",
        "E[d] / E[s] exp(-r)",
        "recomputed tokens",
        "simulated / theory",
        "preemption",
        "recomputation",
        "recomputation, predicted from the recomputed tokens",
    )
    cases: list[tuple[str, Document, int, Document]] = [
        ("wide, constant b", WIDE, chunk, {}) for chunk in (128, 512, 4096)
    ]
    cases += [
        (f"standard, outputs x {scale}", STANDARD, 2048, {"output_scale": scale}) for scale in (1, 4, 16)
    ]
    for name, base, chunk, workload in cases:
        found = simulated(
            base,
            workload={**base["workload"], **workload},
            replica={**base["replica"], "prefill_chunk_tokens": chunk},
        )
        again = float(found.columns["recomputed_tokens_per_request"])
        (plane,) = found.point.iteration_time.planes
        predicted = float(found.columns["service_rate_rps"]) * again * plane.prefill_token_ps / 1e12
        yield (
            name,
            f"{chunk:,}",
            f"{found.columns['preemptions_per_request']:.2f}",
            f"{_growth(found.forms):.2f}",
            f"{again:,.0f}",
            found.shown,
            *found.lost("preemption", "recomputation"),
            _percent(predicted),
        )


def _growth(forms: ClosedForms) -> float:
    """E[d] / E[s] exp(-r): how often a request is preempted, about."""
    decodes = forms.charged_tokens_per_request - forms.mean_prompt_tokens
    return decodes / forms.mean_prompt_tokens * math.exp(-forms.completions_per_iteration)


def blocks() -> Iterator[Row]:
    """Rounding to blocks: in theory, not in the form in single tokens."""
    yield "block", "simulated / theory", "theory / paper's form", "1 - N (block - 1) / (2 M)"
    for block in (1, 16, 64, 256, 1024):
        found = simulated(WIDE, replica={**WIDE["replica"], "block_size": block})
        half = found.forms.mean_running * (block - 1) / 2 / found.point.replica.kv_capacity_tokens
        yield (
            f"{block:,}",
            found.shown,
            f"{found.forms.theory_rate_rps / found.forms.paper_rate_rps:.4f}",
            f"{1 - half:.4f}",
        )


def ties() -> Iterator[Row]:
    """Slots and memory bind equally: each is short at times while the other idles."""
    yield "M", "slots B", "simulated / theory", "cv", "1 - cv / sqrt(2 pi B)"
    for tokens in (32_750, 131_000, 524_000, 2_096_000):
        replica = {**WIDE["replica"], "kv_capacity_tokens": tokens}
        point = parse_spec({**WIDE, "replica": replica}, source="ties").point(0)
        slots = math.ceil(closed_forms(point).mean_running)
        found = simulated(WIDE, replica={**replica, "max_num_seqs": slots}, run={"requests": 100_000})
        yield (
            f"{tokens:,}",
            f"{slots:,}",
            found.shown,
            f"{kv_spread(point):.3f}",
            f"{1 - kv_spread(point) / math.sqrt(2 * math.pi * slots):.4f}",
        )


def drift() -> Iterator[Row]:
    """The drift guarantee, where memory alone stops admission and where something else does too."""
    yield (
        "M",
        "other limit",
        "chunk",
        "simulated / theory",
        "theory_stable_rps / theory",
        "with all limits in the sum",
    )
    unlimited = "unlimited"
    for tokens, slots, budget, chunk in (
        (131_000, unlimited, unlimited, 512),
        (524_000, unlimited, unlimited, 512),
        (524_000, 392, unlimited, 512),
        (131_000, unlimited, 200, 200),
        (1_310_000, unlimited, unlimited, 16),
    ):
        found = simulated(
            WIDE,
            replica={
                **WIDE["replica"],
                "kv_capacity_tokens": tokens,
                "max_num_seqs": slots,
                "max_num_batched_tokens": budget,
                "prefill_chunk_tokens": chunk,
            },
            run={"requests": 100_000},
        )
        forms, replica = found.forms, found.point.replica
        assert forms.theory_stable_rps is not None
        iterations = forms.kv_area_tokens / (tokens - forms.max_kv_tokens)
        if replica.max_num_seqs is not None:
            iterations += forms.iterations_per_request / replica.max_num_seqs
        if replica.max_num_batched_tokens is not None:
            iterations += forms.charged_tokens_per_request / replica.max_num_batched_tokens
        yield (
            f"{tokens:,}",
            f"B = {slots}" if slots != unlimited else f"C = {budget}" if budget != unlimited else "",
            f"{chunk:,}",
            found.shown,
            f"{forms.theory_stable_rps / forms.theory_rate_rps:.4f}",
            f"{1 / (iterations * forms.completions_per_iteration):.4f}",
        )


def hinge() -> Iterator[Row]:
    """Two planes: the mean of the larger is more than the larger of the means."""
    yield "floor", "theory's mean batch", "simulated / theory", "exact: prompts are 500 x Binomial(64, 1/100)"
    slots, mean_output, prompt, base_ms, token_us = 64, 100, 500, 8.0, 30.0
    replaced = np.arange(slots + 1)
    chance = binom.pmf(replaced, slots, 1 / mean_output)
    for floor_ms in (8.0, 12.0, 17.0, 22.0, 30.0):
        found = simulated(
            {
                "workload": {
                    "prompt_tokens": {"constant": prompt},
                    "output_tokens": {"geometric": {"mean": mean_output}},
                },
                "replica": {
                    "kv_capacity_tokens": 10_000_000,
                    "max_num_seqs": slots,
                    "max_num_batched_tokens": "unlimited",
                    "prefill_chunk_tokens": prompt,
                },
                "iteration_time": {
                    "planes": [{"base_ms": floor_ms}, {"base_ms": base_ms, "prefill_token_us": token_us}]
                },
            }
        )
        times_ms = np.maximum(floor_ms, base_ms + token_us * prompt * replaced / 1000)
        mean_ms = max(floor_ms, base_ms + token_us * prompt * slots / mean_output / 1000)
        yield (
            f"{floor_ms:g} ms",
            f"{mean_ms:.1f} ms",
            found.shown,
            f"{mean_ms / float((chance * times_ms).sum()):.4f}",
        )


def kinds() -> Iterator[Row]:
    """Batches of two kinds: the A100, whose batches that prefill and decode are dearer than both parts of the mean."""
    yield (
        "workload, limits", "binding", "simulated / theory", "recomputation", "imbalance",
        "predicted: prompts come in by chance",
    )  # fmt: skip
    azure, paper = {"catalogue": "azure-conv-2023"}, PAPER_WORKLOADS["1:1"]
    for name, workload, limits in (
        ("Azure conv, B = 64", azure, {"max_num_seqs": 64}),
        ("Azure conv, B = 64, C = 8,192", azure, {"max_num_seqs": 64, "max_num_batched_tokens": 8192}),
        ("Azure conv, outputs x 4, B = 64", azure | {"output_scale": 4.0}, {"max_num_seqs": 64}),
        ("Azure conv, outputs x 1/4", azure | {"output_scale": 0.25}, {}),
        ("Azure conv, M = 60,000", azure, {"kv_capacity_tokens": 60_000}),
        ("Azure conv, M = 20,000", azure, {"kv_capacity_tokens": 20_000}),
        ("1:1, M = 131,000", paper, {"kv_capacity_tokens": 131_000}),
        ("1:1, M = 131,000, C = 512", paper, {"kv_capacity_tokens": 131_000, "max_num_batched_tokens": 512}),
    ):
        found = simulated({"workload": workload, "replica": {"catalogue": "a100-llama-3-8b"} | limits})
        yield (
            name,
            found.forms.binding,
            found.shown,
            *found.lost("recomputation", "imbalance"),
            _percent(1 - found.forms.mean_iteration_s / mean_iteration_by_chance_s(found)),
        )


def expected() -> Iterator[Row]:
    """The rate to expect: batches of two kinds, recomputation and reserved peaks together."""
    yield "workload, replica, limits", "binding", "simulated / theory", "simulated / expected"
    azure, code = {"catalogue": "azure-conv-2023"}, {"catalogue": "azure-code-2023"}
    paper, a100 = PAPER_WORKLOADS["1:1"], {"catalogue": "a100-llama-3-8b"}
    h100, rtx = {"catalogue": "h100-llama-3-8b"}, {"catalogue": "rtx-4090-llama-3.1-8b"}
    peak = {"scheduler": {"admission": "peak"}}
    cases: tuple[tuple[str, Document], ...] = (
        ("Azure conv, A100, B = 64", {"workload": azure, "replica": a100 | {"max_num_seqs": 64}}),
        ("Azure conv, A100", {"workload": azure, "replica": a100}),
        (
            "Azure conv, A100, M = 60,000",
            {"workload": azure, "replica": a100 | {"kv_capacity_tokens": 60_000}},
        ),
        (
            "Azure conv, A100, M = 20,000",
            {"workload": azure, "replica": a100 | {"kv_capacity_tokens": 20_000}},
        ),
        ("Azure code, A100", {"workload": code, "replica": a100}),
        ("1:1, A100, M = 131,000", {"workload": paper, "replica": a100 | {"kv_capacity_tokens": 131_000}}),
        (
            "1:1, A100, M = 131,000, C = 512",
            {
                "workload": paper,
                "replica": a100 | {"kv_capacity_tokens": 131_000, "max_num_batched_tokens": 512},
            },
        ),
        ("Azure conv, H100", {"workload": azure, "replica": h100}),
        ("Azure conv, RTX 4090", {"workload": azure, "replica": rtx}),
        ("the run's own, RTX 4090", {"workload": {"catalogue": "sharegpt-rtx-4090"}, "replica": rtx}),
        ("Mooncake, A100", {"workload": {"catalogue": "mooncake-conversation"}, "replica": a100}),
        ("standard", STANDARD),
        ("standard, peak", STANDARD | peak),
    )
    for name, document in cases:
        found = simulated(document)
        over = float(found.columns["service_rate_rps"]) / found.forms.expected_rate_rps
        yield name, found.forms.binding, found.shown, f"{over:.4f}"


def mean_iteration_by_chance_s(outcome: Outcome, iterations: int = 100_000) -> float:
    """Mean iteration time if prompts come in as a Poisson process of theory's rate and decoding never changes.

    As many prompts as requests complete, in order, as much of them an iteration as the budget leaves.
    """
    point, forms = outcome.point, outcome.forms
    planes, terms = point.iteration_time.planes, point.iteration_time.terms
    budget = point.replica.max_num_batched_tokens or math.inf
    decoding = forms.completions_per_iteration * (forms.charged_tokens_per_request - forms.mean_prompt_tokens)
    decoding_kv = forms.completions_per_iteration * forms.decode_kv_tokens_per_request
    draw = np.random.default_rng(1)
    coming = draw.poisson(forms.completions_per_iteration, iterations)
    prompts = iter(draw.choice(np.asarray(point.law.prompt_tokens), coming.sum()))
    waiting: list[tuple[float, float]] = []
    total_ps = 0.0
    for new in coming:
        waiting += [(float(next(prompts)), 0.0) for _ in range(new)]
        prefill, work, left = 0.0, 0.0, budget - decoding
        while waiting and left > 0:
            tokens, cached = waiting[0]
            chunk = min(tokens, left, point.replica.prefill_chunk_tokens)
            work += chunk * (cached + chunk / 2)
            prefill, left = prefill + chunk, left - chunk
            waiting[:1] = [(tokens - chunk, cached + chunk)] if chunk < tokens else []
        total_ps += max(
            plane.base_ps
            + plane.prefill_token_ps * prefill
            + plane.decode_seq_ps * decoding
            + plane.kv_token_ps * decoding_kv
            + plane.attention_ps * work
            for plane in planes
        )
        total_ps += (terms.mixed_ps + terms.mixed_kv_token_ps * decoding_kv) * (prefill > 0)
    return total_ps / iterations / 1e12


def equal() -> Iterator[Row]:
    """Equal requests, 50 prompt and 800 output tokens, M = 70,000, no limit but memory, constant b."""
    terms = ("admission", "preemption", "reservation")
    yield "admission, preemption", "simulated / theory", *terms, "preemptions", "status"
    for admission, preemption in (
        ("prompt", "recompute"),
        ("prompt", "restart"),
        ("lookahead", "recompute"),
        ("peak", "recompute"),
    ):
        found = simulated(
            WIDE,
            workload=EQUAL_WORKLOAD,
            replica={**WIDE["replica"], "kv_capacity_tokens": 70_000},
            scheduler={"admission": admission, "preemption": preemption},
        )
        yield (
            admission if admission in ("lookahead", "peak") else f"{admission}, {preemption}",
            found.shown,
            *found.lost(*terms),
            f"{found.columns['preemptions_per_request']:.2f}",
            str(found.columns["status"]),
        )


def restart() -> Iterator[Row]:
    """Restart: prompts of 50, M = 70,000, the standard engine; what equal outputs lose and spread ones don't."""
    terms = ("admission", "ties", "preemption", "recomputation")
    yield "outputs", "simulated / theory", *terms, "preemptions"
    for spread in (0, 50, 100, 200, 400, 750):
        found = simulated(
            STANDARD,
            workload={
                "prompt_tokens": {"constant": 50},
                "output_tokens": {"uniform": [800 - spread, 800 + spread]},
            },
            scheduler={"preemption": "restart"},
        )
        yield (
            f"800 ± {spread}",
            found.shown,
            *found.lost(*terms),
            f"{found.columns['preemptions_per_request']:.2f}",
        )


def above() -> Iterator[Row]:
    """Free prefill, dear KV reads: recomputation saves reads, and the rate passes the bound."""
    yield "requests", "M", "simulated / theory", "preemptions", "recomputation"
    for name, workload, tokens in (("50/800", EQUAL_WORKLOAD, 8_000), ("wide", WIDE["workload"], 70_000)):
        found = simulated(
            {
                "workload": workload,
                "replica": {
                    **WIDE["replica"],
                    "kv_capacity_tokens": tokens,
                    "prefill_chunk_tokens": 4096,
                },
                "iteration_time": {"planes": [{"base_ms": 0.1, "kv_token_ns": 1500}]},
            }
        )
        yield (
            name,
            f"{tokens:,}",
            found.shown,
            f"{found.columns['preemptions_per_request']:.2f}",
            *found.lost("recomputation"),
        )


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    experiment.__name__: experiment
    for experiment in (
        losses,
        quantum,
        peak,
        recompute,
        restart,
        equal,
        blocks,
        ties,
        hinge,
        kinds,
        expected,
        drift,
        above,
    )
}


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".replace("-0.00", "0.00")


def _law(lengths: Document) -> str:
    ((kind, value),) = lengths.items()
    return f"{value:,}" if kind == "constant" else f"U({value[0]:,}, {value[1]:,})"


def main() -> None:
    """Run experiments and print their tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "experiment", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; all by default"
    )
    names = parser.parse_args().experiment or list(EXPERIMENTS)
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    for name in names:
        print(f"\n{name}: {(EXPERIMENTS[name].__doc__ or '').strip()}\n")
        head, *rows = EXPERIMENTS[name]()
        for row in (head, ("---",) + ("--:",) * (len(head) - 1), *rows):
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
