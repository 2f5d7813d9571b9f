"""From a point to the integers that the kernels take."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastq.engine.interarrival import interarrival_table, mean_as_fixed_point
from fastq.kernels import _layout as layout
from fastq.kernels.draws import STREAM_REPLAY, below, words_of
from fastq.kernels.histogram import BINS
from fastq.kernels.measures import MIN_WARMUP_REQUESTS
from fastq.kernels.memory import reciprocal
from fastq.model.concurrency import most_at_once
from fastq.model.point import REPLAY
from fastq.model.scheduler import Admission, Preemption, TokenConvention
from fastq.model.trace_clock import gaps_of_strides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastq.model.iteration_time import IterationTime
    from fastq.model.point import Point
    from fastq.model.run import Run

CACHE_LINE_BYTES = 64

Integer = TypeVar("Integer", bound=np.integer[Any])

_ADMISSION_CODES = {
    Admission.CHUNK: layout.ADMIT_CHUNK,
    Admission.PROMPT: layout.ADMIT_PROMPT,
    Admission.PEAK: layout.ADMIT_PEAK,
    Admission.LOOKAHEAD: layout.ADMIT_LOOKAHEAD,
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A point as the kernels see it.

    Parameters
    ----------
    params
        (1,) record of :data:`fastq.kernels._layout.PARAMS`, for replication 0 and no arrival rate.
    tables
        Length tables, interarrival quantiles (of a replay: the times themselves) and planes.
    slots
        Most requests that can be running or preempted at once.
    wheel
        Length of the timing wheel, a power of two beyond the longest stay.
    lookahead
        Whether admission keeps the profile of future memory.
    terms
        Whether anything is added to the largest plane of the iteration time.
    equal_lengths
        Whether all requests are alike.
    longest_tokens
        Bound of the tokens of a request, prompt and output.
    longest_gap
        Largest of the interarrival times, in 2^-24 of the mean.
    accepted_rows
        Requests of a trace that is replayed which are not rejected; 0 without a replay.
    """

    params: NDArray[np.void]
    tables: layout.Tables
    slots: int
    wheel: int
    lookahead: bool
    terms: bool
    equal_lengths: bool
    longest_tokens: int
    longest_gap: int
    accepted_rows: int

    def for_replications(
        self, replications: Sequence[int], *, arrival_rate_rps: float | None
    ) -> NDArray[np.void]:
        """Parameters of each replication; without a rate the queue is saturated, and odd ones start aged.

        Equal requests from an empty start differ in nothing, so there all but the first start aged. A replay warms up
        for a round of the trace at least: it begins empty, maybe in the middle of the trace's longest queue.
        """
        # As bytes: numpy copies records field by field.
        params = np.tile(self.params.view(np.uint8), len(replications)).view(layout.PARAMS)
        numbers = np.asarray(replications)
        params["replication"] = numbers
        if arrival_rate_rps is None:
            params["aged_requests"] *= numbers > 0 if self.equal_lengths else numbers % 2 == 1
        else:
            params["aged_requests"] = 0
            # A stride of a replay is that many mean times.
            mean_ns = 1e9 / arrival_rate_rps / max(1, int(self.params["replay_stride"][0]))
            fixed_point = mean_as_fixed_point(mean_ns, self.longest_gap)
            params["gap_mantissa"], params["gap_shift"] = fixed_point
            if self.params["replay_stride"][0]:
                if self.params["warmup_requests"][0] < 0:
                    params["warmup_requests"] = np.minimum(params["warmup_requests"], -self.whole_rounds(1))
                params["replay_from"] = [self._first_replayed(one) for one in params.view(np.recarray)]
        return params

    def whole_rounds(self, requests: int) -> int:
        """Whole rounds of a trace that is replayed, of at least so many accepted requests; without a replay, those.

        In whole rounds every replication of a replica that gets all requests meets the same ones, wherever it begins;
        one of n that take turns meets an nth of them in a round, and others in the next.
        """
        stride = int(self.params["replay_stride"][0])
        if not stride:
            return requests
        rounds = -(-requests * stride // self.accepted_rows)
        return -(-rounds * self.accepted_rows // stride)

    def _first_replayed(self, p: Any) -> int:
        """Row of a trace that a replication begins at, as it draws it."""
        return int(below(words_of(p, 0, STREAM_REPLAY)[0], len(self.tables.gaps)))

    @property
    def block_size(self) -> int:
        """Tokens per block."""
        return int(self.params["block_size"][0])

    def new_states(self, count: int, *, latencies: bool) -> layout.State:
        """Scratch of ``count`` replications that have not started, each array with a row for each."""
        slots = self.slots
        ints = {
            name: np.empty((count, slots), np.uint32) for name in ("prefilling", "stack", "fresh", "free")
        }
        return layout.State(
            x=np.zeros((count, layout.REGISTERS), np.int64),
            seqs=_aligned(count, (slots + 1) * layout.SEQ_COLUMNS, np.uint32),
            times=_aligned(count, (slots + 1) * layout.TIME_COLUMNS, np.int64),
            wheel=np.empty((count, self.wheel), np.uint32),
            growth=np.empty((count, self.block_size), np.int32),
            profile=np.empty((count, self.wheel if self.lookahead else 1), np.int32),
            histograms=np.empty((count, 5 if latencies else 1, BINS), np.int64),
            **ints,
        )


def encode(point: Point, run: Run, *, mean_running: float) -> Encoded:
    """Encode ``point``; ``mean_running`` requests, as theory expects them, start aged where a replication does."""
    replica, law = point.replica, point.law
    convention = int(point.scheduler.token_convention is TokenConvention.PAPER)
    budget = replica.max_num_batched_tokens or layout.UNLIMITED
    chunk = min(replica.prefill_chunk_tokens, budget)
    longest_prompt = int(law.prompt_tokens.max())
    longest_output = int(law.output_tokens.max())
    slots = most_at_once(law, replica)
    longest_stay = -(-(longest_prompt + longest_output) // chunk) + longest_output + 2
    wheel = 1 << longest_stay.bit_length()
    stride = point.arrivals.round_robin if point.arrivals.process == REPLAY else 0
    key = _key(point, run)
    block_multiplier, block_shift = reciprocal(replica.block_size)
    params = np.zeros(1, layout.PARAMS)
    values = {
        "kv_blocks": replica.kv_blocks,
        "block_size": replica.block_size,
        "block_multiplier": block_multiplier,
        "block_shift": block_shift,
        "max_num_seqs": replica.max_num_seqs or layout.UNLIMITED,
        "token_budget": budget,
        "prefill_chunk": chunk,
        "watermark_blocks": replica.watermark_blocks,
        "max_total_tokens": replica.max_model_len or layout.UNLIMITED,
        "admission": _ADMISSION_CODES[point.scheduler.admission],
        "restart": int(point.scheduler.preemption is Preemption.RESTART),
        "paper": convention,
        "joint": int(law.joint),
        "aged_requests": max(1, round(mean_running)),
        "gap_mantissa": 1,
        "gap_shift": 1,
        "replay_stride": stride,
        "replay_lap": _lap(stride, len(law.prompt_tokens)),
        "key_low": key & 0xFFFFFFFF,
        "key_high": key >> 32,
        "warmup_requests": -MIN_WARMUP_REQUESTS if run.warmup_requests is None else run.warmup_requests,
        "wheel_mask": wheel - 1,
    }
    for name, value in values.items():
        params[name] = value
    tables = layout.Tables(
        prompts=_frozen(law.prompt_tokens),
        outputs=_frozen(law.output_tokens),
        gaps=_frozen(_gaps(point)),
        planes=_frozen(_planes(point.iteration_time)),
    )
    return Encoded(
        params,
        tables,
        slots,
        wheel,
        lookahead=point.scheduler.admission is Admission.LOOKAHEAD,
        terms=point.iteration_time.terms.any,
        equal_lengths=_all_equal(law.prompt_tokens) and _all_equal(law.output_tokens),
        longest_tokens=longest_prompt + longest_output,
        longest_gap=int(tables.gaps.max()),
        accepted_rows=_accepted_rows(point) if point.arrivals.process == REPLAY else 0,
    )


def _accepted_rows(point: Point) -> int:
    law, most_tokens = point.law, point.replica.max_model_len
    if most_tokens is None:
        return len(law.prompt_tokens)
    return int((law.prompt_tokens.astype(np.int64) + law.output_tokens <= most_tokens).sum())


def _lap(stride: int, rows: int) -> int:
    """Requests after which a replay in strides is back at its first row, with others left out."""
    factor = math.gcd(stride, rows)
    return rows // factor if stride and factor > 1 else layout.UNLIMITED


def _gaps(point: Point) -> NDArray[np.int64]:
    """Interarrival quantiles, or the interarrival times that are replayed."""
    arrivals = point.arrivals
    if arrivals.process != REPLAY:
        return interarrival_table(arrivals.process, arrivals.interarrival_cv, arrivals.round_robin)
    assert point.law.clock is not None
    return gaps_of_strides(point.law.clock, arrivals.round_robin)


def _planes(times: IterationTime) -> NDArray[np.int64]:
    """Coefficients as kernels read them: a row a plane, and what is added to the largest in the first."""
    terms = times.terms
    planes = np.zeros((len(times.planes), layout.PLANE_COLUMNS), np.int64)
    planes[:, : layout.PER_ATTENTION + 1] = [
        (p.base_ps, p.prefill_token_ps, p.decode_seq_ps, p.kv_token_ps, p.attention_ps) for p in times.planes
    ]
    planes[0, layout.PER_PREFILL_SEQ :] = (
        terms.prefill_seq_ps,
        terms.finished_prompt_ps,
        terms.prefill_kv_token_ps,
        terms.prefill_ps,
        terms.mixed_ps,
        terms.mixed_kv_token_ps,
        terms.jump_ps,
        terms.jump_beyond_tokens,
    )
    return planes


def _all_equal(lengths: NDArray[np.int32]) -> bool:
    return bool(lengths[0] == lengths[-1] and lengths.min() == lengths.max())


def _aligned(rows: int, columns: int, dtype: type[Integer]) -> NDArray[Integer]:
    """Zeros that start on a cache line, so that no slot of one line's length straddles two."""
    size = rows * columns
    spare = CACHE_LINE_BYTES // np.dtype(dtype).itemsize
    buffer = np.zeros(size + spare, dtype)
    start = -buffer.ctypes.data % CACHE_LINE_BYTES // buffer.itemsize
    return buffer[start : start + size].reshape(rows, columns)


def _frozen(table: NDArray[Integer]) -> NDArray[Integer]:
    """A read-only view, whatever ``table`` is: numba compiles apart for tables that can be written."""
    view = np.ascontiguousarray(table).view()
    view.flags.writeable = False
    return view


def _key(point: Point, run: Run) -> int:
    """Key of the generator, 64 bits: the seed, or with independent draws a hash of it and the point's values."""
    if run.common_random_numbers:
        return run.seed
    text = f"{run.seed}:{point.digest()}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
