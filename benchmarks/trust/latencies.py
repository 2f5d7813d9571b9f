"""Latencies at a rate: does the 95% interval of a mean or a quantile hold the truth?"""

from __future__ import annotations

from benchmarks.trust.intervals import true_rate_rps
from benchmarks.trust.systems import REPLICATIONS, SYSTEMS, long_run, replicate
from fastq.analysis.intervals import Interval
from fastq.analysis.quantiles import interval_of_mean, interval_of_quantile
from fastq.analysis.replication import LATENCIES, Replication
from fastq.engine.bins import bin_edges
from fastq.engine.rows import QUANTILES

HEADER = ("system", "load", "requests", *(f"{name}: mean, 50, 90, 99%" for name in LATENCIES))


def study(name: str, load: float, requests: int, repetitions: int) -> list[tuple[str, ...]]:
    """One line: the share of the intervals that hold the truth, of each statistic of each latency."""
    point = SYSTEMS[name].point()
    rate_rps = load * true_rate_rps(point)
    truth = _intervals(long_run(point, rate_rps))
    inside = dict.fromkeys(truth, 0)
    group: list[Replication] = []
    count = REPLICATIONS * repetitions
    for run in replicate(point, seed=1, count=count, requests=requests, rate_rps=rate_rps):
        group.append(run)
        if len(group) == REPLICATIONS:
            for key, interval in _intervals(group).items():
                inside[key] += interval.low <= truth[key].estimate <= interval.high
            group = []
    columns = [
        ", ".join(
            f"{100 * inside[latency, statistic] / repetitions:.1f}" if (latency, statistic) in inside else "-"
            for statistic in ("mean", *QUANTILES)
        )
        for latency in LATENCIES
    ]
    return [(name, f"{load:g}", f"{requests:,}", *columns)]


def _intervals(runs: list[Replication]) -> dict[tuple[str, str], Interval]:
    found = {}
    for latency in LATENCIES:
        each = [run.latencies[latency] for run in runs]
        found[latency, "mean"] = interval_of_mean(each)
        for statistic, share in QUANTILES.items():
            found[latency, statistic] = interval_of_quantile(each, bin_edges(), share)
    return {key: interval for key, interval in found.items() if interval is not None}
