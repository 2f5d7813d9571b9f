"""How far ``fastq plan --from`` is from simulation: coarse grids asked for the points of a fine one.

``python -m benchmarks.interpolation`` sweeps the quickstart's system over a fine grid, then over coarse ones that are
parts of it, and asks each for all points between its own (half a minute on two cores). *error*: of the boundary,
against the simulated one. *held*: the stated interval meets that of the simulated point; *stated*: half of the stated
interval, median. The last columns interpolate the logarithm of the rate alike, without theory.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np

import fastq
from fastq.analysis.interpolation import bracket, interpolate
from fastq.engine.plan_from import answer_from
from fastq.model.load_plan import MAX_OPTIONS, parse_plan

FINE = {"replica.max_num_seqs": 9, "replica.kv_capacity_tokens": 17, "workload.output_scale": 13}
ENDS = {
    "replica.max_num_seqs": (64, 1024),
    "replica.kv_capacity_tokens": (16_000, 512_000),
    "workload.output_scale": (0.25, 4.0),
}
COARSE = ((9, 9, 7), (5, 9, 7), (3, 9, 7), (5, 5, 5), (3, 5, 5), (2, 2, 2))
REQUESTS = 10_000


def sweep(counts, out):
    """Sweep the grid with so many values of each axis; its points by their axes."""
    axes = [
        (f"grid.{key}", f"{{ geometric = [{low}, {high}, {count}] }}")
        for count, (key, (low, high)) in zip(counts, ENDS.items(), strict=True)
    ]
    spec = fastq.load("quickstart", [("run.requests", str(REQUESTS)), *axes])
    fastq.sweep(spec, out)
    rows = fastq.read(out).to_pylist()
    return {tuple(float(f"{row[key]:.9g}") for key in ENDS): row for row in rows}


def planned(rows, data_set):
    """Ask a data set for points; returns (row, what was found) of each."""
    found = []
    for scale in sorted({row["workload.output_scale"] for row in rows}):
        group = [row for row in rows if row["workload.output_scale"] == scale]
        assert len(group) <= MAX_OPTIONS
        options = [
            {
                "name": str(row["point"]),
                "replica": {
                    "catalogue": "a100-llama-3-8b",
                    "max_model_len": 8192,
                    "max_num_seqs": row["replica.max_num_seqs"],
                    "kv_capacity_tokens": row["replica.kv_capacity_tokens"],
                },
            }
            for row in group
        ]
        workload = {"catalogue": "azure-conv-2023", "output_scale": scale}
        document = {"demand": {"workload": workload, "peak_rps": 1.0}, "option": options}
        result = answer_from(parse_plan(document), data_set)
        found += zip(group, result.options, strict=True)
    return found


def without_theory(rows, grid):
    """Errors of the logarithm of the rate, interpolated alike."""
    axes = [sorted({place[axis] for place in grid}) for axis in range(len(ENDS))]
    field = np.empty([len(axis) for axis in axes])
    for place, row in grid.items():
        field[tuple(axis.index(value) for axis, value in zip(axes, place, strict=True))] = math.log(
            row["service_rate_rps"]
        )
    errors = []
    for row in rows:
        brackets = [bracket(axis, float(f"{row[key]:.9g}")) for axis, key in zip(axes, ENDS, strict=True)]
        value, _ = interpolate(field, brackets)
        errors.append(abs(math.exp(value) / row["service_rate_rps"] - 1))
    return np.array(errors)


def table_row(counts, fine, folder):
    """Return the cells of one coarse grid."""
    out = folder / "x".join(map(str, counts))
    coarse = sweep(counts, out)
    rows = [row for place, row in fine.items() if place not in coarse]
    errors, held, stated = [], [], []
    for row, option in planned(rows, out):
        boundary, rate = option.figures.capacity.boundary, row["service_rate_rps"]
        errors.append(abs(boundary.estimate / rate - 1))
        held.append(
            boundary.low <= row["service_rate_high_rps"] and row["service_rate_low_rps"] <= boundary.high
        )
        stated.append(boundary.relative_half_width)
    direct = without_theory(rows, coarse)
    return (
        " x ".join(map(str, counts)),
        f"{len(rows):,}",
        *_spread(np.array(errors)),
        f"{np.mean(held):.1%}",
        f"{np.median(stated):.2%}",
        *_spread(direct),
    )


def _spread(errors):
    return f"{np.median(errors):.2%}", f"{np.quantile(errors, 0.95):.2%}", f"{errors.max():.1%}"


def main():
    """Print the table."""
    header = ("grid", "points between", "error: median", "95%", "largest", "held", "stated")
    header += ("without theory: median", "95%", "largest")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fine = sweep(FINE.values(), folder / "fine")
        lines = [header, ("---", *["--:"] * (len(header) - 1))]
        lines += [table_row(counts, fine, folder) for counts in COARSE]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main()
