"""``fastq status``: how much of a data set is finished."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from fastq.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from fastq.engine.status import SweepStatus

_NOT_RECORDED = (
    "Times are those of the files. Which machines ran it is recorded nowhere: a data set has the same bytes "
    "whatever ran it."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "status",
        help="how much of a data set is finished",
        description="Say which blocks of a data set are finished, which are missing, and how fast they came.\n"
        + _NOT_RECORDED,
        epilog="example, for a sweep whose shards were --shard 0/16 to 15/16:\n  fastq status results --shards 16",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", metavar="DIR", help="directory or URI that 'fastq sweep --out' wrote")
    parser.add_argument(
        "--shards",
        type=_shards,
        metavar="N",
        help="name the shards I/N that have missing blocks, to run again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the state of a data set."""
    from dataclasses import asdict

    from fastq.engine.status import status

    found = status(args.dir)
    if args.json:
        more: dict[str, object] = {"complete": found.complete, "remaining_s": found.remaining_s}
        if args.shards is not None:
            more["missing_by_shard"] = found.missing_by_shard(args.shards)
        sys.stdout.write(json.dumps({**asdict(found), **more}) + "\n")
    else:
        sys.stdout.write(_report(found, args.dir, args.shards))
    return ExitStatus.DONE


def _shards(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of shards; give N of --shard I/N, 1 or more")
    return int(text)


def _report(found: SweepStatus, directory: str, shards: int | None) -> str:
    import time
    from datetime import UTC, datetime

    from fastq.cli.text_table import listed, number, render, size
    from fastq.engine.progress import duration_text

    share = found.points_done / found.points if found.points else 1.0
    rows = [
        ("data set", f"{found.location}"),
        ("hash", found.spec_hash[:16]),
        ("points", f"{found.points_done:,} of {found.points:,} done ({share:.1%})"),
        ("blocks", f"{found.blocks_done:,} of {found.blocks:,} done"),
        ("size", size(found.size_bytes)),
    ]
    if found.missing:
        ranges = [str(first) if first == last else f"{first}-{last}" for first, last in found.missing]
        rows.append(("missing blocks", listed(ranges)))
        if shards is not None:
            counts = found.missing_by_shard(shards)
            rows.append(("missing by shard", listed([f"{shard} ({n:,})" for shard, n in counts.items()])))
    if found.points_per_s is not None:
        rate = f"{number(found.points_per_s)} points/s between the first block and the last"
        if found.remaining_s:
            rate += f"; the rest takes {duration_text(found.remaining_s)} at that"
        rows.append(("rate", rate))
    if found.last_written_s is not None:
        written = datetime.fromtimestamp(found.last_written_s, UTC)
        ago = duration_text(max(0.0, time.time() - found.last_written_s))
        rows.append(("last block", f"{written:%Y-%m-%d %H:%M:%S} UTC, {ago} ago"))
    text = f"{found.title or 'untitled'}\n" + render(rows, left=(0, 1)) + f"{_NOT_RECORDED}\n"
    if not found.complete:
        text += f"\nTo go on, run 'fastq sweep SPEC --out {directory}' again: finished blocks are kept.\n"
    return text
