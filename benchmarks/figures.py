"""What a benchmark reports, and how it travels in pytest-benchmark's JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

KEY = "figures"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Parameters
    ----------
    name
        Identifies it in the baseline.
    title
        What was measured.
    value
        The measurement, as text with its unit.
    ratio
        A pure number that is comparable between machines, the smaller the better: calibration steps for one
        unit of work, or a ratio of two times or sizes of the same run. ``None``: only for information.
    target
        What the project aims at; empty without an aim.
    """

    name: str
    title: str
    value: str
    ratio: float | None = None
    target: str = ""


def report(benchmark: BenchmarkFixture, *figures: Figure) -> None:
    """Attach figures to a benchmark."""
    benchmark.extra_info.setdefault(KEY, []).extend(asdict(figure) for figure in figures)


def read_figures(path: Path) -> list[Figure]:
    """Read all figures of a run from the JSON that ``--benchmark-json`` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return [Figure(**entry) for one in document["benchmarks"] for entry in one["extra_info"].get(KEY, ())]
