"""Which kind of file a log is, and how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.calibration.iteration_log import held_against
from fastq.calibration.layer_profile import is_layer_profile, read_layer_profile
from fastq.calibration.log_columns import read_log
from fastq.calibration.operator_batches import read_operator_batches
from fastq.calibration.operator_tables import is_operator_tables
from fastq.calibration.splitwise import is_splitwise, read_splitwise
from fastq.calibration.table_file import FORMATS
from fastq.calibration.vllm_log import ENDINGS, is_vllm_log, read_vllm_log
from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fastq.calibration.beyond_tables import BeyondTables
    from fastq.calibration.iteration_log import IterationLog
    from fastq.calibration.model_shape import ModelShape


def read_iterations(
    path: Path,
    *,
    shape: ModelShape | None,
    layers: int | None,
    renamed: Mapping[str, str],
    kept: Mapping[str, str],
    kv_capacity_tokens: int | None,
    block_size: int,
    beyond: BeyondTables | None = None,
) -> IterationLog:
    """Read a log, whatever kind it is; what it holds decides.

    Parameters
    ----------
    path
        A file, or a directory of tables.
    shape
        The model; tables of single operators need it.
    layers
        Its layers, where only they are known.
    renamed, kept
        See :func:`~fastq.calibration.log_columns.read_log`.
    kv_capacity_tokens
        KV capacity where it is known; batches that hold more are left out.
    block_size
        Tokens per block.
    beyond
        What a batch takes beyond tables of single operators; refused for anything else.

    Raises
    ------
    SpecError
        If there is no such file, it is of no kind that is known, or it can't be read.
    """
    if not path.exists():
        raise SpecError("there is no such file or directory", source=str(path))
    if beyond is not None and not is_operator_tables(path):
        raise SpecError(
            "--memory-bandwidth-gb-s and --mixed-attention add to tables of single operators what these lack; "
            "this is a log of whole iterations or layers, which has it",
            source=str(path),
        )
    if path.is_dir():
        _refuse(renamed, "--column", "a directory of measured operators or layers has columns of its own")
        _refuse(kept, "--where", "a directory of measured operators or layers is read as a whole")
        if is_operator_tables(path):
            if shape is None:
                raise SpecError(
                    "these are times of single operators, to be summed over a model: give its "
                    "config.json with --model, or --layers, --hidden, --heads, --kv-heads, "
                    "--head-size, --intermediate and --vocab",
                    source=str(path),
                    key="--model",
                )
            return read_operator_batches(path, shape, kv_capacity_tokens=kv_capacity_tokens, beyond=beyond)
        if is_layer_profile(path):
            return read_layer_profile(path, layers, kv_capacity_tokens=kv_capacity_tokens)
        raise SpecError(
            "a directory must hold the tables of AIConfigurator (gemm_perf.parquet and others) or "
            "of LLMServingSim (attention.csv, dense.csv, per_sequence.csv)",
            source=str(path),
        )
    if is_vllm_log(path):
        _refuse(renamed, "--column", "the text log of a server has no columns")
        _refuse(kept, "--where", "the text log of a server has no columns")
        return read_vllm_log(path, kv_capacity_tokens, block_size)
    if path.suffix.lower() not in FORMATS:
        raise SpecError(
            f"a log is a table ({', '.join(FORMATS)}), the text log of a vLLM server "
            f"({', '.join(ENDINGS)}), or a directory of measured operators or layers",
            source=str(path),
            value=path.suffix,
        )
    log = read_splitwise(path, kept) if is_splitwise(path) else read_log(path, renamed, kept)
    return held_against(log, kv_capacity_tokens)


def _refuse(given: Mapping[str, str], option: str, why: str) -> None:
    if given:
        raise SpecError(why, key=option, value=next(iter(given)))
