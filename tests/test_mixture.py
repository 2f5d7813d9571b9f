"""Mixed workloads: one table whose means are the mixed means."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from builders import law, uniform

from fastq.closed_forms.request_sums import request_sums
from fastq.model.catalogue import load_workload
from fastq.model.mixture import MAX_EXACT_ENTRIES, SKETCH_ENTRIES, Part, mixed_law
from fastq.model.scheduler import TokenConvention


def figures(given):
    sums = request_sums(given, 512, 16, TokenConvention.ENGINE, None)
    return np.array(
        [sums.prompt_tokens, sums.output_tokens, sums.kv_area_blocks, sums.squared_prompt_tokens]
    ) / (sums.requests)


def mixed_figures(parts):
    return sum(float(part.share) * figures(part.law) for part in parts)


def test_a_few_lengths_are_mixed_exactly():
    parts = [Part("a", Fraction(7, 10), law([10], [20])), Part("b", Fraction(3, 10), law([1, 2], [3]))]
    mixed = mixed_law(parts)
    pairs = sorted(zip(mixed.prompt_tokens.tolist(), mixed.output_tokens.tolist(), strict=True))
    assert mixed.joint
    assert mixed.name == "0.7 a + 0.3 b"
    assert pairs == [(1, 3)] * 3 + [(2, 3)] * 3 + [(10, 20)] * 14


def test_tables_of_traces_are_mixed_exactly_where_they_are_small_enough():
    chat, code = (load_workload(name).law for name in ("azure-conv-2023", "azure-code-2023"))
    parts = [Part("chat", Fraction(2, 3), chat), Part("code", Fraction(1, 3), code)]
    mixed = mixed_law(parts)
    assert mixed.prompt_tokens.size < MAX_EXACT_ENTRIES
    assert figures(mixed) == pytest.approx(mixed_figures(parts), rel=1e-12)


def test_other_shares_are_sketched_within_a_hundredth_of_a_percent():
    chat, code = (load_workload(name).law for name in ("azure-conv-2023", "azure-code-2023"))
    parts = [Part("chat", Fraction(123, 1000), chat), Part("code", Fraction(877, 1000), code)]
    mixed = mixed_law(parts)
    assert mixed.prompt_tokens.size == SKETCH_ENTRIES
    assert figures(mixed) == pytest.approx(mixed_figures(parts), rel=1e-4)
    assert mixed.prompt_tokens.max() == max(chat.prompt_tokens.max(), code.prompt_tokens.max())


def test_independent_lengths_stay_independent():
    wide = law(uniform(10, 1600), uniform(10, 1600))
    parts = [Part("wide", Fraction(1, 2), wide), Part("one", Fraction(1, 2), law([1], [1]))]
    mixed = mixed_law(parts)
    of_wide = mixed.prompt_tokens > 1
    assert of_wide.sum() == SKETCH_ENTRIES // 2
    correlation = np.corrcoef(mixed.prompt_tokens[of_wide], mixed.output_tokens[of_wide])[0, 1]
    assert abs(correlation) < 1e-3
    assert figures(mixed) == pytest.approx(mixed_figures(parts), rel=2e-4)


def test_a_part_of_a_tiny_share_keeps_an_entry():
    parts = [
        Part("often", 1 - Fraction(1, 10**9), law(uniform(10, 1600), uniform(10, 1600))),
        Part("rare", Fraction(1, 10**9), law([5000], [5000])),
    ]
    mixed = mixed_law(parts)
    assert (mixed.prompt_tokens == 5000).sum() == 1
