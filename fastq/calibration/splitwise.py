"""The performance table of Splitwise: times of a batch of prompts, and of the tokens after them.

``perf_model.csv`` has a row for a model on some cards: batch_size prompts of prompt_size tokens took
prompt_time ms, and each of the token_size tokens after them token_time ms on average. So a row is two
iterations, one that prefills whole prompts and one that decodes at the mean context; none does both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.iteration_log import FINISHING_PROMPTS, PREFILL_SEQS, IterationLog, source_file
from fastq.calibration.log_columns import rows_where
from fastq.calibration.table_file import column_names, read_table_file
from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COLUMNS = ("prompt_size", "batch_size", "token_size", "prompt_time", "token_time")
_CONFIGURATION = ("model", "hardware", "tensor_parallel")
_S_PER_MS = 1e-3


def is_splitwise(path: Path) -> bool:
    """Whether a file has the columns of such a table."""
    return path.is_file() and set(_COLUMNS) <= set(column_names(path))


def read_splitwise(path: Path, kept: Mapping[str, str]) -> IterationLog:
    """Read the rows of one configuration.

    Parameters
    ----------
    path
        The table.
    kept
        Name of a column: the value that a row must have to be read.

    Raises
    ------
    SpecError
        If the table can't be read, or the rows are of more than one model, card or number of cards.
    """
    table = rows_where(read_table_file(path), kept)
    chosen = []
    for name in _CONFIGURATION:
        held = sorted({str(word) for word in table.words(name)})
        if len(held) > 1:
            raise SpecError(
                f"the rows are of several: {', '.join(held)}; choose one with --where {name}={held[0]}",
                source=str(path),
                key=name,
            )
        chosen.append(held[0])
    prompt, batch, output, prompt_ms, token_ms = (table.numbers(name) for name in _COLUMNS)
    none, context = np.zeros(batch.size), prompt + (output + 1) / 2
    return IterationLog(
        np.concatenate([batch * prompt, none]),
        np.concatenate([none, batch]),
        np.concatenate([none, batch * context]),
        np.concatenate([batch * prompt * prompt / 2, none]),
        np.concatenate([prompt_ms, token_ms]) * _S_PER_MS,
        path.name,
        f"Splitwise's table ({chosen[0]} on {chosen[2]} x {chosen[1]})",
        (source_file(path),),
        {PREFILL_SEQS: np.concatenate([batch, none]), FINISHING_PROMPTS: np.concatenate([batch, none])},
        gpus=int(chosen[2]) if chosen[2].isdecimal() else None,
        notes=(
            "Whole prompts and decoding were timed apart: no batch does both, and a token's time "
            "is the mean over the tokens of its output, at their mean context.",
        ),
    )
