"""The columns of every table of a data set: one registry of names, types, units and meanings.

A data set holds two or three tables. ``points`` has a row for each grid point, ``replications`` a row for
each point, rate and replication, ``rates`` (only with measure ``rates``) a row for each point and rate. A
column that a run did not measure is null, never absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

TABLES = ("rates", "replications", "points")
"""Every table, in the order in which a block writes them: the last file marks the block as done."""

INTERVAL_ENDS = {
    "": "",
    "_low": ", lower end of its 95% confidence interval",
    "_high": ", upper end of its 95% confidence interval",
}
LATENCY_STATISTICS = {"mean": "mean", "p50": "median", "p90": "90th percentile", "p99": "99th percentile"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name
        As it stands in the file.
    kind
        ``int``, ``float`` or ``str``: int64, float64 or UTF-8 text in the file.
    unit
        Unit of the values; empty for names, counts without a unit and shares.
    description
        What a row's value means.
    """

    name: str
    kind: str
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class AxisColumn:
    """What the store needs to know of one grid axis: its dotted ``key`` and its ``kind``."""

    key: str
    kind: str

    def column(self) -> Column:
        """Return the column that shows this axis."""
        unit = "" if self.kind == "str" else _axis_unit(self.key)
        return Column(self.key, self.kind, unit, f"grid axis {self.key}")


POINT = Column("point", "int", "", "index of the point in the grid, the first axis slowest")
CASE = Column("case", "str", "", "name of the case; null without cases")
ARRIVAL_RATE = Column(
    "arrival_rate_rps",
    "float",
    "requests/s",
    "arrival rate, rejected requests included; null where saturated",
)
LOAD = Column(
    "load", "float", "", "accepted arrival rate as a share of theory_rate_rps; null where saturated"
)

POINTS = (
    Column("service_rate_rps", "float", "requests/s", "saturated throughput mu_sat"),
    Column(
        "service_rate_low_rps", "float", "requests/s", "lower end of the 95% confidence interval of mu_sat"
    ),
    Column(
        "service_rate_high_rps", "float", "requests/s", "upper end of the 95% confidence interval of mu_sat"
    ),
    Column("theory_rate_rps", "float", "requests/s", "self-consistent service rate, exact sums in blocks"),
    Column(
        "expected_rate_rps",
        "float",
        "requests/s",
        "theory_rate_rps less what reserved peaks, recomputation and batches of two kinds cost on average: no bound",
    ),
    Column(
        "theory_stable_rps",
        "float",
        "requests/s",
        "arrival rate below which the queue is proved stable, where only memory keeps requests waiting",
    ),
    Column("paper_rate_rps", "float", "requests/s", "M / (iteration time x KV area), paper convention"),
    Column("binding", "str", "", "constraint that binds at saturation: kv, seqs or tokens"),
    Column("mean_iteration_s", "float", "s", "mean iteration time at saturation"),
    Column("median_iteration_s", "float", "s", "median iteration time at saturation"),
    Column("mean_running", "float", "requests", "running requests, averaged over iterations at saturation"),
    Column("mean_kv_tokens", "float", "tokens", "KV tokens in use, averaged over iterations at saturation"),
    Column("preemptions_per_request", "float", "", "preemptions per completed request at saturation"),
    Column(
        "recomputed_tokens_per_request", "float", "tokens", "tokens prefilled again per completed request"
    ),
    *(
        Column(f"stopped_by_{name}_share", "float", "", f"share of iterations at saturation in which {what}")
        for name, what in {
            "kv": "KV memory kept the next request waiting",
            "seqs": "the sequence limit kept the next request waiting",
            "tokens": "the token budget kept the next request waiting",
        }.items()
    ),
    *(
        Column(name, "float", "", f"share of the time at saturation {what}")
        for name, what in {
            "lost_to_admission_share": "lost to memory that is free while the next request does not fit into it",
            "lost_to_ties_share": "lost because another resource than the binding one keeps requests waiting",
            "lost_to_preemption_share": "lost to memory, slots or budget taken by work that is done again",
            "lost_to_recomputation_share": "lost to computing again what preempted requests had computed",
            "lost_to_reservation_share": "lost to memory reserved and not yet used",
            "lost_to_imbalance_share": "lost because batches lie on other planes than the mean batch",
            "lost_unexplained_share": "that the losses above leave of 1 - service rate / theory_rate_rps",
            "lost_to_rounding_share": "lost to empty ends of blocks: the one loss that is in theory_rate_rps",
        }.items()
    ),
    Column(
        "cold_rate_rps",
        "float",
        "requests/s",
        "largest accepted rate sustained from an empty start, over a run",
    ),
    Column("cold_rate_low_rps", "float", "requests/s", "lower end of its 95% confidence interval"),
    Column("cold_rate_high_rps", "float", "requests/s", "upper end of its 95% confidence interval"),
    Column(
        "cold_tip_s",
        "float",
        "s",
        "from an empty start until the queue grew, at the lowest rate at which a replication's did: their median",
    ),
    Column(
        "slo_rate_rps",
        "float",
        "requests/s",
        "largest accepted rate that meets all objectives in windows from an empty start; null where none does",
    ),
    Column("slo_rate_low_rps", "float", "requests/s", "lower end of its 95% confidence interval"),
    Column("slo_rate_high_rps", "float", "requests/s", "upper end of its 95% confidence interval"),
    Column(
        "slo_limit",
        "str",
        "",
        "objective that fails first beyond that rate, as ttft_p99; stability where all are met up to the boundary",
    ),
    Column("rejected_share", "float", "", "share of requests rejected by max_model_len"),
    Column("requests", "int", "requests", "requests completed in the windows of all replications"),
    Column("iterations", "int", "", "iterations simulated in the windows of all replications"),
    Column("status", "str", "", "ok, short, capped, nonergodic, metastable or skipped"),
    Column("skip_reason", "str", "", "why the point was skipped; null where it was not"),
)

REPLICATIONS = (
    Column("replication", "int", "", "number of the replication, from 0"),
    Column("throughput_rps", "float", "requests/s", "completions per second of the window"),
    Column(
        "sample_theory_ratio",
        "float",
        "",
        "theory's rate for the work done a completion over its rate for the law; null where not saturated",
    ),
    Column("window_s", "float", "s", "simulated time of the window"),
    Column("requests", "int", "requests", "requests completed in the window"),
    Column("iterations", "int", "", "iterations in the window"),
    Column("mean_iteration_s", "float", "s", "mean iteration time"),
    Column("median_iteration_s", "float", "s", "median iteration time"),
    Column("mean_running", "float", "requests", "running requests, averaged over iterations"),
    Column(
        "mean_waiting",
        "float",
        "requests",
        "waiting requests, averaged over iterations; null where saturated",
    ),
    Column("mean_kv_tokens", "float", "tokens", "KV tokens in use, averaged over iterations"),
    Column("mean_kv_blocks", "float", "blocks", "KV blocks in use, averaged over iterations"),
    Column("preemptions_per_request", "float", "", "preemptions per completed request"),
    Column(
        "recomputed_tokens_per_request", "float", "tokens", "tokens prefilled again per completed request"
    ),
    Column("warmup_requests", "int", "requests", "requests completed before the window"),
    Column("max_running", "int", "requests", "largest number of running requests"),
    Column(
        "backlog_slope_rps", "float", "requests/s", "growth of the unfinished requests; null where saturated"
    ),
)

RATES = (
    Column("throughput_rps", "float", "requests/s", "completions per second of the windows"),
    Column("verdict", "str", "", "stable, unstable, metastable or undecided, at 99.9% confidence"),
    Column("backlog_slope_rps", "float", "requests/s", "growth of the unfinished requests"),
    Column("backlog_slope_rps_low", "float", "requests/s", "lower end of its 95% confidence interval"),
    Column("backlog_slope_rps_high", "float", "requests/s", "upper end of its 95% confidence interval"),
    Column("mean_waiting", "float", "requests", "waiting requests, averaged over iterations"),
    Column("max_waiting", "int", "requests", "largest number of waiting requests"),
    *(
        Column(f"{latency}_{suffix}{ending}", "float", "s", f"{meaning}: {statistic}{which}")
        for latency, meaning in {
            "wait_s": "arrival to first scheduled",
            "ttft_s": "arrival to the end of the iteration that emits the first token",
            "tpot_s": "time per output token after the first",
            "e2e_s": "arrival to finish",
        }.items()
        for suffix, statistic in LATENCY_STATISTICS.items()
        for ending, which in INTERVAL_ENDS.items()
    ),
    Column(
        "status", "str", "", "ok, or short: some latencies rest on too few bursts for their intervals to hold"
    ),
    Column(
        "short_latencies",
        "str",
        "",
        "which ones, as wait_mean, wait_p99; null where none does, and where the verdict is unstable",
    ),
)

_AXIS_UNITS = {
    "_tokens": "tokens",
    "_rps": "requests/s",
    "max_model_len": "tokens",
    "block_size": "tokens",
    "max_num_seqs": "requests",
    "iteration_time.constant": "s",
    "iteration_time.host_ms": "ms",
    "iteration_time.prefill_seq_us": "us",
    "iteration_time.finished_prompt_us": "us",
    "iteration_time.prefill_kv_token_ns": "ns",
    "iteration_time.prefill_ms": "ms",
    "iteration_time.mixed_ms": "ms",
    "iteration_time.mixed_kv_token_ns": "ns",
    "iteration_time.jump_ms": "ms",
}


def table_columns(table: str, axes: Sequence[AxisColumn]) -> tuple[Column, ...]:
    """List the columns of one of :data:`TABLES`, in file order, for a grid with these axes."""
    shown_axes = tuple(axis.column() for axis in axes)
    match table:
        case "points":
            return (POINT, CASE, *shown_axes, *POINTS)
        case "replications":
            return (POINT, ARRIVAL_RATE, LOAD, *REPLICATIONS)
        case "rates":
            return (POINT, CASE, *shown_axes, ARRIVAL_RATE, LOAD, *RATES)
    raise ValueError(f"no table {table!r}; one of {', '.join(TABLES)}")


def arrow_schema(
    table: str, axes: Sequence[AxisColumn], metadata: dict[str | bytes, str | bytes]
) -> pa.Schema:
    """Build the schema of a table: its fields carry ``unit`` and ``description``, it carries ``metadata``."""
    return schema_of(table_columns(table, axes), metadata)


def schema_of(columns: Sequence[Column], metadata: dict[str | bytes, str | bytes]) -> pa.Schema:
    """Build a schema of columns."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    fields = [
        pa.field(
            column.name,
            types[column.kind],
            metadata={"unit": column.unit, "description": column.description},
        )
        for column in columns
    ]
    return pa.schema(fields, metadata=metadata)


def _axis_unit(key: str) -> str:
    return next((unit for ending, unit in _AXIS_UNITS.items() if key.endswith(ending)), "")
