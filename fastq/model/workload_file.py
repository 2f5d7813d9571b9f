"""Workload files: a quantised law as Parquet, with where it comes from and how far it is from its trace."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

METADATA_KEY = b"fastq"
"""Key of the JSON document in the schema metadata of a workload file."""

KEPT_SHARE = 0.005
"""Error up to which a figure counts as kept, as a share of the trace's."""

_CHUNKS = (128, 512, 2048)
_PERCENTILES = np.arange(1, 100)
_SHOWN_PERCENTILES = (1, 10, 50, 90, 99)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a workload comes from.

    Parameters
    ----------
    name
        Name of the entry.
    source
        Data set, authors, year, version.
    licence
        Licence of the data set.
    command
        Command that makes the file again.
    """

    name: str
    source: str
    licence: str
    command: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of a trace and of its sketch.

    Parameters
    ----------
    figure
        What it is, with its unit.
    trace, table
        Value over the rows of the trace and over the entries of the table; ``None`` where undefined.
    """

    figure: str
    trace: float | None
    table: float | None

    @property
    def relative_error(self) -> float | None:
        """Error of the table, as a share of the trace's value; ``None`` where undefined."""
        if self.trace is None or self.table is None:
            return None
        if self.trace == self.table:
            return 0.0
        return self.table / self.trace - 1.0 if self.trace else None

    @property
    def is_kept(self) -> bool:
        """Whether the table keeps the figure: within 0.5%, a token, or 0.005 of a correlation.

        Largest lengths are no such figure: an entry stands for many rows, and the longest may be too rare.
        """
        if self.trace is None or self.table is None or self.figure.startswith("max_"):
            return True
        error = abs(self.table - self.trace)
        if self.figure == "correlation":
            return error <= KEPT_SHARE
        a_token = 1.0 if self.figure.startswith(("p", "mean_prompt", "mean_output")) else 0.0
        return error <= max(KEPT_SHARE * abs(self.trace), a_token)


def kv_area_tokens(prompt_tokens: ArrayLike, output_tokens: ArrayLike, chunk_tokens: int) -> float:
    """Mean KV area of a request: its KV tokens, summed over its prefill chunks and its output tokens.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths, tokens.
    chunk_tokens
        Most prompt tokens of a request in one iteration.

    Returns
    -------
    float
        E[g], token-iterations a request; s + 1, ..., s + o tokens are held while o output tokens are made.
    """
    prompts, outputs = np.asarray(prompt_tokens, dtype=np.int64), np.asarray(output_tokens, dtype=np.int64)
    whole = prompts // chunk_tokens
    prefill = chunk_tokens * whole * (whole + 1) // 2 + np.where(prompts % chunk_tokens > 0, prompts, 0)
    decode = prompts * outputs + outputs * (outputs + 1) // 2
    return float((prefill + decode).mean())


def compare(trace: tuple[ArrayLike, ArrayLike], table: tuple[ArrayLike, ArrayLike]) -> tuple[Comparison, ...]:
    """Compare a trace with its sketch.

    Parameters
    ----------
    trace, table
        Prompt and output lengths, tokens.

    Returns
    -------
    tuple of Comparison
        Means, KV areas, percentiles, correlation and largest lengths.
    """
    of_trace, of_table = _figures(*trace), _figures(*table)
    return tuple(Comparison(figure, of_trace[figure], of_table[figure]) for figure in of_trace)


def percentile_errors(
    trace: tuple[ArrayLike, ArrayLike], table: tuple[ArrayLike, ArrayLike]
) -> dict[str, int]:
    """Largest error of the percentiles 1 to 99 of prompts and of outputs, tokens.

    Percentiles are the lower inverse of the distribution function.
    """
    return {
        name: int(np.abs(_percentiles(one) - _percentiles(other)).max())
        for name, one, other in zip(("prompt_tokens", "output_tokens"), trace, table, strict=True)
    }


def write_workload(
    path: Path, trace: tuple[ArrayLike, ArrayLike], table: tuple[ArrayLike, ArrayLike], origin: Origin
) -> Mapping[str, object]:
    """Write a workload file.

    Parameters
    ----------
    path
        Parquet file to write; replaced in one step where it stands already.
    trace, table
        Prompt and output lengths, tokens: of the trace, and of its sketch, which is what is written.
    origin
        Where the workload comes from.

    Returns
    -------
    mapping
        The metadata written with it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompts, outputs = (np.asarray(column, dtype=np.int32) for column in table)
    metadata = _metadata(trace, (prompts, outputs), origin)
    fields = [
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("output_tokens", pa.int32(), nullable=False),
    ]
    schema = pa.schema(fields)
    arrow = pa.Table.from_arrays([pa.array(prompts), pa.array(outputs)], schema=schema)
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    partial = path.with_name(f".{path.name}.partial")
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd", store_schema=False) as writer:
            writer.write_table(arrow)
            writer.add_key_value_metadata({METADATA_KEY.decode(): text})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return metadata


def _metadata(
    trace: tuple[ArrayLike, ArrayLike], table: tuple[ArrayLike, ArrayLike], origin: Origin
) -> dict[str, object]:
    prompts, outputs = (np.asarray(column, dtype=np.int64) for column in trace)
    longest = int(np.lexsort((prompts, -(prompts + outputs)))[0])
    return {
        **asdict(origin),
        "change": "quantised joint law of the pairs (prompt, output); no order, no times, no identities",
        "rows": int(prompts.size),
        "entries": int(np.asarray(table[0]).size),
        "figures": {
            each.figure: {
                "trace": _rounded(each.trace),
                "table": _rounded(each.table),
                "relative_error": None
                if each.relative_error is None
                else round(each.relative_error, 6) + 0.0,
            }
            for each in compare(trace, table)
        },
        "percentile_errors": percentile_errors(trace, table),
        "trace_maximum": {
            "prompt_tokens": int(prompts.max()),
            "output_tokens": int(outputs.max()),
            "total_tokens": int(prompts[longest] + outputs[longest]),
            "longest_request": [int(prompts[longest]), int(outputs[longest])],
        },
    }


def _figures(prompt_tokens: ArrayLike, output_tokens: ArrayLike) -> dict[str, float | None]:
    prompts, outputs = np.asarray(prompt_tokens, dtype=np.int64), np.asarray(output_tokens, dtype=np.int64)
    figures: dict[str, float | None] = {
        "mean_prompt_tokens": float(prompts.mean()),
        "mean_output_tokens": float(outputs.mean()),
    }
    for chunk in _CHUNKS:
        figures[f"kv_area_chunk_{chunk}_tokens"] = kv_area_tokens(prompts, outputs, chunk)
    figures["mean_square_prompt_tokens"] = float((prompts.astype(np.float64) ** 2).mean())
    figures["mean_square_output_tokens"] = float((outputs.astype(np.float64) ** 2).mean())
    figures["correlation"] = _correlation(prompts, outputs)
    for name, column in (("prompt", prompts), ("output", outputs)):
        percentiles = _percentiles(column)
        for percent in _SHOWN_PERCENTILES:
            figures[f"p{percent}_{name}_tokens"] = float(percentiles[percent - 1])
    figures["max_prompt_tokens"] = float(prompts.max())
    figures["max_output_tokens"] = float(outputs.max())
    figures["max_total_tokens"] = float((prompts + outputs).max())
    return figures


def _percentiles(column: ArrayLike) -> NDArray[np.int64]:
    lengths = np.asarray(column, dtype=np.int64)
    return np.percentile(lengths, _PERCENTILES, method="inverted_cdf").astype(np.int64)


def _correlation(prompts: NDArray[np.int64], outputs: NDArray[np.int64]) -> float | None:
    if prompts.min() == prompts.max() or outputs.min() == outputs.max():
        return None
    return float(np.corrcoef(prompts, outputs)[0, 1])


def _rounded(value: float | None) -> float | None:
    """Round to 8 significant digits, so that the last bits of a sum don't decide the bytes of a file."""
    return None if value is None else float(f"{value:.8g}")
