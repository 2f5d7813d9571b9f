"""What two data sets differ in, as text, as Markdown and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastq.cli.markdown_table import escaped, markdown_table
from fastq.cli.text_table import indent, listed, number, render, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastq.store.comparison import ComparedSet, Comparison

Row = dict[str, Any]

_DIGITS = 7
_SHORT_HASH = 12


@dataclass(frozen=True, slots=True)
class _Section:
    """A table with its title.

    Parameters
    ----------
    title
        What it lists.
    header, rows
        Its cells, those that are shown.
    total
        How many there are.
    folded
        Whether a pull request shows it only on demand.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    total: int
    folded: bool


def summary(found: Comparison) -> str:
    """Say in a line whether something moved."""
    counts, tolerance = found.findings, _percent(found.tolerance)
    compared = sum(counts.values())
    other = {name: count for name, count in _moved_changes(found).items() if count}
    if counts["moved"] or other:
        parts = [f"{counts['moved']:,} of {compared:,} boundaries moved by more than {tolerance}"]
        parts += [f"{_count(count, name)} moved" for name, count in other.items()]
        text = " and ".join(parts)
    elif counts["unclear"]:
        text = (
            f"No move by more than {tolerance} was found, but not every boundary could be seen that sharply"
        )
        text += f": {compared:,} compared"
    else:
        boundaries = "boundary" if compared == 1 else "boundaries"
        text = f"Nothing moved by more than {tolerance}: {compared:,} {boundaries} compared"
    details = [f"{counts['equal']:,} exactly equal"] if counts["equal"] else []
    if counts["within"]:
        differing = f" ({found.differing:,} of them surely not 0)" if found.differing else ""
        details.append(f"{counts['within']:,} within it{differing}")
    if counts["unclear"]:
        details.append(f"{counts['unclear']:,} can't be told")
    return f"{text}; {', '.join(details)}." if details else f"{text}."


def as_text(found: Comparison, limit: int) -> str:
    """Return the report for a terminal, tables of at most ``limit`` rows."""
    sets = render([_described("old", found.old), _described("new", found.new)], left=range(4))
    text = f"{summary(found)}\n\n{sets}" + "".join(f"{note}\n" for note in _notes(found))
    for section in _sections(found, limit):
        text += f"\n{section.title} ({section.total:,})\n"
        text += indent(render(section.rows, header=section.header, left=_left(section.header)))
        if section.total > len(section.rows):
            text += f"  ... and {section.total - len(section.rows):,} more: --limit N, or --json for all\n"
    return text


def as_markdown(found: Comparison, limit: int) -> str:
    """Return the report for a pull request: what moved first, the rest on demand."""
    text = f"**{escaped(summary(found))}**\n\n"
    sets = ["", "data set", "title", "made by", "points"]
    text += markdown_table(sets, [_described("old", found.old), _described("new", found.new)], _left(sets))
    text += "\n" + "".join(f"- {escaped(note)}\n" for note in _notes(found))
    for section in _sections(found, limit):
        title = f"{section.title} ({section.total:,})"
        more = section.total - len(section.rows)
        table = markdown_table(section.header, section.rows, _left(section.header))
        table += f"\n... and {more:,} more.\n" if more else ""
        if section.folded:
            text += f"\n<details><summary>{title}</summary>\n\n{table}\n</details>\n"
        else:
            text += f"\n### {title}\n\n{table}"
    return text


def as_json(found: Comparison) -> str:
    """Return everything as one JSON object."""
    import json
    from dataclasses import asdict

    document = {
        "moved": found.moved,
        "unclear": found.unclear,
        "summary": summary(found),
        "tolerance": found.tolerance,
        "confidence": found.confidence,
        "correction": "Holm",
        "findings": found.findings,
        "within_but_not_zero": found.differing,
        "old": asdict(found.old),
        "new": asdict(found.new),
        "same_spec": found.same_spec,
        "paired": found.paired,
        "settings": [asdict(setting) for setting in found.settings],
        "joined": found.joined,
        "infeasible": found.infeasible,
        "verdicts_compared": found.rates,
        "rates_in_one_only": found.rates_alone,
        "points": found.points.to_pylist(),
        "changes": found.changes.to_pylist(),
        "only_old": found.only_old.to_pylist(),
        "only_new": found.only_new.to_pylist(),
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _described(which: str, side: ComparedSet) -> list[str]:
    made_by = f"fastq {side.fastq_version}, results version {side.results_version}, spec {side.spec_hash[:_SHORT_HASH]}"
    points = _count(side.points_finished, "point")
    if side.points_finished < side.points:
        points = f"{side.points_finished:,} of {side.points:,} points finished"
    return [which, side.location, side.title or "untitled", made_by, points]


def _notes(found: Comparison) -> list[str]:
    old, new = found.old, found.new
    how = (
        "in pairs of replications with the same draws"
        if found.paired
        else "as independent, each with its own draws"
    )
    notes = [
        f"{_count(found.joined, 'point')} in both, compared {how}. Family-wise confidence {found.confidence:.4g} that "
        f"nothing is called moved that did not (Holm, {_count(found.points.num_rows, 'difference')}); intervals "
        "are of each difference alone."
    ]
    notes += [
        f"{side.location} is not finished: what is there is compared."
        for side in (old, new)
        if side.points_finished < side.points
    ]
    if old.results_version != new.results_version:
        notes.append(
            f"Results version {old.results_version} -> {new.results_version}: the releases of fastq give other numbers."
        )
    if found.same_spec:
        notes.append("Both ran the same spec.")
    elif not found.settings:
        notes.append(
            "No setting differs by name; the content of a table of lengths or of an axis does, or how cases combine."
        )
    for side, which, alone in ((old, "old", found.only_old), (new, "new", found.only_new)):
        if side.axes_alone:
            notes.append(f"Only the {which} data set has {listed(side.axes_alone)} as an axis.")
        if alone.num_rows:
            notes.append(f"Only in the {which} data set: {alone.num_rows:,} of its points.")
    if found.infeasible:
        notes.append(f"{_count(found.infeasible, 'point')} can't run in either.")
    if found.rates:
        notes.append(f"{_count(found.rates, 'verdict')} compared.")
    if found.rates_alone:
        notes.append(f"In one data set only: {_count(found.rates_alone, 'arrival rate')}.")
    if found.unclear:
        notes.append(
            "Where it can't be told, the interval reaches past the tolerance: raise run.requests or run.replications "
            "of both, or the tolerance."
        )
    return notes


def _sections(found: Comparison, limit: int) -> list[_Section]:
    import pyarrow.compute as pc

    sections = []
    if found.settings:
        rows = [[each.key, each.old or "not set", each.new or "not set"] for each in found.settings]
        sections.append(
            _Section("Settings that differ", ["key", "old", "new"], rows, len(rows), folded=False)
        )
    keys = _named_by(found.points)
    for finding, title in _FINDINGS.items():
        part = found.points.filter(pc.field("finding") == finding)
        cells = _Cells(_BOUNDARY_HEADER, _boundary_cells, limit)
        sections += _section(title, part, keys, cells, folded=finding != "moved")
    for column, (title, header) in _CHANGES.items():
        part = found.changes.filter(pc.field("column") == column)
        folded = not pc.any(part.column("moved")).as_py()
        sections += _section(title, part, keys, _Cells(header, _change_cells, limit), folded=folded)
    for which, alone in (("old", found.only_old), ("new", found.only_new)):
        cells = _Cells([], lambda _: [], limit)
        sections += _section(f"Points of the {which} data set only", alone, keys, cells, folded=True)
    return sections


_FINDINGS = {"moved": "Moved", "unclear": "Can't be told", "within": "Within the tolerance"}
_BOUNDARY_HEADER = ["boundary", "old/s", "new/s", "difference", "interval", "p (Holm)", "note"]
_CHANGES = {
    "verdict": ("Verdicts that changed", ["rate", "old", "new", "note"]),
    "theory_rate_rps": ("Theoretical rates that changed", ["old/s", "new/s", "difference", "note"]),
    "binding": ("Binding constraints that changed", ["old", "new"]),
    "status": ("Statuses that changed", ["old", "new"]),
    "slo_limit": ("Objectives that fail first, changed", ["old", "new"]),
}
_NUMBERS = ("old/s", "new/s", "difference", "interval", "p (Holm)", "points")


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells that follow the name of a point, by their header, and how many rows to show."""

    header: list[str]
    of: Callable[[Row], list[str]]
    limit: int


def _section(title: str, table: pa.Table, keys: list[str], cells: _Cells, *, folded: bool) -> list[_Section]:
    """Return the worst rows of a table, in a list; none where it has none."""
    if table.num_rows == 0:
        return []
    rows = [
        [_point(row), *(_value(key, row[key]) for key in keys), *cells.of(row)]
        for row in table.take(_worst(table)[: cells.limit]).to_pylist()
    ]
    return [_Section(title, ["point", *keys, *cells.header], rows, table.num_rows, folded)]


def _worst(table: pa.Table) -> NDArray[np.int64]:
    """Order rows: moves first, what has no difference as the worst, then by its size."""
    import numpy as np

    order = np.arange(table.num_rows)
    if "difference" in table.column_names:
        sizes = np.abs(np.asarray(table.column("difference").to_numpy(), np.float64))
        order = np.argsort(-np.where(np.isnan(sizes), np.inf, sizes), kind="stable")
    if "moved" in table.column_names:
        moved = np.asarray(table.column("moved").to_numpy(), np.bool_)
        order = order[np.argsort(~moved[order], kind="stable")]
    return order


def _named_by(points: pa.Table) -> list[str]:
    """Columns that name a point: its case, where there are any, and its axes."""
    names = points.column_names
    axes = names[names.index("case") + 1 : names.index("boundary")]
    has_cases = points.column("case").null_count < points.num_rows
    return [*(["case"] if has_cases else []), *axes]


def _point(row: Row) -> str:
    if "point" in row:
        return str(row["point"])
    old, new = row["old_point"], row["new_point"]
    return str(old) if old == new else f"{old} -> {new}"


def _value(key: str, value: Any) -> str:
    return "-" if key == "case" and value is None else scalar(value)


def _boundary_cells(row: Row) -> list[str]:
    statuses = list(dict.fromkeys((row["old_status"], row["new_status"])))
    notes = [] if statuses == ["ok"] else [" -> ".join(statuses)]
    if row["judged_by"] == "ranges":
        notes.append("by ranges")
    low, high = row["difference_low"], row["difference_high"]
    return [
        row["boundary"],
        number(row["old_rps"]),
        number(row["new_rps"]),
        _signed(row["difference"]),
        "-" if low is None else f"{_signed(low)} to {_signed(high)}",
        _p_value(row["p_adjusted"]),
        ", ".join(notes),
    ]


def _change_cells(row: Row) -> list[str]:
    note = "moved" if row["moved"] else ""
    if row["column"] == "verdict":
        rate = f"load {row['load']:g}" if row["load"] is not None else f"{row['arrival_rate_rps']:g}/s"
        return [rate, row["old"], row["new"], note]
    if row["column"] == "theory_rate_rps":
        old, new = (number(float(row[side]), _DIGITS) for side in ("old", "new"))
        return [old, new, _signed(row["difference"]), note]
    return [row["old"], row["new"]]


def _moved_changes(found: Comparison) -> dict[str, int]:
    import pyarrow.compute as pc

    from fastq.store.reader import count_values

    moved = count_values(found.changes.filter(pc.field("moved")), "column")
    return {"verdict": moved.get("verdict", 0), "theoretical rate": moved.get("theory_rate_rps", 0)}


def _count(count: int, name: str) -> str:
    return f"{count:,} {name if count == 1 else f'{name}s'}"


def _percent(value: float) -> str:
    return f"{100 * value:.4g}%"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.3g}%" if value else "0%"


def _p_value(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _left(header: Sequence[str]) -> list[int]:
    """Columns of words."""
    return [place for place, name in enumerate(header) if name not in _NUMBERS]
