"""What a request costs on a card, counted without one: memory sectors touched, and operations done.

``python -m benchmarks.gpu_floor`` runs a warp of 32 replications of the standard case in plain Python, an iteration
each in turn, as a warp in step would. It counts the sectors of 32 bytes that the warp touches in a turn, each once,
for three layouts: the state of each replication apart, with 16 bits (in use where they do) or 32 for lengths and slots,
and 32 bits interleaved by replication. Nothing is taken to stay in a
cache from one turn to the next. It also counts the arithmetic, comparisons and array accesses that the kernels'
source performs, and by how much the busiest replication of a warp exceeds the mean: in step, the others wait for it.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from dis import opname
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.standard_case import standard_spec
from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance
from fastq.kernels.trajectory import make_advance

if TYPE_CHECKING:
    from types import CodeType, FrameType

WARP = 32
SECTOR_BYTES = 32
WARM_STEPS = 2_000
MEMORY_TURNS = 200
OPERATION_TURNS = 40
LOAD = 0.5

H200_BYTES_PER_S = 4.8e12
H200_INT32_PER_S = 132 * 64 * 1.98e9
"""132 multiprocessors, 64 lanes for integers of 32 bits each, at the highest clock."""
INT32_PER_OPERATION = 2
"""Integers are 64 bits wide: an addition takes two instructions of 32 bits, a product more."""

ENTRY_BYTES = {
    "seqs": 4,
    "times": 8,
    "wheel": 4,
    "growth": 4,
    "prefilling": 4,
    "stack": 4,
    "fresh": 4,
    "free": 4,
    "profile": 4,
    "histograms": 4,
}
"""Bytes of an entry of each array of the state, with 32 bits for lengths; registers stay in the processor."""

NARROWED = {"seqs", "wheel", "growth", "prefilling", "stack", "fresh", "free"}
"""Arrays whose entries take 2 bytes where lengths and slots fit in 16 bits."""
APART_16, APART_32, INTERLEAVED = "apart, 16 bits", "apart, 32 bits", "interleaved, 32 bits"

ARITHMETIC = {"BINARY_OP", "UNARY_NEGATIVE", "UNARY_INVERT", "COMPARE_OP"}
ACCESSES = {"BINARY_SUBSCR", "STORE_SUBSCR"}


class Watched:
    """An array that notes which of its entries are read and written."""

    def __init__(self, array: np.ndarray[Any, Any], read: set[int], written: set[int]) -> None:
        self._array, self._read, self._written = array, read, written
        self.shape, self.size = array.shape, array.size

    def _flat(self, index: Any) -> int:
        if isinstance(index, tuple):
            return int(index[0]) * self._array.shape[1] + int(index[1])
        return int(index)

    def __getitem__(self, index: Any) -> Any:
        self._read.add(self._flat(index))
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._written.add(self._flat(index))
        self._array[index] = value


@dataclass
class Touched:
    """Sectors by array."""

    reached: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)

    def bytes(self) -> int:
        """Each reached sector is fetched once, each written one goes back."""
        return SECTOR_BYTES * (self.reached.total() + self.written.total())


class Warp:
    """32 replications of the standard case, warmed up."""

    def __init__(self, *, saturated: bool) -> None:
        spec = standard_spec()
        point = spec.point(0)
        forms = closed_forms(point)
        encoded = encode(point, spec.run, mean_running=forms.mean_running)
        params = encoded.for_replications(
            range(WARP), arrival_rate_rps=None if saturated else LOAD * forms.theory_rate_rps
        )
        self._record = layout.Record(
            *(
                np.empty((0, width), np.int64)
                for width in (layout.ITERATION_COLUMNS, layout.REQUEST_COLUMNS, 4)
            )
        )
        self.states = encoded.new_states(WARP, latencies=not saturated)
        self._tables = encoded.tables
        self._loop = make_advance(saturated, False, False, False)
        status = np.empty(WARP, np.int64)
        compiled_advance(saturated, False, False, False)(
            params, encoded.tables, self.states, self._record, layout.UNLIMITED, WARM_STEPS, status
        )
        self._params = params.view(np.recarray)

    def step(self, t: int, state: layout.State) -> None:
        """Carry replication ``t`` on by an iteration, and what coasts after it."""
        self._loop(self._params[t], self._tables, state, self._record, layout.UNLIMITED, 1)

    def completed(self) -> int:
        return int(self.states.x[:, layout.COMPLETED].sum())

    def iterations(self) -> int:
        return int(self.states.x[:, layout.ITERATION].sum())


def count_sectors(*, saturated: bool) -> tuple[dict[str, Touched], int, int]:
    """Sectors by layout, requests completed, and iterations run."""
    warp = Warp(saturated=saturated)
    logs = {(t, name): (set(), set()) for t in range(WARP) for name in ENTRY_BYTES}
    watched = []
    for t in range(WARP):
        state = layout.one_of(warp.states, t)
        watched.append(
            state._replace(**{name: Watched(getattr(state, name), *logs[t, name]) for name in ENTRY_BYTES})
        )
    found = {way: Touched() for way in (APART_16, APART_32, INTERLEAVED)}
    before = warp.completed(), warp.iterations()
    for _ in range(MEMORY_TURNS):
        for t, state in enumerate(watched):
            warp.step(t, state)
        _add_sectors(found, logs)
    return found, warp.completed() - before[0], warp.iterations() - before[1]


def _add_sectors(found: dict[str, Touched], logs: dict[tuple[int, str], tuple[set[int], set[int]]]) -> None:
    sectors: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
    for (t, name), (read, written) in logs.items():
        size = ENTRY_BYTES[name]
        for what, entries in (("reached", read | written), ("written", written)):
            for way, bytes_each in ((APART_32, size), (APART_16, 2 if name in NARROWED else size)):
                apart = sectors.setdefault((way, what, name), set())
                apart.update((t, entry * bytes_each // SECTOR_BYTES) for entry in entries)
            mixed = sectors.setdefault((INTERLEAVED, what, name), set())
            mixed.update((entry, t * size // SECTOR_BYTES) for entry in entries)
        read.clear()
        written.clear()
    for (way, what, name), places in sectors.items():
        getattr(found[way], what)[name] += len(places)


def count_operations(*, saturated: bool) -> tuple[float, float, float]:
    """Operations and array accesses of a request, and the share of a warp's lanes that are at work."""
    warp = Warp(saturated=saturated)
    kernels = str(Path(layout.__file__).resolve().parent)
    codes: dict[CodeType, dict[int, str] | None] = {}
    counted: Counter[str] = Counter()

    def names(code: CodeType) -> dict[int, str] | None:
        if code not in codes:
            inside = str(Path(code.co_filename).resolve()).startswith(kernels)
            codes[code] = (
                {k: opname[code.co_code[k]] for k in range(0, len(code.co_code), 2)} if inside else None
            )
        return codes[code]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        known = names(frame.f_code)
        if known is None:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counted[known[frame.f_lasti]] += 1
        return trace

    states = [layout.one_of(warp.states, t) for t in range(WARP)]
    before = warp.completed()
    work = np.zeros((OPERATION_TURNS, WARP))
    total: Counter[str] = Counter()
    for turn in range(OPERATION_TURNS):
        for t, state in enumerate(states):
            counted.clear()
            sys.settrace(trace)
            warp.step(t, state)
            sys.settrace(None)
            work[turn, t] = sum(counted[name] for name in ARITHMETIC | ACCESSES)
            total += counted
    requests = warp.completed() - before
    arithmetic = sum(total[name] for name in ARITHMETIC) / requests
    accesses = sum(total[name] for name in ACCESSES) / requests
    return arithmetic, accesses, float(work.mean(axis=1).sum() / work.max(axis=1).sum())


def main() -> None:
    for saturated in (True, False):
        found, requests, iterations = count_sectors(saturated=saturated)
        print(
            "saturated" if saturated else f"load {LOAD}", f"{iterations / requests:.2f} iterations a request"
        )
        for way, touched in found.items():
            size = touched.bytes() / requests
            each = ", ".join(
                f"{name} {count / requests:.2f}" for name, count in touched.reached.most_common()
            )
            print(
                f"  {way}: {size:.0f} bytes a request, {H200_BYTES_PER_S / size / 1e9:.2f} billion requests/s"
            )
            print(f"    sectors reached: {each}")
        arithmetic, accesses, at_work = count_operations(saturated=saturated)
        int32 = INT32_PER_OPERATION * (arithmetic + accesses)
        print(
            f"  {arithmetic:.0f} operations and {accesses:.0f} accesses a request, {at_work:.0%} of lanes at work"
        )
        print(
            f"  {H200_INT32_PER_S / int32 / 1e9:.2f} billion requests/s, "
            f"{at_work * H200_INT32_PER_S / int32 / 1e9:.2f} billion in step"
        )


if __name__ == "__main__":
    main()
