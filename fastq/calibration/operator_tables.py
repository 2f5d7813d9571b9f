"""Measured times of single operators, as NVIDIA publishes them with AIConfigurator.

A directory holds ``gemm_perf.parquet`` (m, n, k), ``context_attention_perf.parquet`` (batch_size prompts of
isl tokens), ``generation_attention_perf.parquet`` (batch_size requests that hold isl + step tokens each) and,
where cards share a layer, ``custom_allreduce_perf.parquet`` (message_size numbers). Latencies are
milliseconds. Between measured sizes times are interpolated linearly; beyond the largest matrix they grow in
proportion; in every other direction nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.batch_grid import Grid, bracket, grid_of
from fastq.calibration.iteration_log import source_file
from fastq.calibration.table_file import read_table_file
from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import SourceFile
    from fastq.calibration.model_shape import ModelShape
    from fastq.calibration.table_file import TableFile

GEMM = "gemm_perf.parquet"
CONTEXT = "context_attention_perf.parquet"
GENERATION = "generation_attention_perf.parquet"
ALL_REDUCE = "custom_allreduce_perf.parquet"

_S_PER_MS = 1e-3
_GRAPH = "graph"


@dataclass(frozen=True, slots=True, eq=False)
class OperatorTimes:
    """Times of the operators of one card for one model.

    Parameters
    ----------
    layer_tokens, layer_s
        Tokens in the batch, and the time of a layer's matrices and all-reduces for each, s.
    output_rows, output_s
        Rows of the output layer, and its time for each, s.
    prefill
        Attention of a layer: prompts x prompt tokens.
    decode
        Attention of a layer: requests x KV tokens of each.
    layers
        Number of layers.
    files
        Files that were read.
    measured_on
        Card and engine, as the tables tell them.
    """

    layer_tokens: NDArray[np.float64]
    layer_s: NDArray[np.float64]
    output_rows: NDArray[np.float64]
    output_s: NDArray[np.float64]
    prefill: Grid
    decode: Grid
    layers: int
    files: tuple[SourceFile, ...]
    measured_on: str

    @property
    def most_tokens(self) -> int:
        """Largest batch that was measured, tokens."""
        return int(self.layer_tokens[-1])

    def matrices(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the time of all layers without attention, s, for batches of so many tokens."""
        return self.layers * np.interp(tokens, self.layer_tokens, self.layer_s)

    def output(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the time of the output layer, s, for so many tokens whose successor is wanted."""
        return np.interp(rows, self.output_rows, self.output_s)


def is_operator_tables(path: Path) -> bool:
    """Whether a path is a directory of such tables."""
    return path.is_dir() and (path / GEMM).is_file()


def read_operator_times(path: Path, shape: ModelShape) -> OperatorTimes:
    """Read the tables of a directory for the model of a shape.

    Raises
    ------
    SpecError
        If a table can't be read, or does not hold the type, the heads or the number of cards of the shape.
    """
    gemm = _Gemm(path / GEMM, shape.dtype)
    tokens = gemm.tokens
    layer_s = np.sum([gemm.seconds(n, k) for _, n, k in shape.card_matrices()], axis=0)
    names = [GEMM, CONTEXT, GENERATION]
    if shape.tensor_parallel > 1:
        names.append(ALL_REDUCE)
        layer_s = layer_s + 2 * _all_reduce(path / ALL_REDUCE, shape, tokens)
    return OperatorTimes(
        tokens,
        layer_s,
        tokens,
        gemm.seconds(shape.card_vocab, shape.hidden),
        _attention(path / CONTEXT, shape, "isl"),
        _attention(path / GENERATION, shape, "step", one_more=True),
        shape.layers,
        tuple(source_file(path / name) for name in names),
        gemm.measured_on,
    )


class _Gemm:
    """Times of matrix products of one type, by n and k; a time for each m."""

    def __init__(self, path: Path, dtype: str) -> None:
        table = _read(path, ("framework", "version", "device", "gemm_dtype", "m", "n", "k", "latency"))
        held = table.words("gemm_dtype")
        rows = [row for row, word in enumerate(held) if word == dtype]
        if not rows:
            raise SpecError(
                f"no such type in the table; it has {', '.join(sorted({str(word) for word in held}))}",
                source=str(path),
                key="--dtype",
                value=dtype,
            )
        table = table.take(rows)
        self.measured_on = _measured_on(table)
        m, n, k = (table.numbers(name) for name in ("m", "n", "k"))
        self.tokens, self._n, self._k = np.unique(m), np.unique(n), np.unique(k)
        self._seconds = np.full((self._n.size, self._k.size, self.tokens.size), np.nan)
        self._seconds[
            np.searchsorted(self._n, n), np.searchsorted(self._k, k), np.searchsorted(self.tokens, m)
        ] = table.numbers("latency") * _S_PER_MS
        self._path = path

    def seconds(self, n: int, k: int) -> NDArray[np.float64]:
        """Return the time of an m x k by k x n product for each m, s."""
        beyond = max(1.0, n / self._n[-1]) * max(1.0, k / self._k[-1])
        inside = np.array([min(float(n), self._n[-1])]), np.array([min(float(k), self._k[-1])])
        times = np.array(
            [
                Grid(self._n, self._k, self._seconds[:, :, each]).at(*inside)[0]
                for each in range(self.tokens.size)
            ]
        )
        if np.isnan(times).any():
            raise SpecError(
                f"the table has no times around n = {n:,}, k = {k:,}, a matrix of this model",
                source=str(self._path),
            )
        return np.asarray(times * beyond)


def _attention(path: Path, shape: ModelShape, size: str, *, one_more: bool = False) -> Grid:
    """Read the attention of a layer over requests x tokens, for the heads of one card."""
    table = _read(
        path,
        (
            "num_heads",
            "num_key_value_heads",
            "head_dim",
            "kv_cache_dtype",
            "window_size",
            "batch_size",
            size,
            "latency",
        ),
    )
    wanted = {
        "num_key_value_heads": shape.card_kv_heads,
        "head_dim": shape.head_size,
        "kv_cache_dtype": shape.kv_dtype,
        "window_size": 0,
    }
    rows = list(range(table.rows))
    for name, value in wanted.items():
        if name not in table.columns:
            continue
        held = table.words(name)
        kept = [row for row in rows if held[row] == value]
        if not kept:
            choices = sorted({str(held[row]) for row in rows})
            raise SpecError(
                f"no such attention in the table (it has {', '.join(choices)}); the model has "
                f"{shape.heads} heads, {shape.kv_heads} KV heads of {shape.head_size} on "
                f"{shape.tensor_parallel} cards",
                source=str(path),
                key=name,
                value=value,
            )
        rows = kept
    heads = np.array([float(str(table.words("num_heads")[row])) for row in rows])
    measured = np.unique(heads)
    between, share = bracket(measured, np.array([float(shape.card_heads)]))
    if not measured[0] <= shape.card_heads <= measured[-1]:
        raise SpecError(
            f"no such number of heads with {shape.card_kv_heads} KV heads in the table (it has "
            f"{', '.join(f'{each:g}' for each in measured)})",
            source=str(path),
            key="num_heads",
            value=shape.card_heads,
        )
    kept_table = table.take(rows)
    low = _grid(kept_table, heads == measured[between[0]], size, one_more=one_more)
    if share[0] == 0:
        return low
    high = _grid(kept_table, heads == measured[between[0] + 1], size, one_more=one_more)
    requests, tokens = np.meshgrid(low.rows, low.columns, indexing="ij")
    above = high.at(requests.ravel(), tokens.ravel()).reshape(requests.shape)
    return Grid(low.rows, low.columns, (1 - share[0]) * low.times + share[0] * above)


def _grid(table: TableFile, kept: NDArray[np.bool_], size: str, *, one_more: bool) -> Grid:
    return grid_of(
        table.numbers("batch_size")[kept],
        table.numbers(size)[kept] + (1.0 if one_more else 0.0),
        table.numbers("latency")[kept] * _S_PER_MS,
    )


def _all_reduce(path: Path, shape: ModelShape, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the time of one all-reduce of a layer's output for so many tokens, s.

    The kernels that vLLM records in CUDA graphs; messages are counted in numbers, tokens x hidden size.
    """
    table = _read(path, ("num_gpus", "message_size", "backend", "latency"))
    backends = table.words("backend")
    cards = table.numbers("num_gpus")
    graph = np.array([_GRAPH in str(word) for word in backends])
    rows = np.flatnonzero((cards == shape.tensor_parallel) & graph)
    if not rows.size:
        raise SpecError(
            "no all-reduce of so many cards in the table (it has "
            f"{', '.join(f'{each:g}' for each in np.unique(cards))})",
            source=str(path),
            key="--tensor-parallel",
            value=shape.tensor_parallel,
        )
    sizes, latencies = table.numbers("message_size")[rows], table.numbers("latency")[rows]
    order = np.argsort(sizes)
    message = tokens * shape.hidden
    return np.asarray(np.interp(message, sizes[order], latencies[order]) * _S_PER_MS)


def _read(path: Path, wanted: Sequence[str]) -> TableFile:
    if not path.is_file():
        raise SpecError("this table is missing", source=str(path))
    return read_table_file(path, wanted)


def _measured_on(table: TableFile) -> str:
    words = [
        str(table.words(name)[0]) for name in ("device", "framework", "version") if name in table.columns
    ]
    return ", ".join([*words[:1], " ".join(words[1:])]) if len(words) > 1 else "".join(words)
