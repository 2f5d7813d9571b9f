"""What each error of ``fastq validate`` is made of, one term at a time: the experiments of ``docs/validation.md``.

``python -m benchmarks.validation`` prints all tables, ``python -m benchmarks.validation paper noise`` some. What needs
data that does not ship takes its place from an option, and is left out without it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.layer_profile import LayerProfile
from fastq.calibration.beyond_tables import BeyondTables
from fastq.calibration.model_shape import ModelShape
from fastq.engine.cpus import usable_cpus
from fastq.engine.evaluate import evaluate_point
from fastq.engine.record import record
from fastq.model.load import load_spec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastq.model.iteration_time import IterationTime

Row = tuple[str, ...]
Override = tuple[str, str]

MEASURED_RTX_RPS = (1.67 + 1.70) / 2
MEASURED_PAPER_RPS = {"1:1": 3.387, "2:1": 3.650, "1:2": 2.969}
MEDIAN_PAPER_MS = {"1:1": 37.2, "2:1": 43.0, "1:2": 33.7}
BOUNDARY = ("run.measure", '["boundary"]')
GIVEN_RTX = ("iteration_time.constant", '"30.6 ms"')
ADMISSIONS = ("prompt", "chunk")

# Coefficients of an iteration in ms: base, a prefill token, a decoding request, a KV token, a unit of attention work.
ONE_PLANE = (14.62, 80.6e-3, 71.3e-3, 325e-6, 0.0)
"""Least squares on the relative error of all batches of the layer profile."""

TERMS = {
    "KV that prefill chunks read again": "prefill_kv_token_ns",
    "the jump": "jump_ms",
    "KV of decoding beside a prefill": "mixed_kv_token_ns",
    "batches that do both": "mixed_ms",
}
KV_REGIONS = (1_024, 4_096, 16_384)
WARM_UP_ITERATIONS = 20_000
RECORDED_REQUESTS = 6_000


def simulated(grid: str, overrides: Sequence[Override] = (), point: int = 0) -> dict[str, Any]:
    """Return the row of a point under a backlog."""
    spec = load_spec(grid, [*overrides, BOUNDARY])
    return evaluate_point(spec, point, threads=usable_cpus()).point


def planes_text(*planes: Sequence[float]) -> Override:
    """Return planes as ``--set`` takes them."""
    names = ("base_ms", "prefill_token_us", "decode_seq_us", "kv_token_ns", "attention_ps")
    units = (1, 1e3, 1e3, 1e6, 1e9)
    tables = [
        ", ".join(
            f"{name} = {value * unit:.6g}" for name, value, unit in zip(names, plane, units, strict=True)
        )
        for plane in planes
    ]
    return "iteration_time.planes", f"[{', '.join(f'{{ {table} }}' for table in tables)}]"


def terms(args: argparse.Namespace) -> Iterator[Row]:
    """RTX 4090: what each term of the iteration time is worth, and the profile itself, with no fit between.

    Under a backlog the batches follow from lengths and memory alone, whatever time they take.
    """
    yield ("admission", "time of an iteration", "mean", "requests/s", "error")
    none = {key: (f"iteration_time.{key}", "0") for key in TERMS.values()}
    changes: dict[str, list[Override]] = {
        "shipped: two planes and four terms": [],
        **{f"without {name}": [none[key]] for name, key in TERMS.items()},
        "the two planes alone": list(none.values()),
        "one plane over all batches": [planes_text(ONE_PLANE), *none.values()],
    }
    for admission in ADMISSIONS:
        admitted = ("scheduler.admission", f'"{admission}"')
        for name, overrides in changes.items():
            row = simulated("rtx-4090", [admitted, *overrides])
            yield (admission, name, *_rated(row["mean_iteration_s"], row["service_rate_rps"]))
        if args.profile is not None:
            yield (admission, "layer profile, no fit", *_by_profile(admission, args.profile))
    yield ("", "measured", "30.6 ms", "1.67 to 1.70", "")


def _by_profile(admission: str, directory: Path) -> Row:
    """Time the batches of one replication by the profile: all prefill of one counts as one chunk with no context."""
    spec = load_spec("rtx-4090", [("scheduler.admission", f'"{admission}"'), BOUNDARY])
    found = record(spec.point(0), spec.run, arrival_rate_rps=None, requests=RECORDED_REQUESTS)
    start_s = found.iterations["start_s"][WARM_UP_ITERATIONS]
    names = ("prefill_tokens", "decode_seqs", "decode_kv_tokens")
    batches = (np.asarray(found.iterations[name][WARM_UP_ITERATIONS:], dtype=np.float64) for name in names)
    completed = int((np.asarray(found.requests["finish_s"], dtype=np.float64) > start_s).sum())
    seconds = LayerProfile(directory).iteration_ms(*batches) / 1e3
    return _rated(float(seconds.mean()), completed / float(seconds.sum()))


def _rated(mean_s: float, rate_rps: float) -> Row:
    return (f"{1e3 * mean_s:.1f} ms", f"{rate_rps:.3f}", _percent(rate_rps / MEASURED_RTX_RPS - 1))


def mixed(args: argparse.Namespace) -> Iterator[Row]:
    """RTX 4090: time of decode attention beside a prefill, over its time alone, batch by batch of the profile."""
    if args.profile is None:
        return
    point = load_spec("rtx-4090").point(0)
    capacity = point.replica.kv_capacity_tokens
    columns = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    with (args.profile / "attention.csv").open(encoding="utf-8", newline="") as file:
        measured = {
            tuple(float(row[name]) for name in columns[:-1]): float(row[columns[-1]])
            for row in csv.DictReader(file)
        }
    found = np.array(
        [
            (decodes * context, (time_us - measured[chunk, cached, 0, 0]) / measured[0, 0, decodes, context])
            for (chunk, cached, decodes, context), time_us in measured.items()
            if chunk and decodes and {(chunk, cached, 0, 0), (0, 0, decodes, context)} <= measured.keys()
            if chunk + cached + decodes * context <= capacity
        ]
    )
    yield ("decoding KV tokens", "batches", "10%", "median", "90%")
    for low, high in itertools.pairwise((*KV_REGIONS, capacity)):
        ratios = found[(found[:, 0] >= low) & (found[:, 0] < high), 1]
        quantiles = np.quantile(ratios, (0.1, 0.5, 0.9))
        yield (f"{low:,} to {high:,}", f"{ratios.size:,}", *(f"{each:.2f}" for each in quantiles))
    time = point.iteration_time
    alone, beside = time.planes[0].kv_token_ps, time.terms.mixed_kv_token_ps
    yield ("by the replica's coefficients", "", "", f"{1 + beside / alone:.2f}", "")


def settings(args: argparse.Namespace) -> Iterator[Row]:
    """RTX 4090: settings changed one at a time, given the iteration time and end to end."""
    yield ("changed", "running", "KV in use", "preemptions", "given 30.6 ms", "end to end")
    changes: dict[str, Override] = {
        "admission on the first chunk": ("scheduler.admission", '"chunk"'),
        "blocks of 1": ("replica.block_size", "1"),
        "blocks of 32": ("replica.block_size", "32"),
        "64 sequences": ("replica.max_num_seqs", "64"),
        "32 sequences": ("replica.max_num_seqs", "32"),
        "1,024 sequences": ("replica.max_num_seqs", "1024"),
        "512 tokens an iteration": ("replica.max_num_batched_tokens", "512"),
        "8,192 tokens an iteration": ("replica.max_num_batched_tokens", "8192"),
        "1% of the blocks kept free": ("replica.watermark", "0.01"),
        "one block less": ("replica.kv_capacity_tokens", "41392"),
    }
    times: tuple[list[Override], ...] = ([GIVEN_RTX], [])
    as_run = ("scheduler.admission", '"prompt"')
    base = [simulated("rtx-4090", [as_run, *time]) for time in times]
    yield ("nothing (whole prompt, blocks of 16, 256 sequences, 2,048 tokens)", *_beside(base, base))
    for name, change in changes.items():
        yield (name, *_beside([simulated("rtx-4090", [as_run, change, *time]) for time in times], base))
    if args.requests is not None:
        own = [_with_lengths_of(args.requests, time) for time in times]
        yield ("lengths of the 300 requests themselves, not of their table", *_beside(own, base))
    free_rps = base[1]["service_rate_rps"] / (1 - base[1]["lost_to_recomputation_share"])
    free = [base[0], base[1] | {"service_rate_rps": free_rps}]
    yield ("recomputation takes no time", *_beside(free, base))


def _beside(rows: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> Row:
    """Return counts, and the rates of two iteration times with how far they lie from those of ``base``."""
    return (
        f"{rows[0]['mean_running']:.1f}",
        f"{rows[0]['mean_kv_tokens']:,.0f}",
        f"{rows[0]['preemptions_per_request']:.2f}",
        *(
            _changed(row["service_rate_rps"], first["service_rate_rps"])
            for row, first in zip(rows, base, strict=True)
        ),
    )


def _with_lengths_of(path: Path, time: Sequence[Override]) -> dict[str, Any]:
    """Simulate the replica with the lengths of a trace."""
    document = {
        "workload": {"trace": str(path.resolve())},
        "replica": {"catalogue": "rtx-4090-llama-3.1-8b"},
        "run": {"requests": 5_000},
    }
    spec = parse_spec(document, source="benchmarks.validation", overrides=time)
    return evaluate_point(spec, 0, threads=usable_cpus()).point


def noise(_: argparse.Namespace) -> Iterator[Row]:
    """RTX 4090: how far a throughput over so few completions strays by chance."""
    yield ("completions counted", "replications", "mean, requests/s", "standard deviation", "5% to 95%")
    spec = load_spec("rtx-4090", [("scheduler.admission", '"prompt"'), GIVEN_RTX, BOUNDARY])
    for requests in (277, 5_000):
        alone = spec.with_run(replications=200, requests=requests, warmup_requests=100)
        rows = evaluate_point(alone, 0, threads=usable_cpus()).replications
        rates = np.array([row["throughput_rps"] for row in rows])
        low, high = np.quantile(rates, (0.05, 0.95))
        yield (
            f"{requests:,}",
            f"{len(rates)}",
            f"{rates.mean():.3f}",
            f"{rates.std(ddof=1) / rates.mean():.1%}",
            f"{low:.3f} to {high:.3f}",
        )


def median(_: argparse.Namespace) -> Iterator[Row]:
    """Paper: the mean iteration time that each measured rate implies, and how far means lie from medians."""
    yield (
        "case", "median reported", "mean implied by the measured rate", "implied / reported", "simulated mean / median",
        "simulated mean, 512 tokens, by admission",
    )  # fmt: skip
    for number, (case, reported_ms) in enumerate(MEDIAN_PAPER_MS.items()):
        given = [simulated("paper-table-1", _paper_settings(*each), number) for each in _paper_choices()]
        implied = [reported_ms * row["service_rate_rps"] / MEASURED_PAPER_RPS[case] for row in given]
        found = [simulated("paper-table-1-predicted", (), 4 * number + k) for k in range(4)]
        ratios = [row["mean_iteration_s"] / row["median_iteration_s"] for row in found]
        yield (
            case,
            f"{reported_ms} ms",
            f"{min(implied):.1f} to {max(implied):.1f} ms",
            f"{min(implied) / reported_ms:.3f} to {max(implied) / reported_ms:.3f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            " or ".join(f"{1e3 * row['mean_iteration_s']:.1f} ms" for row in found[:2]),
        )


def _paper_choices() -> list[tuple[str, str]]:
    return [(budget, admission) for budget in ("512", "2048") for admission in ADMISSIONS]


def _paper_settings(budget: str, admission: str) -> list[Override]:
    return [
        ("scheduler.preset", '"vllm"'),
        ("replica.max_num_batched_tokens", budget),
        ("scheduler.admission", f'"{admission}"'),
    ]


PUBLISHED_SUMS = (11.860, 57.716e-3, 42.966e-3, 80.583e-6, 3.4845e-6)
"""One plane, of sums that take every matrix of a layer apart and price the output layer for each prefilled token."""

NOT_MIXED = (("iteration_time.mixed_kv_token_ns", "0"), ("iteration_time.mixed_ms", "0"))
CARD_GB_S = 2039.0
LLAMA_3_8B = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocab=128256
)


def _a100() -> IterationTime:
    return load_spec("paper-table-1-predicted").point(0).iteration_time


def _a100_planes() -> list[tuple[float, ...]]:
    """Planes of the A100, ms."""
    return [tuple(each / 1e9 for each in dataclasses.astuple(plane)) for plane in _a100().planes]


def _with_planes(*planes: Sequence[float]) -> tuple[Override, ...]:
    """Other planes for the A100; its terms have to be said again, since planes replace the whole of a catalogue's."""
    terms = _a100().terms
    return (
        planes_text(*planes),
        ("iteration_time.mixed_ms", str(terms.mixed_ps / 1e9)),
        ("iteration_time.mixed_kv_token_ns", str(terms.mixed_kv_token_ps / 1e3)),
    )


def _without_small_kernels() -> tuple[Override, ...]:
    """The A100 without norms and activations, which have one base and one time a token."""
    none, one = 1e3 * BeyondTables(CARD_GB_S).small_kernels_s(LLAMA_3_8B, np.array([0.0, 1.0]))
    token = one - none
    return _with_planes(
        *(
            (base - none, prefill - token, decode - token, *rest)
            for base, prefill, decode, *rest in _a100_planes()
        )
    )


def paper(_: argparse.Namespace) -> Iterator[Row]:
    """Paper, end to end: settings that are not reported and the iteration time, one at a time."""
    yield ("changed", *MEASURED_PAPER_RPS)
    planes = _a100_planes()
    one_chunk = ("scheduler.admission", '"chunk"')
    budget = ("replica.max_num_batched_tokens", "512")
    changes: dict[str, tuple[Override, ...]] = {
        "nothing (whole prompt, 2,048 tokens): error": (),
        "admission on the first chunk": (one_chunk,),
        "512 tokens an iteration": (budget,),
        "both": (one_chunk, budget),
        "128 sequences": (("replica.max_num_seqs", "128"),),
        "blocks of 1": (("replica.block_size", "1"),),
        "1% of the blocks kept free": (("replica.watermark", "0.01"),),
        "1 ms of host time an iteration": (("iteration_time.host_ms", "1"),),
        "prefill and attention 10% dearer": _with_planes(
            *((base, 1.1 * prefill, *rest, 1.1 * work) for base, prefill, *rest, work in planes)
        ),
        "decode attention beside a prefill as fast as alone": NOT_MIXED,
        "without norms and activations": _without_small_kernels(),
        "neither: matrices and attention alone": (*_without_small_kernels(), *NOT_MIXED),
        "one plane, of sums of matrices that are not fused": (planes_text(PUBLISHED_SUMS),),
    }
    first: list[float] = []
    for name, overrides in changes.items():
        fixed = dict(
            (("scheduler.admission", '"prompt"'), ("replica.max_num_batched_tokens", "2048"), *overrides)
        )
        rows = [simulated("paper-table-1-predicted", list(fixed.items()), case) for case in range(3)]
        rates = [float(row["service_rate_rps"]) for row in rows]
        if not first:
            first = rates
            measured = MEASURED_PAPER_RPS.values()
            yield (name, *(_percent(rate / known - 1) for rate, known in zip(rates, measured, strict=True)))
            free = [_percent(1 / (1 - row["lost_to_recomputation_share"]) - 1) for row in rows]
            continue
        yield (name, *(_percent(rate / base - 1) for rate, base in zip(rates, first, strict=True)))
    yield ("recomputation takes no time", *free)


def h100(_: argparse.Namespace) -> Iterator[Row]:
    """H100: a budget of 10.8 prompts, and one of ten prompts with the decodes of ten others."""
    yield ("token budget", "running", "KV in use", "KV use, of 438,592", "requests/s")
    for budget, words in (("65000", "65,000"), ("60010", "60,010: ten prompts and ten decodes")):
        row = simulated("prefill-h100", [("replica.max_num_batched_tokens", budget)])
        yield (
            words,
            f"{row['mean_running']:.1f}",
            f"{row['mean_kv_tokens']:,.0f}",
            f"{row['mean_kv_tokens'] / 438_592:.0%}",
            f"{row['service_rate_rps']:.2f}",
        )


def preemptions(args: argparse.Namespace) -> Iterator[Row]:
    """RTX 4090: how many preemptions the published series can't do without."""
    if args.requests is None or args.series is None:
        return
    import pyarrow.parquet as pq

    yield ("", "preemptions a request")
    table = pq.read_table(args.requests)
    finish_s = np.sort(np.add(table["arrival_s"].to_numpy(), table["e2e_s"].to_numpy()))
    with args.series.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["t"]), int(row["running"])) for row in csv.DictReader(file)]
    time_s, running = np.array(rows).T
    finished = np.diff(np.searchsorted(finish_s, time_s, side="right"))
    fewest = np.maximum(0, -(np.diff(running) + finished)).sum()
    yield ("at least, from running and finished requests at 1 Hz", f"{fewest / len(finish_s):.2f}")
    for admission in ADMISSIONS:
        row = simulated("rtx-4090", [("scheduler.admission", f'"{admission}"'), GIVEN_RTX])
        yield (f"fastq, {admission}", f"{row['preemptions_per_request']:.2f}")


def _changed(rate: float, base: float) -> str:
    return f"{rate:.3f} ({_percent(rate / base - 1)})" if not math.isclose(rate, base) else f"{rate:.3f}"


def _percent(share: float) -> str:
    return f"{share:+.1%}".replace("-0.0%", "+0.0%")


TABLES = {
    "terms": terms,
    "mixed": mixed,
    "settings": settings,
    "preemptions": preemptions,
    "noise": noise,
    "median": median,
    "paper": paper,
    "h100": h100,
}


def main() -> None:
    """Print the tables that are asked for, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all, unless some are named")
    parser.add_argument(
        "--profile", type=Path, help="directory of LLMServingSim's layer profile of the RTX 4090"
    )
    parser.add_argument("--requests", type=Path, help="the 300 requests of its run, Parquet")
    parser.add_argument("--series", type=Path, help="the time series of its run, CSV")
    args = parser.parse_args()
    for path in (args.profile, args.requests, args.series):
        if path is not None and not path.exists():
            parser.error(f"{path}: there is no such file or directory")
    for name in args.tables or TABLES:
        rows = list(TABLES[name](args))
        if not rows:
            print(f"\n{name}: left out, it needs data that does not ship (see --help)")
        else:
            marks = ("---", *["--:"] * (len(rows[0]) - 1))
            print(f"\n{name}\n")
            print("\n".join(f"| {' | '.join(row)} |" for row in (rows[0], marks, *rows[1:])))


if __name__ == "__main__":
    main()
