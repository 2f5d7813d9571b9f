"""The law of a trace's lengths that ``fastq workload`` writes, and how far it is from the trace."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from fastq.model.trace import Trace
    from fastq.model.workload_file import Comparison

DEFAULT_ENTRIES = 4096
"""Entries of the table that is written: those of :func:`fastq.model.quantize.quantize`, which help need not load."""


def write_law(args: argparse.Namespace, trace: Trace) -> tuple[dict[str, Any], str]:
    """Write the workload file; return what it keeps of the trace, for programs and for people."""
    from fastq.cli.text_table import indent
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
        f"\nlaw of its lengths\n{_table(comparisons, rows=pairs[0].size, entries=table[0].size)}"
        f"  percentiles 1 to 99: largest error {worst['prompt_tokens']:,} prompt tokens, "
        f"{worst['output_tokens']:,} output tokens\n"
        f"{indent(_kept(comparisons))}"
        f"\nwrote {args.out} ({file_bytes:,} bytes)\n"
    )


def _kept(comparisons: tuple[Comparison, ...]) -> str:
    """Say which figures the table could not keep, and how its longest request compares."""
    from fastq.model.workload_file import KEPT_SHARE

    lost = [each.figure for each in comparisons if not each.is_kept]
    words = (
        f"not kept within {KEPT_SHARE:.1%} or a token: {', '.join(lost)}; a table with more --entries keeps more "
        "of a heavy tail\n"
        if lost
        else f"every figure but the largest lengths is kept within {KEPT_SHARE:.1%} or a token\n"
    )
    (longest,) = (each for each in comparisons if each.figure == "max_total_tokens")
    if longest.trace == longest.table or longest.trace is None or longest.table is None:
        return words
    return words + (
        f"its longest request has {longest.table:,.0f} tokens, the trace's {longest.trace:,.0f}: too rare for an "
        "entry,\nso ask apart whether that one fits into memory\n"
    )


def check_law(args: argparse.Namespace) -> None:
    """Refuse a law without a name or a file, and settings of one that is not written."""
    from fastq.cli.output_file import check_target
    from fastq.errors import SpecError

    given = {
        "--name": args.name is not None,
        "--out": args.out is not None,
        "--entries": args.entries != DEFAULT_ENTRIES,
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
    if args.entries != DEFAULT_ENTRIES:
        words += ["--entries", str(args.entries)]
    if args.source:
        words += ["--source", args.source]
    if args.licence:
        words += ["--licence", args.licence]
    return shlex.join(words)


def _table(comparisons: tuple[Comparison, ...], *, rows: int, entries: int) -> str:
    from fastq.cli.text_table import indent, render

    lines = [("rows, entries", f"{rows:,}", f"{entries:,}", "")]
    for each in comparisons:
        error = "" if each.relative_error is None else f"{round(each.relative_error, 5) + 0.0:+.3%}"
        lines.append((each.figure, _shown(each.trace), _shown(each.table), error))
    return indent(render(lines, header=("figure", "trace", "table", "error")))


def _shown(value: float | None) -> str:
    if value is None:
        return "undefined"
    if value == round(value) or abs(value) >= 100_000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"
