"""Measured times of single layers, as LLMServingSim publishes them.

A directory holds ``dense.csv`` (layer, tokens, time_us), ``per_sequence.csv`` (layer, sequences, time_us) and
``attention.csv`` (a prefill chunk of prefill_chunk tokens after kv_prefill cached ones, beside n_decode
requests that hold kv_decode tokens each, time_us). Attention of prefill and decode was measured together, so
what a mixed batch costs beyond its parts is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.batch_grid import decode_grid, grid_of
from fastq.calibration.folds import evenly
from fastq.calibration.iteration_log import CACHED_TOKENS, PREFILL_SEQS, IterationLog, source_file
from fastq.calibration.table_file import read_table_file
from fastq.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ATTENTION, DENSE, SEQUENCES = "attention.csv", "dense.csv", "per_sequence.csv"

_PER_LAYER = {
    "layernorm": 2,
    "qkv_proj": 1,
    "rotary_emb": 1,
    "o_proj": 1,
    "gate_up_proj": 1,
    "act_fn": 1,
    "down_proj": 1,
}
"""Times that a layer of the model runs each dense layer; two norms, of attention and of the feed-forward
part."""

_ONCE = ("embedding", "final_layernorm")
_S_PER_US = 1e-6


def is_layer_profile(path: Path) -> bool:
    """Whether a path is a directory of such tables."""
    return path.is_dir() and all((path / name).is_file() for name in (ATTENTION, DENSE, SEQUENCES))


def read_layer_profile(path: Path, layers: int | None, *, kv_capacity_tokens: int | None) -> IterationLog:
    """Sum the layers of a profile over a model.

    Many of the batches decode only, as most iterations of an engine do: a grid, interpolated linearly between
    what was measured. All measured batches that only prefill are in it, and of those that do both as many as
    decode only, evenly.

    Parameters
    ----------
    path
        Directory of the tables.
    layers
        Layers of the model.
    kv_capacity_tokens
        Batches that hold more KV tokens are left out; ``None``: none are.

    Raises
    ------
    SpecError
        If a table can't be read or lacks a layer, or the number of layers was not given.
    """
    if layers is None:
        raise SpecError(
            "is missing: the profile is of one layer; say how many the model has, with --layers or --model",
            source=str(path),
            key="--layers",
        )
    dense, sequences = _curves(path / DENSE, "tokens"), _curves(path / SEQUENCES, "sequences")
    missing = [name for name in (*_PER_LAYER, *_ONCE) if name not in dense]
    if missing:
        raise SpecError(
            f"this layer is missing; layers here: {', '.join(dense)}",
            source=str(path / DENSE),
            key=missing[0],
        )
    most = (
        min(curve[0][-1] for curve in dense.values()),
        min(curve[0][-1] for curve in sequences.values()),
        np.inf if kv_capacity_tokens is None else kv_capacity_tokens,
    )
    batches = _batches(path, most)
    chunk, cached, requests, context, attention_us = batches.T
    tokens, prompts = chunk + requests, (chunk > 0).astype(np.float64)
    layer_us = attention_us + sum(
        count * np.interp(tokens, *dense[name]) for name, count in _PER_LAYER.items()
    )
    once_us = sum(np.interp(tokens, *dense[name]) for name in _ONCE)
    rows_us = sum(np.interp(prompts + requests, *curve) for curve in sequences.values())
    return IterationLog(
        chunk,
        requests,
        requests * context,
        chunk * (cached + chunk / 2),
        np.asarray((layers * layer_us + once_us + rows_us) * _S_PER_US),
        path.name,
        "layer profile",
        tuple(source_file(path / name) for name in (DENSE, SEQUENCES, ATTENTION)),
        {PREFILL_SEQS: prompts, CACHED_TOKENS: cached},
        notes=(
            f"A batch takes the sum of its {layers} layers, of embedding and last norm, and of "
            "output layer and sampling for its sequences: layer times alone, without the host.",
            "Of the measured batches that prefill and decode as many were taken as decode only, evenly.",
        ),
    )


def _batches(path: Path, most: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return batches: chunk, cached before it, decoding requests, tokens of each, attention of a layer in us.

    ``most`` is the largest number of tokens and of sequences that was measured, and the KV capacity.
    """
    table = read_table_file(path / ATTENTION)
    measured = np.stack(
        [table.numbers(name) for name in ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")],
        axis=1,
    )
    decode_only = (measured[:, 0] == 0) & (measured[:, 2] > 0)
    grid = grid_of(measured[decode_only, 2], measured[decode_only, 3], measured[decode_only, 4])
    requests, context = decode_grid().T
    none = np.zeros(requests.size)
    decoding = np.stack([none, none, requests, context, grid.at(requests, context)], axis=1)
    decoding = _fitting(decoding[np.isfinite(decoding[:, 4])], most)
    prefilling = _fitting(measured[(measured[:, 0] > 0) & (measured[:, 2] == 0)], most)
    mixed = _fitting(measured[(measured[:, 0] > 0) & (measured[:, 2] > 0)], most)
    if not decoding.size or not prefilling.size:
        raise SpecError(
            "no batch of the profile lies within what was measured and fits in the KV capacity",
            source=str(path / ATTENTION),
            key="kv_decode",
        )
    return np.concatenate([decoding, prefilling, mixed[evenly(len(mixed), len(decoding))]])


def _fitting(batches: NDArray[np.float64], most: tuple[float, float, float]) -> NDArray[np.float64]:
    chunk, cached, requests, context, _ = batches.T
    fits = (chunk + requests <= most[0]) & ((chunk > 0) + requests <= most[1])
    return np.asarray(batches[fits & (requests * context + cached + chunk <= most[2])])


def _curves(path: Path, size: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return sizes and times, us, of each layer of a table, ascending in size."""
    table = read_table_file(path, ("layer", size, "time_us"))
    names = table.words("layer")
    sizes, times_us = table.numbers(size), table.numbers("time_us")
    curves = {}
    for name in dict.fromkeys(map(str, names)):
        rows = np.array([row for row, held in enumerate(names) if held == name])
        order = rows[np.argsort(sizes[rows], kind="stable")]
        curves[name] = (sizes[order], times_us[order])
    return curves
