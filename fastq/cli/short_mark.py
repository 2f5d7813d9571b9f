"""The mark of latencies whose intervals can't be trusted, for people."""

from __future__ import annotations

SHORT_MARK = "?"
SHORT_NOTE = (
    f"{SHORT_MARK}: rests on so few bursts of waiting that the truth may well lie outside, most likely above;\n"
    "raise run.requests or run.replications"
)


def is_short(short_latencies: str | None, column: str) -> bool:
    """Whether a column of latencies, as ``ttft_s_p99``, is among those that the table of rates names."""
    return column.replace("_s_", "_") in (short_latencies or "").split(", ")
