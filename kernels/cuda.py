"""The loop, compiled for NVIDIA GPUs: a thread is a replication. The only file that imports numba.cuda.

The state of a replication lies together, a row a slot, as on the CPU: the threads of a warp are at different slots
and at different iterations, so arrays interleaved by thread would touch two to three times the memory
(``benchmarks/gpu_floor.py`` counts it). What all threads do touch at once, the registers and parameters, each
holds in registers of the processor.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import cuda
from numba.core import config
from numba.cuda.cudadrv.driver import CudaAPIError

from fastq.kernels._jit import device, source_digest
from fastq.kernels._layout import (
    DONE,
    I32,
    I64,
    REGISTERS,
    REGISTERS_WITHOUT_TERMS,
    SEQ_COLUMN_BITS,
    TIME_COLUMN_BITS,
    U32,
    Record,
    State,
    Tables,
)
from fastq.kernels.trajectory import make_advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

THREADS_PER_BLOCK = 64
"""Small, so that a block whose replications have finished makes room soon; two warps hide little by themselves."""

STAGED_BYTES = 4 << 20
"""Memory of the host through which a lane copies; larger copies go in parts."""

ALIGNED_BYTES = 256

SIMULATED_FREE_BYTES = 1 << 30
"""What numba's simulator, which knows no limit, is taken to have."""

_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY

PLACES = np.dtype(
    [
        (name, np.int64)
        for array in ("prompts", "outputs", "gaps", "planes", "rows", "slots", "wheel", "growth", "profile")
        for name in (array, f"{array}_end")
    ],
    align=True,
)
"""Where a replication's part of each pool begins and ends: rows are of seqs and times, slots of the lists of slots."""


class Pools(NamedTuple):
    """What all replications of a launch read and write: the parts of each one behind the other.

    Parameters
    ----------
    prompts, outputs, gaps, planes
        The tables of :class:`fastq.kernels._layout.Tables`; replications share theirs.
    seqs, times, wheel, growth, prefilling, stack, fresh, free, profile
        As in :class:`fastq.kernels._layout.State`; all but times and profile 16 bits wide where that is enough.
    x
        (replications, REGISTERS)
    histograms
        (replications, rows, BINS), uint32: a replication counts fewer than 2^32 of anything.
    occupied
        (replications, rows, 2) first and last + 1 occupied bin, once a replication is done.
    """

    prompts: I32
    outputs: I32
    gaps: I64
    planes: I64
    seqs: U32
    times: I64
    wheel: U32
    growth: I32
    prefilling: U32
    stack: U32
    fresh: U32
    free: U32
    profile: I32
    x: I64
    histograms: U32
    occupied: I32


class Params(NamedTuple):
    """A record of :data:`fastq.kernels._layout.PARAMS` as values, so that they can stay in registers."""

    kv_blocks: int
    block_size: int
    block_multiplier: int
    block_shift: int
    max_num_seqs: int
    token_budget: int
    prefill_chunk: int
    watermark_blocks: int
    max_total_tokens: int
    admission: int
    restart: int
    paper: int
    joint: int
    aged_requests: int
    gap_mantissa: int
    gap_shift: int
    replay_stride: int
    replay_lap: int
    replay_from: int
    key_low: int
    key_high: int
    replication: int
    warmup_requests: int
    wheel_mask: int


@device
def params_of(r: Any) -> Params:
    """Read all of record ``r``."""
    return Params(
        r.kv_blocks,
        r.block_size,
        r.block_multiplier,
        r.block_shift,
        r.max_num_seqs,
        r.token_budget,
        r.prefill_chunk,
        r.watermark_blocks,
        r.max_total_tokens,
        r.admission,
        r.restart,
        r.paper,
        r.joint,
        r.aged_requests,
        r.gap_mantissa,
        r.gap_shift,
        r.replay_stride,
        r.replay_lap,
        r.replay_from,
        r.key_low,
        r.key_high,
        r.replication,
        r.warmup_requests,
        r.wheel_mask,
    )


def _loads_read_only() -> Any:
    """Teach the compiler of GPU kernels an array that nothing writes while they run.

    Returns
    -------
    Callable
        ``read_only(array)``, for kernels: the same array, whose entries come through the read-only cache and need
        no second look after a store to another. numba knows no such array: to it, any two may overlap.
    """
    import operator

    from numba.cuda import cgutils, types
    from numba.cuda.cudaimpl import lower
    from numba.cuda.extending import core_models, intrinsic, register_model
    from numba.cuda.np.arrayobj import make_array

    class ReadOnly(types.Array):  # type: ignore[misc]  # numba has no stubs: a base class of type Any
        def __init__(self, dtype: Any, ndim: int) -> None:
            super().__init__(dtype, ndim, "C", readonly=True, name=f"table({dtype}, {ndim}d)")

    def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, index_type = signature.args
        array = make_array(array_type)(context, builder, arguments[0])
        if isinstance(index_type, types.BaseTuple):
            indices, kinds = cgutils.unpack_tuple(builder, arguments[1], len(index_type)), tuple(index_type)
        else:
            indices, kinds = [arguments[1]], (index_type,)
        indices = [
            context.cast(builder, index, kind, types.intp) for index, kind in zip(indices, kinds, strict=True)
        ]
        pointer = cgutils.get_item_pointer(context, builder, array_type, array, indices)
        loaded = builder.load(pointer)
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    def read_only(typing_context: Any, array: Any) -> Any:
        def same(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return arguments[0]

        return ReadOnly(array.dtype, array.ndim)(array), same

    for index_type in (types.Integer, types.BaseTuple):
        lower(operator.getitem, ReadOnly, index_type)(load)
    register_model(ReadOnly)(core_models.ArrayModel)
    return intrinsic(read_only)


def _as_it_is(array: Any) -> Any:
    return array


read_only = _as_it_is if config.ENABLE_CUDASIM else _loads_read_only()


@device
def tables_of(at: Any, pools: Pools) -> Tables:
    """The tables of the replication at ``at``, which nothing writes."""
    return Tables(
        read_only(pools.prompts[at.prompts : at.prompts_end]),
        read_only(pools.outputs[at.outputs : at.outputs_end]),
        read_only(pools.gaps[at.gaps : at.gaps_end]),
        read_only(pools.planes[at.planes : at.planes_end]),
    )


@device
def state_of(at: Any, pools: Pools, x: I64, t: int) -> State:
    """The state of replication ``t``, which lies at ``at``, with its registers in ``x``."""
    first = at.slots
    end = at.slots_end
    return State(
        x,
        pools.seqs[at.rows << SEQ_COLUMN_BITS : at.rows_end << SEQ_COLUMN_BITS],
        pools.times[at.rows << TIME_COLUMN_BITS : at.rows_end << TIME_COLUMN_BITS],
        pools.wheel[at.wheel : at.wheel_end],
        pools.growth[at.growth : at.growth_end],
        pools.prefilling[first:end],
        pools.stack[first:end],
        pools.fresh[first:end],
        pools.free[first:end],
        pools.profile[at.profile : at.profile_end],
        pools.histograms[t],
    )


@device
def note_occupied(histograms: Any, occupied: I32) -> None:
    """Note the first and the last + 1 occupied bin of each histogram; both 0 where it is empty."""
    for row in range(histograms.shape[0]):
        end = histograms.shape[1]
        while end > 0 and histograms[row, end - 1] == 0:
            end -= 1
        first = 0
        while first < end and histograms[row, first] == 0:
            first += 1
        occupied[row, 0] = first
        occupied[row, 1] = end


def advance_kernel(
    saturated: bool, lookahead: bool, terms: bool, max_registers: int | None = None
) -> Callable[..., None]:
    """The kernel for one kind of replication, not compiled.

    Parameters
    ----------
    saturated, lookahead, terms
        As for :func:`fastq.kernels.trajectory.make_advance`.
    max_registers
        What it will be compiled with, which its cache entry has to tell apart.

    Returns
    -------
    Callable
        ``advance_each(active, params, places, pools, goals, steps, status)``: carries the replications numbered
        in ``active`` on by one call of the loop of :func:`fastq.kernels.trajectory.make_advance`, each to its
        number of completions in ``goals``, and leaves why it returned in ``status``.
    """
    advance = device(make_advance(saturated, lookahead, False, terms))
    digest = source_digest()
    kind = (saturated, lookahead, terms, max_registers)
    used = REGISTERS if terms else REGISTERS_WITHOUT_TERMS

    def advance_each(
        active: I64, params: Any, places: Any, pools: Pools, goals: I64, steps: int, status: I64
    ) -> None:
        # Named so that this kernel's cache entry changes with any kernel source and with the kind.
        _ = digest, kind
        k = cuda.grid(1)
        if k >= active.shape[0]:
            return
        t = active[k]
        # Every index into it is a constant once all is inlined, so it ends up in registers.
        x = cuda.local.array(REGISTERS, np.int64)
        for r in range(used):
            x[r] = pools.x[t, r]
        at = places[t]
        state = state_of(at, pools, x, t)
        unused = Record(pools.x, pools.x, pools.x)
        why = advance(params_of(params[t]), tables_of(at, pools), state, unused, goals[t], steps)
        if why == DONE:
            note_occupied(state.histograms, pools.occupied[t])
        for r in range(used):
            pools.x[t, r] = x[r]
        status[t] = why

    return advance_each


def pack_bins(chosen: I64, starts: I64, pools: Pools, packed: U32) -> None:
    """Copy the occupied bins of the ``chosen`` replications, one histogram behind the other, from ``starts`` on."""
    k = cuda.grid(1)
    if k >= chosen.shape[0]:
        return
    t = chosen[k]
    i = starts[k]
    for row in range(pools.histograms.shape[1]):
        for b in range(pools.occupied[t, row, 0], pools.occupied[t, row, 1]):
            packed[i] = pools.histograms[t, row, b]
            i += 1


class OutOfMemory(Exception):
    """The card has not as much memory left as was asked for."""


class Lane:
    """A queue of work on the card with memory of its own, for one wave after another; several run side by side.

    Memory is one piece that grows and is kept, so that no wave waits for the driver to find or clear any. Copies go
    through memory of the host that the card reads and writes by itself, so they run beside other lanes' kernels.
    """

    def __init__(self) -> None:
        self._stream = cuda.stream()
        self._began, self._ended = cuda.event(), cuda.event()
        self._memory: Any = None
        self._taken_bytes = 0
        self._staged: NDArray[np.uint8] | None = None

    @property
    def held_bytes(self) -> int:
        """Memory of the card that this lane holds, bytes."""
        return 0 if self._memory is None else int(self._memory.size)

    def reserve(self, size_bytes: int) -> None:
        """Make room for a wave that takes so much; what :meth:`empty` gave to the one before is void.

        Raises
        ------
        OutOfMemory
            The card has not so much left; the lane holds nothing then.
        """
        if self.held_bytes < size_bytes:
            self.release()
            self._memory = _allocated(cuda.device_array, size_bytes, np.uint8, stream=self._stream)
        if self._staged is None:
            self._staged = _allocated(cuda.pinned_array, STAGED_BYTES, np.uint8)
        self._taken_bytes = 0

    def release(self) -> None:
        """Give the memory of the card back."""
        self._memory = None

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> Any:
        """A part of what is reserved, of :func:`aligned_bytes`, which holds anything."""
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        first = self._taken_bytes
        self._taken_bytes += aligned_bytes(shape, dtype)
        part = self._memory[first : first + size_bytes].view(dtype)
        return part if isinstance(shape, int) else part.reshape(shape)

    def upload(self, array: NDArray[Any]) -> Any:
        """Copy ``array`` into a part of what is reserved."""
        part = self.empty(array.shape, array.dtype)
        self.write(part, array)
        return part

    def write(self, part: Any, array: NDArray[Any]) -> None:
        """Copy ``array`` to where :meth:`empty` has made room for as much, after all that was asked for before."""
        assert self._staged is not None
        source = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        target = _bytes_of(part)
        for first in range(0, len(source), STAGED_BYTES):
            staged = self._staged[: min(STAGED_BYTES, len(source) - first)]
            staged[:] = source[first : first + len(staged)]
            target[first : first + len(staged)].copy_to_device(staged, stream=self._stream)
            self._stream.synchronize()

    def download(self, part: Any) -> NDArray[Any]:
        """Copy ``part`` from the card, when all that was asked for before is done."""
        assert self._staged is not None
        copied: NDArray[Any] = np.empty(tuple(part.shape), part.dtype)
        source, target = _bytes_of(part), copied.reshape(-1).view(np.uint8)
        for first in range(0, len(target), STAGED_BYTES):
            staged = self._staged[: min(STAGED_BYTES, len(target) - first)]
            source[first : first + len(staged)].copy_to_host(staged, stream=self._stream)
            self._stream.synchronize()
            target[first : first + len(staged)] = staged
        return copied

    def run(self, kernel: Any, threads: int, *arguments: Any) -> None:
        """Start ``kernel``; it runs when all that was asked for before is done."""
        blocks = -(-threads // THREADS_PER_BLOCK)
        with warnings.catch_warnings():
            # A small spec fills no card; that is no news to whoever runs it.
            warnings.filterwarnings("ignore", message="Grid size")
            configured = kernel[blocks, THREADS_PER_BLOCK, self._stream]
        self._began.record(self._stream)
        configured(*arguments)
        self._ended.record(self._stream)

    def kernel_s(self) -> float:
        """Time that the last kernel took, which must be over, seconds; not above 0 where nobody measures."""
        return float(self._began.elapsed_time(self._ended)) / 1000

    def kernel_span_s(self, clock: Clock) -> tuple[float, float]:
        """When the last kernel, which must be over, began and ended, seconds on ``clock``."""
        return clock.at_s(self._began), clock.at_s(self._ended)


class Clock:
    """The card's own clock, from when this was made."""

    def __init__(self) -> None:
        stream = cuda.stream()
        self._zero = cuda.event()
        self._zero.record(stream)
        stream.synchronize()

    def at_s(self, event: Any) -> float:
        """When ``event`` happened, seconds; below 0 where nobody measures."""
        return float(self._zero.elapsed_time(event)) / 1000


def aligned_bytes(shape: int | tuple[int, ...], dtype: Any) -> int:
    """What an array takes of a lane's memory, bytes: the next begins on a boundary that suits every type."""
    size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return -(-size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES


def _bytes_of(part: Any) -> Any:
    return part.ravel().view(np.uint8)


def _allocated(allocate: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return allocate(*arguments, **options)
    except CudaAPIError as error:
        if getattr(error, "code", None) == _OUT_OF_MEMORY:
            raise OutOfMemory from error
        raise


@cache
def compiled_advance(saturated: bool, lookahead: bool, terms: bool, max_registers: int | None = None) -> Any:
    """The kernel of :func:`advance_kernel`, compiled when first launched and kept on disk.

    ``max_registers`` of a thread: fewer let more threads run at a time, and spill more.
    """
    options = {} if max_registers is None else {"max_registers": max_registers}
    return cuda.jit(cache=True, **options)(advance_kernel(saturated, lookahead, terms, max_registers))


@cache
def compiled_pack() -> Any:
    """The kernel :func:`pack_bins`, compiled when first launched and kept on disk."""
    return cuda.jit(cache=True)(pack_bins)


def _probe(found: I64) -> None:
    found[0] = 1


@cache
def _compiled_probe() -> Any:
    return cuda.jit(cache=True)(_probe)


def why_no_driver() -> str | None:
    """Say what keeps the driver, or a GPU, from being found; ``None`` where they are there."""
    error = cuda.cuda_error()
    return None if error is None else _one_line(error)


def why_no_kernel() -> str | None:
    """Say what keeps kernels from running on a GPU; ``None`` where one did, with copies in and out."""
    if not cuda.is_available():
        return "numba-cuda does not find the libraries of the CUDA toolkit"
    try:
        lane = Lane()
        lane.reserve(ALIGNED_BYTES)
        found = lane.upload(np.zeros(1, np.int64))
        lane.run(_compiled_probe(), 1, found)
        ran = int(lane.download(found)[0])
    except Exception as error:  # compilers, linkers and drivers have one each
        return f"a GPU is there, but no kernel runs on it ({type(error).__name__}: {_one_line(error)})"
    return None if ran == 1 else "a GPU is there, but what its kernels write does not come back"


def is_of_card(error: BaseException) -> bool:
    """Whether an error comes from the card, its driver or their compiler, not from what was asked of them."""
    return type(error).__module__.startswith(("numba.cuda.", "cuda."))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def use_device(number: int) -> None:
    """Run what follows in this thread on a card."""
    cuda.select_device(number)


def device_ids() -> list[str]:
    """What tells the cards that this process can use from others, whatever their order."""
    if config.ENABLE_CUDASIM:
        return ["simulator"]
    return [str(gpu.uuid) for gpu in cuda.gpus]


def device_names() -> list[str]:
    """Names of the cards that this process can use."""
    if config.ENABLE_CUDASIM:
        return ["numba's simulator"]
    return [str(gpu.name) for gpu in cuda.gpus]


def free_bytes() -> int:
    """Memory that the card in use has free, bytes."""
    if config.ENABLE_CUDASIM:
        return SIMULATED_FREE_BYTES
    context = cuda.current_context()
    context.memory_manager.deallocations.clear()  # numba gives memory back late
    return int(context.get_memory_info().free)
