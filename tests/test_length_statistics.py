"""Lengths of a trace, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fastq.analysis.length_statistics import correlation, joint_statistics, ranks

PAIRS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 1000)), min_size=1, max_size=120)


@given(PAIRS)
def test_lengths_against_their_definitions(pairs):
    prompts, outputs = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    found = joint_statistics(prompts, outputs)
    for each, column in ((found.prompt, prompts), (found.output, outputs), (found.total, prompts + outputs)):
        assert each.mean_tokens == pytest.approx(column.mean())
        assert each.cv == pytest.approx(column.std() / column.mean())
        assert each.max_tokens == column.max()
        for percent in (1, 10, 50, 90, 99):
            shown = getattr(each, f"p{percent}_tokens")
            assert np.sum(column <= shown) * 100 >= percent * column.size
            assert np.sum(column < shown) * 100 < percent * column.size
    areas = sorted(
        (sum(prompt + token for token in range(1, output + 1)) for prompt, output in pairs), reverse=True
    )
    assert found.decode_kv_area_tokens == pytest.approx(np.mean(areas))
    assert found.longest_kv_share == pytest.approx(sum(areas[: -(-len(areas) // 100)]) / sum(areas))
    if found.pearson is not None:
        assert found.pearson == pytest.approx(np.corrcoef(prompts, outputs)[0, 1], abs=1e-9)
        assert found.spearman == pytest.approx(stats.spearmanr(prompts, outputs).statistic, abs=1e-9)
    else:
        assert np.ptp(prompts) == 0 or np.ptp(outputs) == 0


@pytest.mark.parametrize(("requests", "longest"), [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_the_largest_one_percent_of_the_requests(requests, longest):
    """One in a hundred, rounded up: of requests whose area is 2, and three of area 5."""
    outputs = np.ones(requests, dtype=np.int32)
    outputs[:3] = 2
    areas = np.where(outputs == 2, 5, 2)
    found = joint_statistics(np.ones(requests, dtype=np.int32), outputs)
    assert found.longest_kv_share == pytest.approx(5 * longest / areas.sum())


@given(st.lists(st.integers(0, 60), min_size=1))
def test_ranks(values):
    assert ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


def test_nothing_correlates_with_a_constant():
    assert correlation(np.array([1.0, 2.0]), np.array([3.0, 3.0])) is None
    assert correlation(np.array([]), np.array([])) is None
