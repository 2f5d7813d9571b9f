"""Where the states and tables of many replications lie in the memory of a card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.kernels import _layout as layout
from fastq.kernels.cuda import PLACES, Pools
from fastq.kernels.histogram import BINS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastq.engine.encode import Encoded

SATURATED_ROWS = layout.HIST_ITERATION + 1
RATES_ROWS = layout.HIST_E2E + 1
HISTOGRAM_BYTES = 4  # a bin
OCCUPIED_BYTES = 8  # a histogram
SLOT_LISTS = 4  # prefilling, stack, fresh, free
MAX_NARROW = 0xFFFF
MAX_NARROW_SLOTS = 0x7FFF  # growth counts them in signed integers
BYTES_PER_REPLICATION = 8 * layout.REGISTERS + layout.PARAMS.itemsize + PLACES.itemsize + 4 * 8
"""Beside the state: goal, status, number among the active, and where its bins begin when they are packed."""

PACKED_SHARE = 16
"""Bins are packed into a sixteenth of what histograms take, in as many turns as that needs."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Replications of one point to be simulated on a card.

    Parameters
    ----------
    encoded
        The point.
    replications
        Their numbers.
    arrival_rate_rps
        Arrival rate; ``None``: an infinite backlog.
    """

    encoded: Encoded
    replications: Sequence[int]
    arrival_rate_rps: float | None

    @property
    def kernel(self) -> tuple[bool, bool, bool]:
        """Which kernel carries them on: (saturated, lookahead, terms)."""
        return self.arrival_rate_rps is None, self.encoded.lookahead, self.encoded.terms

    @property
    def narrow(self) -> bool:
        """Whether lengths, slots and places on the wheel fit in 16 bits: a slot's row is one sector of memory then."""
        encoded = self.encoded
        return (
            max(encoded.longest_tokens + 1, encoded.wheel - 1, encoded.block_size - 1) <= MAX_NARROW
            and encoded.slots <= MAX_NARROW_SLOTS
        )

    @property
    def state_bytes(self) -> int:
        """Memory that they take, bytes, tables apart."""
        encoded = self.encoded
        rows = SATURATED_ROWS if self.arrival_rate_rps is None else RATES_ROWS
        profile = encoded.wheel if encoded.lookahead else 1
        word = 2 if self.narrow else 4
        row = word * layout.SEQ_COLUMNS + 8 * layout.TIME_COLUMNS
        each = (
            BYTES_PER_REPLICATION
            + row * (encoded.slots + 1)
            + word * (SLOT_LISTS * encoded.slots + encoded.wheel + encoded.block_size)
            + 4 * profile
            + rows * (OCCUPIED_BYTES + HISTOGRAM_BYTES * BINS * (PACKED_SHARE + 1) // PACKED_SHARE)
        )
        return each * len(self.replications)

    @property
    def tables(self) -> dict[tuple[int, int], int]:
        """Bytes of each table that they read, by what tells it from others: points may share theirs."""
        return {(table.ctypes.data, len(table)): table.nbytes for table in self.encoded.tables}


class _Tables:
    """Tables of one kind, one behind the other; one that several points share lies there once."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._end = 0

    def place(self, table: NDArray[Any]) -> tuple[int, int]:
        """First and last + 1 row of ``table``, which the caller keeps alive."""
        key = table.ctypes.data, len(table)
        if key not in self._places:
            self._places[key] = self._end, self._end + len(table)
            self._parts.append(table)
            self._end += len(table)
        return self._places[key]

    def joined(self) -> NDArray[Any]:
        """All of them."""
        return np.concatenate(self._parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything lies, and what starts out with a value.

    Parameters
    ----------
    params, places
        A record a replication.
    tables
        Joined tables by pool.
    rows, slots, wheel, growth, profile
        Entries of the pools; rows of slots are one more than slots in each replication.
    narrow
        Whether pools of lengths and slots are 16 bits wide.
    histograms
        Histograms of each replication.
    """

    params: NDArray[np.void]
    places: NDArray[np.void]
    tables: dict[str, NDArray[Any]]
    rows: int
    slots: int
    wheel: int
    growth: int
    profile: int
    narrow: bool
    histograms: int

    @property
    def packed_bins(self) -> int:
        """Bins that are packed at a time: at least all of one replication."""
        each = self.histograms * BINS
        return max(each, len(self.params) * each // PACKED_SHARE)

    def pools(self, upload: Callable[[NDArray[Any]], Any], empty: Callable[[Any, Any], Any]) -> Pools:
        """Place all pools, with ``upload`` where there are values and ``empty(shape, dtype)`` elsewhere."""
        count, slots = len(self.params), self.slots
        unsigned, signed = (np.uint16, np.int16) if self.narrow else (np.uint32, np.int32)
        return Pools(
            **{name: upload(table) for name, table in self.tables.items()},
            seqs=empty(self.rows * layout.SEQ_COLUMNS, unsigned),
            times=empty(self.rows * layout.TIME_COLUMNS, np.int64),
            wheel=empty(self.wheel, unsigned),
            growth=empty(self.growth, signed),
            prefilling=empty(slots, unsigned),
            stack=empty(slots, unsigned),
            fresh=empty(slots, unsigned),
            free=empty(slots, unsigned),
            profile=empty(self.profile, np.int32),
            x=upload(np.zeros((count, layout.REGISTERS), np.int64)),
            histograms=empty((count, self.histograms, BINS), np.uint32),
            occupied=empty((count, self.histograms, 2), np.int32),
        )


def plan(placed: Sequence[Placed]) -> Plan:
    """Give each replication its place, in order; all are of one kind."""
    params = np.concatenate(
        [
            one.encoded.for_replications(one.replications, arrival_rate_rps=one.arrival_rate_rps)
            for one in placed
        ]
    )
    counts = [len(one.replications) for one in placed]
    places = np.zeros(len(params), PLACES)
    tables = {name: _Tables() for name in layout.Tables._fields}
    for name, joined in tables.items():
        spans = np.array([joined.place(getattr(one.encoded.tables, name)) for one in placed])
        places[name], places[f"{name}_end"] = np.repeat(spans, counts, axis=0).T
    sizes = {
        "rows": [one.encoded.slots + 1 for one in placed],
        "slots": [one.encoded.slots for one in placed],
        "wheel": [one.encoded.wheel for one in placed],
        "growth": [one.encoded.block_size for one in placed],
        "profile": [one.encoded.wheel if one.encoded.lookahead else 1 for one in placed],
    }
    ends = {name: np.cumsum(np.repeat(size, counts)) for name, size in sizes.items()}
    for name, size in sizes.items():
        places[f"{name}_end"] = ends[name]
        places[name] = ends[name] - np.repeat(size, counts)
    return Plan(
        params=params,
        places=places,
        tables={name: joined.joined() for name, joined in tables.items()},
        narrow=placed[0].narrow,
        histograms=SATURATED_ROWS if placed[0].arrival_rate_rps is None else RATES_ROWS,
        **{name: int(end[-1]) for name, end in ends.items()},
    )
