"""A wave: replications of one kind that are on the card together, carried on launch by launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastq.engine.gpu_layout import plan
from fastq.engine.window import all_done
from fastq.errors import KernelError
from fastq.kernels import _layout as layout
from fastq.kernels.cuda import aligned_bytes, compiled_advance, compiled_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastq.analysis.replication import Occupied
    from fastq.engine.gpu_layout import Placed, Plan
    from fastq.kernels.cuda import Lane, Pools

LAUNCH_S = 1.0
"""What a launch should take: so often progress is told, a stop noticed, and another user of the card served."""

FIRST_STEPS = 1 << 10
"""Iterations and arrivals of each replication in the first launch: nobody knows yet how fast the card is."""

MAX_STEPS = 1 << 30
MAX_CHANGE = 4.0
"""Most by which the steps of a launch change from one to the next: how long one took says little when most is idle."""

MAX_COUNT = 1 << 32
"""Bins are counted in 32 bits."""


class OnCard(NamedTuple):
    """What a wave has in the memory of the card.

    Parameters
    ----------
    params, places, pools
        As :class:`fastq.engine.gpu_layout.Plan` lays them out.
    status
        Why each replication returned.
    numbers
        Of the replications that a launch is about.
    goals, starts
        Of every replication, and where the packed bins of each of ``numbers`` begin.
    packed
        Bins on their way to the host.
    """

    params: Any
    places: Any
    pools: Pools
    status: Any
    numbers: Any
    goals: Any
    starts: Any
    packed: Any


def _place(planned: Plan, upload: Callable[[NDArray[Any]], Any], empty: Callable[[Any, Any], Any]) -> OnCard:
    count = len(planned.params)
    return OnCard(
        params=upload(planned.params),
        places=upload(planned.places),
        pools=planned.pools(upload, empty),
        status=upload(np.full(count, layout.PAUSED, np.int64)),
        numbers=empty(count, np.int64),
        goals=empty(count, np.int64),
        starts=empty(count, np.int64),
        packed=empty(planned.packed_bins, np.uint32),
    )


def bytes_on_card(planned: Plan) -> int:
    """Memory that a wave so planned takes, bytes."""
    taken: list[int] = []

    def empty(shape: Any, dtype: Any) -> None:
        taken.append(aligned_bytes(shape, dtype))

    _place(planned, lambda array: empty(array.shape, array.dtype), empty)
    return sum(taken)


class Wave:
    """Replications on the card.

    Parameters
    ----------
    lane
        Of no other wave until this one is done.
    placed
        For one kernel and of one width; the wave knows each by its position here.
    goals
        Requests to complete in the window of the replications of each.
    max_registers
        Of a thread, to be compiled with; ``None``: as many as it takes.

    Raises
    ------
    OutOfMemory
        The card has no room for them.
    """

    def __init__(
        self,
        lane: Lane,
        placed: Sequence[Placed],
        goals: Sequence[int],
        max_registers: int | None = None,
    ) -> None:
        planned = plan(placed)
        ends = np.cumsum([len(one.replications) for one in placed])
        self._threads = [
            np.arange(end - len(one.replications), end) for one, end in zip(placed, ends, strict=True)
        ]
        self._goals = np.repeat(np.asarray(goals, np.int64), [len(threads) for threads in self._threads])
        self._running = dict.fromkeys(range(len(placed)))
        self._unfinished = np.ones(len(planned.params), np.bool_)
        self._kernel = compiled_advance(*placed[0].kernel, max_registers)
        self._steps = FIRST_STEPS
        lane.reserve(bytes_on_card(planned))
        self._lane = lane
        self._on_card = _place(planned, lane.upload, lane.empty)
        self._registers: NDArray[np.int64] | None = None

    @property
    def running(self) -> bool:
        """Whether any replication is not done."""
        return bool(self._running)

    def launch(self) -> None:
        """Start to carry all that are not done on; threads are only taken for these."""
        active = self._unfinished.nonzero()[0]
        card = self._on_card
        numbers = card.numbers[: len(active)]
        self._lane.write(numbers, active)
        self._lane.write(card.goals, self._goals)
        self._lane.run(
            self._kernel,
            len(active),
            numbers,
            card.params,
            card.places,
            card.pools,
            card.goals,
            self._steps,
            card.status,
        )

    def arrived(self) -> list[int]:
        """Wait for the launch; the positions whose replications are all at their goal now."""
        status = self._lane.download(self._on_card.status)
        self._unfinished = status == layout.PAUSED
        self._registers = None
        took_s = self._lane.kernel_s()
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
            self._registers = self._lane.download(self._on_card.pools.x)
        rows: list[list[int]] = self._registers[self._threads[position]].tolist()
        return rows

    def retire(self, positions: Sequence[int]) -> list[list[list[Occupied]]]:
        """Take out the replications at ``positions``, which have arrived; their histograms, occupied parts."""
        chosen = np.concatenate([self._threads[position] for position in positions])
        spans = self._lane.download(self._on_card.pools.occupied)[chosen].astype(np.int64)
        sizes = spans[:, :, 1] - spans[:, :, 0]
        histograms = []
        for part in self._turns(sizes.sum(axis=1)):
            bins = self._packed(chosen[part], sizes[part])
            ends = np.cumsum(sizes[part]).reshape(-1, sizes.shape[1])
            histograms += [
                [
                    (int(first), bins[end - size : end])
                    for first, end, size in zip(spans[part][k, :, 0], ends[k], sizes[part][k], strict=True)
                ]
                for k in range(len(ends))
            ]
        cut = np.cumsum([0, *(len(self._threads[position]) for position in positions)])
        for position in positions:
            self._refuse_overflow(position)
            del self._running[position]
        return [histograms[cut[k] : cut[k + 1]] for k in range(len(positions))]

    def close(self) -> None:
        """Let go of what is on the card; the lane is free for another wave."""
        del self._on_card

    def _turns(self, sizes: NDArray[np.int64]) -> Iterator[slice]:
        """Cut replications whose bins are so many into turns that fit where they are packed."""
        first = filled = 0
        for k, size in enumerate(sizes.tolist()):
            if filled + size > len(self._on_card.packed):
                yield slice(first, k)
                first, filled = k, 0
            filled += size
        yield slice(first, len(sizes))

    def _packed(self, chosen: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Occupied bins of the ``chosen``, one histogram behind the other; ``sizes`` says how many each has."""
        card, lane = self._on_card, self._lane
        ends = np.cumsum(sizes.sum(axis=1))
        numbers, starts = card.numbers[: len(chosen)], card.starts[: len(chosen)]
        lane.write(numbers, chosen)
        lane.write(starts, ends - sizes.sum(axis=1))
        lane.run(compiled_pack(), len(chosen), numbers, starts, card.pools, card.packed)
        return lane.download(card.packed[: int(ends[-1])]).astype(np.int64)

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
