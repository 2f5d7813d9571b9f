"""The log of a vLLM server that was started with ``--enable-logging-iteration-details``.

Its lines tell each iteration: requests and tokens in prefill (context), requests and tokens that decode
(generation), the elapsed time, and since it is logged by the front end the share of the KV cache that is in
use. The size of the cache stands in the line that the server prints when it starts. The periodic line of
statistics (throughputs, Running, Waiting) has neither batches nor iteration times, and nothing is made of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.iteration_log import PREFILL_SEQS, IterationLog, source_file
from fastq.calibration.kv_memory import used_capacity
from fastq.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

ENDINGS = (".log", ".txt", ".out")

_ITERATION = re.compile(
    r"Iteration\(\d+\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests, "
    r"(\d+) generation tokens, iteration elapsed time: ([\d.]+) ms(.*)"
)
_USAGE = re.compile(r"GPU KV cache usage: ([\d.]+)%")
_CAPACITY = re.compile(r"GPU KV cache size: ([\d,]+) tokens")
_TENSOR_PARALLEL = re.compile(r"tensor_parallel_size['\"]?[=:] ?(\d+)")
_PERIODIC = "Avg generation throughput"
_ASYNC = re.compile(r"async_scheduling['\"]?[=:] ?True|Asynchronous scheduling is enabled")
_S_PER_MS = 1e-3
_ADVICE = "start vLLM with --enable-logging-iteration-details, which logs every iteration"


def is_vllm_log(path: Path) -> bool:
    """Whether a file is named as a text log is."""
    return path.suffix.lower() in ENDINGS


def read_vllm_log(path: Path, kv_capacity_tokens: int | None, block_size: int) -> IterationLog:
    """Read the iterations of a server's log.

    Parameters
    ----------
    path
        The log.
    kv_capacity_tokens
        KV capacity, tokens; ``None``: the one that the log tells, less the block that is never used.
    block_size
        Tokens per block.

    Raises
    ------
    SpecError
        If the log has no line of an iteration, does not tell the KV cache in use, or drafts tokens.
    """
    rows: list[tuple[float, ...]] = []
    dummies = without_usage = drafted = 0
    periodic = asynchronous = False
    printed: int | None = None
    gpus: int | None = None
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                periodic = periodic or _PERIODIC in line
                asynchronous = asynchronous or _ASYNC.search(line) is not None
                if capacity := _CAPACITY.search(line):
                    printed = int(capacity[1].replace(",", ""))
                if cards := _TENSOR_PARALLEL.search(line):
                    gpus = int(cards[1])
                found = _ITERATION.search(line)
                if found is None:
                    continue
                numbers = [float(found[group]) for group in range(1, 6)]
                if "dummy" in found[6] or (numbers[1] == 0 and numbers[3] == 0):
                    dummies += 1
                    continue
                usage = _USAGE.search(found[6])
                without_usage += usage is None
                drafted += numbers[2] != numbers[3]
                rows.append((*numbers, float(usage[1]) / 100 if usage else 0.0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"can't be read: {reason}", source=str(path)) from error
    _check(path, len(rows), without_usage, drafted, periodic=periodic)
    told = None if printed is None else used_capacity(printed, block_size)
    capacity_tokens = kv_capacity_tokens or told
    if capacity_tokens is None:
        raise SpecError(
            "the log tells the share of the KV cache in use but not its size: give "
            "--kv-capacity-tokens (vLLM prints 'GPU KV cache size' when it starts), or keep that "
            "line in the log",
            source=str(path),
            key="--kv-capacity-tokens",
        )
    prompts, prefill, decoding, _, elapsed_ms, used = np.array(rows).T
    held = np.round(used * capacity_tokens)
    notes = [
        f"KV tokens are the share of the cache in use (logged to 0.1%) of {capacity_tokens:,} "
        "tokens, less the prefill tokens of the batch where there are any: prompts that wait in "
        "the middle of their prefill count as decoding.",
        "The log tells no attention work of prefill chunks.",
    ]
    if dummies:
        notes.append(f"{dummies:,} lines of empty or dummy iterations were left out.")
    if asynchronous:
        notes.append(
            "The server scheduled asynchronously: the elapsed time is how long the engine waited "
            "for a batch, which is less than the batch took where another was under way."
        )
    return IterationLog(
        prefill,
        decoding,
        np.where(decoding > 0, np.maximum(held - prefill, decoding), 0.0),
        None,
        elapsed_ms * _S_PER_MS,
        path.name,
        "vLLM iteration log",
        (source_file(path),),
        {PREFILL_SEQS: prompts},
        told,
        gpus,
        tuple(notes),
    )


def _check(path: Path, rows: int, without_usage: int, drafted: int, *, periodic: bool) -> None:
    if not rows and periodic:
        raise SpecError(
            "the periodic lines of vLLM tell throughputs over seconds, not what was in a batch nor "
            f"how long it took: no iteration time can be had from them; {_ADVICE}",
            source=str(path),
        )
    if not rows:
        raise SpecError(f"no line of an iteration of vLLM in it; {_ADVICE}", source=str(path))
    if without_usage:
        raise SpecError(
            f"{without_usage:,} of {rows:,} lines of iterations lack 'GPU KV cache usage', as older "
            "versions of vLLM log them: what KV tokens cost can't be told; take a version that "
            "logs it, or a table with a column kv_tokens",
            source=str(path),
            key="kv_tokens",
        )
    if drafted:
        raise SpecError(
            f"{drafted:,} of {rows:,} iterations generate another number of tokens than requests: "
            "speculative decoding is not in the model; log without it",
            source=str(path),
            key="decode_seqs",
        )
