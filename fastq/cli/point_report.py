"""The readable report of ``fastq simulate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.cli.short_mark import SHORT_MARK, SHORT_NOTE
from fastq.cli.text_table import ends, indent, number, render, scalar, seconds
from fastq.store.short_latencies import is_short

if TYPE_CHECKING:
    from fastq.closed_forms import ClosedForms
    from fastq.engine.point_result import PointResult
    from fastq.model.spec import Spec

_LATENCIES = {"wait_s": "wait", "ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "E2E"}
_STATISTICS = ("mean", "p50", "p90", "p99")
_LATENCY_NOTE = (
    "wait: arrival to first scheduled; TTFT: to the first token; TPOT: a request's mean over those after it; "
    "E2E: to the last;\n"
    "±: half of the 95% interval, from half a percent on"
)
_NOT_PROVED = (
    "The proof is for memory alone keeping requests waiting; here the sequence limit or the token budget does too,\n"
    "and the simulated rate holds.\n"
)


def report(spec: Spec, index: int, result: PointResult, elapsed_s: float) -> str:
    """Return settings, closed form beside simulation, and rates, as aligned text."""
    from fastq.closed_forms import closed_forms

    point = spec.point(index)
    row = result.point
    text = f"{spec.title or spec.source}\npoint {index} of {len(spec):,}"
    named = ([f"case = {point.case}"] if point.case is not None else []) + [
        f"{key} = {scalar(value)}" for key, value in point.axes.items() if key != "case"
    ]
    text += (f": {', '.join(named)}" if named else "") + "\n"
    if len(spec) > 1 and index == 0:
        text += f"(--point N shows another, N up to {len(spec) - 1:,})\n"
    text += "\nSettings\n" + indent(_settings(spec, index))
    if row["status"] == "skipped":
        return text + f"\nCan't run: {row['skip_reason']}.\n"
    text += "\nBoundary\n" + indent(_boundary(row))
    text += "\nAt saturation\n" + indent(_saturation(row, closed_forms(point)))
    text += "\nLosses against theory\n" + indent(_losses(row))
    text += f"\n{_effort(row, result, elapsed_s)}\n"
    if result.rates:
        text += "\nArrival rates\n" + indent(_verdicts(result.rates))
        text += "\nLatencies\n" + indent(_latencies(result.rates) + _latency_note(result.rates))
    return text


def _settings(spec: Spec, index: int) -> str:
    rows = [(setting.key, setting.value_text, setting.origin) for setting in spec.resolved(index)]
    return render(rows, header=("key", "value", "from"), left=(0, 1, 2))


def _boundary(row: dict[str, Any]) -> str:
    theory, rate = row["theory_rate_rps"], row["service_rate_rps"]
    interval = ends(row["service_rate_low_rps"], row["service_rate_high_rps"])
    rows = [
        ("simulated (infinite backlog)", number(rate), interval, number(rate / theory)),
        ("theory, self-consistent", number(theory), "", "1"),
        (
            "theory, less losses to expect",
            number(row["expected_rate_rps"]),
            "",
            _share(row["expected_rate_rps"], theory),
        ),
        (
            "theory, proved stable below",
            number(row["theory_stable_rps"]),
            "",
            _share(row["theory_stable_rps"], theory),
        ),
        ("theory, KV memory alone", number(row["paper_rate_rps"]), "", _share(row["paper_rate_rps"], theory)),
    ]
    if row["cold_rate_rps"] is not None:
        cold = ends(row["cold_rate_low_rps"], row["cold_rate_high_rps"])
        share = _share(row["cold_rate_rps"], theory)
        rows.insert(1, ("simulated (from an empty start)", number(row["cold_rate_rps"]), cold, share))
    if row["slo_limit"] is not None:
        rows.append(_service_level(row))
    stable, high = row["theory_stable_rps"], row["service_rate_high_rps"]
    below = stable is not None and high is not None and high < stable
    return render(rows, header=("", "requests/s", "95% interval", "/ theory")) + (
        _NOT_PROVED if below else ""
    )


def _service_level(row: dict[str, Any]) -> tuple[str, str, str, str]:
    limit = row["slo_limit"].replace("_", " ", 1).replace("_", ".")
    if row["slo_rate_rps"] is None:
        return f"objectives met (never: {limit})", "-", "", ""
    why = "all, up to stability" if limit == "stability" else f"then {limit} fails"
    interval = ends(row["slo_rate_low_rps"], row["slo_rate_high_rps"])
    share = _share(row["slo_rate_rps"], row["theory_rate_rps"])
    return f"objectives met ({why})", number(row["slo_rate_rps"]), interval, share


def _saturation(row: dict[str, Any], forms: ClosedForms) -> str:
    rows = [
        ("limited by", forms.binding, _stops(row)),
        ("mean iteration time", seconds(forms.mean_iteration_s), seconds(row["mean_iteration_s"])),
        ("median iteration time", "", seconds(row["median_iteration_s"])),
        ("running requests", number(forms.mean_running), number(row["mean_running"])),
        ("KV tokens in use", number(forms.mean_kv_tokens), number(row["mean_kv_tokens"])),
        ("preemptions per request", "", number(row["preemptions_per_request"], 3)),
        ("recomputed tokens per request", "", number(row["recomputed_tokens_per_request"], 3)),
        ("rejected requests", f"{forms.rejected_share:.2%}", ""),
    ]
    return render(rows, header=("", "theory", "simulated"))


def _stops(row: dict[str, Any]) -> str:
    """Shares of iterations by what kept the next request waiting, the largest first."""
    shares = {name: row[f"stopped_by_{name}_share"] for name in ("kv", "seqs", "tokens")}
    shares["preempting"] = 1 - sum(shares.values())
    shown = sorted(shares.items(), key=lambda share: -share[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in shown if round(share, 2) > 0)


_LOSSES = {
    "lost_to_admission_share": "free memory that the next request does not fit into",
    "lost_to_ties_share": "another limit than the binding one",
    "lost_to_preemption_share": "memory, slots and budget of preempted work",
    "lost_to_recomputation_share": "computing preempted work again",
    "lost_to_reservation_share": "memory reserved and not yet used",
    "lost_to_imbalance_share": "batches unlike the mean batch",
    "lost_unexplained_share": "unexplained",
}


def _losses(row: dict[str, Any]) -> str:
    """Shares of the time, the largest first, and their sum; theory's own loss to blocks apart."""
    terms = sorted(_LOSSES, key=lambda name: (name == "lost_unexplained_share", -abs(row[name])))
    rows = [(_LOSSES[name], _percent(row[name])) for name in terms if _percent(row[name]) != "0.00%"]
    rows.append(("in all", _percent(sum(row[name] for name in _LOSSES))))
    if row["lost_to_rounding_share"]:
        rows.append(("in theory already: half-empty blocks", _percent(row["lost_to_rounding_share"])))
    return render(rows, header=("", "share of the time"))


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("-0.00%", "0.00%")


_NOTES = {
    "nonergodic": "\nnonergodic: replications keep to rates of their own; the interval is their range",
    "short": "\nshort: few requests for so many running; raise run.requests",
    "metastable": "\nmetastable: between the two simulated rates the start decides",
}


def _tip(row: dict[str, Any]) -> str:
    if row["cold_tip_s"] is None:
        return ""
    return f"; from empty, just beyond the larger, the queue began to grow after {seconds(row['cold_tip_s'])} (median)"


def _effort(row: dict[str, Any], result: PointResult, elapsed_s: float) -> str:
    saturated = sum(each["arrival_rate_rps"] is None for each in result.replications)
    requests, searched = result.simulated_requests, result.searched_requests
    return (
        f"status {row['status']}: {saturated} replications under a backlog"
        + (f" and {len(result.replications) - saturated} at given rates" if result.rates else "")
        + f", {requests:,} requests"
        + (f" ({searched:,} of them in searches)" if searched else "")
        + f" in {seconds(elapsed_s)}"
        + _NOTES.get(row["status"], "")
        + _tip(row)
    )


def _verdicts(rates: list[dict[str, Any]]) -> str:
    header = (
        "requests/s",
        "/ theory",
        "verdict",
        "throughput",
        "queue growth/s",
        "95% interval",
        "mean waiting",
        "most waiting",
    )
    rows = [
        (
            number(rate["arrival_rate_rps"]),
            number(rate["load"], 3),
            str(rate["verdict"]),
            number(rate["throughput_rps"]),
            number(rate["backlog_slope_rps"], 3),
            f"{number(rate['backlog_slope_rps_low'], 3)} to {number(rate['backlog_slope_rps_high'], 3)}",
            number(rate["mean_waiting"], 3),
            number(rate["max_waiting"]),
        )
        for rate in rates
    ]
    return render(rows, header=header, left=(2,))


def _latencies(rates: list[dict[str, Any]]) -> str:
    rows = [
        (
            number(rate["arrival_rate_rps"]) if position == 0 else "",
            name,
            *(_with_half_width(rate, column, statistic) for statistic in _STATISTICS),
        )
        for rate in rates
        for position, (column, name) in enumerate(_LATENCIES.items())
    ]
    header = ("requests/s", "", "mean", "median", "90%", "99%")
    return render(rows, header=header, left=(1,))


def _latency_note(rates: list[dict[str, Any]]) -> str:
    return _LATENCY_NOTE + (f"\n{SHORT_NOTE}" if any(rate["status"] == "short" for rate in rates) else "")


def _with_half_width(rate: dict[str, Any], column: str, statistic: str) -> str:
    """A duration, with half of its 95% interval in percent where that is half a percent or more, and its mark."""
    name = f"{column}_{statistic}"
    text = seconds(rate[name])
    if not rate[name]:
        return text
    half = (rate[f"{name}_high"] - rate[f"{name}_low"]) / 2 / rate[name]
    mark = SHORT_MARK if is_short(rate["short_latencies"], name) else ""
    return (text if half < 0.005 else f"{text} ±{half:.0%}") + mark


def _share(value: float | None, theory: float) -> str:
    return "-" if value is None else number(value / theory)
