"""``fastq theory``: the closed forms of every point, without simulation."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.exit_status import ExitStatus
from fastq.cli.spec_argument import add_spec_argument, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastq.model.spec import Spec

_MOST_SHOWN = 60
_MOST_SUMMARISED = 100_000
_REALISED = {"mean_prompt_tokens": 5, "mean_output_tokens": 5, "kv_area_tokens": 6}
"""Means of the law as the simulation draws from it, with the digits that are shown."""
_RATES = ("theory_rate", "expected_rate", "theory_stable", "paper_rate")
_SUMMARISED = {
    "tokens": (
        ("mean prompt", "mean_prompt_tokens", 5),
        ("mean output", "mean_output_tokens", 5),
        ("E[g], KV area", "kv_area_tokens", 6),
    ),
    "requests/s": (
        ("theory", "theory_rate_rps", 4),
        ("expected", "expected_rate_rps", 4),
        ("guaranteed", "theory_stable_rps", 4),
        ("memory only", "paper_rate_rps", 4),
    ),
}
_EPILOG = """\
columns of the table:
  prompt      mean prompt of the accepted requests, tokens, over the table that a simulation draws from
  output      mean output, likewise
  E[g]        mean KV area: the KV tokens of a request, summed over its iterations
  theory      self-consistent service rate, requests/s: exact sums, blocks, the spec's token convention
  expected    the same, less what reserved peaks, recomputation and batches of two kinds cost on average: no bound
  guaranteed  arrival rate proved stable where only memory keeps requests waiting; '-' where nothing is proved
  memory only memory / (iteration time x KV area), as in Nie, Si and Zhou (2026)
  limit       what binds: kv (memory), seqs (max_num_seqs) or tokens (max_num_batched_tokens)

examples:
  fastq theory paper-table-1
  fastq theory quickstart --csv > theory.csv"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "theory",
        help="closed forms for every point, no simulation",
        description="Print what queueing theory says of every point of a grid, without simulating anything. "
        f"A grid of more than {_MOST_SHOWN} points is summarised; --csv and --json print every row.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_argument(parser)
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--csv", action="store_true", help="print every point as a line of CSV, with more columns"
    )
    rows.add_argument(
        "--json", action="store_true", help="print every point as a line of JSON, with more columns"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the closed forms."""
    from fastq.engine.sweep import refuse_infeasible

    spec = load(args)
    refuse_infeasible(spec)
    if args.csv:
        return _write_csv(spec)
    if args.json:
        return _write_json(spec)
    if len(spec) <= _MOST_SHOWN:
        return _write_table(spec)
    return _write_summary(spec, args.spec)


def _write_csv(spec: Spec) -> int:
    import csv

    from fastq.api import theory_columns, theory_rows

    writer = csv.DictWriter(sys.stdout, theory_columns(spec), lineterminator="\n")
    writer.writeheader()
    feasible = False
    for row in theory_rows(spec):
        feasible |= row["infeasible"] is None
        writer.writerow(row)
    return _status(feasible)


def _write_json(spec: Spec) -> int:
    import json

    from fastq.api import theory_rows

    feasible = False
    for row in theory_rows(spec):
        feasible |= row["infeasible"] is None
        sys.stdout.write(json.dumps(row) + "\n")
    return _status(feasible)


def _write_table(spec: Spec) -> int:
    from fastq.api import theory_rows
    from fastq.cli.text_table import number, render, scalar, seconds

    rows = list(theory_rows(spec))
    varied = (["case"] if spec.case_names else []) + [axis.key for axis in spec.axes if axis.key != "case"]
    header = [
        "point",
        *varied,
        "prompt",
        "output",
        "E[g]",
        "theory/s",
        "expected/s",
        "guaranteed/s",
        "memory only/s",
        "limit",
        "iteration",
        "running",
        "KV tokens",
    ]
    cells = [
        [
            str(row["point"]),
            *(scalar(row[key]) for key in varied),
            *(number(row[name], digits) for name, digits in _REALISED.items()),
            *(number(row[f"{name}_rps"]) for name in _RATES),
            row["binding"] or "-",
            seconds(row["mean_iteration_s"]),
            number(row["mean_running"], 3),
            number(row["mean_kv_tokens"], 6),
        ]
        for row in rows
    ]
    text_columns = range(1, 1 + len(varied))
    left = [
        column for column in text_columns if any(isinstance(row[varied[column - 1]], str) for row in rows)
    ]
    sys.stdout.write(render(cells, header=header, left=[*left, header.index("limit")]))
    for row in rows:
        if row["infeasible"] is not None:
            sys.stdout.write(f"point {row['point']} can't run: {row['infeasible']}\n")
    return _status(any(row["infeasible"] is None for row in rows))


def _write_summary(spec: Spec, name: str) -> int:
    from fastq.api import theory_rows
    from fastq.cli.text_table import indent, render

    count = min(len(spec), _MOST_SUMMARISED)
    indices = [len(spec) * position // count for position in range(count)]
    every = list(theory_rows(spec, indices))
    rows = [row for row in every if row["infeasible"] is None]
    how = "" if count == len(spec) else f"; {count:,} of them, evenly spaced, are summarised here"
    sys.stdout.write(f"{spec.title or spec.source}: {len(spec):,} points{how}\n")
    if rows:
        for unit, columns in _SUMMARISED.items():
            header = [unit, "smallest", "median", "largest", "points"]
            table = [_spread(name, rows, column, digits) for name, column, digits in columns]
            sys.stdout.write("\n" + indent(render(table, header=header)))
        sys.stdout.write("\n" + indent(render(_counts(rows), header=["limit", "points", "share"])))
    first = next((row for row in every if row["infeasible"] is not None), None)
    if first is not None:
        sys.stdout.write(
            f"\n{count - len(rows):,} points can't run; the first, point {first['point']}: {first['infeasible']}\n"
        )
    sys.stdout.write(f"\nEvery row: fastq theory {shlex.quote(name)} --csv (or --json)\n")
    return _status(bool(rows))


def _spread(name: str, rows: Sequence[dict[str, Any]], column: str, digits: int) -> list[str]:
    from statistics import median

    from fastq.cli.text_table import number

    values = [row[column] for row in rows if row[column] is not None]
    shown = (min(values), median(values), max(values)) if values else (None, None, None)
    return [name, *(number(value, digits) for value in shown), f"{len(values):,}"]


def _counts(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    from collections import Counter

    counts = Counter(row["binding"] for row in rows)
    return [[name, f"{count:,}", f"{count / counts.total():.1%}"] for name, count in counts.most_common()]


def _status(feasible: bool) -> int:
    return ExitStatus.DONE if feasible else ExitStatus.NOTHING_FEASIBLE
