"""``fastq sweep``: run a grid and write its data set."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.backend_notice import tell_fallback
from fastq.cli.compile_notice import compile_notice
from fastq.cli.exit_status import ExitStatus
from fastq.cli.points_table import points_table
from fastq.cli.spec_argument import add_spec_argument, load, tell_unused

if TYPE_CHECKING:
    from fastq.engine.estimate import SweepEstimate
    from fastq.engine.progress import Progress
    from fastq.engine.sweep import SweepSummary
    from fastq.model.spec import Spec

_TOLD_COMPILE_S = 3.0
"""Loading kernels that were compiled before takes less."""

_EPILOG = """\
a complete example: save this as spec.toml

  title = "Llama-3-8B on one A100"

  [workload]
  prompt_tokens = { uniform = [10, 1600] }
  output_tokens = { uniform = [10, 1600] }

  [replica]
  kv_capacity_tokens = 131_000
  max_num_batched_tokens = 2048

  [iteration_time]
  constant = "37.2 ms"

  [grid]
  "replica.kv_capacity_tokens" = { geometric = [16_000, 512_000, 16] }
  "workload.output_scale" = { linear = [0.25, 4.0, 8] }

and run

  fastq sweep spec.toml --out results
  fastq map results --x replica.kv_capacity_tokens --y workload.output_scale -o map.png

Interrupt it when you like: finished blocks are kept, and the same command goes on from there.
On several machines that share a disk, give each its --shard 0/4, 1/4, ...
'fastq help spec' lists every key of a spec."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "sweep",
        help="run a grid and write its data set (Parquet)",
        description="Simulate every point of a grid, put the closed form beside each, and write Parquet "
        "files that pandas, Polars, DuckDB and Arrow open as they are.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_argument(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="directory or pyarrow.fs URI of the data set (required, except with --dry-run)",
    )
    parser.add_argument(
        "--backend", choices=("auto", "cpu", "cuda"), default="auto", help="what simulates (default: auto)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="worker processes (default: by the usable CPUs)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads in each process (default: by the usable CPUs)"
    )
    parser.add_argument("--shard", metavar="I/N", help="only the blocks congruent to I modulo N, I from 0")
    parser.add_argument(
        "--executor", choices=("local", "dask"), default="local", help="who runs the workers (default: local)"
    )
    parser.add_argument(
        "--address", metavar="URL", help="scheduler of a running Dask cluster, with --executor dask"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print points, estimated seconds and bytes; write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress and no readable summary")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Run the grid, or estimate it."""
    if args.out is None and not args.dry_run:
        args.usage_error("the following arguments are required: --out")
    if args.dry_run and (args.executor != "local" or args.address is not None):
        args.usage_error("--dry-run times points on this machine: leave out --executor and --address")
    spec = load(args)
    tell_unused(spec)
    options = {"backend": args.backend, "workers": args.workers, "threads": args.threads, "shard": args.shard}
    if args.dry_run:
        return _estimate(spec, options, as_json=args.json)
    summary = _run_sweep(spec, args, options)
    if args.json or not args.quiet:
        from fastq.cli.sweep_figures import sweep_figures

        figures = sweep_figures(args.out, args.shard)
        sys.stdout.write(_as_json(summary, figures) if args.json else _report(spec, summary, figures, args))
    return ExitStatus.NOTHING_FEASIBLE if summary.nothing_feasible else ExitStatus.DONE


def _run_sweep(spec: Spec, args: argparse.Namespace, options: dict[str, Any]) -> SweepSummary:
    from functools import partial

    from fastq.engine.progress import reporter
    from fastq.engine.sweep import sweep

    run = partial(sweep, spec, args.out, **options, executor=args.executor, address=args.address)
    if args.quiet:
        return run()
    report = reporter(sys.stderr)
    tell_backend = args.backend == "auto"
    with compile_notice() as compiled:

        def progress(state: Progress) -> None:
            nonlocal tell_backend
            compiled()
            if tell_backend:
                tell_backend = False
                tell_fallback()
            report(state)

        return run(progress=progress)


def _estimate(spec: Spec, options: dict[str, Any], *, as_json: bool) -> int:
    from dataclasses import asdict

    from fastq.engine.estimate import estimate

    found = estimate(spec, **options)
    sys.stdout.write(json.dumps(asdict(found)) + "\n" if as_json else _estimate_report(found))
    return ExitStatus.DONE


def _estimate_report(found: SweepEstimate) -> str:
    from fastq.cli.text_table import render, size
    from fastq.engine.progress import duration_text

    rows = [
        ("points", f"{found.points:,} in {found.blocks:,} block{'' if found.blocks == 1 else 's'}"),
        ("time", f"about {duration_text(found.seconds)}, from {found.sampled_points} points run just now"),
        ("on", _machine(found)),
        ("files", f"about {size(found.size_bytes)}"),
    ]
    return render(rows, left=(0, 1)) + "Nothing was written.\n"


def _machine(found: SweepEstimate) -> str:
    processes = f"{found.workers} process{'es' if found.workers > 1 else ''}"
    if not found.gpus:
        return f"{processes} of {found.threads} thread{'s' if found.threads > 1 else ''}"
    return f"{processes} that feed{'' if found.workers > 1 else 's'} {found.gpus} GPU{'s' if found.gpus > 1 else ''}"


def _as_json(summary: SweepSummary, figures: dict[str, Any]) -> str:
    from dataclasses import asdict

    return json.dumps({**asdict(summary), **figures}) + "\n"


def _report(spec: Spec, summary: SweepSummary, figures: dict[str, Any], args: argparse.Namespace) -> str:
    from fastq.cli.text_table import render
    from fastq.engine.progress import duration_text
    from fastq.plot.labels import BINDING_WORDS

    if summary.blocks == 0:
        return (
            f"{spec.title or spec.source}\nThis shard has no blocks: the grid of {len(spec):,} points is cut "
            f"into fewer blocks than there are shards.\n"
        )
    rows = [
        (
            "points",
            f"{summary.points:,}"
            + (f", {summary.points_run:,} of them run now" if summary.blocks_kept else "")
            + (f"; these figures are of shard {args.shard}" if args.shard else ""),
        )
    ]
    if summary.points_run:
        rate = summary.requests_run / (summary.elapsed_s - summary.compile_s) / 1e6
        took = f"{duration_text(summary.elapsed_s)} on {summary.workers} x {summary.threads} threads"
        if summary.compile_s >= _TOLD_COMPILE_S:
            took += f", {duration_text(summary.compile_s)} of it compiling, which the next run is spared"
        rows.append(("time", took))
        rows.append(("requests simulated", f"{summary.requests_run:,} ({rate:.3g} million/s)"))
    rows.append(("status", _shares(summary.statuses)))
    if figures["binding"]:
        named = {
            f"{BINDING_WORDS.get(name, name)} ({name})": count for name, count in figures["binding"].items()
        }
        rows.append(("limited by", _shares(named)))
    rows.extend(
        (
            f"simulated / {name}",
            f"median {ratio['median']:.3f}, middle 90% {ratio['p5']:.3f} to {ratio['p95']:.3f}, "
            f"all {ratio['smallest']:.3f} to {ratio['largest']:.3f}",
        )
        for name in ("theory", "expected")
        if (ratio := figures[f"simulated_over_{name}"])
    )
    rows.append(
        (
            "data set",
            f"{summary.out} (points/, replications/{', rates/' if 'rates' in spec.run.measure else ''})",
        )
    )
    text = f"{spec.title or spec.source}\n" + render(rows, left=(0, 1))
    if small := points_table(spec, args.out):
        text += "\n" + small
    if summary.nothing_feasible:
        text += f"\nNothing was feasible. The first point: {figures['first_skip_reason']}.\n"
    if args.shard and not summary.complete:
        return text + _other_shards(args.out, args.shard)
    return text if summary.nothing_feasible else text + _next_command(spec, args.out)


def _other_shards(out: str, shard: str) -> str:
    """Say which shards have yet to finish, and how to watch them; drawing comes after them."""
    from fastq.cli.text_table import listed
    from fastq.engine.blocks import parse_shard
    from fastq.engine.status import status

    shards = parse_shard(shard).count
    missing = listed(list(status(out).missing_by_shard(shards)))
    watch = shlex.join(["fastq", "status", out, "--shards", str(shards)])
    return (
        f"\nStill missing: the blocks of --shard {missing}.\n"
        f"Next: run those that are not running yet; '{watch}' says how far all are.\n"
    )


def _next_command(spec: Spec, out: str) -> str:
    """Return the command that draws this data set, where it has an axis to draw along."""
    from fastq.plot.selection import MAX_FACETS

    axes = [(axis.key, axis.values, axis.kind == "str") for axis in spec.axes if len(axis.values) > 1]
    if len(spec.case_names) > 1:
        axes.append(("case", spec.case_names, True))
    axes.sort(key=lambda axis: (axis[2], -len(axis[1])))
    if not axes:
        return f"\nNext: fastq.read({out!r}) in Python, or any reader of Parquet.\n"
    words = ["fastq", "map", out, "--x", axes[0][0]]
    if len(axes) > 1:
        words += ["--y", axes[1][0]]
    facets = 1
    for key, values, _ in axes[2:]:
        if facets * len(values) > MAX_FACETS:
            words += ["--where", f"{key}={'unlimited' if values[0] is None else values[0]}"]
        else:
            facets *= len(values)
    return f"\nNext: {shlex.join([*words, '-o', 'map.png'])}\n"


def _shares(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
