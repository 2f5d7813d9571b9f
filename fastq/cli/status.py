"""``fastq status``: how much of a data set is finished."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    import argparse

    from fastq.engine.status import SweepStatus

_MOST_RANGES = 12


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "status",
        help="how much of a data set is finished",
        description="Say which blocks of a data set are finished, which are missing, and how fast they came.",
    )
    parser.add_argument("dir", metavar="DIR", help="directory or URI that 'fastq sweep --out' wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the state of a data set."""
    from dataclasses import asdict

    from fastq.engine.status import status

    found = status(args.dir)
    if args.json:
        sys.stdout.write(json.dumps({**asdict(found), "complete": found.complete}) + "\n")
    else:
        sys.stdout.write(_report(found, args.dir))
    return ExitStatus.DONE


def _report(found: SweepStatus, directory: str) -> str:
    from datetime import UTC, datetime

    from fastq.cli.text_table import number, render, size

    share = found.points_done / found.points if found.points else 1.0
    rows = [
        ("data set", f"{found.location}"),
        ("hash", found.spec_hash[:16]),
        ("points", f"{found.points_done:,} of {found.points:,} done ({share:.1%})"),
        ("blocks", f"{found.blocks_done:,} of {found.blocks:,} done"),
        ("size", size(found.size_bytes)),
    ]
    if found.missing:
        shown = [
            str(first) if first == last else f"{first}-{last}" for first, last in found.missing[:_MOST_RANGES]
        ]
        more = ", ..." if len(found.missing) > _MOST_RANGES else ""
        rows.append(("missing blocks", ", ".join(shown) + more))
    if found.points_per_s is not None:
        rows.append(("rate", f"{number(found.points_per_s)} points/s between the first block and the last"))
    if found.last_written_s is not None:
        written = datetime.fromtimestamp(found.last_written_s, UTC)
        rows.append(("last block", f"{written:%Y-%m-%d %H:%M:%S} UTC"))
    text = f"{found.title or 'untitled'}\n" + render(rows, left=(0, 1))
    if not found.complete:
        text += f"\nTo go on, run 'fastq sweep SPEC --out {directory}' again: finished blocks are kept.\n"
    return text
