"""Pictures of queues over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pictures import SIZE, svg

from fastq.plot.labels import rate_label
from fastq.plot.timeline import Curve, draw_timeline, in_bins

if TYPE_CHECKING:
    from pathlib import Path


def iterations(rate_rps: float) -> dict[str, np.ndarray]:
    start_s = 0.05 * np.arange(2000)
    return {
        "start_s": start_s,
        "duration_s": np.full(2000, 0.05),
        "waiting": np.floor(max(0.0, rate_rps - 3) * start_s),
        "running": np.full(2000, 90 if rate_rps > 3 else 30),
        "kv_tokens": np.full(2000, 130_000 if rate_rps > 3 else 40_000),
    }


def test_timeline_has_a_curve_a_rate_and_enlarges_short_queues(tmp_path: Path) -> None:
    curves = [Curve(f"{rate} requests/s", iterations(rate)) for rate in (1, 5, 50)]
    figure = draw_timeline(
        curves,
        kv_capacity_tokens=131_000,
        max_num_seqs=100,
        backlogged=False,
        title="t",
        note="n",
        size=SIZE,
    )
    text = svg(figure, tmp_path / "timeline.svg")
    for words in (
        "5 requests/s",
        "50 requests/s",
        "Waiting, enlarged",
        "capacity 131,000",
        "sequence limit 100",
        "Time (s)",
    ):
        assert words in text, words


def test_under_a_backlog_what_waits_is_named_preempted(tmp_path: Path) -> None:
    figure = draw_timeline(
        [Curve("always a backlog", iterations(4))],
        kv_capacity_tokens=131_000,
        max_num_seqs=None,
        backlogged=True,
        title="t",
        note="n",
        size=SIZE,
    )
    text = svg(figure, tmp_path / "timeline.svg")
    assert "waiting to resume" in text
    assert "Waiting" not in text


@pytest.mark.parametrize(
    ("rate_rps", "words"),
    [(1.0, "1 request/s"), (2.5, "2.5 requests/s"), (0.5, "0.5 requests/s"), (20.0, "20 requests/s")],
)
def test_one_request_is_not_plural(rate_rps: float, words: str) -> None:
    assert rate_label(rate_rps) == words


def test_bins_hold_means_and_extremes() -> None:
    mean, least, largest = in_bins(
        np.array([0.0, 1.0, 3.0]), np.array([2.0, 4.0, 6.0]), 4.0, np.array([0.0, 2.0, 4.0])
    )
    np.testing.assert_allclose(mean, [3.0, 5.0])
    np.testing.assert_allclose(least, [2.0, 4.0])
    np.testing.assert_allclose(largest, [4.0, 6.0])
