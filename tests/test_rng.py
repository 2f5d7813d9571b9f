"""Draws: the generator, the streams of requests, the interarrival law, and the integer tricks beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import stream_reference
from builders import point, uniform, with_clock
from drawn import processes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit
from philox_reference import KNOWN_ANSWERS, philox4x32_10
from scipy.stats import chi2, kstest, norm

from fastq.engine.bins import bin_edges
from fastq.engine.encode import encode
from fastq.engine.interarrival import interarrival_table, mean_as_fixed_point
from fastq.kernels import draws, histogram, memory
from fastq.kernels._layout import PARAMS
from fastq.kernels.rng import philox
from fastq.model.point import REPLAY, Arrivals
from fastq.model.run import Run

word = st.integers(0, 2**32 - 1)
MILLION = 1_000_000
ALPHA = 1e-3
"""Chance that a right program would fail a statistical test, were its seed not fixed."""


def kernel_words(counter, key) -> tuple[int, ...]:
    return tuple(int(word) for word in philox(*map(np.uint64, counter), *map(np.uint64, key)))


@njit
def compiled_philox(c0, c1, c2, c3, k0, k1):
    return philox(c0, c1, c2, c3, k0, k1)


@njit
def compiled_draws(p, tables, first, count):
    gaps = np.empty(count, np.int64)
    prompts = np.empty(count, np.int64)
    outputs = np.empty(count, np.int64)
    for k in range(count):
        gaps[k], prompts[k], outputs[k] = draws.arriving(p[0], tables, first + k)
    return gaps, prompts, outputs


@njit
def compiled_bins(values):
    bins = np.empty(values.size, np.int64)
    for k in range(values.size):
        bins[k] = histogram.bin_of(values[k])
    return bins


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers_of_the_generator(counter, key, answer):
    assert kernel_words(counter, key) == answer
    compiled = compiled_philox(*map(np.uint64, counter), *map(np.uint64, key))
    assert tuple(int(word) for word in compiled) == answer


@given(st.tuples(word, word, word, word), st.tuples(word, word))
def test_the_generator_equals_its_reference(counter, key):
    expected = philox4x32_10(counter, key)
    assert kernel_words(counter, key) == expected
    assert compiled_philox(*map(np.uint64, counter), *map(np.uint64, key)) == expected


@settings(max_examples=60, deadline=None)
@given(
    key=st.integers(0, 2**64 - 1),
    replication=st.integers(0, 2**16 - 1),
    index=st.one_of(st.integers(0, 10**6), st.integers(2**32 - 3, 2**32 + 3), st.integers(0, 2**48)),
)
def test_the_words_of_every_stream_equal_the_reference(key, replication, index):
    params = np.zeros(1, PARAMS)
    params["key_low"], params["key_high"], params["replication"] = key & 0xFFFFFFFF, key >> 32, replication
    p = params.view(np.recarray)[0]
    for number, stream in enumerate((draws.STREAM_REQUEST, draws.STREAM_AGE, draws.STREAM_BACKLOG)):
        found = tuple(int(value) for value in draws.words_of(p, index, stream))
        assert found == stream_reference.words(key, replication, index, number)


@settings(max_examples=25, deadline=None)
@given(
    key=st.integers(0, 2**64 - 1),
    replication=st.integers(0, 7),
    rate=st.sampled_from([1e-3, 0.7, 3.0, 12_345.6]),
    joint=st.booleans(),
    arrivals=processes,
)
@example(key=1, replication=2, rate=3.0, joint=True, arrivals=Arrivals(REPLAY))
@example(key=1, replication=2, rate=3.0, joint=True, arrivals=Arrivals(REPLAY, round_robin=7))
def test_arrivals_and_lengths_equal_the_reference_stream(key, replication, rate, joint, arrivals):
    replays = arrivals.process == REPLAY
    system = point([3, 1, 4, 1, 5], [9, 2, 6, 5, 3], joint=joint or replays, arrivals=arrivals)
    if replays:
        system = replace(system, law=with_clock(system.law, [7.0, 7.0, 7.25, 9.0, 9.001]))
    encoded = encode(system, Run(seed=key), mean_running=1)
    params = encoded.for_replications([replication], arrival_rate_rps=rate)
    count = 60
    gaps, prompts, outputs = compiled_draws(params, encoded.tables, 0, count)
    reference = stream_reference.stream(
        encoded, seed=key, replication=replication, arrival_rate_rps=rate, aged_requests=0
    )
    expected = [next(reference) for _ in range(count)]
    assert np.cumsum(gaps).tolist() == [request.arrival_ns for request in expected]
    assert prompts.tolist() == [request.prompt for request in expected]
    assert outputs.tolist() == [request.output for request in expected]


@given(st.integers(1, 2**31), st.data())
def test_below_cuts_the_words_into_equal_parts(n, data):
    """Value k begins at the first word of at least k/n of all 2^32: parts differ by one word at most."""
    k = data.draw(st.integers(0, n - 1))
    first = -(-(k << 32) // n)
    assert draws.below(np.uint64(first), n) == k
    assert k == 0 or draws.below(np.uint64(first - 1), n) == k - 1
    assert draws.below(np.uint64(2**32 - 1), n) == n - 1


def many_draws(system, seed: int, rate_rps: float = 1.0):
    encoded = encode(system, Run(seed=seed), mean_running=1)
    return compiled_draws(
        encoded.for_replications([0], arrival_rate_rps=rate_rps), encoded.tables, 0, MILLION
    )


@pytest.mark.parametrize("values", [2, 7, 1000])
def test_lengths_are_uniform_over_the_table_and_independent(values):
    _, prompts, outputs = many_draws(point(uniform(1, values), uniform(1, 5)), seed=11)
    pairs = np.bincount((prompts - 1) * 5 + outputs - 1, minlength=5 * values)
    expected = MILLION / (5 * values)
    statistic = ((pairs - expected) ** 2 / expected).sum()
    assert chi2.ppf(ALPHA / 2, 5 * values - 1) < statistic < chi2.ppf(1 - ALPHA / 2, 5 * values - 1)


def test_successive_gaps_and_lengths_are_uncorrelated():
    gaps, prompts, outputs = many_draws(point(uniform(1, 1000), uniform(1, 1000)), seed=12)
    bound = norm.ppf(1 - ALPHA / 2) / np.sqrt(MILLION)
    for one, other in (
        (gaps[1:], gaps[:-1]),
        (prompts[1:], prompts[:-1]),
        (gaps, prompts),
        (prompts, outputs),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < bound


def test_the_interarrival_table_has_mean_one():
    """As the kernels interpolate it: each entry's interval by the trapezoid, weighted by its probability."""
    half = np.ldexp(interarrival_table("poisson").astype(float), -draws.GAP_UNIT_BITS).reshape(2, -1)
    steps = np.arange(draws.HALF_ENTRIES)
    octave, step = steps // draws.ENTRIES_PER_OCTAVE, steps % draws.ENTRIES_PER_OCTAVE
    tail = np.ldexp(1 + step / draws.ENTRIES_PER_OCTAVE, octave - draws.OCTAVES - 1)
    assert tail[-1] == 0.5
    mean = sum(np.trapezoid(quantiles, tail) for quantiles in half)
    # What lies beyond the table's ends has probability 2^-54.
    assert mean == pytest.approx(1, abs=1e-6)


@given(st.integers(0, 2**64 - 2**21))
@example(0)
@example(2**63 - 1)
@example(2**63)
@example(2**64 - 2**40)
@settings(max_examples=500, deadline=None)
def test_interarrival_quantiles_are_exponential(bits):
    """To 1e-4 of their value, and 2^-23 of the mean, twice the table's unit; at the far end see below.

    Straight lines between 64 points an octave are off by (1/64)^2/8 of an octave, 3e-5. The tail's mass is cut off
    to 2^-54, which is 2^-11 of it at the end of the drawn range, where a gap is 30 times the mean.
    """
    found = quantile_at(bits)
    below = (bits + 0.5) / 2**64
    known = -np.log1p(-below) if bits < 2**63 else -np.log((2**64 - bits - 0.5) / 2**64)
    assert found == pytest.approx(known, rel=1e-4, abs=2**-23)


def quantile_at(bits: int) -> float:
    table = interarrival_table("poisson")
    return int(draws.quantile(table, np.uint64(bits >> 32), np.uint64(bits & 0xFFFFFFFF))) / 2**24


def test_interarrival_quantiles_rise_to_the_end_of_the_table():
    """The last of 2^64 quantiles is that of a tail of 2^-54, 54 ln 2, and no quantile is below the one before it.

    The table was divided by the mean of its straight lines, 1 + 6e-6.
    """
    assert quantile_at(2**64 - 1) == pytest.approx(54 * np.log(2), rel=1e-5)
    steps = [2**64 - 2**k for k in range(64, -1, -1)] + [2**64 - 1]
    rising = [quantile_at(bits) for bits in sorted(steps)]
    assert rising == sorted(rising)
    assert rising[0] >= 0


def test_drawn_gaps_are_exponential():
    """Mean and variance of a million gaps, and their whole law; the variance of a sample variance is 8/n."""
    gaps, _, _ = many_draws(point(), seed=13, rate_rps=2.0)
    unit = gaps / 5e8
    z = norm.ppf(1 - ALPHA / 2)
    assert abs(unit.mean() - 1) < z / np.sqrt(MILLION)
    assert abs(unit.var() - 1) < z * np.sqrt(8 / MILLION)
    assert kstest(unit, "expon").pvalue > ALPHA


@pytest.mark.parametrize("rate_rps", [1e-6, 1e-3, 0.3, 1.0, 3.0, 7e3, 1e6])
def test_the_mean_gap_is_exact_to_nine_digits(rate_rps):
    mantissa, shift = mean_as_fixed_point(1e9 / rate_rps, int(interarrival_table("poisson").max()))
    assert mantissa * 2.0 ** (draws.GAP_UNIT_BITS - shift) == pytest.approx(1e9 / rate_rps, rel=2**-31)
    # The longest gap, 54 ln 2 times the mean, fits 63 bits before the shift.
    assert int(interarrival_table("poisson").max()) * mantissa < 2**63


def divided(n: int, divisor: int) -> int:
    multiplier, shift = memory.reciprocal(divisor)
    assert (2**31 - 1) * multiplier < 2**63, "the product fits"
    return (n * multiplier) >> shift


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
@settings(max_examples=500)
def test_reciprocals_divide_exactly(divisor, n):
    whole = n - n % divisor
    for dividend in (n, whole, whole - 1, 2**31 - 1, divisor, divisor - 1):
        if dividend >= 0:
            assert divided(dividend, divisor) == dividend // divisor


@pytest.mark.parametrize("divisor", [*range(1, 130), 2**20 - 1, 2**20, 2**20 + 1, 2**30, 2**31 - 1])
def test_reciprocals_divide_exactly_at_the_largest_dividends(divisor):
    last = 2**31 - 1
    whole = last - last % divisor
    for dividend in (last, last - 1, whole, whole - 1, max(whole - divisor, 0)):
        assert divided(dividend, divisor) == dividend // divisor


def test_bins_begin_at_their_edges():
    """At every edge and just below it; from 2^53 on, a value itself is rounded to a float first."""
    edges = bin_edges()
    assert edges.size == histogram.BINS + 1
    assert (np.diff(edges) >= 0).all()
    bins = np.arange(histogram.BINS)
    used = edges[1:] > edges[:-1]
    assert (compiled_bins(edges[:-1][used]) == bins[used]).all()
    exact = used & (edges[1:] <= 2**53)
    assert (compiled_bins(edges[1:][exact] - 1) == bins[exact]).all()
    some = [0, 1, 2, 3, 127, 128, 129, 255, 256, 257, 10**6, 2**40 - 1, 2**40, 2**52 + 1]
    assert [histogram.bin_of(value) for value in some] == compiled_bins(np.array(some)).tolist()


@given(st.integers(0, 2**53))
def test_a_value_lies_within_its_bin(value):
    edges = bin_edges()
    k = int(histogram.bin_of(value))
    assert edges[k] <= value < edges[k + 1]


def test_bins_are_at_most_one_percent_wide():
    edges = bin_edges()[1:].astype(float)
    widest = (edges[1:] - 1 - edges[:-1]) / edges[:-1]
    assert widest.max() <= 0.01
    # Whole numbers up to 256 have bins of their own.
    assert np.unique(compiled_bins(np.arange(257))).size == 257


@pytest.mark.parametrize("value", [2**56, 2**60, 2**62])
def test_what_is_beyond_the_last_edge_counts_in_the_last_bin(value):
    assert histogram.bin_of(value) == histogram.BINS - 1
