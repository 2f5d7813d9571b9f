"""The picture of a calibration shows every kind of batch, and is the same byte for byte."""

from __future__ import annotations

import numpy as np
import pytest

from fastq.plot import style
from fastq.plot.calibration import draw_calibration

SIZE = style.SIZES["page"]


def times(rows=300):
    generator = np.random.default_rng(4)
    measured = 0.01 + 0.2 * generator.random(rows) ** 3
    return measured, measured * np.exp(0.05 * generator.standard_normal(rows))


def draw(rows=300, names=("decode only", "prefill only", "mixed")):
    measured, fitted = times(rows)
    kinds = {name: np.arange(rows) % len(names) == index for index, name in enumerate(names)}
    kinds["absent"] = np.zeros(rows, dtype=bool)
    return (
        draw_calibration(measured, fitted, kinds, title="An engine", note="A note.", size=SIZE),
        measured,
        fitted,
    )


def test_every_kind_is_drawn_and_named():
    figure, measured, fitted = draw()
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["decode only", "prefill only", "mixed"]
    dots = np.concatenate([line.get_xydata() for line in left.lines[:3]])
    assert sorted(dots[:, 0]) == pytest.approx(sorted(1e3 * measured))
    assert sorted(dots[:, 1]) == pytest.approx(sorted(1e3 * fitted))
    ticks = [text.get_text() for text in right.get_xticklabels()]
    assert ticks == ["decode only\n(100)", "prefill only\n(100)", "mixed\n(100)"]
    low, high = right.get_ylim()
    errors = fitted / measured - 1
    assert low < errors.min() < errors.max() < high


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_the_same_picture_has_the_same_bytes(tmp_path, ending):
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        style.save(draw()[0], path, size=SIZE)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_one_kind_and_many_batches_are_drawn_too():
    figure, _, _ = draw(rows=9000, names=("decode only",))
    assert len(figure.axes[0].lines[0].get_xydata()) == 4000
