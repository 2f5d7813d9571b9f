"""What a data set holds so far, from its files alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.store.layout import block_file, block_of
from fastq.store.location import open_location
from fastq.store.manifest import require_manifest

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """How much of a data set is finished.

    A data set holds no record of machines, workers or times, so that its bytes do not depend on them. The
    rate is read from when the files were written.

    Parameters
    ----------
    location
        Path or URI of the data set.
    title, spec_hash
        Title of its spec, and the hash of all that decides its numbers.
    points, blocks
        Size of the grid.
    points_done, blocks_done
        How much of it is finished.
    missing
        Blocks that are not finished, as ranges (first, last), in order.
    size_bytes
        Size of all finished files.
    first_written_s, last_written_s
        When the first and the last finished block were written, seconds since 1970; ``None`` without any.
    points_per_s
        Points per second between the two; ``None`` where they tell nothing, as with fewer than two blocks.
        Time in which nothing ran counts, and a copied data set has the times of the copy.
    """

    location: str
    title: str
    spec_hash: str
    points: int
    blocks: int
    points_done: int
    blocks_done: int
    missing: tuple[tuple[int, int], ...]
    size_bytes: int
    first_written_s: float | None
    last_written_s: float | None
    points_per_s: float | None

    @property
    def blocks_missing(self) -> int:
        """Number of blocks that are not finished."""
        return self.blocks - self.blocks_done

    @property
    def complete(self) -> bool:
        """Whether every block is finished."""
        return self.blocks_done == self.blocks

    @property
    def remaining_s(self) -> float | None:
        """Time that the rest takes at ``points_per_s``, seconds; ``None`` where that is not known."""
        return None if self.points_per_s is None else (self.points - self.points_done) / self.points_per_s

    def missing_by_shard(self, shards: int) -> dict[str, int]:
        """Count the missing blocks of each shard ``I/shards``; shards that lack none are left out."""
        counts = Counter(block % shards for first, last in self.missing for block in range(first, last + 1))
        return {f"{index}/{shards}": counts[index] for index in sorted(counts)}


def status(location: str | os.PathLike[str]) -> SweepStatus:
    """Say how much of a data set is finished; no file but the manifest is opened."""
    place = open_location(location)
    manifest = require_manifest(place)
    tables = {table: place.entries(table) for table in manifest.tables}
    found = [{block_of(name) for name in entries} - {None} for entries in tables.values()]
    done = sorted(block for block in set.intersection(*found) if block is not None)
    files = [
        tables[table][name.rpartition("/")[2]]
        for block in done
        for table in manifest.tables
        for name in [block_file(table, block)]
    ]
    marks = [tables["points"][block_file("points", block).rpartition("/")[2]].modified_s for block in done]
    points_of = {block: len(manifest.block_range(block)) for block in done}
    first_s, last_s = min(marks, default=None), max(marks, default=None)
    rate = None
    if first_s is not None and last_s is not None and last_s > first_s:
        after_first = sum(points_of.values()) - points_of[done[marks.index(first_s)]]
        rate = after_first / (last_s - first_s)
    return SweepStatus(
        location=place.uri,
        title=manifest.title,
        spec_hash=manifest.spec_hash,
        points=manifest.points,
        blocks=manifest.blocks,
        points_done=sum(points_of.values()),
        blocks_done=len(done),
        missing=_ranges(sorted(set(range(manifest.blocks)) - set(done))),
        size_bytes=sum(file.size_bytes for file in files),
        first_written_s=first_s,
        last_written_s=last_s,
        points_per_s=rate,
    )


def _ranges(blocks: list[int]) -> tuple[tuple[int, int], ...]:
    """Join neighbouring blocks into (first, last)."""
    ranges: list[tuple[int, int]] = []
    for block in blocks:
        if ranges and ranges[-1][1] == block - 1:
            ranges[-1] = ranges[-1][0], block
        else:
            ranges.append((block, block))
    return tuple(ranges)
