"""Batches that cover what an engine runs, timed as the sum of their operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.batch_grid import decode_grid
from fastq.calibration.iteration_log import CACHED_TOKENS, FINISHING_PROMPTS, PREFILL_SEQS, IterationLog
from fastq.calibration.operator_tables import read_operator_times

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastq.calibration.model_shape import ModelShape

_DECODING_MIXED = (1, 4, 16, 64, 128, 256)
_CONTEXTS_MIXED = (128, 512, 2048, 8192)
_PROMPTS = (1, 2, 4, 8, 16)
_PROMPT_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


def read_operator_batches(
    path: Path, shape: ModelShape, *, kv_capacity_tokens: int | None, most_tokens: int = 8192
) -> IterationLog:
    """Time a grid of batches by the operator tables of a directory.

    Half of the batches decode only, as most iterations of an engine do; the others prefill 1 to 16 equal
    prompts, alone or beside decoding requests of equal context. Prompts are whole: the tables have no chunk
    after a cached prefix.

    Parameters
    ----------
    path
        Directory of the tables.
    shape
        The model.
    kv_capacity_tokens
        Batches that hold more KV tokens are left out; ``None``: none are.
    most_tokens
        Batches of more tokens are left out.

    Raises
    ------
    SpecError
        As :func:`~fastq.calibration.operator_tables.read_operator_times`.
    """
    times = read_operator_times(path, shape)
    prompts, length, decoding, context = _grid().T
    tokens = prompts * length + decoding
    fits = tokens <= min(most_tokens, times.most_tokens)
    if kv_capacity_tokens is not None:
        fits &= decoding * context + prompts * length <= kv_capacity_tokens
    prompts, length, decoding, context, tokens = (
        each[fits] for each in (prompts, length, decoding, context, tokens)
    )
    prefill_s = np.zeros(tokens.size)
    prefilling = prompts > 0
    prefill_s[prefilling] = times.prefill.at(prompts[prefilling], length[prefilling])
    decode_s = np.zeros(tokens.size)
    decodes = decoding > 0
    decode_s[decodes] = times.decode.at(decoding[decodes], context[decodes])
    seconds = (
        times.matrices(tokens) + times.output(prompts + decoding) + times.layers * (prefill_s + decode_s)
    )
    measured = np.isfinite(seconds)
    log = IterationLog(
        prompts * length,
        decoding,
        decoding * context,
        prompts * length * length / 2,
        seconds,
        path.name,
        f"operator tables ({times.measured_on})",
        times.files,
        {PREFILL_SEQS: prompts, FINISHING_PROMPTS: prompts, CACHED_TOKENS: np.zeros(tokens.size)},
        notes=(
            f"A batch takes the sum of its matrices, "
            f"attention{' and all-reduces' if shape.tensor_parallel > 1 else ''} over "
            f"{shape.layers} layers, and of the output layer: kernel times alone, without norms, "
            "activations, sampling and the host.",
            "Prompts are whole, prefill and decode attention run one after the other, and times "
            "between measured sizes are interpolated linearly.",
        ),
    )
    return log.take(measured)


def _grid() -> NDArray[np.float64]:
    """Return batches, rows x (prompts, tokens of each, decoding requests, KV tokens of each)."""
    decode_only = [(0, 0, *each) for each in decode_grid()]
    prefill = [(prompts, length) for prompts in _PROMPTS for length in _PROMPT_TOKENS]
    alone = [(*each, 0, 0) for each in prefill]
    mixed = [
        (*each, requests, context)
        for index, each in enumerate(prefill)
        for requests in _DECODING_MIXED
        for context in _CONTEXTS_MIXED
        if (index + requests + context.bit_length()) % 3 == 0
    ]
    return np.array(decode_only + alone + mixed, dtype=np.float64)
