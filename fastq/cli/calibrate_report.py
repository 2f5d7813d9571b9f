"""What ``fastq calibrate`` prints: planes and terms and how sure they are, the errors, and what is missing."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from fastq.cli.text_table import indent, render, seconds
from fastq.model.iteration_time import TERM_UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.calibration.calibration import Calibration
    from fastq.calibration.kv_memory import KvMemory

_COEFFICIENTS = (
    ("base", "base_ps", 1e9, "ms"),
    ("prefill token P", "prefill_token_ps", 1e6, "µs"),
    ("decoding request D", "decode_seq_ps", 1e6, "µs"),
    ("KV token K", "kv_token_ps", 1e3, "ns"),
    ("attention work A", "attention_ps", 1.0, "ps"),
)
_GIB = 2**30
_WIDTH = 118
_PS_PER_S = 1e12


def text_report(
    calibration: Calibration,
    *,
    kv_capacity_tokens: int | None,
    memory: KvMemory | None,
    written: Sequence[str],
) -> str:
    """Return the calibration as text for people.

    Parameters
    ----------
    calibration
        The fit.
    kv_capacity_tokens
        KV capacity, where it is known.
    memory
        How it was derived, where it was.
    written
        Files that were written.
    """
    parts = [
        _log(calibration),
        _iteration_time(calibration),
        _choice(calibration),
        _added(calibration),
        _errors(calibration),
        _terms(calibration),
        _capacity(kv_capacity_tokens, memory),
        "".join(f"wrote {path}\n" for path in written),
    ]
    return "\n".join(part for part in parts if part)


def json_report(
    calibration: Calibration,
    *,
    kv_capacity_tokens: int | None,
    memory: KvMemory | None,
    written: Sequence[str],
) -> str:
    """Return the calibration as one JSON object; arguments as of :func:`text_report`."""
    log = calibration.log
    document = {
        "log": {
            "name": log.name,
            "form": log.form,
            "rows": log.rows,
            "fitted_rows": calibration.fitted_rows,
            "files": [asdict(each) for each in log.files],
            "notes": list(log.notes),
        },
        "planes": [
            {
                field: {
                    "ps": getattr(plane, field),
                    "low_ps": round(float(calibration.low_ps[row, column])),
                    "high_ps": round(float(calibration.high_ps[row, column])),
                }
                for column, (_, field, _, _) in enumerate(_COEFFICIENTS)
            }
            for row, plane in enumerate(calibration.iteration_time.planes)
        ],
        "rows_of_planes": list(calibration.rows_of_planes),
        "untold": dict(calibration.untold),
        "held_out": [asdict(each) for each in calibration.held_out],
        "planes_chosen_by_cross_validation": calibration.chosen,
        "added_terms": [
            {
                **asdict(each),
                "ps": getattr(calibration.iteration_time.terms, TERM_UNITS[each.key][0]),
                "low_ps": round(float(calibration.term_low_ps[row])),
                "high_ps": round(float(calibration.term_high_ps[row])),
            }
            for row, each in enumerate(calibration.added)
        ],
        "held_out_error_of_planes": calibration.error_of_planes,
        "held_out_error_with_terms": calibration.error_with_terms,
        "errors": [asdict(each) for each in calibration.errors],
        "far_off": asdict(calibration.far),
        "warnings": _warnings(calibration),
        "terms": [{**asdict(each), "carries_weight": each.carries_weight} for each in calibration.terms],
        "kv_capacity_tokens": kv_capacity_tokens,
        "kv_memory": None if memory is None else {**asdict(memory), "blocks": memory.blocks},
        "written": list(written),
    }
    return json.dumps(document) + "\n"


def _log(calibration: Calibration) -> str:
    log = calibration.log
    kinds = ", ".join(f"{each.rows:,} {each.region}" for each in calibration.errors[1:4])
    times = f"{seconds(float(log.seconds.min()))} to {seconds(float(log.seconds.max()))}"
    lines = [f"{log.form}, {log.rows:,} iterations of {times}: {kinds}"]
    if calibration.fitted_rows < log.rows:
        lines.append(
            f"{calibration.fitted_rows:,} of them, evenly spaced, were fitted; errors are those of all"
        )
    return f"{log.name}\n" + indent("\n".join([*lines, *log.notes]))


def _iteration_time(calibration: Calibration) -> str:
    rows = []
    for number, plane in enumerate(calibration.iteration_time.planes):
        share = calibration.rows_of_planes[number] / calibration.fitted_rows
        for column, (name, field, unit_ps, unit) in enumerate(_COEFFICIENTS):
            low, high = calibration.low_ps[number, column], calibration.high_ps[number, column]
            label = f"{number + 1} ({share:.0%} of rows)" if column == 0 else ""
            untold = _untold(calibration, column)
            interval = untold or f"{_figure(low / unit_ps)} to {_figure(high / unit_ps)}"
            rows.append(
                (label, name, "-" if untold else _figure(getattr(plane, field) / unit_ps), unit, interval)
            )
    count = len(calibration.iteration_time.planes)
    title = "Iteration time: one plane" if count == 1 else f"Iteration time: the largest of {count} planes"
    header = ("plane", "per", "time", "", "95% interval")
    notes = "".join(f"  {name} can't be told: {why}\n" for name, why in calibration.untold.items())
    return f"{title}\n" + indent(render(rows, header=header, left=(0, 1, 3))) + notes


def _untold(calibration: Calibration, column: int) -> str:
    from fastq.calibration.design import FIELDS

    return "can't be told" if FIELDS[column] in calibration.untold else ""


def _choice(calibration: Calibration) -> str:
    planes = len(calibration.iteration_time.planes)
    rows = [
        (
            f"{each.planes}{' *' if each.planes == planes else ''}",
            f"{each.error:.2%}",
            f"{each.standard_error:.2%}",
        )
        for each in calibration.held_out
    ]
    why = (
        "  * the fewest within one standard error of the smallest, and none for under 5% of the rows\n"
        if calibration.chosen
        else "  * as asked for with --planes\n"
    )
    header = ("planes", "mean relative error", "standard error")
    return "Held out, by number of planes\n" + indent(render(rows, header=header)) + why


def _added(calibration: Calibration) -> str:
    if not calibration.added:
        return ""
    from fastq.calibration.term_choice import LEAST_DROP

    rows = []
    for row, each in enumerate(calibration.added):
        coefficient_s = getattr(calibration.iteration_time.terms, TERM_UNITS[each.key][0]) / _PS_PER_S
        low_s, high_s = calibration.term_low_ps[row] / _PS_PER_S, calibration.term_high_ps[row] / _PS_PER_S
        rows.append(
            (
                each.name,
                f"{_time(coefficient_s)} per {each.unit}",
                f"{_time(low_s)} to {_time(high_s)}",
                f"{100 * (each.drop or 0):.3f}",
                f"{100 * (each.drop_error or 0):.3f}",
            )
        )
    header = ("term", "fitted", "95% interval", "error less by, % points", "standard error")
    return (
        "Added to the largest plane, in the order in which they were taken\n"
        + indent(render(rows, header=header, left=(0, 1, 2)))
        + f"  held-out error {calibration.error_of_planes:.2%} without them, {calibration.error_with_terms:.2%} with "
        f"them; each takes off at least {100 * LEAST_DROP:.1f} % points\n"
        "  (without them: the planes above, fitted again from there without each part that they are judged by)\n"
    )


def _errors(calibration: Calibration) -> str:
    rows = [
        (
            each.region,
            f"{each.rows:,}",
            *map(_percent, (each.median, each.p90, each.worst)),
            _signed(each.total),
        )
        for each in calibration.errors
    ]
    header = ("batches", "rows", "median", "90%", "worst", "time of all")
    far = (
        f"  {calibration.far.rows:,} batches are off by more than half; they hold {calibration.far.time_share:.1%} of "
        "the measured time (stalls?)\n"
        if calibration.far.rows
        else ""
    )
    return (
        "Relative error of the fit\n"
        + indent(render(rows, header=header))
        + "  time of all: fitted over measured, less 1\n"
        + far
        + "".join(f"{_wrapped(f'Warning: {each}')}\n" for each in _warnings(calibration))
    )


def _warnings(calibration: Calibration) -> list[str]:
    """Say what a replica made from the fit would get wrong as a whole."""
    from fastq.calibration.fit_errors import off_on_balance

    off = off_on_balance(calibration.errors)
    if off is None:
        return []
    less, fast, high = ("less", "fast", "high") if off < 0 else ("more", "slow", "low")
    return [
        f"by the fit all batches together take {abs(off):.1%} {less} time than was measured; where batches are like "
        f"the log's, a replica made from it is that much too {fast}, and its boundary about "
        f"{abs(1 / (1 + off) - 1):.0%} too {high}"
    ]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _terms(calibration: Calibration) -> str:
    if not calibration.terms:
        return ""
    rows = []
    for each in calibration.terms:
        if each.drop is None or each.drop_error is None or each.coefficient_s is None:
            rows.append((each.name, "-", "-", "-", each.why_not))
            continue
        rows.append(
            (
                each.name,
                f"{_time(each.coefficient_s)} per {each.unit}",
                f"{round(100 * each.drop, 3) + 0.0:.3f}",
                f"{100 * each.drop_error:.3f}",
                each.verdict,
            )
        )
    header = ("term", "fitted", "error less by, % points", "standard error", "why not")
    return (
        "Not added, so not simulated: each term tested alone beside all that the iteration time has, on held-out rows\n"
        + indent(render(rows, header=header, left=(0, 1, 4)))
    )


def _capacity(kv_capacity_tokens: int | None, memory: KvMemory | None) -> str:
    if kv_capacity_tokens is None:
        return "KV capacity: not known (--kv-capacity-tokens, --memory-gib); a spec has to give it\n"
    if memory is None:
        return f"KV capacity: {kv_capacity_tokens:,} tokens\n"
    rows = [
        ("memory of a card", f"{memory.card_bytes / _GIB:,.2f} GiB"),
        (
            f"taken by the engine ({memory.utilisation:.0%})",
            f"{memory.card_bytes * memory.utilisation / _GIB:,.2f} GiB",
        ),
        ("weights on it", f"{memory.weight_bytes / _GIB:,.2f} GiB"),
        ("reserve", f"{memory.reserve_bytes / _GIB:,.2f} GiB"),
        ("left for KV tokens", f"{memory.free_bytes / _GIB:,.2f} GiB"),
        ("a token takes", f"{memory.token_bytes / 1024:,.4g} KiB"),
        (f"blocks of {memory.block_size}, one of them never used", f"{memory.blocks:,}"),
        ("KV capacity", f"{kv_capacity_tokens:,} tokens"),
        ("1 GiB more or less of reserve moves it by", f"{_GIB // memory.token_bytes:,} tokens"),
    ]
    notes = "".join(f"{_wrapped(note)}\n" for note in memory.notes)
    return "KV memory, a card at a time\n" + indent(render(rows)) + notes


def _figure(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _time(seconds: float) -> str:
    for unit_s, unit in ((1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
        if abs(seconds) >= unit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds / 1e-12:.3g} ps" if seconds else "0"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _signed(share: float | None) -> str:
    return "-" if share is None else f"{share:+.2%}"
