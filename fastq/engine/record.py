"""One replication with everything that happened in it: iterations, requests and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.replication import NS_PER_S, PS_PER_S
from fastq.closed_forms import closed_forms
from fastq.engine.encode import encode
from fastq.errors import KernelError
from fastq.kernels import _layout as layout
from fastq.kernels.cpu import compiled_advance
from fastq.kernels.recorder import EVENTS_PER_SLOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastq.engine.encode import Encoded
    from fastq.kernels.cpu import AdvanceAll
    from fastq.model.point import Point
    from fastq.model.run import Run

Columns = dict[str, "NDArray[np.generic]"]

ITERATION_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class RawRecording:
    """A recording in the kernels' integers; columns as named in :mod:`fastq.kernels._layout`.

    Parameters
    ----------
    iterations, requests, events
        (rows, columns) in the order in which they happened.
    registers
        Registers at the end.
    """

    iterations: NDArray[np.int64]
    requests: NDArray[np.int64]
    events: NDArray[np.int64]
    registers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A replication from its start, as columns.

    Parameters
    ----------
    requests
        The columns of :data:`fastq.store.recording_schema.REQUESTS`, in order of arrival; NaN where one means
        nothing.
    iterations
        The columns of :data:`fastq.store.recording_schema.ITERATIONS`.
    """

    requests: Columns
    iterations: Columns


def record(
    point: Point, run: Run, *, arrival_rate_rps: float | None, replication: int = 0, requests: int
) -> Recording:
    """Run one replication from its start until ``requests`` have finished, and keep all of it.

    A replay begins at the first request of the trace, unlike those that latencies are estimated from.

    Parameters
    ----------
    point, run
        What is run; of ``run`` the seed and the kind of random numbers.
    arrival_rate_rps
        Arrival rate; ``None``: an infinite backlog, where waits, TTFT and E2E mean nothing and are NaN.
    replication
        Which draws.
    requests
        Finished requests after which the recording ends.
    """
    encoded = encode(point, run, mean_running=closed_forms(point).mean_running)
    compiled = compiled_advance(arrival_rate_rps is None, encoded.lookahead, True, encoded.terms)
    raw = record_raw(
        encoded,
        compiled,
        arrival_rate_rps=arrival_rate_rps,
        replication=replication,
        warmup_requests=0,
        requests=requests,
        replay_from=0,
    )
    finished = _request_columns(raw.requests, saturated=arrival_rate_rps is None)
    return Recording(finished, _iteration_columns(raw.iterations))


def record_raw(
    encoded: Encoded,
    advance_all: AdvanceAll,
    *,
    arrival_rate_rps: float | None,
    replication: int,
    warmup_requests: int,
    requests: int,
    replay_from: int | None = None,
    iteration_rows: int = ITERATION_ROWS,
) -> RawRecording:
    """Run ``advance_all`` until its window is complete, emptying the record whenever it is full."""
    params = encoded.for_replications([replication], arrival_rate_rps=arrival_rate_rps)
    if replay_from is not None:
        params["replay_from"] = replay_from
    params["warmup_requests"] = warmup_requests
    states = encoded.new_states(1, latencies=arrival_rate_rps is not None)
    x = states.x[0]
    slots = encoded.slots
    buffer = layout.Record(
        np.empty((iteration_rows, layout.ITERATION_COLUMNS), np.int64),
        np.empty((iteration_rows + slots, layout.REQUEST_COLUMNS), np.int64),
        np.empty((iteration_rows + EVENTS_PER_SLOT * slots, layout.EVENT_COLUMNS), np.int64),
    )
    registers = (layout.RECORDED_ITERATIONS, layout.RECORDED_REQUESTS, layout.RECORDED_EVENTS)
    parts: list[tuple[NDArray[np.int64], ...]] = []
    status = np.array([layout.RECORD_FULL])
    while status[0] == layout.RECORD_FULL:
        advance_all(params, encoded.tables, states, buffer, requests, layout.UNLIMITED, status)
        parts.append(tuple(rows[: x[r]].copy() for rows, r in zip(buffer, registers, strict=True)))
        x[list(registers)] = 0
    if status[0] != layout.DONE:
        raise KernelError(f"the kernel stopped with status {status[0]}")
    iterations, finished, events = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return RawRecording(iterations, finished, events, x)


def _request_columns(rows: NDArray[np.int64], *, saturated: bool) -> Columns:
    rows = rows[np.argsort(rows[:, layout.REQ_INDEX], kind="stable")]
    index, arrival, prompt, output, scheduled, first, finish, preempted = (rows[:, k] for k in range(8))
    steps = output - 1

    def since_arrival_s(event: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(len(rows), np.nan) if saturated else (event - arrival) / NS_PER_S

    return {
        "request": index,
        "arrival_s": arrival / NS_PER_S,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "wait_s": since_arrival_s(scheduled),
        "ttft_s": since_arrival_s(first),
        "tpot_s": np.where(steps > 0, (finish - first) / np.maximum(steps, 1) / NS_PER_S, np.nan),
        "e2e_s": since_arrival_s(finish),
        "finish_s": finish / NS_PER_S,
        "preemptions": preempted,
    }


def _iteration_columns(rows: NDArray[np.int64]) -> Columns:
    seconds: Sequence[tuple[str, int, int]] = (
        ("start_s", layout.REC_START_NS, NS_PER_S),
        ("duration_s", layout.REC_DURATION_PS, PS_PER_S),
    )
    counts = {
        "prefill_tokens": layout.REC_PREFILL,
        "decode_seqs": layout.REC_DECODING,
        "decode_kv_tokens": layout.REC_DECODING_KV,
        "running": layout.REC_RUNNING,
        "waiting": layout.REC_WAITING,
        "kv_tokens": layout.REC_KV_TOKENS,
        "kv_blocks": layout.REC_BLOCKS,
        "preempted": layout.REC_PREEMPTED,
    }
    return {name: rows[:, column] / unit for name, column, unit in seconds} | {
        name: rows[:, column] for name, column in counts.items()
    }
