"""``fastq compare``: whether a boundary moved between two data sets."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from fastq.store.comparison import Comparison

_LIMIT = 20
_EPILOG = """\
Points are joined by case name and the axes that both data sets have. Every boundary that both measured (throughput
under a backlog; from an empty start; under objectives) is compared: relative difference, new over old less 1, with
its interval. Where both ran with one seed and run.common_random_numbers, replications of one number drew the same
requests, and throughputs are compared in pairs, which is far sharper. A boundary has moved where its difference is
beyond the tolerance with confidence: a one-sided test, Holm's correction for all that are compared, so that 5% (1
less --confidence) is the chance that any of these tests is a false alarm. Points that are short or capped move only
where their intervals are that far apart too. What has no p-value is judged by ranges: nonergodic points, four
replications at least, and a rate from an empty start that only one data set found apart from that under a backlog.

Moves as well: a point that can run in one data set only; objectives that can't be met in one, and that every
replication of the other met at some rate; a theoretical rate beyond the tolerance; a verdict that turned from or to
stable, where it was not undecided and the throughput is not within the tolerance. Where the interval reaches past the
tolerance and nothing is proved, it can't be told: measure longer (run.requests), or with more run.replications.

example, in a pull request:
  fastq sweep grid.toml --out before
  fastq sweep grid.toml --out after --set replica.max_num_seqs=128
  fastq compare before after --tolerance 0.02 --markdown -o comparison.md

exit status: 0 nothing moved, 1 something moved (with --strict also: something can't be told), or failed, with a
message on standard error; 2 bad usage, or nothing to compare"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "compare",
        help="whether a boundary moved between two data sets",
        description="Say which boundaries moved from one data set to another, and what else changed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help="directory or URI that 'fastq sweep --out' wrote")
    parser.add_argument("new", metavar="NEW", help="another one")
    parser.add_argument(
        "--tolerance",
        type=_share,
        default=0.01,
        metavar="T",
        help="relative difference up to which nothing has moved (default: %(default)s)",
    )
    parser.add_argument(
        "--confidence",
        type=_share,
        default=0.95,
        metavar="C",
        help="1 less the family-wise error rate, the chance that anything is called moved where nothing did "
        "(default: %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 as well where something can't be told")
    parser.add_argument(
        "--limit",
        type=_limit,
        default=_LIMIT,
        metavar="N",
        help="most rows of a table, the worst first (default: %(default)s); --json has all",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to a file and print one line only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, and print what was found."""
    from fastq.cli.comparison_report import summary
    from fastq.cli.output_file import check_target, write_text
    from fastq.store.comparison import compare

    output = check_target(args.output, "--output")
    found = compare(args.old, args.new, tolerance=args.tolerance, confidence=args.confidence)
    text = _text(found, args)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
        sys.stdout.write(f"{summary(found)}\n")
    return ExitStatus.MOVED if found.moved or (args.strict and found.unclear) else ExitStatus.DONE


def _text(found: Comparison, args: argparse.Namespace) -> str:
    from fastq.cli import comparison_report

    if args.json:
        return comparison_report.as_json(found)
    if args.markdown:
        return comparison_report.as_markdown(found, args.limit)
    return comparison_report.as_text(found, args.limit)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give a number, as 0.01 for 1%") from None


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows; give 0 or more")
    return int(text)
