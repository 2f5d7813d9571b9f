"""Which file holds which block, and which points a block covers."""

from __future__ import annotations

import re

_BLOCK_FILE = re.compile(r"block-(\d{6,})\.parquet")


def block_file(table: str, block: int) -> str:
    """Return the name of a block's file in a table, relative to the data set; names sort by block."""
    return f"{table}/block-{block:06d}.parquet"


def block_of(file_name: str) -> int | None:
    """Return the block that a file of a table directory holds; ``None`` for other files."""
    match = _BLOCK_FILE.fullmatch(file_name)
    return int(match[1]) if match else None


def block_count(points: int, block_points: int) -> int:
    """Count the blocks of a grid."""
    return -(-points // block_points)


def block_range(block: int, points: int, block_points: int) -> range:
    """Return the points that a block covers."""
    return range(block * block_points, min(points, (block + 1) * block_points))
