"""The column ``short_latencies`` of the table of rates: which latencies rest on too few bursts."""

from __future__ import annotations


def is_short(short_latencies: str | None, column: str) -> bool:
    """Whether a column of latencies, as ``ttft_s_p99``, is among those that a row names."""
    return column.replace("_s_", "_") in (short_latencies or "").split(", ")
