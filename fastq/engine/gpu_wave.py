"""A wave: replications of one kind that are on the card together, carried on launch by launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastq.engine.gpu_layout import plan
from fastq.engine.window import all_done
from fastq.errors import KernelError
from fastq.kernels import _layout as layout
from fastq.kernels.cuda import Launch, compiled_advance, compiled_pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastq.analysis.replication import Occupied
    from fastq.engine.gpu_layout import Placed

LAUNCH_S = 1.0
"""What a launch should take: so often progress is told, a stop noticed, and another user of the card served."""

FIRST_STEPS = 1 << 14
"""Iterations and arrivals of each replication in the first launch, whose speed nobody knows."""

MAX_STEPS = 1 << 30
MAX_CHANGE = 4.0
"""Most by which the steps of a launch change from one to the next: how long one took says little when most is idle."""

MAX_COUNT = 1 << 32
"""Bins are counted in 32 bits."""


class Wave:
    """Replications on the card.

    Parameters
    ----------
    placed
        For one kernel and of one width; the wave knows each by its position here.
    goals
        Requests to complete in the window of the replications of each.
    """

    def __init__(self, placed: Sequence[Placed], goals: Sequence[int]) -> None:
        planned = plan(placed)
        ends = np.cumsum([len(one.replications) for one in placed])
        self._threads = [
            np.arange(end - len(one.replications), end) for one, end in zip(placed, ends, strict=True)
        ]
        self._goals = np.repeat(np.asarray(goals, np.int64), [len(threads) for threads in self._threads])
        self._running = dict.fromkeys(range(len(placed)))
        self._unfinished = np.ones(len(planned.params), np.bool_)
        self._kernel = compiled_advance(*placed[0].kernel)
        self._steps = FIRST_STEPS
        self._launch = Launch()
        self._params = self._launch.upload(planned.params)
        self._places = self._launch.upload(planned.places)
        self._pools = planned.pools(self._launch.upload, self._launch.empty)
        self._status = self._launch.upload(np.full(len(planned.params), layout.PAUSED))
        self._registers: NDArray[np.int64] | None = None
        self._sent: tuple[Any, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether any replication is not done."""
        return bool(self._running)

    def launch(self) -> None:
        """Start to carry all that are not done on; threads are only taken for these."""
        active = self._unfinished.nonzero()[0]
        numbers, goals = self._launch.upload(active), self._launch.upload(self._goals)
        # Kept until the next launch: memory that is given back while a kernel runs makes the driver wait for it.
        self._sent = numbers, goals
        self._launch.run(
            self._kernel,
            len(active),
            numbers,
            self._params,
            self._places,
            self._pools,
            goals,
            self._steps,
            self._status,
        )

    def arrived(self) -> list[int]:
        """Wait for the launch; the positions whose replications are all at their goal now."""
        status = self._launch.download(self._status)
        self._unfinished = status == layout.PAUSED
        self._registers = None
        took_s = self._launch.kernel_s()
        change = LAUNCH_S / took_s if took_s > 0 else MAX_CHANGE
        self._steps = min(MAX_STEPS, max(1, int(self._steps * min(MAX_CHANGE, max(1 / MAX_CHANGE, change)))))
        return [p for p in self._running if all_done(status[self._threads[p]].tolist())]

    def carry_on(self, position: int, goal: int) -> None:
        """Give the replications at ``position``, which have arrived, a further goal."""
        self._goals[self._threads[position]] = goal
        self._unfinished[self._threads[position]] = True

    def registers(self, position: int) -> list[list[int]]:
        """Registers of the replications at ``position``, which have arrived."""
        if self._registers is None:
            self._registers = self._launch.download(self._pools.x)
        rows: list[list[int]] = self._registers[self._threads[position]].tolist()
        return rows

    def retire(self, positions: Sequence[int]) -> list[list[list[Occupied]]]:
        """Take out the replications at ``positions``, which have arrived; their histograms, occupied parts."""
        chosen = np.concatenate([self._threads[position] for position in positions])
        spans = self._launch.download(self._pools.occupied)[chosen].astype(np.int64)
        sizes = spans[:, :, 1] - spans[:, :, 0]
        ends = np.cumsum(sizes).reshape(sizes.shape)
        packed = self._launch.empty(int(ends[-1, -1]), np.uint32)
        starts = ends[:, 0] - sizes[:, 0]
        self._launch.run(
            compiled_pack(),
            len(chosen),
            self._launch.upload(chosen),
            self._launch.upload(starts),
            self._pools,
            packed,
        )
        bins = self._launch.download(packed).astype(np.int64)
        histograms = [
            [
                (int(first), bins[end - size : end])
                for first, end, size in zip(spans[k, :, 0], ends[k], sizes[k], strict=True)
            ]
            for k in range(len(chosen))
        ]
        cut = np.cumsum([0, *(len(self._threads[position]) for position in positions)])
        for position in positions:
            self._refuse_overflow(position)
            del self._running[position]
        return [histograms[cut[k] : cut[k + 1]] for k in range(len(positions))]

    def _refuse_overflow(self, position: int) -> None:
        """Refuse counts that may have passed what a bin holds: nothing is counted more often than this."""
        for x in self.registers(position):
            counted = max(
                x[layout.ITERATION] - x[layout.START_ITERATION],
                x[layout.COMPLETED] - x[layout.START_COMPLETED],
            )
            if counted >= MAX_COUNT:
                raise KernelError(
                    "a replication took more iterations than the GPU can count; use --backend cpu"
                )
