"""What a replication yields: integers only, from which every estimate is made on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LATENCIES = ("wait", "ttft", "tpot", "e2e")
"""The latencies of a request, in the order in which they are shown."""

Occupied = tuple[int, "NDArray[np.int64]"]
"""First occupied bin of a histogram, and the counts from there to the last occupied one."""

PS_PER_S = 1_000_000_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Distribution:
    """A latency or an iteration time over one window.

    Parameters
    ----------
    count, total
        Number of values and their sum, ns for latencies, ps for iteration times.
    first_bin, bins
        Counts by bin of the histogram, int64, from its first occupied bin to its last; see
        :mod:`fastq.engine.bins` for the edges.
    """

    count: int
    total: int
    first_bin: int
    bins: NDArray[np.int64]


class Work(NamedTuple):
    """What the time of iterations depends on, summed over a window, in the order of theory's samples.

    Parameters
    ----------
    prefill_tokens
        Tokens prefilled.
    decode_iterations
        Decoding requests, summed over iterations.
    decode_kv_tokens
        KV tokens that they hold, summed likewise.
    doubled_attention
        Twice the attention work of the prefill.
    finished_prompts
        Prompts whose prefill ended.
    prefill_chunks
        Chunks that prompts were prefilled in.
    cached_tokens
        Tokens of the prompts that were cached before each chunk, summed over chunks.

    The last three mean nothing where no terms are added to the planes of the iteration time: not all is counted there.
    """

    prefill_tokens: int
    decode_iterations: int
    decode_kv_tokens: int
    doubled_attention: int
    finished_prompts: int
    prefill_chunks: int
    cached_tokens: int


def occupied_part(histogram: NDArray[np.int64]) -> Occupied:
    """Keep of a whole ``histogram`` the part that is occupied."""
    occupied = (histogram != 0).nonzero()[0]
    first, end = (int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else (0, 0)
    return first, histogram[first:end].copy()


@dataclass(frozen=True, slots=True)
class Replication:
    """The window of one replication.

    Parameters
    ----------
    requests, iterations
        Completed, and run, inside the window.
    elapsed_ps, idle_ns
        Length of the window, and of the idle jumps in it.
    half_requests, half_elapsed_ps
        The same of the window's first half, up to the last checkpoint before its end.
    running_sum, waiting_sum, kv_tokens_sum, blocks_sum
        Sums over iterations.
    max_waiting, max_running
        Largest numbers in the window, and since the start.
    preemptions, recomputed_tokens
        In the window.
    backlog_growth
        Unfinished requests at the end less those at the start of the window.
    warmup_requests, warmup_elapsed_ps
        Completed before the window, and the time until it opened.
    executed, redone
        All work of a saturated queue in the window, and what of it requests took because they were preempted;
        ``executed`` less ``redone`` is the work of requests that never were. Not measured where it is not saturated.
    stopped_kv, stopped_seqs, stopped_tokens
        Iterations in which memory, sequence slots or the token budget kept the next request of a saturated
        queue waiting; in the others something was preempted. 0 where it is not saturated.
    stopped_kv_blocks, stopped_limit_blocks
        Blocks in use, summed over the iterations in which memory did, and in which slots or budget did.
    iteration_time
        Distribution of iteration times, ps.
    latencies
        By name of :data:`LATENCIES`, ns; empty where the queue is saturated.
    """

    requests: int
    iterations: int
    elapsed_ps: int
    idle_ns: int
    half_requests: int
    half_elapsed_ps: int
    running_sum: int
    waiting_sum: int
    kv_tokens_sum: int
    blocks_sum: int
    max_waiting: int
    max_running: int
    preemptions: int
    recomputed_tokens: int
    backlog_growth: int
    warmup_requests: int
    warmup_elapsed_ps: int
    executed: Work
    redone: Work
    stopped_kv: int
    stopped_seqs: int
    stopped_tokens: int
    stopped_kv_blocks: int
    stopped_limit_blocks: int
    iteration_time: Distribution
    latencies: dict[str, Distribution]

    @property
    def throughput_rps(self) -> float:
        """Completions per second of the window."""
        return self.requests * PS_PER_S / self.elapsed_ps

    @property
    def busy_ps(self) -> int:
        """Time inside iterations."""
        return self.elapsed_ps - self.idle_ns * 1000
