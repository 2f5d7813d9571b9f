"""The log of a vLLM server that was started with ``--enable-logging-iteration-details``.

Its lines tell each iteration: requests and tokens in prefill (context), requests and tokens that decode
(generation), the elapsed time, and since it is logged by the front end the share of the KV cache that is in
use. The size of the cache stands in the line that the server prints when it starts. The periodic line of
statistics (throughputs, Running, Waiting) has neither batches nor iteration times, and nothing is made of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
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
    lines = _scan(path)
    _check(path, lines)
    told = None if lines.printed_tokens is None else used_capacity(lines.printed_tokens, block_size)
    capacity_tokens = kv_capacity_tokens or told
    if capacity_tokens is None:
        raise SpecError(
            "the log tells the share of the KV cache in use but not its size: give "
            "--kv-capacity-tokens (vLLM prints 'GPU KV cache size' when it starts), or keep that "
            "line in the log",
            source=str(path),
            key="--kv-capacity-tokens",
        )
    prompts, prefill, decoding, _, elapsed_ms, used = np.array(lines.rows).T
    held = np.round(used * capacity_tokens)
    notes = [
        f"KV tokens are the share of the cache in use (logged to 0.1%) of {capacity_tokens:,} "
        "tokens, less the prefill tokens of the batch where there are any: prompts that wait in "
        "the middle of their prefill count as decoding.",
        "The log tells no attention work of prefill chunks.",
    ]
    if lines.dummies:
        notes.append(f"{lines.dummies:,} lines of empty or dummy iterations were left out.")
    if lines.asynchronous:
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
        lines.gpus,
        tuple(notes),
    )


@dataclass(slots=True)
class _Lines:
    """What the lines of a log say; a row is prompts, prefill tokens, decoding, generated, ms, share of the cache."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    dummies: int = 0
    without_usage: int = 0
    drafted: int = 0
    periodic: bool = False
    asynchronous: bool = False
    printed_tokens: int | None = None
    gpus: int | None = None

    def take(self, line: str) -> None:
        """Take what a line says."""
        self.periodic = self.periodic or _PERIODIC in line
        self.asynchronous = self.asynchronous or _ASYNC.search(line) is not None
        if capacity := _CAPACITY.search(line):
            self.printed_tokens = int(capacity[1].replace(",", ""))
        if cards := _TENSOR_PARALLEL.search(line):
            self.gpus = int(cards[1])
        found = _ITERATION.search(line)
        if found is None:
            return
        numbers = [float(found[group]) for group in range(1, 6)]
        if "dummy" in found[6] or (numbers[1] == 0 and numbers[3] == 0):
            self.dummies += 1
            return
        usage = _USAGE.search(found[6])
        self.without_usage += usage is None
        self.drafted += numbers[2] != numbers[3]
        self.rows.append((*numbers, float(usage[1]) / 100 if usage else 0.0))


def _scan(path: Path) -> _Lines:
    lines = _Lines()
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                lines.take(line)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"can't be read: {reason}", source=str(path)) from error
    return lines


def _check(path: Path, lines: _Lines) -> None:
    rows = len(lines.rows)
    if not rows and lines.periodic:
        raise SpecError(
            "the periodic lines of vLLM tell throughputs over seconds, not what was in a batch nor "
            f"how long it took: no iteration time can be had from them; {_ADVICE}",
            source=str(path),
        )
    if not rows:
        raise SpecError(f"no line of an iteration of vLLM in it; {_ADVICE}", source=str(path))
    if lines.without_usage:
        raise SpecError(
            f"{lines.without_usage:,} of {rows:,} lines of iterations lack 'GPU KV cache usage', as older "
            "versions of vLLM log them: what KV tokens cost can't be told; take a version that "
            "logs it, or a table with a column kv_tokens",
            source=str(path),
            key="kv_tokens",
        )
    if lines.drafted:
        raise SpecError(
            f"{lines.drafted:,} of {rows:,} iterations generate another number of tokens than requests: "
            "speculative decoding is not in the model; log without it",
            source=str(path),
            key="decode_seqs",
        )
