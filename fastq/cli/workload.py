"""``fastq workload``: describe a trace of requests, and sketch its lengths as a workload file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastq.cli.exit_status import ExitStatus
from fastq.cli.picture_size import add_size, check_size, picture_size
from fastq.cli.workload_law import DEFAULT_ENTRIES, check_law, write_law

_DESCRIPTION = """\
Describe a trace for someone who plans capacity: its rate and bursts, its lengths and the KV memory that they take,
and whether it is one workload over its span. A trace without arrival times is described by its lengths alone."""
_EPILOG = """\
--name and --out also write its lengths as a law: a table of equally likely (prompt, output) pairs, small enough to
ship, that keeps the means, the KV area, the percentiles of both lengths and how they go together. It holds no order
and no times. A spec takes the file as workload.trace.

examples:
  fastq workload trace.csv --picture trace.png
  fastq workload trace.csv --name mine --out mine.parquet"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command.

    Parameters
    ----------
    subparsers
        Commands of the ``fastq`` parser.
    """
    parser = subparsers.add_parser(
        "workload",
        help="describe a trace of requests, or make a law of its lengths",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "trace",
        type=Path,
        metavar="TRACE",
        help="CSV (also with Azure's column names), Parquet or JSON Lines",
    )
    parser.add_argument("--json", action="store_true", help="print the description as one line of JSON")
    parser.add_argument("--picture", metavar="FILE", help="draw it: .png, .svg or .pdf")
    add_size(parser)
    law = parser.add_argument_group("writing its lengths as a law")
    law.add_argument("--name", help="name of the workload")
    law.add_argument("--out", type=Path, metavar="FILE.parquet", help="file to write")
    law.add_argument(
        "--entries",
        type=int,
        default=DEFAULT_ENTRIES,
        metavar="N",
        help="entries of the table (default: %(default)s)",
    )
    law.add_argument("--source", default="", metavar="TEXT", help="data set, authors and year, to keep")
    law.add_argument("--licence", default="", metavar="TEXT", help="licence of the data set, to keep")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Describe the trace; draw it and write its law where asked for.

    Parameters
    ----------
    args
        Parsed arguments of the command.

    Returns
    -------
    int
        Exit status.
    """
    import json

    from fastq.analysis.workload_description import describe_trace
    from fastq.cli.output_file import check_picture
    from fastq.cli.workload_report import report
    from fastq.model.trace import read_trace

    check_law(args)
    check_size(args, "--picture FILE", drawn=args.picture is not None)
    picture = check_picture(args.picture, "--picture")
    trace = read_trace(args.trace)
    description = describe_trace(trace)
    document: dict[str, Any] = asdict(description)
    text = report(description)
    if args.out is not None:
        document["table"], written = write_law(args, trace)
        text += written
    if picture is not None:
        from fastq.plot import style
        from fastq.plot.workload_picture import draw_workload

        size = picture_size(args)
        style.save(draw_workload(description, trace, size=size), picture, size=size)
        document["picture"] = str(picture)
        text += f"\nwrote {picture}\n"
    sys.stdout.write(json.dumps(document) + "\n" if args.json else text)
    return ExitStatus.DONE
