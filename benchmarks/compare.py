"""Print the figures of a run beside the saved baseline.

Usage: python -m benchmarks.compare RUN.json      (RUN.json: from pytest benchmarks --benchmark-json=RUN.json)
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, read_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

BASELINE = Path(__file__).with_name("baseline.json")
HEADER = ("benchmark", "measured", "target", "ratio", "baseline", "change")
RIGHT_ALIGNED = 3
"""Columns from this one on hold numbers."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Ratios of an earlier run, by name of the figure, and what they were taken on."""

    taken_on: dict[str, str] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)


def load_baseline(path: Path = BASELINE) -> Baseline:
    """Read the saved baseline; an empty one where there is none."""
    if not path.exists():
        return Baseline()
    document = json.loads(path.read_text(encoding="utf-8"))
    return Baseline(document["taken_on"], document["ratios"])


def save_baseline(figures: Sequence[Figure], taken_on: dict[str, str], path: Path = BASELINE) -> None:
    """Write the ratios of a run as the baseline."""
    ratios = {figure.name: float(f"{figure.ratio:.4g}") for figure in figures if figure.ratio is not None}
    document = {"taken_on": taken_on, "ratios": ratios}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def table(figures: Sequence[Figure], baseline: Baseline) -> list[tuple[str, ...]]:
    """Return the rows of the report, the header first."""
    return [HEADER, *(_row(figure, baseline.ratios.get(figure.name)) for figure in figures)]


def _row(figure: Figure, before: float | None) -> tuple[str, ...]:
    ratio = figure.ratio
    change = "" if ratio is None or before is None else f"{ratio / before - 1:+.0%}"
    return figure.title, figure.value, figure.target, _number(ratio), _number(before), change


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Lay the rows out for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_padded, row, widths, range(len(row)))).rstrip() for row in rows)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Lay the rows out as a table of Markdown."""
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|" + "|".join("--:" if k >= RIGHT_ALIGNED else "---" for k in range(len(HEADER))) + "|"
    return "\n".join([header, rule, *body])


def _padded(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column >= RIGHT_ALIGNED else text.ljust(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path, help="JSON of a run, from --benchmark-json")
    run: Path = parser.parse_args().run
    baseline = load_baseline()
    print(as_text(table(read_figures(run), baseline)))
    print(f"\nbaseline: {', '.join(f'{name} {text}' for name, text in baseline.taken_on.items()) or 'none'}")


if __name__ == "__main__":
    main()
