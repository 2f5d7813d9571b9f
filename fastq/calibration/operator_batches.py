"""Batches that cover what an engine runs, timed as the sum of their operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.batch_grid import decode_grid
from fastq.calibration.beyond_tables import BeyondTables
from fastq.calibration.iteration_log import CACHED_TOKENS, FINISHING_PROMPTS, PREFILL_SEQS, IterationLog
from fastq.calibration.operator_tables import read_operator_times

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastq.calibration.model_shape import ModelShape
    from fastq.calibration.operator_tables import OperatorTimes

_DECODING_MIXED = (1, 4, 16, 64, 128, 256)
_CONTEXTS_MIXED = (128, 512, 2048, 8192)
_PROMPTS = (1, 2, 4, 8, 16)
_PROMPT_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
_CHUNKS = (256, 512, 1024, 2048)
_CACHED = (512, 1024, 2048, 4096, 8192, 12288)


def read_operator_batches(
    path: Path,
    shape: ModelShape,
    *,
    kv_capacity_tokens: int | None,
    beyond: BeyondTables | None = None,
    most_tokens: int = 8192,
) -> IterationLog:
    """Time a grid of batches by the operator tables of a directory.

    Many of the batches decode only, as most iterations of an engine do; the others prefill 1 to 16 equal
    prompts, or a chunk of one after a cached prefix, alone or beside decoding requests of equal context. The
    tables have whole prompts: attention of a chunk is that of all tokens up to its end less that of those
    before it, which is the same work.

    Parameters
    ----------
    path
        Directory of the tables.
    shape
        The model.
    kv_capacity_tokens
        Batches that hold more KV tokens are left out; ``None``: none are.
    beyond
        What a batch takes beyond its operators; by default nothing.
    most_tokens
        Batches of more tokens are left out.

    Raises
    ------
    SpecError
        As :func:`~fastq.calibration.operator_tables.read_operator_times`.
    """
    times = read_operator_times(path, shape)
    beyond = beyond or BeyondTables()
    grid = _grid()
    prompts, length, cached, decoding, context = grid.T
    fits = prompts * length + decoding <= min(most_tokens, times.most_tokens)
    if kv_capacity_tokens is not None:
        fits &= decoding * context + prompts * (cached + length) <= kv_capacity_tokens
    prompts, length, cached, decoding, context = grid[fits].T
    tokens = prompts * length + decoding
    seconds = (
        times.matrices(tokens)
        + beyond.small_kernels_s(shape, tokens)
        + times.output(prompts + decoding)
        + times.layers * _attention_s(times, grid[fits], beyond.mixed_attention)
    )
    measured = np.isfinite(seconds)
    log = IterationLog(
        prompts * length,
        decoding,
        decoding * context,
        prompts * length * (cached + length / 2),
        seconds,
        path.name,
        f"operator tables ({times.measured_on})",
        times.files,
        {PREFILL_SEQS: prompts, FINISHING_PROMPTS: prompts, CACHED_TOKENS: cached},
        notes=(
            f"A batch takes the sum of its matrices, "
            f"attention{' and all-reduces' if shape.tensor_parallel > 1 else ''} over "
            f"{shape.layers} layers, and of the output layer: kernel times alone, without "
            f"{'' if beyond.memory_bandwidth_gb_s else 'norms, activations, '}sampling and the host.",
            *beyond.notes(),
            "Prefill and decode attention are added up, attention of a chunk is that of the prompt up to its end less "
            "that of what is cached, and times between measured sizes are interpolated linearly.",
        ),
    )
    return log.take(measured)


def _attention_s(
    times: OperatorTimes, batches: NDArray[np.float64], mixed_attention: float
) -> NDArray[np.float64]:
    """Return the attention of a layer for rows of :func:`_grid`, s; NaN where the tables end."""
    prompts, length, cached, decoding, context = batches.T
    prefill_s, decode_s = np.zeros(len(batches)), np.zeros(len(batches))
    prefills, after_cached, decodes = prompts > 0, cached > 0, decoding > 0
    prefill_s[prefills] = times.prefill.at(prompts[prefills], (cached + length)[prefills])
    prefill_s[after_cached] -= times.prefill.at(prompts[after_cached], cached[after_cached])
    decode_s[decodes] = times.decode.at(decoding[decodes], context[decodes])
    decode_s[prefills] *= mixed_attention
    return prefill_s + decode_s


def _grid() -> NDArray[np.float64]:
    """Return batches, rows x (prompts, tokens of each, cached before them, decoding requests, KV tokens of each)."""
    decode_only = [(0, 0, 0, *each) for each in decode_grid()]
    whole = [(prompts, length, 0) for prompts in _PROMPTS for length in _PROMPT_TOKENS]
    chunks = [(1, length, cached) for length in _CHUNKS for cached in _CACHED]
    alone = [(*each, 0, 0) for each in (*whole, *chunks)]
    mixed = [
        (*each, requests, context)
        for kind, every in ((whole, 3), (chunks, 7))
        for index, each in enumerate(kind)
        for requests in _DECODING_MIXED
        for context in _CONTEXTS_MIXED
        if (index + requests + context.bit_length()) % every == 0
    ]
    return np.array(decode_only + alone + mixed, dtype=np.float64)
