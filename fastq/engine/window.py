"""From the registers and histograms of a replication to what its window yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.analysis.replication import Distribution, Replication, Work
from fastq.errors import KernelError, SpecError
from fastq.kernels import _layout as layout
from fastq.kernels import measures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastq.analysis.replication import Occupied

_LATENCIES = {
    "wait": (layout.HIST_WAIT, layout.WAIT_LOW),
    "ttft": (layout.HIST_TTFT, layout.TTFT_LOW),
    "tpot": (layout.HIST_TPOT, layout.TPOT_LOW),
    "e2e": (layout.HIST_E2E, layout.E2E_LOW),
}
"""Histogram and first register of the sum of each latency."""


def all_done(status: Iterable[int]) -> bool:
    """Whether no replication has to be carried on; ``status`` is why each returned.

    Raises
    ------
    SpecError
        A clock, or a sum, is full.
    KernelError
        A status that nothing here can lead to.
    """
    why = set(status)
    if why == {layout.DONE}:
        return True
    if layout.CLOCK_FULL in why:
        raise SpecError(
            "the run would take more than 146 years of simulated time; use fewer requests, a higher "
            "arrival rate or shorter iterations",
            key="run.requests",
        )
    if layout.SUM_FULL in why:
        raise SpecError(
            "preemption makes such long prompts be prefilled so often that their attention work no longer fits into "
            "its sum; use fewer requests in a window and more run.replications",
            key="run.requests",
        )
    if not why <= {layout.DONE, layout.PAUSED}:
        raise KernelError(f"the kernel stopped with status {max(why)}")
    return False


def read_window(x: list[int], histograms: Sequence[Occupied]) -> Replication:
    """Read a finished window off the registers and histograms of its replication."""
    requests = x[layout.COMPLETED] - x[layout.START_COMPLETED]
    iterations = x[layout.ITERATION] - x[layout.START_ITERATION]
    idle_ns = x[layout.IDLE_NS]
    elapsed_ps = _since_start_ps(x, layout.NOW_NS, layout.NOW_PS)
    latencies = {
        name: _latency(x, *histograms[row], register)
        for name, (row, register) in _LATENCIES.items()
        if row < len(histograms)
    }
    return Replication(
        requests=requests,
        iterations=iterations,
        elapsed_ps=elapsed_ps,
        idle_ns=idle_ns,
        half_requests=x[layout.HALF_COMPLETED],
        half_elapsed_ps=_since_start_ps(x, layout.HALF_NS, layout.HALF_PS),
        running_sum=x[layout.SUM_RUNNING],
        waiting_sum=x[layout.SUM_WAITING],
        kv_tokens_sum=x[layout.SUM_KV_TOKENS],
        blocks_sum=x[layout.SUM_BLOCKS],
        max_waiting=x[layout.MAX_WAITING],
        max_running=x[layout.MAX_RUNNING],
        preemptions=x[layout.PREEMPTIONS],
        recomputed_tokens=x[layout.RECOMPUTED_TOKENS],
        backlog_growth=x[layout.ARRIVED] - x[layout.COMPLETED] - x[layout.START_BACKLOG],
        warmup_requests=x[layout.WARMUP_COMPLETED],
        warmup_elapsed_ps=x[layout.START_NS] * 1000 + x[layout.START_PS],
        executed=Work(
            prefill_tokens=x[layout.SUM_PREFILL],
            decode_iterations=x[layout.SUM_RUNNING] - x[layout.SUM_PREFILLING],
            decode_kv_tokens=x[layout.SUM_KV_TOKENS] - x[layout.SUM_PREFILL_KV],
            doubled_attention=x[layout.SUM_ATTENTION2],
            finished_prompts=_finished_prompts(x),
            prefill_chunks=x[layout.SUM_PREFILLING],
            cached_tokens=x[layout.SUM_PREFILL_KV] - x[layout.SUM_PREFILL],
        ),
        redone=Work(
            prefill_tokens=x[layout.REDONE_PREFILL],
            decode_iterations=x[layout.REDONE_DECODES],
            decode_kv_tokens=x[layout.REDONE_DECODE_KV],
            doubled_attention=x[layout.REDONE_ATTENTION2],
            finished_prompts=x[layout.REDONE_FINISHED],
            prefill_chunks=x[layout.REDONE_CHUNKS],
            cached_tokens=x[layout.REDONE_CACHED],
        ),
        stopped_kv=_stopped(x, layout.STOP_KV, layout.STOPPED_KV),
        stopped_seqs=_stopped(x, layout.STOP_SEQS, layout.STOPPED_SEQS),
        stopped_tokens=_stopped(x, layout.STOP_TOKENS, layout.STOPPED_TOKENS),
        stopped_kv_blocks=_stopped_blocks(x, (layout.STOP_KV,), layout.STOPPED_KV_BLOCKS),
        stopped_limit_blocks=_stopped_blocks(
            x, (layout.STOP_SEQS, layout.STOP_TOKENS), layout.STOPPED_LIMIT_BLOCKS
        ),
        iteration_time=Distribution(
            iterations, elapsed_ps - idle_ns * 1000, *histograms[layout.HIST_ITERATION]
        ),
        latencies=latencies,
    )


def _since_start_ps(x: list[int], whole_ns: int, rest_ps: int) -> int:
    return (x[whole_ns] - x[layout.START_NS]) * 1000 + x[rest_ps] - x[layout.START_PS]


def _finished_prompts(x: list[int]) -> int:
    """Prefills that ended: each led to a completion at once, or to decoding, which a completion or preemption ends."""
    more_decoding = x[layout.DECODING] - x[layout.START_DECODING]
    completed = x[layout.COMPLETED] - x[layout.START_COMPLETED]
    return more_decoding + completed + x[layout.PREEMPTED_DECODING]


def _stopped(x: list[int], stop: int, register: int) -> int:
    """Iterations that ``stop`` ended admission in, those since the last change included."""
    return x[register] + (x[layout.ITERATION] - x[layout.STOP_SINCE] if x[layout.STOP] == stop else 0)


def _stopped_blocks(x: list[int], stops: tuple[int, ...], register: int) -> int:
    """Blocks in use, summed over the iterations that one of ``stops`` ended admission in."""
    since = x[layout.SUM_BLOCKS] - x[layout.STOP_SINCE_BLOCKS]
    return x[register] + (since if x[layout.STOP] in stops else 0)


def _latency(x: list[int], first_bin: int, bins: NDArray[np.int64], register: int) -> Distribution:
    low, high = x[register : register + 2]
    return Distribution(int(bins.sum()), low + (high << measures.LIMB_BITS), first_bin, bins)
