"""Length laws: every table against the quantiles that define it, found by brute force."""

from __future__ import annotations

import gc
import math
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastq.errors import SpecError
from fastq.model.grid import read_axis
from fastq.model.law_cache import LawCache, lengths
from fastq.model.lengths import MAX_LENGTH_TOKENS, QUANTILE_ENTRIES, column, law, scaled, scaled_column
from fastq.model.marginal_constant import Constant
from fastq.model.marginal_geometric import Geometric
from fastq.model.marginal_lognormal import Lognormal
from fastq.model.marginal_uniform import Uniform
from fastq.model.marginals import FAMILIES, read_marginal
from fastq.model.point import Rates
from fastq.model.reading import Place
from fastq.model.run import Run
from fastq.model.settings import SETTINGS
from fastq.model.spec import Spec

PLACE = Place("spec.toml", "workload.prompt_tokens", Path())
PROBABILITIES = [Fraction(2 * k + 1, 2 * QUANTILE_ENTRIES) for k in range(QUANTILE_ENTRIES)]
SOME_ENTRIES = [0, 1, 2, 1000, 32767, 32768, 60000, 65533, 65534, 65535]


def read(**written):
    return read_marginal(written, PLACE)


def test_constant_is_one_entry():
    assert read(constant=7).table().tolist() == [7]
    assert Constant(7).text == "constant(7)"
    assert Constant(7).largest_tokens == 7


@pytest.mark.parametrize(("low", "high"), [(1, 1), (10, 1600), (5, 5 + QUANTILE_ENTRIES - 1)])
def test_small_uniform_laws_are_exact(low, high):
    assert Uniform(low, high).table().tolist() == list(range(low, high + 1))


@pytest.mark.parametrize("high", [QUANTILE_ENTRIES + 1, 100_000, 3 * QUANTILE_ENTRIES, MAX_LENGTH_TOKENS])
def test_large_uniform_laws_are_quantiles(high):
    uniform = Uniform(1, high)
    table = uniform.table()
    assert table.size == QUANTILE_ENTRIES
    for entry in SOME_ENTRIES:
        length = int(table[entry])
        assert Fraction(length, high) >= PROBABILITIES[entry] > Fraction(length - 1, high)
    assert uniform.largest_tokens == table[-1]
    assert table.mean() == pytest.approx((1 + high) / 2, rel=1e-5)


@pytest.mark.parametrize("mean", [1.5, 2.0, 4.0, 10.0, 128.0, 1000.5])
def test_geometric_tables_are_lower_inverses(mean):
    """(1 - 1/m)^x <= 1 - q just where x reaches the quantile, in exact fractions."""
    table = Geometric(mean).table()
    stay = 1 - 1 / Fraction(mean)
    assert table.size == QUANTILE_ENTRIES
    for entry in SOME_ENTRIES if mean < 100 else SOME_ENTRIES[:4]:
        length = int(table[entry])
        assert stay**length <= 1 - PROBABILITIES[entry] < stay ** (length - 1)
    assert Geometric(mean).largest_tokens == table[-1]
    assert table.mean() == pytest.approx(mean, rel=2e-4)


def test_geometric_ties_are_exact():
    """With mean 2 the last entry is a tie: P(X > 17) is 2^-17, which is 1 - q to the last bit."""
    table = Geometric(2.0).table()
    assert table[-1] == 17
    assert np.bincount(table).tolist()[1:4] == [32768, 16384, 8192]


def test_geometric_with_mean_one_is_constant():
    assert Geometric(1.0).table().tolist() == [1]
    assert Geometric(1.0).largest_tokens == 1


def test_geometric_with_every_entry_against_the_distribution():
    mean = 37.0
    table = Geometric(mean).table()
    expected = stats.geom(1 / mean).ppf((np.arange(QUANTILE_ENTRIES) + 0.5) / QUANTILE_ENTRIES)
    assert table.tolist() == expected.astype(int).tolist()


@given(
    mean=st.floats(1, 5000),
    cv=st.floats(0.05, 5),
    cut=st.integers(1, 20_000),
    entry=st.integers(0, QUANTILE_ENTRIES - 1),
)
@settings(max_examples=40, deadline=None)
def test_lognormal_tables_are_lower_inverses(mean, cv, cut, entry):
    table = Lognormal(mean, cv, cut).table()
    variance = math.log1p(cv * cv)
    distribution = stats.lognorm(s=math.sqrt(variance), scale=mean * math.exp(-variance / 2))
    length, probability = int(table[entry]), float(PROBABILITIES[entry])
    assert 1 <= length <= cut
    if length < cut:  # P(floor(X + 1/2) <= n) = P(X < n + 1/2)
        assert distribution.cdf(length + 0.5) >= probability - 1e-9
    if length > 1:
        assert distribution.cdf(length - 0.5) <= probability + 1e-9
    assert np.all(np.diff(table) >= 0)


def test_lognormal_moments_before_the_cut():
    table = Lognormal(1000.0, 0.8, MAX_LENGTH_TOKENS).table()
    assert table.mean() == pytest.approx(1000, rel=1e-3)
    assert table.std() / table.mean() == pytest.approx(0.8, rel=5e-3)


def test_lognormal_cut_is_a_clip():
    uncut, cut = Lognormal(1000.0, 2.0, MAX_LENGTH_TOKENS).table(), Lognormal(1000.0, 2.0, 4096).table()
    assert np.array_equal(np.minimum(uncut, 4096), cut)
    assert Lognormal(1000.0, 2.0, 4096).largest_tokens == 4096


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"constant": 512}, "constant(512)"),
        ({"constant": 1e3}, "constant(1000)"),
        ({"uniform": [10, 1600]}, "uniform(10, 1600)"),
        ({"geometric": {"mean": 100}}, "geometric(mean=100)"),
        ({"geometric": {"mean": 2.5}}, "geometric(mean=2.5)"),
        ({"lognormal": {"mean": 1000, "cv": 1.5, "max": 8192}}, "lognormal(mean=1000, cv=1.5, max=8192)"),
    ],
)
def test_canonical_text(written, text):
    assert read(**written).text == text


def test_every_family_makes_an_ascending_table_of_positive_lengths():
    examples = {
        "constant": 3,
        "uniform": [2, 9],
        "geometric": {"mean": 3},
        "lognormal": {"mean": 3, "cv": 1, "max": 9},
    }
    assert set(examples) == set(FAMILIES)
    for family, parameters in examples.items():
        marginal = read_marginal({family: parameters}, PLACE)
        table = marginal.table()
        assert table.min() >= 1
        assert np.all(np.diff(table) >= 0)
        assert marginal.largest_tokens == table[-1]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({}, "prompt_tokens"),
        ({"constant": 1, "uniform": [1, 2]}, "prompt_tokens"),
        ({"constant": 0}, ".constant"),
        ({"constant": True}, ".constant"),
        ({"constant": 2**20 + 1}, ".constant"),
        ({"uniform": [5, 4]}, ".uniform"),
        ({"uniform": [5]}, ".uniform"),
        ({"uniform": {"lo": 1}}, ".uniform"),
        ({"uniform": [1, 2.5]}, ".uniform"),
        ({"geometric": {}}, ".geometric"),
        ({"geometric": {"mean": 0.5}}, ".mean"),
        ({"geometric": {"mean": 200_000}}, ".geometric"),
        ({"geometric": 5}, ".geometric"),
        ({"lognormal": {"mean": 10, "cv": 1}}, ".lognormal"),
        ({"lognormal": {"mean": 10, "cv": 0, "max": 5}}, ".cv"),
        ({"lognormal": {"mean": 10, "cv": 1, "max": 5, "min": 1}}, ".min"),
        ({"unifrom": [1, 2]}, ".unifrom"),
    ],
)
def test_bad_laws_name_the_key(written, key):
    with pytest.raises(SpecError) as caught:
        read_marginal(written, PLACE)
    assert caught.value.source == "spec.toml"
    assert caught.value.key.startswith("workload.prompt_tokens")
    assert caught.value.key.endswith(key)


def test_a_law_that_is_misspelt_is_suggested():
    with pytest.raises(SpecError, match="did you mean uniform"):
        read(unifrom=[1, 2])


@given(
    lengths=st.lists(st.integers(1, 2**20), min_size=1, max_size=50),
    scale=st.floats(1e-6, 100),
)
def test_scaling_is_entrywise(lengths, scale):
    scaled_lengths = scaled_column(column(np.minimum(lengths, 10_000)), scale).tokens
    assert scaled_lengths.tolist() == [max(1, math.floor(min(x, 10_000) * scale + 0.5)) for x in lengths]


def test_scaled_laws():
    pairs = law(column([10, 20, 30]), column([1, 2, 3]), joint=True, name="pairs")
    twice = scaled(pairs, 2.0, 0.1)
    assert twice.prompt_tokens.tolist() == [20, 40, 60]
    assert twice.output_tokens.tolist() == [1, 1, 1]
    assert twice.joint
    assert twice.name == "pairs (prompt x 2, output x 0.1)"
    assert scaled(pairs, 1.0, 1.0).digest == pairs.digest


def test_digests_tell_tables_and_their_kind_apart():
    prompt, output = column([1, 2]), column([3, 4])
    digests = {
        law(prompt, output, joint=True, name="").digest,
        law(prompt, output, joint=False, name="").digest,
        law(output, prompt, joint=True, name="").digest,
        law(prompt, column([4, 3]), joint=True, name="").digest,
    }
    assert len(digests) == 4
    assert (
        law(prompt, output, joint=True, name="a").digest == law(prompt, output, joint=True, name="b").digest
    )


def test_tables_are_int32_and_frozen():
    table = column(np.array([1, 2, 3], dtype=np.int64)).tokens
    assert table.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 5


def test_the_cache_gives_back_the_same_law_and_drops_the_oldest_tables(monkeypatch):
    monkeypatch.setattr("fastq.model.law_cache._MAX_BYTES", 100)
    cache = LawCache()
    values = {
        "workload.prompt_tokens": Uniform(1, 50),
        "workload.output_tokens": Constant(4),
        "workload.output_scale": 1.0,
    }
    for step in range(1, 20):
        made = cache.law(lengths({**values, "workload.prompt_scale": step / 4}))
        assert made.prompt_tokens.tolist() == [max(1, math.floor(x * step / 4 + 0.5)) for x in range(1, 51)]
        assert not made.joint
    assert cache.law(lengths({**values, "workload.prompt_scale": 19 / 4})) is made


def test_no_law_keeps_a_dropped_table_alive(monkeypatch):
    monkeypatch.setattr("fastq.model.law_cache._MAX_BYTES", 10 * 4 * 1000)
    trace = law(column(range(1, 1001)), column(range(1, 1001)), joint=True, name="trace")
    spec = Spec(
        slo=(),
        title="",
        source="spec.toml",
        run=Run(),
        rates=Rates(),
        base={
            "workload.trace": trace,
            "replica.kv_capacity_tokens": 10**6,
            "iteration_time.constant": 10**9,
        },
        cases=(),
        axes=(read_axis(SETTINGS["workload.output_scale"], {"linear": [0.5, 1.5, 100]}, PLACE),),
        origins={},
    )
    tables = [weakref.ref(point.law.output_tokens) for point in spec]
    gc.collect()
    assert 1 < sum(reference() is not None for reference in tables) <= 10
    assert spec.point(99).law is spec.point(99).law
