"""``fastq workload``: sketch a trace of request lengths as a workload file."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastq.model.workload_file import Comparison

_DEFAULT_ENTRIES = 4096
_DESCRIPTION = """\
Sketch the (prompt, output) lengths of a trace by a table of equally likely pairs, small enough to ship.
The table keeps the means, the KV area, the percentiles of both lengths and how they go together; it holds no
order and no times. A spec takes the file as workload.trace."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command.

    Parameters
    ----------
    subparsers
        Commands of the ``fastq`` parser.
    """
    parser = subparsers.add_parser(
        "workload",
        help="make a workload file from a trace of request lengths",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "trace",
        type=Path,
        metavar="TRACE",
        help="CSV (also with Azure's column names), Parquet or JSON Lines",
    )
    parser.add_argument("--name", required=True, help="name of the workload")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.parquet", help="file to write")
    parser.add_argument(
        "--entries",
        type=int,
        default=_DEFAULT_ENTRIES,
        metavar="N",
        help="entries of the table (default: %(default)s)",
    )
    parser.add_argument("--source", default="", metavar="TEXT", help="data set, authors and year, to keep")
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence of the data set, to keep")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the file and print how far it is from its trace.

    Parameters
    ----------
    args
        Parsed arguments of the command.

    Returns
    -------
    int
        Exit status.
    """
    from fastq.model.quantize import quantize
    from fastq.model.trace import read_trace
    from fastq.model.workload_file import Origin, compare, percentile_errors, write_workload

    _check_target(args.out)
    trace = read_trace(args.trace)
    pairs = (trace.prompt_tokens, trace.output_tokens)
    table = quantize(*pairs, entries=args.entries)
    origin = Origin(name=args.name, source=args.source, licence=args.licence, command=_command(args))
    write_workload(args.out, pairs, table, origin)
    sys.stdout.write(_report(compare(pairs, table), rows=pairs[0].size, entries=table[0].size))
    worst = percentile_errors(pairs, table)
    sys.stdout.write(
        f"\npercentiles 1 to 99: largest error {worst['prompt_tokens']:,} prompt tokens, "
        f"{worst['output_tokens']:,} output tokens\n"
        f"wrote {args.out} ({args.out.stat().st_size:,} bytes)\n"
    )
    return 0


def _check_target(out: Path) -> None:
    from fastq.errors import SpecError

    if out.suffix != ".parquet":
        raise SpecError(
            "a workload file is Parquet; give a name that ends in .parquet", key="--out", value=str(out)
        )
    if not out.parent.is_dir():
        raise SpecError("there is no such directory; make it first", key="--out", value=str(out.parent))


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
