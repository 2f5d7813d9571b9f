"""``fastq simulate``: one point, closed form beside simulation."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.compile_notice import compile_notice
from fastq.cli.exit_status import ExitStatus
from fastq.cli.picture_size import add_size, check_size, picture_size
from fastq.cli.spec_argument import add_spec_argument, load, tell_unused
from fastq.model.point import REPLAY

if TYPE_CHECKING:
    from fastq.engine.point_result import PointResult
    from fastq.model.spec import Spec

_EPILOG = """\
examples:
  fastq simulate paper-table-1 --point 2
  fastq simulate spec.toml --rate 2 --rate 4                    latencies and a verdict at two arrival rates
  fastq simulate paper-figure-2 --timeline queue.png            queues over time, one curve a rate
  fastq simulate spec.toml --latencies latency.png              latencies against the rate, up to the boundary
  fastq simulate spec.toml --rate 3 --trajectories rows.parquet a row per request

A verdict says whether the queue stays bounded at a rate: stable, unstable, metastable or undecided.
A latency marked ? (in --json: the rate's status is short, and short_latencies names it) rests on so few bursts of
waiting that its interval can't be trusted: take more requests (run.requests) or replications (run.replications)."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "simulate",
        help="one point: closed form beside simulation",
        description="Simulate one point of a grid and print every resolved setting with where it came from, "
        "the closed form beside the simulated boundary with its 95% interval, and latencies at each rate.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_argument(parser)
    parser.add_argument(
        "--point", type=int, default=0, metavar="N", help="index of the point in the grid (default: 0)"
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        action="append",
        default=[],
        metavar="R",
        help="arrival rate to measure, requests/s, in place of the spec's; may be given several times; 'trace': that "
        "of the trace that is replayed",
    )
    parser.add_argument(
        "--trajectories", metavar="FILE", help="write a Parquet row per request of one replication"
    )
    parser.add_argument(
        "--timeline",
        metavar="FILE",
        help="write waiting, running and KV tokens over time: .parquet, or a picture (.png, .svg, .pdf)",
    )
    parser.add_argument(
        "--latencies",
        metavar="FILE",
        help="draw latencies against the arrival rate (.png, .svg, .pdf); with no rates given, at 12 from 0.1 to "
        "0.99 of the simulated boundary",
    )
    add_size(parser)
    parser.add_argument(
        "--backend", choices=("auto", "cpu", "cuda"), default="auto", help="what simulates (default: auto)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: by the usable CPUs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate the point, print it, and write the files that were asked for."""
    import time

    from fastq.api import simulate
    from fastq.cli import latency_picture, recording_files
    from fastq.cli.output_file import check_picture, check_target, refuse_shared
    from fastq.engine.backend import warm_up
    from fastq.engine.executors import refuse_counts

    refuse_counts(threads=args.threads)
    timeline = recording_files.check_timeline(args.timeline)
    trajectories = check_target(args.trajectories, "--trajectories", ".parquet")
    latencies = check_picture(args.latencies, "--latencies")
    refuse_shared({"--timeline": timeline, "--trajectories": trajectories, "--latencies": latencies})
    check_size(
        args,
        "--latencies FILE, or --timeline FILE that ends as a picture does",
        drawn=latencies is not None or recording_files.is_picture(timeline),
    )
    spec = load(args)
    spec.positions(args.point)
    if args.rate:
        spec = spec.at_rates(REPLAY if args.rate == [REPLAY] else args.rate)
    if latencies is None:
        tell_unused(spec)
    with compile_notice():
        warm_up(spec if latencies is None else spec.at_rates([1.0]))
    if latencies:
        spec = latency_picture.with_rates(spec, args.point, threads=args.threads, backend=args.backend)
    began_s = time.perf_counter()
    result = simulate(spec, point=args.point, threads=args.threads, backend=args.backend)
    elapsed_s = time.perf_counter() - began_s
    feasible = result.point["status"] != "skipped"
    if args.json:
        sys.stdout.write(json.dumps(_document(spec, args.point, result)) + "\n")
    else:
        from fastq.cli.point_report import report

        sys.stdout.write(report(spec, args.point, result, elapsed_s))
    if feasible and (timeline or trajectories):
        recordings = recording_files.record_rates(spec, args.point)
        if trajectories:
            recording_files.write_requests(recordings, trajectories, spec, args.point)
            _wrote(trajectories)
        if timeline:
            recording_files.write_timeline(recordings, timeline, spec, result, picture_size(args))
            _wrote(timeline)
    if feasible and latencies:
        latency_picture.write_latencies(latencies, spec, result, picture_size(args))
        _wrote(latencies)
    return ExitStatus.DONE if feasible else ExitStatus.NOTHING_FEASIBLE


def _document(spec: Spec, index: int, result: PointResult) -> dict[str, Any]:
    from fastq.api import theory_rows

    return {
        "title": spec.title,
        "settings": [
            {
                "key": setting.key,
                "value": setting.values[0],
                "text": setting.value_text,
                "from": setting.origin,
            }
            for setting in spec.resolved(index)
        ],
        "theory": next(theory_rows(spec, [index])),
        "point": result.point,
        "rates": result.rates,
        "replications": result.replications,
    }


def _rate(text: str) -> float | str:
    if text == REPLAY:
        return text
    import math

    try:
        rate_rps = float(text)
    except ValueError:
        rate_rps = math.nan
    if not 0 < rate_rps < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no arrival rate; give requests/s, above 0")
    return rate_rps


def _wrote(path: object) -> None:
    sys.stderr.write(f"wrote {path}\n")
