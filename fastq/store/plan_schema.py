"""The columns of a worked-out plan: one registry of names, units and meanings, a row an option.

What does not apply, or was not measured, is null, never absent. All rates are of one replica, in accepted requests.
"""

from __future__ import annotations

from fastq.store.schema import LATENCY_STATISTICS, Column

_ENDS = {"": "", "_low": ", lower end of its interval", "_high": ", upper end of its interval"}


def _with_ends(name: str, unit: str, description: str) -> tuple[Column, ...]:
    return tuple(
        Column(f"{name}{end}", "float", unit, f"{description}{which}") for end, which in _ENDS.items()
    )


OPTIONS = (
    Column("option", "str", "", "name of the option"),
    Column("choice", "str", "", "cheapest, feasible or infeasible"),
    Column("infeasible", "str", "", "why no number of replicas will do; null where one will"),
    Column("gpus_per_replica", "int", "GPUs", "GPUs of one replica"),
    Column("replicas", "int", "", "fewest replicas that keep to the target load and the limits at the peak"),
    Column(
        "replicas_at_best",
        "int",
        "",
        "the same by the upper ends of the intervals: where it is equal, the count is sure",
    ),
    Column("gpus", "int", "GPUs", "GPUs of the fleet"),
    Column("sized_by", "str", "", "what sets the count: target_load, or a limit, as ttft_p99"),
    Column("fewer_fail", "str", "", "what one replica less would fail; null where there is only one"),
    Column("rate_rps", "float", "requests/s", "accepted arrival rate of one replica at the peak"),
    *_with_ends("load", "", "that rate as a share of the boundary"),
    *_with_ends("headroom_to_boundary", "", "how much the demand may grow before the boundary, as a share"),
    *_with_ends("headroom_to_limits", "", "how much the demand may grow before a limit fails, as a share"),
    *_with_ends("boundary_rps", "requests/s", "boundary of stability of one replica"),
    *_with_ends(
        "limits_rps", "requests/s", "largest rate of one replica that meets the limits; 0: none does"
    ),
    Column("limit", "str", "", "limit that fails first beyond it, as ttft_p99; stability where none does"),
    Column("theory_rate_rps", "float", "requests/s", "boundary by theory: the self-consistent service rate"),
    Column("binding", "str", "", "constraint that binds at the boundary: kv, seqs or tokens"),
    Column("rejected_share", "float", "", "share of the demand rejected by max_model_len"),
    Column("status", "str", "", "of the simulated point: ok, short, capped or nonergodic"),
    Column("interpolation_error", "float", "", "of the boundary, as a share of it; null where simulated"),
    Column("verdict", "str", "", "on the queue at the peak, at 99.9% confidence; null where not simulated"),
    Column(
        "short_latencies",
        "str",
        "",
        "which latencies rest on too few bursts for their intervals to hold; null: none",
    ),
    Column("price_per_gpu_hour", "float", "currency/h", "price of a GPU-hour"),
    Column("cost_per_hour", "float", "currency/h", "cost of the fleet at the peak"),
    Column(
        "cost_per_million_tokens",
        "float",
        "currency",
        "cost of a million tokens, prompt and output, on the fixed fleet: over the day, or at the peak",
    ),
    Column("cost_per_million_output_tokens", "float", "currency", "the same, borne by output tokens alone"),
    Column("fixed_gpu_hours_per_day", "int", "GPU-hours", "of the fleet sized for the peak"),
    Column("following_gpu_hours_per_day", "int", "GPU-hours", "of a fleet that follows the hours"),
    Column("following_cost_per_day", "float", "currency", "cost of a day of that fleet"),
    Column("replicas_by_hour", "str", "", "replicas of that fleet in each hour, parted by spaces"),
    *(
        column
        for latency, meaning in {
            "wait_s": "arrival to first scheduled",
            "ttft_s": "arrival to first token",
            "tpot_s": "time per output token after the first",
            "e2e_s": "arrival to finish",
        }.items()
        for statistic, word in LATENCY_STATISTICS.items()
        if statistic != "mean"
        for column in _with_ends(f"{latency}_{statistic}", "s", f"{meaning}, {word}, at the peak")
    ),
)
"""A row per option of a plan."""
