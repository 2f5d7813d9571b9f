"""The rows of the result tables: the one place where the kernels' integers become the columns' floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.analysis.intervals import mean_interval
from fastq.analysis.latency_intervals import MEAN, latency_intervals, resting_on_waits
from fastq.analysis.quantiles import merged, quantile
from fastq.analysis.replication import LATENCIES, NS_PER_S, PS_PER_S
from fastq.analysis.verdict import VERDICT_CONFIDENCE, Verdict, verdict_at
from fastq.engine.bins import bin_edges
from fastq.engine.searches import Searched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.analysis.intervals import Interval
    from fastq.analysis.latency_intervals import Rested
    from fastq.analysis.replication import Replication
    from fastq.closed_forms import ClosedForms
    from fastq.closed_forms.losses import Losses
    from fastq.model.point import Point

Row = dict[str, Any]

LOSS_COLUMNS = {
    "admission": "lost_to_admission_share",
    "ties": "lost_to_ties_share",
    "preemption": "lost_to_preemption_share",
    "recomputation": "lost_to_recomputation_share",
    "reservation": "lost_to_reservation_share",
    "imbalance": "lost_to_imbalance_share",
    "unexplained": "lost_unexplained_share",
    "rounding": "lost_to_rounding_share",
}
"""The column of each term of :class:`fastq.closed_forms.losses.Losses`."""

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def point_row(
    point: Point,
    forms: ClosedForms,
    replications: Sequence[Replication],
    service_rate: Interval,
    lost: Losses,
    searched: Searched,
    status: str,
) -> Row:
    """The row of ``point`` in the table of points."""
    requests = sum(r.requests for r in replications)
    iterations = sum(r.iterations for r in replications)
    return {
        **_identity(point),
        "service_rate_rps": service_rate.estimate,
        "service_rate_low_rps": service_rate.low,
        "service_rate_high_rps": service_rate.high,
        **theory_columns(forms),
        "mean_iteration_s": sum(r.busy_ps for r in replications) / iterations / PS_PER_S,
        "median_iteration_s": _seconds(
            quantile(merged([r.iteration_time for r in replications]), bin_edges(), 0.5), PS_PER_S
        ),
        "mean_running": sum(r.running_sum for r in replications) / iterations,
        "mean_kv_tokens": sum(r.kv_tokens_sum for r in replications) / iterations,
        "preemptions_per_request": sum(r.preemptions for r in replications) / requests,
        "recomputed_tokens_per_request": sum(r.recomputed_tokens for r in replications) / requests,
        "stopped_by_kv_share": sum(r.stopped_kv for r in replications) / iterations,
        "stopped_by_seqs_share": sum(r.stopped_seqs for r in replications) / iterations,
        "stopped_by_tokens_share": sum(r.stopped_tokens for r in replications) / iterations,
        **{name: getattr(lost, term) for term, name in LOSS_COLUMNS.items()},
        **_searched(searched),
        "requests": requests,
        "iterations": iterations,
        "status": "metastable" if searched.cold is not None and searched.cold.apart else status,
        "skip_reason": None,
    }


def _searched(searched: Searched) -> Row:
    level = searched.level
    return {
        **_interval("cold_rate", None if searched.cold is None else searched.cold.rate),
        "cold_tip_s": None if searched.cold is None else searched.cold.tip_s,
        **_interval("slo_rate", None if level is None else level.rate),
        "slo_limit": None if level is None else level.limit,
    }


def _interval(name: str, rate: Interval | None) -> Row:
    return dict(zip((f"{name}_rps", f"{name}_low_rps", f"{name}_high_rps"), _and_ends(rate), strict=True))


def _and_ends(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if interval is None else (interval.estimate, interval.low, interval.high)


def theory_columns(forms: ClosedForms) -> Row:
    """The columns of the closed forms."""
    return {
        "theory_rate_rps": forms.theory_rate_rps,
        "expected_rate_rps": forms.expected_rate_rps,
        "theory_stable_rps": forms.theory_stable_rps,
        "paper_rate_rps": forms.paper_rate_rps,
        "binding": forms.binding,
        "rejected_share": forms.rejected_share,
    }


def skipped_row(point: Point, reason: str) -> Row:
    """The row of a point that can't be run: nulls, and why."""
    measured = [
        "service_rate_rps",
        "service_rate_low_rps",
        "service_rate_high_rps",
        "theory_rate_rps",
        "expected_rate_rps",
        "theory_stable_rps",
        "paper_rate_rps",
        "binding",
        "rejected_share",
        "mean_iteration_s",
        "median_iteration_s",
        "mean_running",
        "mean_kv_tokens",
        "preemptions_per_request",
        "recomputed_tokens_per_request",
        "stopped_by_kv_share",
        "stopped_by_seqs_share",
        "stopped_by_tokens_share",
        *LOSS_COLUMNS.values(),
        "requests",
        "iterations",
    ]
    return {
        **_identity(point),
        **dict.fromkeys(measured),
        **_searched(Searched()),
        "status": "skipped",
        "skip_reason": reason,
    }


def replication_row(
    point: Point,
    number: int,
    replication: Replication,
    *,
    arrival_rate_rps: float | None = None,
    load: float | None = None,
    expected: float | None = None,
) -> Row:
    """The row of one replication; saturated where it has no arrival rate, and then with what its sample lets expect."""
    r = replication
    saturated = arrival_rate_rps is None
    return {
        "point": point.index,
        "arrival_rate_rps": arrival_rate_rps,
        "load": load,
        "replication": number,
        "throughput_rps": r.throughput_rps,
        "sample_theory_ratio": expected,
        "window_s": r.elapsed_ps / PS_PER_S,
        "requests": r.requests,
        "iterations": r.iterations,
        "mean_iteration_s": r.busy_ps / r.iterations / PS_PER_S,
        "median_iteration_s": _seconds(quantile(r.iteration_time, bin_edges(), 0.5), PS_PER_S),
        "mean_running": r.running_sum / r.iterations,
        "mean_waiting": None if saturated else r.waiting_sum / r.iterations,
        "mean_kv_tokens": r.kv_tokens_sum / r.iterations,
        "mean_kv_blocks": r.blocks_sum / r.iterations,
        "preemptions_per_request": r.preemptions / r.requests,
        "recomputed_tokens_per_request": r.recomputed_tokens / r.requests,
        "warmup_requests": r.warmup_requests,
        "max_running": r.max_running,
        "backlog_slope_rps": None if saturated else r.backlog_growth * PS_PER_S / r.elapsed_ps,
    }


def rate_row(
    point: Point,
    replications: Sequence[Replication],
    *,
    arrival_rate_rps: float,
    load: float,
    accepted_rate_rps: float,
    service_rate: Interval,
    cold: Interval | None,
    nonergodic: bool,
) -> Row:
    """The row of one arrival rate in the table of rates."""
    elapsed_s = sum(r.elapsed_ps for r in replications) / PS_PER_S
    slopes = [r.backlog_growth * PS_PER_S / r.elapsed_ps for r in replications]
    slope, decisive = mean_interval(slopes), mean_interval(slopes, confidence=VERDICT_CONFIDENCE)
    row = {
        **_identity(point),
        "arrival_rate_rps": arrival_rate_rps,
        "load": load,
        "throughput_rps": sum(r.requests for r in replications) / elapsed_s,
        "verdict": str(verdict_at(accepted_rate_rps, service_rate, decisive, cold, nonergodic=nonergodic)),
        "backlog_slope_rps": slope.estimate,
        "backlog_slope_rps_low": slope.low,
        "backlog_slope_rps_high": slope.high,
        "mean_waiting": sum(r.waiting_sum for r in replications) / sum(r.iterations for r in replications),
        "max_waiting": max(r.max_waiting for r in replications),
    }
    found = {
        name: latency_intervals([r.latencies[name] for r in replications], bin_edges(), QUANTILES)
        for name in LATENCIES
    }
    short = []
    for name, statistics in resting_on_waits(found).items():
        row |= _latency_columns(f"{name}_s", statistics)
        # Where the queue grows latencies are those of the window, and no longer run would make them sharper.
        if row["verdict"] != Verdict.UNSTABLE:
            short += [f"{name}_{statistic}" for statistic, rested in statistics.items() if rested.short]
    return row | {"status": "short" if short else "ok", "short_latencies": ", ".join(short) or None}


def _latency_columns(name: str, found: dict[str, Rested]) -> Row:
    columns: Row = {}
    for statistic in (MEAN, *QUANTILES):
        interval = found[statistic].interval if statistic in found else None
        for ending, value in zip(("", "_low", "_high"), _and_ends(interval), strict=True):
            columns[f"{name}_{statistic}{ending}"] = _seconds(value, NS_PER_S)
    return columns


def _identity(point: Point) -> Row:
    return {"point": point.index, "case": point.case, **point.axes}


def _seconds(value: float | None, units_per_s: int) -> float | None:
    return None if value is None else value / units_per_s
