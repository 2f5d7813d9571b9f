"""A grid and an evaluator that stand in for the real ones: rows are a hash of the seed and the point."""

import functools
import hashlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field

from fastq.engine.blocks import BlockStopped, BlockTables
from fastq.model.run import Run


@dataclass(frozen=True)
class FakeAxis:
    key: str
    values: tuple
    kind: str


@dataclass(frozen=True)
class FakeResolved:
    key: str
    value_text: str
    values: tuple
    origin: str


AXES = (
    FakeAxis("replica.kv_capacity_tokens", tuple(range(1000, 1010)), "int"),
    FakeAxis("workload.output_scale", (0.5, 1.0, 2.0), "float"),
    FakeAxis("scheduler.preset", ("vllm", "paper"), "str"),
)


@dataclass(frozen=True)
class FakeSpec:
    title: str = "fake"
    source: str = "fake.toml"
    seed: int = 1
    axes: tuple = AXES
    case_names: tuple = ()
    run: Run = field(default_factory=Run)

    def __len__(self):
        points = max(1, len(self.case_names))
        for axis in self.axes:
            points *= len(axis.values)
        return points

    @property
    def hash(self):
        return hashlib.sha256(repr((self.seed, self.axes, self.case_names, self.run)).encode()).hexdigest()

    def resolved(self):
        return [FakeResolved("run.seed", str(self.seed), (self.seed,), "spec")]

    def canonical(self):
        return {"seed": self.seed, "axes": {axis.key: list(axis.values) for axis in self.axes}}

    def first_infeasible(self):
        return None

    def axis_values(self, index):
        values = {}
        for axis in reversed(self.axes):
            index, position = divmod(index, len(axis.values))
            values[axis.key] = axis.values[position]
        return values


def evaluate(spec, block, *, block_points, point_s=0.0, backend, threads, stop=None, progress=None):
    points = list(range(block * block_points, min(len(spec), (block + 1) * block_points)))
    for _ in points:
        if stop is not None and stop.is_set():
            raise BlockStopped
        if point_s:
            time.sleep(point_s)
        if progress is not None:
            progress(1, 100)
    number = {point: _number(spec, point) for point in points}
    axes = [spec.axis_values(point) for point in points]
    named = {axis.key: [values[axis.key] for values in axes] for axis in spec.axes}
    table = {
        "point": points,
        **named,
        "service_rate_rps": [number[point] for point in points],
        "requests": [100] * len(points),
        "status": ["ok" if number[point] > 0.1 else "short" for point in points],
    }
    replications = {
        "point": [point for point in points for _ in range(2)],
        "replication": [0, 1] * len(points),
        "requests": [50, 50] * len(points),
        "throughput_rps": [number[point] + half for point in points for half in (-0.5, 0.5)],
    }
    rates = None
    if "rates" in spec.run.measure:
        rates = {"point": points, **named, "load": [0.8] * len(points), "verdict": ["stable"] * len(points)}
    return BlockTables(table, replications, rates)


def slow_evaluate(point_s):
    return functools.partial(evaluate, point_s=point_s)


def dies_at_block(spec, block, *, fatal_block, **options):
    """Kill the process that computes one block, as a lack of memory would."""
    if block == fatal_block:
        time.sleep(0.5)  # other blocks finish first
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(spec, block, **options)


def fails_at_block(spec, block, *, fatal_block, **options):
    if block == fatal_block:
        raise ArithmeticError("a fault in the evaluator")
    return evaluate(spec, block, **options)


def records_threads(seen):
    """Return an evaluator for this process that notes where it ran."""

    def evaluate_and_note(spec, block, **options):
        seen.append((threading.get_ident(), options["threads"], options["backend"]))
        return evaluate(spec, block, **options)

    return evaluate_and_note


def _number(spec, point):
    digest = hashlib.sha256(f"{spec.hash}:{point}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
