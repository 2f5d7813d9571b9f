"""Iteration times read off LLMServingSim's layer profile itself, without a fit.

For the experiments of ``docs/validation.md``. The profile is a directory with ``dense.csv`` (layer, tokens, time),
``attention.csv`` (prefill chunk, its context, decoding requests, KV tokens of each, time) and ``per_sequence.csv``
(layer, sequences, time), all in microseconds. It does not ship.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import RegularGridInterpolator

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LAYERS = 32
PER_LAYER = {
    "layernorm": 2, "qkv_proj": 1, "rotary_emb": 1, "o_proj": 1, "gate_up_proj": 1, "act_fn": 1, "down_proj": 1,
}  # fmt: skip
"""Dense parts of one layer of Llama-3.1-8B, and how often each is run."""

ONCE = ("embedding", "final_layernorm")
US_PER_MS = 1e3


class LayerProfile:
    """Sums of layer times.

    Parameters
    ----------
    directory
        Where the three files are.
    """

    def __init__(self, directory: Path) -> None:
        dense = _rows(directory / "dense.csv")
        self._dense = {
            name: _sorted(
                [(float(row["tokens"]), float(row["time_us"])) for row in dense if row["layer"] == name]
            )
            for name in (*PER_LAYER, *ONCE)
        }
        self._per_sequence = _sorted(
            [
                (float(row["sequences"]), float(row["time_us"]))
                for row in _rows(directory / "per_sequence.csv")
            ]
        )
        self._attention = _attention(_rows(directory / "attention.csv"))

    def iteration_ms(
        self, prefill_tokens: Numbers, decode_seqs: Numbers, decode_kv_tokens: Numbers
    ) -> Numbers:
        """Return the time of batches, ms.

        Parameters
        ----------
        prefill_tokens, decode_seqs, decode_kv_tokens
            Of each batch. All its prefill counts as one chunk with no context, all its decoding requests hold the
            same KV.
        """
        kv_each = decode_kv_tokens / np.maximum(1, decode_seqs)
        attention_us = self._attention(np.column_stack((prefill_tokens, decode_seqs, kv_each)))
        return self.with_attention_ms(prefill_tokens, decode_seqs, attention_us)

    def with_attention_ms(
        self, prefill_tokens: Numbers, decode_seqs: Numbers, attention_us: Numbers
    ) -> Numbers:
        """Return the time of batches whose attention takes a known time a layer, us; in ms."""
        tokens = prefill_tokens + decode_seqs
        layer_us = sum(times * np.interp(tokens, *self._dense[name]) for name, times in PER_LAYER.items())
        once_us = sum(np.interp(tokens, *self._dense[name]) for name in ONCE)
        once_us = once_us + np.interp(decode_seqs + (prefill_tokens > 0), *self._per_sequence)
        return np.asarray((LAYERS * (layer_us + attention_us) + once_us) / US_PER_MS)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _sorted(pairs: list[tuple[float, float]]) -> tuple[Numbers, Numbers]:
    x, y = np.array(sorted(pairs)).T
    return x, y


def _attention(rows: list[dict[str, str]]) -> RegularGridInterpolator:
    """Interpolate between the measured batches whose prefill has no context, linearly in every argument.

    A batch without decoding requests has one measurement, whatever their KV would be.
    """
    first = [row for row in rows if int(row["kv_prefill"]) == 0]
    found = {
        (int(row["prefill_chunk"]), int(row["n_decode"]), int(row["kv_decode"])): float(row["time_us"])
        for row in first
    }
    chunks, seqs, kv = (sorted({key[place] for key in found}) for place in range(3))
    kv = [each for each in kv if each > 0]
    times = np.full((len(chunks), len(seqs), len(kv)), np.nan)
    for i, chunk in enumerate(chunks):
        for j, count in enumerate(seqs):
            for k, each in enumerate(kv):
                key = (chunk, 0, 0) if count == 0 else (chunk, count, each)
                times[i, j, k] = 0.0 if key == (0, 0, 0) else found.get(key, np.nan)
    return RegularGridInterpolator((chunks, seqs, kv), times, bounds_error=False, fill_value=None)
