"""Sweep some blocks of tiny points and print the peak resident size of this process, bytes.

Usage: python -m benchmarks.peak_memory BLOCKS DIR
"""

from __future__ import annotations

import resource
import sys

from benchmarks.standard_case import standard_spec
from fastq.engine.blocks import BLOCK_POINTS
from fastq.engine.sweep import sweep

CAPACITIES = 256


def main() -> None:
    blocks, out = int(sys.argv[1]), sys.argv[2]
    per_capacity = blocks * BLOCK_POINTS // CAPACITIES
    spec = standard_spec(
        run={"requests": 64, "warmup_requests": 0, "replications": 2},
        grid={
            "replica.kv_capacity_tokens": {"linear": [20_000, 20_000 + 100 * (CAPACITIES - 1), CAPACITIES]},
            "replica.max_num_seqs": list(range(1, per_capacity + 1)),
        },
    )
    sweep(spec, out, workers=1, threads=1)
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


if __name__ == "__main__":
    main()
