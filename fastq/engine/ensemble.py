"""Replications of one point on the CPU: states that run in slices and can be carried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.replication import Replication, occupied_part
from fastq.engine.blocks import BlockStopped
from fastq.engine.window import all_done, read_window
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.engine.blocks import StopFlag
    from fastq.engine.encode import Encoded

STEPS_PER_SLICE = 1 << 22
"""A compiled call runs at most about this many iterations and arrivals (a tenth of a second): stopping is prompt."""

_NO_RECORD = layout.Record(
    np.empty((0, layout.ITERATION_COLUMNS), np.int64),
    np.empty((0, layout.REQUEST_COLUMNS), np.int64),
    np.empty((0, layout.EVENT_COLUMNS), np.int64),
)


class Ensemble:
    """Replications of one point that can be carried on: first to one number of requests, later to a larger one.

    They run in one compiled call, one after another.

    Parameters
    ----------
    encoded
        The point.
    replications
        Their numbers, which pick the draws and the kind of start.
    arrival_rate_rps
        Arrival rate; ``None``: an infinite backlog.
    """

    def __init__(
        self, encoded: Encoded, replications: Sequence[int], arrival_rate_rps: float | None = None
    ) -> None:
        self._saturated = arrival_rate_rps is None
        self._params = encoded.for_replications(replications, arrival_rate_rps=arrival_rate_rps)
        self._tables = encoded.tables
        self._states = encoded.new_states(len(replications), latencies=not self._saturated)
        self._advance = compiled_advance(self._saturated, encoded.lookahead, False, encoded.terms)

    def run_to(self, requests: int, stop: StopFlag | None = None) -> list[Replication]:
        """Run each until ``requests`` have completed inside its window, with a checkpoint half-way.

        Raises
        ------
        BlockStopped
            ``stop`` was set.
        """
        status = np.empty(len(self._params), np.int64)
        steps = max(1, STEPS_PER_SLICE // len(self._params))
        while True:
            if stop is not None and stop.is_set():
                raise BlockStopped
            self._advance(self._params, self._tables, self._states, _NO_RECORD, requests, steps, status)
            if all_done(status.tolist()):
                break
        return [
            read_window(registers.tolist(), [occupied_part(histogram) for histogram in histograms])
            for registers, histograms in zip(self._states.x, self._states.histograms, strict=True)
        ]
