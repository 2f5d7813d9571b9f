"""Pictures of latencies up to the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from pictures import SIZE, panels_of, svg

from fastq.plot import style
from fastq.plot.latency import LATENCIES, PERCENTILES, draw_latencies

if TYPE_CHECKING:
    from pathlib import Path


BOUNDARY = {
    "service_rate_rps": 4.0,
    "service_rate_low_rps": 3.9,
    "service_rate_high_rps": 4.1,
    "theory_rate_rps": 4.4,
    "rejected_share": 0.0,
}


def at_rate(rate_rps: float, verdict: str = "stable", **columns: float | None) -> dict[str, Any]:
    """A row of the table of rates whose latencies rise with the rate; intervals of 10%."""
    row: dict[str, Any] = {"arrival_rate_rps": rate_rps, "verdict": verdict, "short_latencies": None}
    for latency, _, _ in LATENCIES:
        for place, (percentile, *_) in enumerate(PERCENTILES):
            value = 0.1 * (1 + place) * (1 + rate_rps)
            name = f"{latency}_{percentile}"
            row |= {name: value, f"{name}_low": 0.9 * value, f"{name}_high": 1.1 * value}
    return row | columns


def curve(panel: Axes, percentile: int, *, filled: bool) -> list[float]:
    """The rates at which a percentile is drawn with filled or with open marks."""
    _, _, colour, _, marker = PERCENTILES[percentile]
    return [
        float(x)
        for line in panel.lines
        if line.get_marker() == marker and line.get_color() == colour
        if (line.get_markerfacecolor() == "white") != filled
        for x in line.get_xdata()
    ]


@pytest.mark.parametrize("size", style.SIZES.values(), ids=style.SIZES)
def test_latencies_say_what_they_show(tmp_path: Path, size: style.Size) -> None:
    rows = [at_rate(1.0), at_rate(3.0), at_rate(3.95, "undecided"), at_rate(6.0, "unstable")]
    figure = draw_latencies(rows, BOUNDARY, title="A title", note="seed 1", size=size)
    text = svg(figure, tmp_path / "latency.svg")
    for words in (
        "A title",
        "seed 1",
        "Time to first token (s)",
        "Time per output token (ms)",
        "Arrival to last token (s)",
        "Arrival rate (requests/s)",
        "99th percentile",
        "simulated boundary, 95% interval",
        "undecided, unstable: of a finite run",
    ):
        assert words in text, words
    for panel in panels_of(figure):
        assert panel.get_yscale() == "log"
        assert panel.get_xscale() == "linear"
        for percentile in range(3):
            assert curve(panel, percentile, filled=True) == [1.0, 3.0]
            assert curve(panel, percentile, filled=False) == [3.95, 6.0]


def test_latencies_that_rest_on_too_few_bursts_are_marked() -> None:
    few = at_rate(3.0) | {"short_latencies": "wait_mean, ttft_p99, e2e_p50, e2e_p99"}
    figure = draw_latencies([at_rate(1.0), few], BOUNDARY, title="t", note="n", size=SIZE)
    marked = [[(mark.xy, mark.get_text()) for mark in panel.texts] for panel in panels_of(figure)]
    assert [len(each) for each in marked] == [1, 0, 2]
    assert marked[0] == [((3.0, few["ttft_s_p99_high"]), "?")]
    (key,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert "too few bursts for its interval to hold" in [text.get_text() for text in key.get_texts()]
    (sign,) = [line.get_marker() for line in key.get_lines() if not isinstance(line.get_marker(), str)]
    assert sign.get_extents().width < sign.get_extents().height, "one question mark, not a formula's letters"
    calm = draw_latencies([at_rate(1.0)], BOUNDARY, title="t", note="n", size=SIZE)
    assert not any(panel.texts for panel in panels_of(calm))


def test_latencies_stand_where_they_are_with_their_intervals_and_the_boundary() -> None:
    rows = [at_rate(1.0), at_rate(3.0)]
    point = BOUNDARY | {"rejected_share": 0.5}
    figure = draw_latencies(rows[::-1], point, title="t", note="n", size=SIZE)
    per_token = panels_of(figure)[1]
    (median, *_) = per_token.containers
    np.testing.assert_allclose(median.lines[0].get_ydata(), [200, 400])
    (bars,) = median.lines[2]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[180, 220], [360, 440]])
    upright = [xs[0] for xs in (list(line.get_xdata()) for line in per_token.lines) if xs == [xs[0], xs[0]]]
    assert {8.0, 8.8} <= set(upright), "of arrivals, half of which are rejected"
    spans = [patch.get_extents().transformed(per_token.transData.inverted()) for patch in per_token.patches]
    assert any(np.allclose([span.x0, span.x1], [7.8, 8.2]) for span in spans)


def test_rates_far_beyond_the_boundary_get_a_logarithmic_axis(tmp_path: Path) -> None:
    rows = [at_rate(1.0), at_rate(50.0, "unstable")]
    figure = draw_latencies(rows, BOUNDARY, title="t", note="n", size=SIZE)
    assert {panel.get_xscale() for panel in panels_of(figure)} == {"log"}
    for panel in panels_of(figure):
        assert panel.get_xlim()[0] < 1 < 50 < panel.get_xlim()[1]


def test_a_latency_that_nothing_has_gets_no_panel(tmp_path: Path) -> None:
    none = {f"tpot_s_{name}{end}": None for name in ("p50", "p90", "p99") for end in ("", "_low", "_high")}
    rows = [at_rate(1.0, **none), at_rate(2.0, **none)]
    figure = draw_latencies(rows, BOUNDARY, title="t", note="n", size=SIZE)
    assert [panel.get_title(loc="left") for panel in panels_of(figure)] == [
        "Time to first token (s)",
        "Arrival to last token (s)",
    ]
    assert "finite run" not in svg(figure, tmp_path / "latency.svg")


def test_latency_pictures_have_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a.png", "b.png"):
        figure = draw_latencies([at_rate(1.0), at_rate(2.0)], BOUNDARY, title="t", note="n", size=SIZE)
        style.save(figure, tmp_path / name, size=SIZE)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
