"""Between grid points: exact where it should be, and an error that covers where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastq.analysis.interpolation import bracket, corners, farthest, interpolate, on_line

GEOMETRIC = [1000, 2000, 4000, 8000, 16000]
LINEAR = [0.5, 1.0, 1.5, 2.0]


def test_a_value_on_a_line_is_exact():
    found = bracket(GEOMETRIC, 4000)
    assert found.exact
    assert found.lines.indices == (2,)
    assert bracket(LINEAR, 1.5 * (1 + 1e-15)).exact


@pytest.mark.parametrize("value", [999, 16001, None, "vllm"])
def test_outside_of_the_axis_there_is_nothing(value):
    assert bracket(GEOMETRIC, value) is None


def test_words_and_unlimited_are_only_met_exactly():
    values = ["vllm", "paper"]
    assert bracket(values, "paper").lines.indices == (1,)
    assert bracket(values, "pape") is None
    mixed = [64, None, 16]
    assert bracket(mixed, None).lines.indices == (1,)
    assert bracket(mixed, 32).lines.indices == (2, 0)


def test_the_nearest_line():
    assert on_line(3).lines.nearest == 3
    assert bracket(LINEAR, 0.7).lines.nearest == 0
    assert bracket(LINEAR, 0.8).lines.nearest == 1
    assert bracket(LINEAR[::-1], 0.8).lines.nearest == 2


def test_geometric_axes_are_interpolated_in_logarithms_and_linear_ones_as_they_are():
    field = np.log([[g * math.exp(x) for x in LINEAR] for g in GEOMETRIC])
    value, error = interpolate(field, [bracket(GEOMETRIC, 3000), bracket(LINEAR, 0.8)])
    assert value == pytest.approx(math.log(3000) + 0.8)
    assert error == pytest.approx(0, abs=1e-12)


def test_the_error_covers_that_of_a_curve():
    axis = list(range(1, 10))
    field = np.array([1 / (x + 3) for x in axis])
    for at in np.linspace(1.05, 8.95, 80):
        value, error = interpolate(field, [bracket(axis, float(at))])
        assert abs(value - 1 / (at + 3)) <= error + 1e-12
        assert error < 0.02


def test_with_two_lines_the_error_reaches_both():
    value, error = interpolate(np.array([1.0, 3.0]), [bracket([10, 20], 12)])
    assert error == pytest.approx(max(value - 1, 3 - value))


def test_a_hole_makes_the_value_unknown_and_a_hole_further_off_does_not():
    field = np.array([1.0, 2.0, 3.0, math.nan])
    assert math.isnan(interpolate(field, [bracket([1, 2, 3, 4], 3.5)])[0])
    value, error = interpolate(field, [bracket([1, 2, 3, 4], 2.9)])
    assert value == pytest.approx(2.9)
    assert error == pytest.approx(0.9)


def test_the_points_around():
    field = np.arange(12.0).reshape(3, 4)
    around = [bracket([1, 2, 3], 2.5), bracket([1, 2, 3, 4], 4)]
    assert corners(field, around).tolist() == [[7], [11]]
    assert farthest(field, around, 8.0) == 3.0
