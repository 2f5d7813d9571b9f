"""The comparisons of ``fastq validate`` as text, Markdown, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import textwrap
from typing import TYPE_CHECKING, Any

from fastq.cli.markdown_table import markdown_table
from fastq.cli.text_table import ends, indent, number, render
from fastq.engine.validation import AIMS
from fastq.model.validation_file import KINDS
from fastq.plot.labels import rate_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastq.engine.validation import Comparison
    from fastq.model.validation_file import Kind, Measurement, Source

_TITLES: dict[Kind, str] = {
    "counts": "Counts, given the measured iteration time",
    "throughput": "Throughput, given the measured iteration time",
    "end to end": "End to end, iteration times from kernel latencies",
    "exact": "Exact answers",
}
_HEADER = ("row", "system", "quantity", "measured", "fastq", "error", "closed form", "error", "within")
_LEFT = (0, 1, 2)
_WIDTH = 118
_ALIKE = 1e-9


def text(comparisons: Sequence[Comparison]) -> str:
    """Return aligned tables, the sources, and the command that prints each figure."""
    parts = [
        f"{title}\n{indent(render(rows, header=_HEADER, left=_LEFT))}{indent(tally)}"
        for title, rows, tally in _tables(comparisons)
    ]
    parts.append("Sources, and what they leave open\n" + "".join(map(_source_text, _sources(comparisons))))
    lines = []
    for command, columns in _commands(comparisons).items():
        lines.append(f"  {command} --point N")
        lines += [f"      {points}: {', '.join(those)}" for points, those in columns.items()]
    parts.append("Which column of which command it is\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the same as Markdown."""
    parts = []
    for title, rows, tally in _tables(comparisons):
        parts.append(f"### {title}\n\n{markdown_table(_HEADER, rows, _LEFT)}\n{tally}\n")
    sources = [
        f"* **{each.name}**. {each.citation} {each.system} *Left open:* {each.open}"
        for each in _sources(comparisons)
    ]
    parts.append("### Sources, and what they leave open\n\n" + "\n".join(sources) + "\n")
    commands = []
    for command, columns in _commands(comparisons).items():
        commands.append(f"* `{command} --point N`")
        commands += [f"  * {points}: {', '.join(those)}" for points, those in columns.items()]
    parts.append("### Which column of which command it is\n\n" + "\n".join(commands) + "\n")
    return "\n".join(parts)


def json_text(comparisons: Sequence[Comparison]) -> str:
    """Return one JSON object: the aims, and the rows with all their predictions."""
    rows = []
    for row in _records(comparisons):
        comparison = comparisons[row["row"] - 1]
        predictions = [
            {
                "point": each.point,
                "fastq": each.value,
                "low": each.low,
                "high": each.high,
                "closed_form": each.closed_form,
            }
            for each in comparison.predictions
        ]
        rows.append({**row, "predictions": predictions})
    return json.dumps({"aims": AIMS, "rows": rows}) + "\n"


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """Return a line for each row, with a header."""
    rows = _records(comparisons)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "points": " ".join(map(str, row["points"]))} for row in rows)
    return out.getvalue()


def in_order(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Sort by what the predictions are given; rows are numbered in this order."""
    return sorted(comparisons, key=lambda each: KINDS.index(each.measurement.kind))


def _tables(comparisons: Sequence[Comparison]) -> list[tuple[str, list[tuple[str, ...]], str]]:
    """Return title, rows and tally of each kind."""
    tables = []
    numbered = list(enumerate(comparisons, 1))
    for kind in KINDS:
        chosen = [(row, each) for row, each in numbered if each.measurement.kind == kind]
        if chosen:
            tally = _tally([each for _, each in chosen], AIMS[kind])
            tables.append((_TITLES[kind], [_cells(row, each) for row, each in chosen], tally))
    return tables


def _tally(comparisons: Sequence[Comparison], aim: float) -> str:
    """Count the numbers that are within the aim, and the words that agree."""
    words = [each.holds for each in comparisons if each.errors is None]
    numbers = [each.holds for each in comparisons if each.errors is not None]
    parts = [f"{numbers.count('yes')} of {len(numbers)} numbers within {aim:.0%}"] if numbers else []
    if by_setting := (words + numbers).count("by setting"):
        parts.append(f"{by_setting} by setting")
    if words:
        parts.append(f"{words.count('yes')} of {len(words)} words agree")
    return ", ".join(parts)


def _cells(row: int, comparison: Comparison) -> tuple[str, ...]:
    measurement = comparison.measurement
    unit = f", {measurement.unit}" if measurement.unit else ""
    return (
        str(row),
        measurement.what,
        f"{measurement.quantity}{unit}",
        _measured(measurement.measured),
        _fastq(comparison),
        _error(comparison.errors, comparison.largest_error),
        _closed_form(comparison),
        _error(comparison.closed_form_errors, None),
        comparison.holds,
    )


def _fastq(comparison: Comparison) -> str:
    if comparison.range is None:
        return ", ".join(dict.fromkeys(str(each.value) for each in comparison.predictions))
    low, high = comparison.range
    return number(low) if math.isclose(low, high, rel_tol=_ALIKE) else ends(low, high)


def _closed_form(comparison: Comparison) -> str:
    values = [each.closed_form for each in comparison.predictions if each.closed_form is not None]
    if not values:
        return "-"
    if comparison.closed_form_range is None:
        return ", ".join(dict.fromkeys(map(str, values)))
    low, high = map(number, comparison.closed_form_range)
    return low if low == high else f"{low} to {high}"


def _measured(value: tuple[float, float] | str) -> str:
    """Return what is reported, with no more digits than that."""
    if isinstance(value, str):
        return value
    low, high = (f"{end:,.0f}" if end.is_integer() else f"{end:,.5g}" for end in value)
    return low if low == high else f"{low} to {high}"


def _error(errors: tuple[float, float] | None, of_words: float | None) -> str:
    if errors is None:
        return "" if of_words is None else "agrees" if of_words == 0 else "differs"
    low, high = (f"{error:+.1%}".replace("-0.0%", "+0.0%") for error in errors)
    return low if low == high else f"{low} to {high}"


def _sources(comparisons: Sequence[Comparison]) -> list[Source]:
    return list(dict.fromkeys(each.measurement.source for each in comparisons))


def _source_text(source: Source) -> str:
    told = f"{source.citation} {source.system} Left open: {source.open}"
    return f"  {source.name}\n" + textwrap.indent(textwrap.fill(told, _WIDTH - 4), "    ") + "\n"


def _commands(comparisons: Sequence[Comparison]) -> dict[str, dict[str, list[str]]]:
    """Return, for each command and the points that it is run at, the columns that it prints and their rows."""
    found: dict[str, dict[str, list[str]]] = {}
    for row, each in enumerate(comparisons, 1):
        points = ", ".join(str(prediction.point) for prediction in each.predictions)
        columns = found.setdefault(_command(each.measurement), {})
        columns.setdefault(f"N = {points}", []).append(f"{_column(each.measurement)} (row {row})")
    return found


def _command(measurement: Measurement) -> str:
    """Return the command that prints a row's figure, the point left out."""
    words = ["fastq", "simulate", measurement.grid]
    for key, value in measurement.overrides:
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def _column(measurement: Measurement) -> str:
    times = f" x {measurement.replicas}" if measurement.replicas > 1 else ""
    if measurement.rate_rps is not None:
        return f"{measurement.column} at {rate_label(measurement.rate_rps)}{times}"
    return measurement.column + times + ("" if measurement.load is None else f" at load {measurement.load:g}")


def _records(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return every row as a flat record."""
    records = []
    for row, each in enumerate(comparisons, 1):
        measurement = each.measurement
        words = isinstance(measurement.measured, str)
        low, high = (
            (measurement.measured,) * 2 if isinstance(measurement.measured, str) else measurement.measured
        )
        found = each.range or (_fastq(each),) * 2
        theory = each.closed_form_range or ((_closed_form(each) if words else None),) * 2
        errors, theory_errors = each.errors or (None, None), each.closed_form_errors or (None, None)
        records.append(
            {
                "row": row,
                "kind": measurement.kind,
                "system": measurement.what,
                "quantity": measurement.quantity,
                "unit": measurement.unit,
                "measured_low": low,
                "measured_high": high,
                "fastq_low": found[0],
                "fastq_high": found[1],
                "error_low": errors[0],
                "error_high": errors[1],
                "closed_form_low": theory[0],
                "closed_form_high": theory[1],
                "closed_form_error_low": theory_errors[0],
                "closed_form_error_high": theory_errors[1],
                "aim": AIMS[measurement.kind],
                "within": each.holds,
                "source": measurement.source.name,
                "column": measurement.column,
                "arrival_rate_rps": measurement.rate_rps,
                "load": measurement.load,
                "replicas": measurement.replicas,
                "command": _command(measurement),
                "points": [prediction.point for prediction in each.predictions],
            }
        )
    return records


FORMS = {"text": text, "markdown": markdown, "json": json_text, "csv": csv_text}
"""What makes a report of each form."""
