"""Blocks: the unit of work, of writing and of resumption; and which of them a shard takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastq.model.spec import Spec

BLOCK_POINTS = 4096
"""Points in a block. Files are cut by it, so a change makes other data sets."""


@dataclass(frozen=True, slots=True)
class BlockTables:
    """The rows of a block, as columns by name; ``None`` is a null, an absent column is all nulls.

    Parameters
    ----------
    points
        A row per point, in order.
    replications
        Rows ordered by point, then rate, then replication.
    rates
        Rows ordered by point, then rate; ``None`` unless rates are measured.
    """

    points: dict[str, Sequence[Any]]
    replications: dict[str, Sequence[Any]]
    rates: dict[str, Sequence[Any]] | None = None


class StopFlag(Protocol):
    """What tells a running evaluation to stop, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether to stop."""


class BlockStopped(Exception):
    """An evaluation was stopped by its flag and has no result."""


class Evaluate(Protocol):
    """Computes a block: ``fastq.engine.evaluate.evaluate_block``, or a stand-in for it.

    It must be picklable (a top-level function) to run in worker processes. ``progress(points, requests)`` is
    told of what was done since it was last called, from any thread. Once ``stop`` is set it raises
    :class:`BlockStopped` as soon as it can.
    """

    def __call__(
        self,
        spec: Spec,
        block: int,
        *,
        block_points: int,
        backend: str,
        threads: int,
        stop: StopFlag | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> BlockTables:
        """Return the rows of a block."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The blocks congruent to ``index`` modulo ``count``, so that many machines can fill one data set."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise SpecError(
                "a shard is I/N with 0 <= I < N: the blocks congruent to I modulo N, such as 0/2 and 1/2",
                key="--shard",
                value=str(self),
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def select(self, blocks: Iterable[int]) -> list[int]:
        """Return the blocks that this shard takes, in order."""
        return [block for block in blocks if block % self.count == self.index]


def parse_shard(text: str) -> Shard:
    """Read ``I/N``."""
    index, slash, count = text.partition("/")
    if not (slash and index.strip().isdecimal() and count.strip().isdecimal()):
        raise SpecError("a shard is I/N with 0 <= I < N, such as 0/4", key="--shard", value=text)
    return Shard(int(index), int(count))
