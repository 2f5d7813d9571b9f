"""``fastq workload``: describe a trace of requests, and sketch its lengths as a workload file."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from fastq.model.trace import Trace
    from fastq.model.workload_file import Comparison

_DEFAULT_ENTRIES = 4096
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
    parser.add_argument(
        "--size", choices=("page", "slide"), default="page", help="made for a page or a slide (default: page)"
    )
    law = parser.add_argument_group("writing its lengths as a law")
    law.add_argument("--name", help="name of the workload")
    law.add_argument("--out", type=Path, metavar="FILE.parquet", help="file to write")
    law.add_argument(
        "--entries",
        type=int,
        default=_DEFAULT_ENTRIES,
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

    _check_law(args)
    picture = check_picture(args.picture, "--picture")
    trace = read_trace(args.trace)
    description = describe_trace(trace)
    document: dict[str, Any] = asdict(description)
    text = report(description)
    if args.out is not None:
        document["table"], written = _write_law(args, trace)
        text += written
    if picture is not None:
        from fastq.plot import style
        from fastq.plot.workload_picture import draw_workload

        size = style.SIZES[args.size]
        style.save(draw_workload(description, trace, size=size), picture, size=size)
        document["picture"] = str(picture)
        text += f"\nwrote {picture}\n"
    sys.stdout.write(json.dumps(document) + "\n" if args.json else text)
    return ExitStatus.DONE


def _write_law(args: argparse.Namespace, trace: Trace) -> tuple[dict[str, Any], str]:
    """Write the workload file; return what it keeps of the trace, for programs and for people."""
    from fastq.model.quantize import quantize
    from fastq.model.workload_file import Origin, compare, percentile_errors, write_workload

    pairs = (trace.prompt_tokens, trace.output_tokens)
    table = quantize(*pairs, entries=args.entries)
    origin = Origin(name=args.name, source=args.source, licence=args.licence, command=_command(args))
    comparisons, worst = compare(pairs, table), percentile_errors(pairs, table)
    write_workload(args.out, pairs, table, origin)
    file_bytes = args.out.stat().st_size
    document = {
        "path": str(args.out),
        "bytes": file_bytes,
        "entries": int(table[0].size),
        "figures": {
            each.figure: {**asdict(each), "relative_error": each.relative_error, "is_kept": each.is_kept}
            for each in comparisons
        },
        "percentile_errors": worst,
    }
    return document, (
        f"\nlaw of its lengths\n{_report(comparisons, rows=pairs[0].size, entries=table[0].size)}"
        f"\npercentiles 1 to 99: largest error {worst['prompt_tokens']:,} prompt tokens, "
        f"{worst['output_tokens']:,} output tokens\n"
        f"{_kept(comparisons)}"
        f"wrote {args.out} ({file_bytes:,} bytes)\n"
    )


def _kept(comparisons: tuple[Comparison, ...]) -> str:
    """Say which figures the table could not keep, and how its longest request compares."""
    lost = [each.figure for each in comparisons if not each.is_kept]
    words = (
        f"not kept within 0.5% or a token: {', '.join(lost)}; a table with more --entries keeps more of a heavy tail\n"
        if lost
        else "every figure but the largest lengths is kept within 0.5% or a token\n"
    )
    (longest,) = (each for each in comparisons if each.figure == "max_total_tokens")
    if longest.trace == longest.table or longest.trace is None or longest.table is None:
        return words
    return words + (
        f"its longest request has {longest.table:,.0f} tokens, the trace's {longest.trace:,.0f}: too rare for an "
        "entry,\nso ask apart whether that one fits into memory\n"
    )


def _check_law(args: argparse.Namespace) -> None:
    """Refuse a law without a name or a file, and settings of one that is not written."""
    from fastq.cli.output_file import check_target
    from fastq.errors import SpecError

    given = {
        "--name": args.name is not None,
        "--out": args.out is not None,
        "--entries": args.entries != _DEFAULT_ENTRIES,
        "--source": bool(args.source),
        "--licence": bool(args.licence),
    }
    missing = [option for option in ("--name", "--out") if not given[option]]
    asked_for = next((option for option, is_given in given.items() if is_given), None)
    if asked_for is not None and missing:
        raise SpecError(
            f"is missing: {asked_for} belongs to a law, which --name NAME and --out FILE.parquet write together",
            key=missing[0],
        )
    check_target(args.out, "--out", ".parquet")


def _command(args: argparse.Namespace) -> str:
    """Command that makes the file again, next to the trace: names without directories."""
    words = ["fastq", "workload", args.trace.name, "--name", args.name, "--out", args.out.name]
    if args.entries != _DEFAULT_ENTRIES:
        words += ["--entries", str(args.entries)]
    if args.source:
        words += ["--source", args.source]
    if args.licence:
        words += ["--licence", args.licence]
    return shlex.join(words)


def _report(comparisons: tuple[Comparison, ...], *, rows: int, entries: int) -> str:
    lines = [("", "trace", "table", "error"), ("rows, entries", f"{rows:,}", f"{entries:,}", "")]
    for each in comparisons:
        error = "" if each.relative_error is None else f"{round(each.relative_error, 5) + 0.0:+.3%}"
        lines.append((each.figure, _shown(each.trace), _shown(each.table), error))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "".join(_padded(line, widths) + "\n" for line in lines)


def _padded(line: tuple[str, ...], widths: list[int]) -> str:
    numbers = (f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
    return "  ".join((f"{line[0]:<{widths[0]}}", *numbers)).rstrip()


def _shown(value: float | None) -> str:
    if value is None:
        return "undefined"
    if value == round(value) or abs(value) >= 100_000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"
