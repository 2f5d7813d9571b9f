"""The columns of a recorded run: its requests and its iterations, one registry of names, units and meanings.

A column that means nothing under an infinite backlog is null there, never absent.
"""

from __future__ import annotations

from fastq.store.schema import Column

_RATE = Column(
    "arrival_rate_rps",
    "float",
    "requests/s",
    "arrival rate, rejected requests included; null where saturated",
)

REQUESTS = (
    _RATE,
    Column("request", "int", "", "number of the request, in order of arrival"),
    Column("arrival_s", "float", "s", "arrival; where saturated, the first scheduling"),
    Column("prompt_tokens", "int", "tokens", "prompt length"),
    Column("output_tokens", "int", "tokens", "output length"),
    Column("wait_s", "float", "s", "arrival to first scheduled; null where saturated"),
    Column(
        "ttft_s",
        "float",
        "s",
        "arrival to the end of the iteration that emits the first token; null where saturated",
    ),
    Column("tpot_s", "float", "s", "time per output token after the first; null where there is only one"),
    Column("e2e_s", "float", "s", "arrival to finish; null where saturated"),
    Column("finish_s", "float", "s", "end of the iteration that emits the last token"),
    Column("preemptions", "int", "", "times that the request was preempted"),
)
"""A row per finished request."""

ITERATIONS = (
    _RATE,
    Column("start_s", "float", "s", "start of the iteration"),
    Column("duration_s", "float", "s", "its time"),
    Column("prefill_tokens", "int", "tokens", "prompt tokens that it prefills"),
    Column("decode_seqs", "int", "requests", "requests that decode in it"),
    Column("decode_kv_tokens", "int", "tokens", "KV tokens of the requests that decode"),
    Column("running", "int", "requests", "running requests"),
    Column("waiting", "int", "requests", "waiting requests; where saturated, those that were preempted"),
    Column("kv_tokens", "int", "tokens", "KV tokens in use"),
    Column("kv_blocks", "int", "blocks", "KV blocks in use"),
    Column("preempted", "int", "requests", "requests that were preempted as it was put together"),
)
"""A row per iteration."""
