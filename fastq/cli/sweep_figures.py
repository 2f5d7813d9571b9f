"""What the points of a sweep say in a few numbers, counted block by block."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from fastq.engine.blocks import Shard, parse_shard
from fastq.store.location import open_location
from fastq.store.manifest import require_manifest
from fastq.store.reader import count_values, finished_blocks, read_blocks

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    import pyarrow as pa

_CLOSED_FORMS = {"theory": "theory_rate_rps", "expected": "expected_rate_rps"}
_COLUMNS = ("service_rate_rps", *_CLOSED_FORMS.values(), "binding", "skip_reason")
_SHARES = {"smallest": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "largest": 1.0}
_LEAST_RATIO, _LARGEST_RATIO = 1e-3, 1e3
_LOG_STEP = 1e-4
"""Width of a bin: quantiles are right to half of it, relatively; the smallest and the largest are exact."""
_BINS = math.ceil(math.log(_LARGEST_RATIO / _LEAST_RATIO) / _LOG_STEP)


@dataclass(slots=True)
class Ratios:
    """Ratios on a fixed grid of logarithms, so that memory does not grow with their number."""

    bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    smallest: float = math.inf
    largest: float = -math.inf

    def add(self, ratios: npt.NDArray[np.float64]) -> None:
        """Count ratios, none of them infinite or NaN."""
        if len(ratios):
            places = np.log(np.maximum(ratios, _LEAST_RATIO) / _LEAST_RATIO) / _LOG_STEP
            self.bins += np.bincount(np.minimum(places.astype(np.int64), _BINS - 1), minlength=_BINS)
            self.smallest = min(self.smallest, float(ratios.min()))
            self.largest = max(self.largest, float(ratios.max()))

    def quantiles(self) -> dict[str, float]:
        """Return quantiles by name, interpolated between neighbouring ratios; empty without ratios."""
        up_to = np.cumsum(self.bins)
        last = int(up_to[-1]) - 1
        if last < 0:
            return {}

        def ranked(rank: int) -> float:
            if rank in (0, last):
                return self.largest if rank else self.smallest
            middle = int(np.searchsorted(up_to, rank, side="right")) + 0.5
            return min(self.largest, max(self.smallest, _LEAST_RATIO * math.exp(middle * _LOG_STEP)))

        found = {}
        for name, share in _SHARES.items():
            above, rank = math.modf(share * last)
            lower = ranked(int(rank))
            found[name] = lower + above * (ranked(int(rank) + 1) - lower) if above else lower
        return found


def sweep_figures(out: str | os.PathLike[str], shard: str | None = None) -> dict[str, Any]:
    """Return counts of what binds and quantiles of simulated over closed forms, of the finished points of a shard.

    Parameters
    ----------
    out
        Directory or URI of the data set.
    shard
        ``I/N``; ``None``: the whole data set.

    Returns
    -------
    dict
        ``binding``: points by constraint, most frequent first; ``simulated_over_theory`` and
        ``simulated_over_expected``: quantiles by name, empty where nothing was simulated; ``first_skip_reason``: of
        the first skipped point, or ``None``.
    """
    location = open_location(out)
    manifest = require_manifest(location)
    part = parse_shard(shard) if shard is not None else Shard()
    blocks = finished_blocks(location, manifest).intersection(part.select(range(manifest.blocks)))
    binding: Counter[str] = Counter()
    ratios, skip_reason = {name: Ratios() for name in _CLOSED_FORMS}, None
    for block in sorted(blocks):
        table = read_blocks(location, manifest, "points", [block], _COLUMNS)
        binding.update(count_values(table, "binding"))
        for name, column in _CLOSED_FORMS.items():
            ratios[name].add(_finite(pc.divide(table.column("service_rate_rps"), table.column(column))))
        if skip_reason is None:
            skip_reason = next(iter(table.column("skip_reason").drop_null().slice(0, 1).to_pylist()), None)
    return {
        "binding": dict(binding.most_common()),
        **{f"simulated_over_{name}": each.quantiles() for name, each in ratios.items()},
        "first_skip_reason": skip_reason,
    }


def _finite(values: pa.ChunkedArray[pa.DoubleScalar]) -> npt.NDArray[np.float64]:
    known = np.asarray(values.drop_null().to_numpy(), np.float64)
    return known[np.isfinite(known)]
