"""The mark of latencies whose intervals can't be trusted, for people."""

from __future__ import annotations

SHORT_MARK = "?"
SHORT_NOTE = (
    f"{SHORT_MARK}: rests on so few bursts of waiting that the truth may well lie outside, most likely above;\n"
    "raise run.requests or run.replications"
)
