"""``fastq validate``: predictions beside published measurements and exact answers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.cli.compile_notice import compile_notice
from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.engine.validation import Comparison

_ENDINGS = {".md": "markdown", ".json": "json", ".csv": "csv"}
_EPILOG = """\
Three questions, each given less than the one before: the requests that run and the memory they hold, given the
measured time of an iteration; throughput, given the same; and throughput with no measured time at all, iteration
times from kernel latencies. Where a source leaves settings open, every usual one is simulated and the range is
shown. Nothing is tuned to any row. Exact answers of queueing theory stand below.

  measured     what the source reports, or what theory proves
  fastq        the estimate's 95% interval; of several settings, from the lowest end to the highest
  error        of the estimates, relative to measured (to the middle of a range)
  within       whether the error meets the aim: yes, no, or by setting where that depends on what is left open

examples:
  fastq validate                          as tables, with the command that prints each figure
  fastq validate --markdown -o report.md
  fastq validate --fail-beyond 0.25       exit status 1 where an end-to-end error is larger"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "validate",
        help="predictions beside published measurements and exact answers",
        description="Simulate every published measurement and exact answer that comes with fastq, and print "
        "measured, fastq, error, closed form and its error, in one table.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--csv", action="store_true", help="print a line of CSV for each row")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write to a file instead; .md, .json and .csv say the form too",
    )
    parser.add_argument(
        "--fail-beyond",
        type=_share,
        metavar="SHARE",
        help="exit with status 1 if an end-to-end error is larger, as 0.15, under any setting left open",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: by the usable CPUs)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate all rows and print them."""
    from fastq.cli import validation_report as reports
    from fastq.cli.output_file import check_target, write_text
    from fastq.engine.cpus import usable_cpus
    from fastq.engine.executors import refuse_counts
    from fastq.engine.validation import compare, warm_up_for
    from fastq.model.validation_file import load_measurements

    refuse_counts(threads=args.threads)
    check_target(args.output, "--output")
    measurements = load_measurements()
    with compile_notice():
        warm_up_for(measurements)
    compared = compare(measurements, threads=args.threads or usable_cpus(), done=_tell)
    comparisons = reports.in_order(compared)
    text = reports.FORMS[_form(args)](comparisons)
    if args.output is None:
        sys.stdout.write(text)
    else:
        write_text(args.output, text)
        sys.stderr.write(f"wrote {args.output}\n")
    return _status(comparisons, args.fail_beyond)


def _form(args: argparse.Namespace) -> str:
    """Return the form that is asked for, or that the name of the file says; otherwise ``text``."""
    asked = [form for form in _ENDINGS.values() if getattr(args, form)]
    if asked or args.output is None:
        return (*asked, "text")[0]
    return _ENDINGS.get(args.output.suffix.lower(), "text")


def _tell(done: int, of: int) -> None:
    """Show progress on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{of} points simulated" + ("\n" if done == of else ""))
        sys.stderr.flush()


def _status(comparisons: Sequence[Comparison], fail_beyond: float | None) -> int:
    if fail_beyond is None:
        return ExitStatus.DONE
    beyond = [
        f"{each.measurement.what}, {each.measurement.quantity} ({_shown(each.largest_error)})"
        for each in comparisons
        if each.measurement.kind == "end to end" and each.largest_error > fail_beyond
    ]
    if not beyond:
        return ExitStatus.DONE
    sys.stderr.write(f"fastq: end-to-end errors beyond {fail_beyond * 100:g}%: {'; '.join(beyond)}\n")
    return ExitStatus.FAILED


def _shown(error: float) -> str:
    return "differs" if error == float("inf") else f"{error:.1%}"


def _share(text: str) -> float:
    import math

    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give a number from 0 up, as 0.15 for 15%")
    return share
