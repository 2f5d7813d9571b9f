"""``python -m benchmarks.trust [intervals] [effort] [verdicts] [latencies]``: the studies, as Markdown tables.

They repeat the default estimate (8 replications, half of those under a backlog from a random start) thousands of times
on systems whose truth comes from 64 million requests, and count. All four take about 75 minutes of two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.trust import effort, intervals, latencies, verdicts
from benchmarks.trust.systems import LATENCIES, SATURATED, UNSEEN
from fastq.engine.cpus import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

STUDIES = ("intervals", "effort", "verdicts", "latencies")
LOADS = (0.5, 0.8, 0.9)


def main() -> None:
    """Run the studies that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", choices=[[], *STUDIES], help="all, unless some are named")
    parser.add_argument("--repetitions", type=int, default=10_000, help="of intervals and latencies")
    parser.add_argument("--trials", type=int, default=625, help="of verdicts, a system")
    parser.add_argument(
        "--requests", type=int, action="append", help="run lengths, in place of 500 and 20,000; several times"
    )
    parser.add_argument("--system", action="append", help="only these; may be given several times")
    parser.add_argument(
        "--load", type=float, action="append", help="of latencies, in place of 0.5, 0.8, 0.9; several times"
    )
    parser.add_argument(
        "--unmarked", action="store_true", help="of latencies: count only intervals that are not marked"
    )
    parser.add_argument("--workers", type=int, default=usable_cpus())
    args = parser.parse_args()

    lengths = tuple(args.requests or (500, 20_000))
    saturated = [each.name for each in SATURATED if not args.system or each.name in args.system]
    loaded = [each.name for each in LATENCIES if not args.system]
    loaded += [each.name for each in (*LATENCIES, *UNSEEN) if args.system and each.name in args.system]
    jobs: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
        "intervals": (
            intervals.HEADER,
            [(intervals.study, name, lengths, args.repetitions) for name in saturated],
        ),
        "effort": (effort.header(lengths), [(effort.study, name, lengths) for name in saturated]),
        "verdicts": (
            verdicts.HEADER,
            [(verdicts.study, name, args.trials, max(lengths)) for name in saturated],
        ),
        "latencies": (
            latencies.HEADER,
            [
                (partial(latencies.study, unmarked=args.unmarked), name, load, max(lengths), args.repetitions)
                for name in loaded
                for load in args.load or LOADS
            ],
        ),
    }
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=spawn) as pool:
        for name in args.studies or STUDIES:
            header, calls = jobs[name]
            print(f"\n{_line(header)}\n|{'|'.join(['---'] + ['--:'] * (len(header) - 1))}|", flush=True)
            for future in [pool.submit(study, *arguments) for study, *arguments in calls]:
                print("\n".join(_line(cells) for cells in future.result()), flush=True)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
