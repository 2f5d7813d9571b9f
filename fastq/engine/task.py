"""The only thing that is sent to a worker: one block of one spec, and where its files go."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastq.engine.blocks import BlockTables, Evaluate, StopFlag
    from fastq.model.spec import Spec
    from fastq.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Task:
    """A block to compute and write.

    Parameters
    ----------
    sweep_id
        Names the sweep within one process: under it the process finds its :class:`Hooks`.
    spec_pickle
        The spec, pickled once for the whole sweep.
    block
        Number of the block.
    block_points
        Points in a full block.
    out
        Absolute path or URI of the data set.
    backend
        ``auto``, ``cpu`` or ``cuda``.
    threads
        Threads that the block may use.
    evaluate
        What computes the block; ``None``: ``fastq.engine.evaluate.evaluate_block``.
    """

    sweep_id: str
    spec_pickle: bytes = field(repr=False)
    block: int
    block_points: int
    out: str
    backend: str
    threads: int
    evaluate: Evaluate | None = None


@dataclass(frozen=True, slots=True)
class BlockDone:
    """What a worker answers: the files of ``block`` stand.

    ``points`` and ``requests`` count what the sweep's progress has not been told of yet.
    """

    block: int
    points: int
    requests: int


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a sweep reaches into the tasks that run in this process: to stop them and to hear of progress."""

    stop: StopFlag = field(default_factory=threading.Event)
    progress: Callable[[int, int], None] | None = None


HOOKS: dict[str, Hooks] = {}
"""Hooks of the sweeps whose tasks this process can reach, by ``sweep_id``."""

_opened: dict[str, tuple[Spec, Manifest]] = {}


def run_task(task: Task) -> BlockDone:
    """Compute a block and write its files, in whatever process this is."""
    from fastq.store.location import open_location
    from fastq.store.writer import write_block

    spec, manifest = _open(task)
    hooks = HOOKS.get(task.sweep_id, Hooks())
    told = _Told(hooks.progress)
    evaluate = task.evaluate or _default_evaluate()
    tables = evaluate(
        spec,
        task.block,
        block_points=task.block_points,
        backend=task.backend,
        threads=task.threads,
        stop=hooks.stop,
        progress=told.add,
    )
    write_block(open_location(task.out), manifest, task.block, _by_name(tables))
    points = len(manifest.block_range(task.block))
    requests = sum(count or 0 for count in tables.replications.get("requests", ()))
    if hooks.progress is None:
        return BlockDone(task.block, points, requests)
    told.add(points - told.points, requests - told.requests)
    return BlockDone(task.block, 0, 0)


class _Told:
    """Adds up what progress was told, so that the end of a block can set it right."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self.points = self.requests = 0

    def add(self, points: int, requests: int) -> None:
        with self._lock:
            self.points += points
            self.requests += requests
        if self._progress is not None:
            self._progress(points, requests)


def _open(task: Task) -> tuple[Spec, Manifest]:
    """Return the task's spec and manifest, made once a sweep and process; only the last sweep's are kept."""
    from fastq.store.manifest import manifest_of

    opened = _opened.get(task.sweep_id)
    if opened is None:
        spec: Spec = pickle.loads(task.spec_pickle)
        opened = spec, manifest_of(spec, task.block_points)
        _opened.clear()
        _opened[task.sweep_id] = opened
    return opened


def _default_evaluate() -> Evaluate:
    from fastq.engine.evaluate import evaluate_block

    return evaluate_block


def _by_name(tables: BlockTables) -> dict[str, Any]:
    named: dict[str, Any] = {"points": tables.points, "replications": tables.replications}
    return named if tables.rates is None else named | {"rates": tables.rates}
