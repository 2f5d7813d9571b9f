"""Planes are found again in times made from them, whatever noise and outliers; what a log can't tell is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastq.calibration.calibration import calibrate, planes_seconds
from fastq.calibration.design import design_of
from fastq.calibration.folds import folds, resamples
from fastq.calibration.iteration_log import CACHED_TOKENS, FINISHING_PROMPTS, PREFILL_SEQS, IterationLog
from fastq.calibration.plane_fit import fit_planes, fitted_seconds
from fastq.calibration.term_choice import Term, choose_terms
from fastq.calibration.term_columns import beyond
from fastq.errors import SpecError
from fastq.model.iteration_time import TERM_UNITS, IterationTime, Plane

ROWS = 600
ONE = np.array([[8e-3, 30e-6, 20e-6, 150e-9, 2e-9]])
TWO = np.array([[10e-3, 5e-6, 5e-6, 80e-9, 0.0], [1e-3, 60e-6, 60e-6, 80e-9, 3e-9]])


def batches(rows=ROWS, seed=1):
    """Draw batches: a third decode only, a third prefill only, a third do both."""
    generator = np.random.default_rng(seed)
    kind = np.arange(rows) % 3
    prefill = np.where(kind > 0, generator.integers(1, 2048, rows), 0).astype(float)
    decode = np.where(kind != 1, generator.integers(1, 256, rows), 0).astype(float)
    kv = decode * generator.integers(20, 2000, rows)
    cached = np.where(kind > 0, generator.integers(0, 3000, rows), 0).astype(float)
    return prefill, decode, kv, prefill * (cached + prefill / 2), cached


def log_of(seconds_of, rows=ROWS, seed=1, **changed):
    """Make a log; ``seconds_of`` takes 1, P, D, K, A and returns the times."""
    prefill, decode, kv, attention, cached = batches(rows, seed)
    columns = {"prefill": prefill, "decode": decode, "kv": kv, "attention": attention, **changed}
    given = [np.zeros(rows) if value is None else value for value in columns.values()]
    seconds = seconds_of(np.stack([np.ones(rows), *given], axis=1))
    return IterationLog(
        columns["prefill"],
        columns["decode"],
        columns["kv"],
        columns["attention"],
        seconds,
        "made.csv",
        "iteration log",
        (),
        {CACHED_TOKENS: cached},
    )


def exact(planes):

    return lambda columns: (columns @ planes.T).max(axis=1)


def noisy(planes, sigma, seed=2):
    def seconds(columns):
        generator = np.random.default_rng(seed)
        return exact(planes)(columns) * np.exp(sigma * generator.standard_normal(len(columns)))

    return seconds


def coefficients(calibration):
    return (
        np.array(
            [
                [
                    plane.base_ps,
                    plane.prefill_token_ps,
                    plane.decode_seq_ps,
                    plane.kv_token_ps,
                    plane.attention_ps,
                ]
                for plane in calibration.iteration_time.planes
            ]
        )
        * 1e-12
    )


def test_one_plane_is_found_exactly_and_chosen():
    found = calibrate(log_of(exact(ONE)))
    assert len(found.iteration_time.planes) == 1
    assert coefficients(found) == pytest.approx(ONE, rel=1e-4)
    assert found.errors[0].worst < 1e-4
    assert not found.untold


def test_two_planes_are_found_and_chosen():
    found = calibrate(log_of(noisy(TWO, 0.01)))
    assert found.chosen
    assert len(found.iteration_time.planes) == 2
    assert coefficients(found)[1] == pytest.approx(TWO[1], rel=0.03)
    assert coefficients(found)[0, [0, 3]] == pytest.approx(TWO[0, [0, 3]], rel=0.05)
    errors = [each.error for each in found.held_out]
    assert errors[1] < 0.2 * errors[0]
    assert sum(found.rows_of_planes) == found.fitted_rows == ROWS


def test_noise_does_not_buy_a_plane_and_lies_in_the_intervals():
    found = calibrate(log_of(noisy(ONE, 0.05)))
    assert len(found.iteration_time.planes) == 1
    assert coefficients(found) == pytest.approx(ONE, rel=0.05)
    inside = (found.low_ps <= 1e12 * ONE) & (found.high_ps >= 1e12 * ONE)
    assert inside.sum() >= 4
    assert np.all(found.low_ps <= found.high_ps)
    assert np.all(found.high_ps < 1.2e12 * ONE)


def test_intervals_of_planes_that_prefill_alike_are_not_mixed_up():
    """Planes are sorted by what prefill costs: where that is the same a resample may sort them the other way round."""
    planes = np.array([[2e-3, 30e-6, 20e-6, 180e-9, 0], [12e-3, 30e-6, 20e-6, 0, 0]])
    found = calibrate(log_of(noisy(planes, 0.01)), planes=2)
    base = coefficients(found)[:, 0]
    assert sorted(base) == pytest.approx([2e-3, 12e-3], rel=0.05)
    assert np.all(found.low_ps[:, 0] > 0.9e12 * base)
    assert np.all(found.high_ps[:, 0] < 1.1e12 * base)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_rows_that_are_far_off_barely_move_it(factor):
    def seconds(columns):
        times = noisy(ONE, 0.02)(columns)
        times[::20] *= factor
        return times

    log = log_of(seconds)
    found = calibrate(log, planes=1)
    assert coefficients(found) == pytest.approx(ONE, rel=0.06)
    assert found.far.rows == ROWS // 20
    assert found.far.time_share == pytest.approx(log.seconds[::20].sum() / log.seconds.sum())
    plain = np.linalg.lstsq(design_of(log).columns, log.seconds, rcond=None)[0]
    assert np.abs(plain / ONE[0] - 1).max() > 3 * np.abs(coefficients(found) / ONE - 1).max()


def test_times_in_another_unit_give_the_same_planes_in_that_unit():
    prefill, decode, kv, attention, _ = batches()
    columns = np.stack([np.ones(ROWS), prefill, decode, kv, attention], axis=1)
    seconds = noisy(TWO, 0.03)(columns)
    once, thousand = (fit_planes(columns, scale * seconds, 2) for scale in (1.0, 1000.0))
    assert thousand.loss == pytest.approx(once.loss, rel=1e-9)
    assert thousand.planes / 1000 == pytest.approx(once.planes, rel=1e-6, abs=1e-15)


def test_coefficients_are_never_negative_and_more_planes_never_fit_worse():
    generator = np.random.default_rng(5)
    log = log_of(lambda columns: 0.01 * np.exp(0.5 * generator.standard_normal(len(columns))))
    design = design_of(log)
    losses, below = [], None
    for planes in (1, 2, 3, 4):
        below = fit_planes(design.columns, log.seconds, planes, below=below)
        losses.append(below.loss)
        assert np.all(below.planes >= 0)
    assert losses == sorted(losses, reverse=True)


def test_the_same_log_gives_the_same_calibration():
    log = log_of(noisy(TWO, 0.05))
    first, second = calibrate(log), calibrate(log)
    assert first.iteration_time == second.iteration_time
    assert first.held_out == second.held_out
    assert first.terms == second.terms
    assert np.array_equal(first.low_ps, second.low_ps)


def test_fitted_times_are_those_of_the_planes_that_are_written():
    found = calibrate(log_of(noisy(TWO, 0.05)))
    design = design_of(found.log)
    assert np.array_equal(found.fitted_s, planes_seconds(found.iteration_time, design.columns))
    whole = found.errors[0]
    assert whole.total == pytest.approx(found.fitted_s.sum() / found.log.seconds.sum() - 1)
    assert whole.rows == sum(each.rows for each in found.errors[1:4]) == ROWS


def test_planes_seconds_takes_the_largest_plane():
    times = IterationTime((Plane(base_ps=10**10), Plane(prefill_token_ps=10**8)))
    rows = np.array([[1.0, 50, 0, 0, 0], [1.0, 200, 0, 0, 0]])
    assert planes_seconds(times, rows) == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize(
    ("changed", "name", "says"),
    [
        ({"prefill": np.zeros(ROWS), "attention": np.zeros(ROWS)}, "prefill_tokens", "it is 0 in every row"),
        (
            {"decode": np.full(ROWS, 32.0), "kv": np.arange(1.0, ROWS + 1) + 32},
            "decode_seqs",
            "it is 32 in every row",
        ),
        ({"attention": None}, "attention", "no such column"),
    ],
)
def test_a_coefficient_that_a_log_can_not_tell_is_named(changed, name, says):
    if "prefill" in changed:
        changed = {
            **changed,
            "decode": np.arange(ROWS) % 200 + 1.0,
            "kv": 40.0 * np.arange(1, ROWS + 1) + 200,
        }
    found = calibrate(log_of(exact(ONE), **changed), planes=1)
    assert says in found.untold[name]
    field = {"prefill_tokens": 1, "decode_seqs": 2, "attention": 4}[name]
    assert coefficients(found)[0, field] == 0
    assert coefficients(found)[0, 3] == pytest.approx(ONE[0, 3], rel=0.02 if name != "attention" else 10)


def test_a_coefficient_that_a_log_can_not_tell_is_0_whatever_is_rounded():
    """Where nothing is prefilled, what rounding makes of the cost of a prefill token is beyond all bounds."""
    planes = np.array([[10e-3, 0, 0, 20e-9, 0], [1e-3, 0, 60e-6, 0, 0]])
    for seed in range(5):
        log = log_of(noisy(planes, 0.02, seed), seed=seed, prefill=np.zeros(ROWS), attention=np.zeros(ROWS))
        columns = design_of(log).columns
        below = None
        for count in (1, 2, 3):
            below = fit_planes(columns, log.seconds, count, below=below)
            assert not below.planes[:, [1, 4]].any()


def test_columns_that_rise_together_are_named():
    decode = np.arange(ROWS) % 256 + 1.0
    found = design_of(log_of(exact(ONE), decode=decode, kv=100 * decode))
    assert "follows from decode_seqs" in found.untold["kv_tokens"]
    assert np.all(found.columns[:, 3] == 0)


def test_a_term_that_is_missing_is_found_and_one_that_is_not_is_not():
    def seconds(columns):
        jump = 4e-3 * (columns[:, 1] + columns[:, 2] > 256)
        return noisy(ONE, 0.01)(columns) + jump

    calibration = calibrate(log_of(seconds), planes=1)
    (jump,) = calibration.added
    assert jump.name == "a jump beyond 256 tokens"
    assert calibration.iteration_time.terms.jump_ps == pytest.approx(4e9, rel=0.1)
    assert calibration.iteration_time.terms.jump_beyond_tokens == 256
    assert calibration.error_with_terms == pytest.approx(calibration.error_of_planes - jump.drop)
    found = {each.name: each for each in calibration.terms}
    assert jump.carries_weight
    assert jump.coefficient_s == pytest.approx(4e-3, rel=0.1)
    assert found["prompts that finish their prefill"].why_not == "no such column"

    nothing = calibrate(log_of(noisy(ONE, 0.01)), planes=1)
    assert nothing.added == ()
    assert not nothing.iteration_time.terms.any
    assert nothing.error_with_terms == nothing.error_of_planes
    without = {each.name: each for each in nothing.terms}
    assert abs(without["KV that prefill chunks read again"].drop) < 1e-4
    assert without["KV that prefill chunks read again"].drop_error is not None


@pytest.mark.parametrize(
    ("name", "finishing_s", "cached_s"),
    [("prompts that finish their prefill", 3e-3, 0.0), ("KV that prefill chunks read again", 0.0, 0.4e-6)],
)
def test_a_planted_cost_of_finishing_prompts_or_of_cached_tokens_is_measured(name, finishing_s, cached_s):
    log = log_of(exact(ONE))
    finishing = (np.arange(ROWS) % 6 == 1).astype(float)
    seconds = log.seconds + finishing_s * finishing + cached_s * log.extras[CACHED_TOKENS]
    made = IterationLog(
        log.prefill_tokens,
        log.decode_seqs,
        log.kv_tokens,
        log.attention,
        seconds,
        log.name,
        log.form,
        (),
        {CACHED_TOKENS: log.extras[CACHED_TOKENS], FINISHING_PROMPTS: finishing},
    )
    design = design_of(made)
    fit = fit_planes(design.columns, seconds, 1)
    choice = choose_terms(made, design.columns, fit)
    (found,) = choice.added
    assert found.name == name
    assert found.carries_weight
    assert found.coefficient_s == pytest.approx(finishing_s + cached_s, rel=0.05)
    assert choice.fit.planes == pytest.approx(ONE, rel=0.05)
    assert not any(each.carries_weight and (each.drop or 0) > 1e-3 for each in choice.missing)


def test_several_planted_terms_are_taken_the_largest_first_and_fitted_together():
    log = log_of(exact(ONE))
    mixed = (log.prefill_tokens > 0) & (log.decode_seqs > 0)
    jump = log.prefill_tokens + log.decode_seqs > 512
    found = calibrate(replace(log, seconds=log.seconds + 5e-3 * mixed + 2e-3 * jump), planes=1)
    assert {each.key for each in found.added} == {"mixed_ms", "jump_ms"}
    drops = [each.drop for each in found.added]
    assert drops == sorted(drops, reverse=True)
    terms = found.iteration_time.terms
    assert (terms.mixed_ps, terms.jump_ps) == pytest.approx((5e9, 2e9), rel=0.05)
    assert terms.jump_beyond_tokens == 512
    assert np.all(found.term_low_ps <= [getattr(terms, TERM_UNITS[each.key][0]) for each in found.added])
    assert found.errors[0].worst < 1e-3


def test_a_term_that_stood_in_for_others_makes_way_for_them():
    """In such logs a batch that prefills is taken first, for its prompts, and has no time left beside them."""
    rows = 400
    generator = np.random.default_rng(0)
    kind = np.arange(rows) % 3
    prompts = np.where(kind > 0, generator.integers(1, 5, rows), 0).astype(float)
    prefill = np.where(kind > 0, generator.integers(8, 2048, rows), 0).astype(float)
    decode = np.where(kind != 1, generator.integers(1, 256, rows), 0).astype(float)
    kv = decode * generator.integers(20, 2000, rows)
    cached = np.where(kind > 0, generator.integers(0, 3000, rows) * (generator.random(rows) < 0.5), 0).astype(
        float
    )
    more_s = 1.6e-3 * prompts + 5.4e-6 * cached + 8.1e-3 * ((prefill > 0) & (decode > 0))
    noise = np.exp(0.01 * np.random.default_rng(10_000).standard_normal(rows))
    log = log_of(
        lambda columns: (columns @ ONE[0] + more_s) * noise,
        rows,
        prefill=prefill,
        decode=decode,
        kv=kv,
        attention=prefill * (cached + prefill / 2),
    )
    found = calibrate(replace(log, extras={CACHED_TOKENS: cached, PREFILL_SEQS: prompts}), planes=1)
    assert {each.key for each in found.added} == {"prefill_seq_us", "prefill_kv_token_ns", "mixed_ms"}
    assert found.iteration_time.terms.prefill_seq_ps == pytest.approx(1.6e9, rel=0.1)
    assert found.error_with_terms < 0.01
    assert "prefill_ms" in {each.key for each in found.terms}


def test_a_batch_of_just_the_size_of_a_jump_is_not_beyond_it():
    size = np.array([256.0, 257.0, 255.0, 256.0])
    log = log_of(exact(ONE), rows=4, prefill=size - 100, decode=np.full(4, 100.0))
    assert beyond(log, 256).tolist() == [0, 1, 0, 0]


def test_a_term_that_another_one_tells_is_not_tested_beside_it():
    """Where every batch that prefills also decodes, a log can't tell the two kinds apart."""
    decode = np.random.default_rng(4).integers(1, 256, ROWS).astype(float)
    log = log_of(
        noisy(ONE, 0.01), decode=decode, kv=decode * np.random.default_rng(5).integers(20, 2000, ROWS)
    )
    found = calibrate(replace(log, seconds=log.seconds + 5e-3 * (log.prefill_tokens > 0)), planes=1)
    assert [each.key for each in found.added] == ["prefill_ms"]
    (mixed,) = (each for each in found.terms if each.key == "mixed_ms")
    assert mixed.verdict == "constant, or told by the others"


def test_a_term_that_would_have_to_be_negative_is_reported_and_not_taken():
    log = log_of(exact(ONE))
    mixed = (log.prefill_tokens > 0) & (log.decode_seqs > 0)
    found = calibrate(replace(log, seconds=log.seconds - 2e-3 * mixed), planes=1)
    (term,) = (each for each in found.terms if each.key == "mixed_ms")
    assert term.carries_weight
    assert term.coefficient_s == pytest.approx(-2e-3, rel=0.1)
    assert found.iteration_time.terms.mixed_ps == 0


def test_equal_batches_stay_together_and_every_part_is_used():
    columns = np.repeat(np.arange(50.0)[:, None], 4, axis=0)
    part = folds(columns)
    assert sorted(set(part)) == list(range(10))
    assert all(len(set(part[columns[:, 0] == value])) == 1 for value in range(50))


def test_resamples_are_runs_of_neighbours():
    for rows in resamples(1000, 3):
        assert rows.size == 1000
        assert np.mean(np.diff(rows) % 1000 == 1) > 0.85
        assert len(set(rows)) < 800


def test_a_long_log_is_thinned_and_judged_whole(monkeypatch):
    monkeypatch.setattr("fastq.calibration.calibration.MOST_ROWS", 200)
    found = calibrate(log_of(noisy(ONE, 0.02)), planes=1)
    assert found.fitted_rows == 200
    assert found.errors[0].rows == ROWS
    assert coefficients(found) == pytest.approx(ONE, rel=0.06)


def test_one_repeated_batch_and_too_few_are_refused():
    rows = 40
    same = {name: np.full(rows, value) for name, value in (("prefill", 8.0), ("decode", 4.0), ("kv", 400.0))}
    with pytest.raises(SpecError, match="one and the same batch"):
        calibrate(log_of(exact(ONE), rows=rows, attention=np.full(rows, 32.0), **same))
    with pytest.raises(SpecError, match="only 9 different batches"):
        calibrate(log_of(exact(ONE), rows=9))


def test_fitted_seconds_are_positive():
    fit = fit_planes(np.ones((20, 1)), np.full(20, 2e-3), 1)
    assert fitted_seconds(np.zeros((1, 1)), fit)[0] > 0


@pytest.mark.parametrize(
    ("coefficient_s", "drop", "drop_error", "verdict"),
    [
        (1e-3, 0.001, 0.002, "no more than chance"),
        (1e-3, 0.0005, 0.0001, "under 0.1 % points"),
        (-1e-3, 0.005, 0.001, "would be negative"),
        (1e-3, 0.005, 0.001, "would leave a plane no rows, or a term no time"),
        (None, None, None, "no such column"),
    ],
)
def test_a_term_that_is_not_added_says_why(coefficient_s, drop, drop_error, verdict):
    why_not = "no such column" if drop is None else ""
    assert (
        Term("mixed_ms", "a batch", "iteration", coefficient_s, drop, drop_error, why_not).verdict == verdict
    )
