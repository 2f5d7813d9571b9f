"""What ``fastq workload`` says of a trace, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.cli.text_table import indent, number, render
from fastq.plot.labels import duration_label

if TYPE_CHECKING:
    from fastq.analysis.arrival_statistics import ArrivalStatistics, TieStatistics
    from fastq.analysis.drift import Drift, SerialCorrelation
    from fastq.analysis.length_statistics import JointStatistics
    from fastq.analysis.workload_description import WorkloadDescription

_FIGURES = {"rate": "rate", "prompt": "prompts", "output": "outputs"}


def report(description: WorkloadDescription) -> str:
    """Return all that is known of a trace, as text."""
    arrivals, lengths = description.arrivals, description.lengths
    who = f"{description.name}: {description.requests:,} request{'s' * (description.requests != 1)}"
    if arrivals is None or description.drift is None or description.serial_correlation is None:
        return (
            f"{who}, without arrival times\n{_lengths(lengths)}\n"
            "Only lengths are described: a column arrival_s (seconds) or TIMESTAMP would tell rate, bursts and drift.\n"
        )
    rate = "" if arrivals.mean_rate_rps is None else f", {number(arrivals.mean_rate_rps)} requests/s"
    return (
        f"{who} in {duration_label(arrivals.span_s)}{rate}\n"
        f"{_arrivals(arrivals)}{_lengths(lengths)}"
        f"{_drift(description.drift)}{_neighbours(description.serial_correlation, description.drift)}"
    )


def _arrivals(arrivals: ArrivalStatistics) -> str:
    lines = []
    if arrivals.interarrival_cv is not None:
        lines.append(
            f"interarrival times: coefficient of variation {number(arrivals.interarrival_cv, 3)} (Poisson: 1)"
        )
    if not arrivals.were_ordered:
        lines.append("the rows of the file are not in order of arrival; they were put in order")
    text = f"\narrivals\n{indent(chr(10).join(lines))}" if lines else "\narrivals\n"
    if arrivals.windows and arrivals.mean_rate_rps:
        rows = [
            [
                duration_label(each.window_s),
                number(each.dispersion, 3),
                "-"
                if each.poisson_low is None or each.poisson_high is None
                else f"{each.poisson_low:.2f} to {each.poisson_high:.2f}",
                number(each.peak_rps, 3),
                f"{each.peak_rps / arrivals.mean_rate_rps:.2f}",
            ]
            for each in arrivals.windows
        ]
        header = ["window", "variance/mean of counts", "Poisson (99%)", "peak, requests/s", "peak/mean"]
        text += indent(render(rows, header=header)) + indent(_burstiness(arrivals))
    text += indent(_ties(arrivals.ties))
    if arrivals.hours:
        clock = "of the day, UTC" if arrivals.hours_are_utc else "from time 0"
        rows = [
            [f"{each.hour:02d}", f"{each.requests:,}", duration_label(each.observed_s), number(each.rate_rps)]
            for each in arrivals.hours
        ]
        text += "\n" + indent(render(rows, header=[f"hour {clock}", "requests", "observed", "requests/s"]))
    return text


def _burstiness(arrivals: ArrivalStatistics) -> str:
    bursty = arrivals.bursty_windows_s
    judged = [each for each in arrivals.windows if each.dispersion is not None]
    if not judged:
        return "too short a span to compare counts with those of Poisson arrivals"
    if not bursty:
        return "counts vary as those of Poisson arrivals at a constant rate do"
    windows = _listed([duration_label(each) for each in bursty])
    return (
        f"burstier than Poisson arrivals at a constant rate, in windows of {windows};\n"
        'arrivals.process = "trace" simulates them as they are'
        + ("" if arrivals.were_ordered else ", once the rows of the file are in order")
    )


def _ties(ties: TieStatistics) -> str:
    resolution = (
        "" if ties.resolution_s is None else f"times are multiples of {_resolution(ties.resolution_s)}; "
    )
    each_instant = ties.tied_share and (
        f"{ties.tied_share:.3g}".rstrip(".") if ties.tied_share < 0.001 else f"{ties.tied_share:.1%}"
    )
    if not ties.tied_share:
        return f"{resolution}no two requests arrive at the same time"
    shared = f"{each_instant} of the requests share their arrival time with another, {ties.largest_batch:,} at most"
    if ties.grid_s is not None:
        return (
            f"arrivals lie on a grid of about {number(ties.grid_s, 3)} s: {ties.instants:,} times; {shared}.\n"
            "Below that spacing the figures above are those of the recording, not of the traffic"
        )
    return f"{'arrivals come in batches: ' if ties.in_batches else resolution}{shared}"


def _resolution(resolution_s: float) -> str:
    for unit_s, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if resolution_s >= unit_s * 0.999:
            return f"{resolution_s / unit_s:.3g} {unit}"
    return f"{resolution_s:g} s"


def _lengths(lengths: JointStatistics) -> str:
    rows = [
        [
            name,
            number(each.mean_tokens),
            f"{each.cv:.2f}",
            *(
                f"{tokens:,}"
                for tokens in (
                    each.p1_tokens,
                    each.p10_tokens,
                    each.p50_tokens,
                    each.p90_tokens,
                    each.p99_tokens,
                    each.max_tokens,
                )
            ),
        ]
        for name, each in (
            ("prompt", lengths.prompt),
            ("output", lengths.output),
            ("prompt + output", lengths.total),
        )
    ]
    table = render(rows, header=["tokens", "mean", "CV", "p1", "p10", "p50", "p90", "p99", "max"])
    related = (
        "prompt and output: no correlation, one of them does not vary"
        if lengths.pearson is None or lengths.spearman is None
        else f"correlation of prompt and output: {lengths.pearson:.3f} (Pearson), "
        f"{lengths.spearman:.3f} (of ranks, Spearman)"
    )
    memory = (
        f"KV area of decoding, E[s o + o(o+1)/2]: {number(lengths.decode_kv_area_tokens)} token-iterations; "
        f"the largest 1% of the requests take {lengths.longest_kv_share:.1%} of it"
    )
    return f"\nlengths\n{indent(table)}{indent(related)}{indent(memory)}"


def _drift(drift: Drift) -> str:
    if not drift.parts:
        return "\nover the span\n  too few requests, or too short a span, to compare parts of it\n"
    rows = [
        [
            duration_label(each.start_s - drift.parts[0].start_s),
            f"{each.requests:,}",
            number(each.rate_rps, 3),
            number(each.mean_prompt_tokens),
            number(each.mean_output_tokens),
        ]
        for each in drift.parts
    ]
    table = render(rows, header=["from", "requests", "requests/s", "mean prompt", "mean output"], left=())
    verdicts = "; ".join(f"{_FIGURES[test.figure]}: {test.words}" for test in drift.tests)
    moving = {test.figure for test in drift.tests if test.differs}
    lengths = (
        "lengths of the parts differ by more than chance: one law for the whole span is an average"
        if moving & {"prompt", "output"}
        else "lengths of the parts differ by no more than chance: one law may stand for the whole span"
    )
    rate = "the rate moves: plan for its peaks, not for its mean\n" if "rate" in moving else ""
    return f"\nover the span\n{indent(table)}{indent(verdicts)}{indent(rate)}{indent(lengths)}"


def _neighbours(serial: SerialCorrelation, drift: Drift) -> str:
    if serial.chance is None or not drift.parts:
        return ""
    correlated = [
        name
        for name, value in (("prompts", serial.prompt), ("outputs", serial.output))
        if value is not None and abs(value) > serial.chance
    ]
    cause = " (drift alone can do that)" if any(test.differs for test in drift.tests) else ""
    words = (
        f"\n{_listed(correlated)} resemble the one before{cause}"
        if correlated
        else "; as of independent draws"
    )
    return indent(
        f"neighbours: correlation of ranks {_signed(serial.prompt)} (prompt), {_signed(serial.output)} (output), "
        f"within ±{serial.chance:.3f} by chance (99%){words}"
    )


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
