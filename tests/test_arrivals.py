"""Arrival processes: their laws, queues with known answers under them, and the replay of a trace."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from builders import law, point, with_clock
from confidence import assert_covers
from scipy.stats import gamma
from simulations import mean_wait_s, replications
from stream_reference import stream

from fastq.engine.encode import encode
from fastq.engine.evaluate import evaluate_point
from fastq.engine.interarrival import interarrival_table, mean_as_fixed_point
from fastq.engine.record import record
from fastq.errors import SpecError
from fastq.kernels import draws
from fastq.model.arrival_process import LARGEST_CV, LARGEST_WEIBULL_CV, SMALLEST_CV
from fastq.model.load import parse_spec
from fastq.model.point import REPLAY, Arrivals, Rates
from fastq.model.run import Run
from fastq.model.trace_clock import UNIT_BITS, gaps_of_strides, trace_clock

ITERATION_S = 0.001
LARGEST = {"gamma": LARGEST_CV, "weibull": LARGEST_WEIBULL_CV}
ENDS = [(name, cv) for name, largest in LARGEST.items() for cv in (SMALLEST_CV, 0.5, 2.0, largest)]


def halves(process: str, cv: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of both halves, in means, and the mass of the tail beyond each."""
    half = np.ldexp(interarrival_table(process, cv).astype(float), -draws.GAP_UNIT_BITS).reshape(2, -1)
    octave, step = np.divmod(np.arange(draws.HALF_ENTRIES), draws.ENTRIES_PER_OCTAVE)
    return half, np.ldexp(1 + step / draws.ENTRIES_PER_OCTAVE, octave - draws.OCTAVES - 1)


@pytest.mark.parametrize(("process", "cv"), [*ENDS, ("poisson", None), ("deterministic", None)])
def test_interarrival_times_have_the_mean_and_the_spread_that_was_asked_for(process, cv):
    """As the kernels interpolate: straight lines between entries, each weighted by its probability."""
    half, tail = halves(process, cv)
    width = np.diff(tail)
    mean = sum((width * (q[1:] + q[:-1]) / 2).sum() for q in half)
    square = sum((width * (q[1:] ** 2 + q[1:] * q[:-1] + q[:-1] ** 2) / 3).sum() for q in half)
    expected = {"poisson": 1.0, "deterministic": 0.0}.get(process, cv)
    assert mean == pytest.approx(1, abs=1e-6)
    assert np.sqrt(max(square - mean**2, 0)) == pytest.approx(expected, rel=1e-4, abs=1e-3 * SMALLEST_CV)


@pytest.mark.parametrize("cv", [0.3, 1.0, 4.0])
def test_gamma_quantiles_are_those_of_the_law(cv):
    half, tail = halves("gamma", cv)
    shape = cv**-2
    law_of = gamma(shape, scale=1 / shape)
    # Straight lines within an octave's 64 parts, and a mean that was divided out, are 1e-4 off.
    np.testing.assert_allclose(half[1], law_of.isf(tail), rtol=1e-4, atol=2.0**-23)
    np.testing.assert_allclose(half[0], law_of.ppf(tail), rtol=1e-4, atol=2.0**-23)


def test_a_weibull_law_of_spread_one_is_exponential():
    np.testing.assert_allclose(interarrival_table("weibull", 1.0), interarrival_table("poisson"), atol=2)


@pytest.mark.parametrize(("process", "cv"), ENDS)
def test_interpolation_and_scaling_stay_within_63_bits(process, cv):
    table = interarrival_table(process, cv)
    steps = np.abs(np.diff(table.reshape(2, -1), axis=1))
    assert int(steps.max()) < 2**31, "times a fraction of 32 bits"
    mantissa, shift = mean_as_fixed_point(1e9 / 3.0, int(table.max()))
    assert int(table.max()) * mantissa + (1 << shift) < 2**63
    assert mantissa * 2.0 ** (draws.GAP_UNIT_BITS - shift) == pytest.approx(1e9 / 3.0, rel=2**-20)


def test_a_mean_whose_longest_time_no_clock_holds_is_refused_with_the_lowest_rate():
    with pytest.raises(SpecError, match=r"the lowest rate is 8\.9e-07"):
        mean_as_fixed_point(1e9 / 5e-7, 1 << 29)
    with pytest.raises(SpecError, match=r"the lowest rate is 0\.12"):
        mean_as_fixed_point(1e11, 1 << 51)


def gamma_wait_s(load: float, cv: float, service_s: float) -> float:
    """Mean wait of a single server with gamma interarrival times and equal service times, s (Spitzer's identity).

    E[W] = sum over n of E[(S_n)^+] / n with S_n = n service - (n interarrival times), whose sum is gamma as well.
    """
    n = np.arange(1, 200_000)
    shape, mean_s = cv**-2, service_s / load
    scale_s = mean_s / shape
    total = n * service_s
    below, below_next = (gamma.cdf(total / scale_s, n * shape + more) for more in (0, 1))
    return float(((total * below - n * mean_s * below_next) / n).sum())


def test_spitzers_sum_is_right_for_poisson_arrivals():
    assert gamma_wait_s(0.8, 1.0, 0.001) == pytest.approx(0.8 * 0.001 / (2 * 0.2), rel=1e-6)


@pytest.mark.parametrize(("cv", "load", "half_width"), [(0.5, 0.9, 0.03), (3.0, 0.6, 0.03)])
def test_mean_wait_of_a_single_server_with_gamma_arrivals(cv, load, half_width):
    runs = replications(
        point(max_num_seqs=1, arrivals=Arrivals("gamma", interarrival_cv=cv)),
        rate_rps=load / ITERATION_S,
        count=16,
        requests=400_000,
        warmup_requests=20_000,
    )
    assert_covers(
        [mean_wait_s(run) for run in runs], gamma_wait_s(load, cv, ITERATION_S), half_width=half_width
    )


def test_equal_gaps_leave_nobody_waiting():
    runs = replications(
        point(max_num_seqs=1, arrivals=Arrivals("deterministic")),
        rate_rps=0.99 / ITERATION_S,
        count=2,
        requests=5_000,
    )
    assert [mean_wait_s(run) for run in runs] == [0.0, 0.0]


def test_poisson_arrivals_dealt_out_in_turn_are_gamma():
    """Every fourth of Poisson arrivals: Erlang interarrival times, of half the spread."""
    np.testing.assert_array_equal(interarrival_table("poisson", None, 4), interarrival_table("gamma", 0.5))
    np.testing.assert_array_equal(interarrival_table("gamma", 2.0, 4), interarrival_table("gamma", 1.0))
    np.testing.assert_array_equal(
        interarrival_table("deterministic", None, 4), interarrival_table("deterministic")
    )


TIMES_S = np.array([4.0, 4.5, 4.5, 4.5, 9.25, 30.0, 30.001, 31.0])


def test_the_clock_of_a_trace_is_its_gaps_over_their_mean():
    clock = trace_clock(TIMES_S)
    assert clock is not None
    assert clock.mean_rate_rps == pytest.approx(7 / 27)
    assert clock.gaps.dtype == np.int64
    assert clock.gaps[0] == 1 << UNIT_BITS
    assert int(clock.gaps.sum()) == len(TIMES_S) << UNIT_BITS, "the mean is exact"
    np.testing.assert_allclose(clock.gaps[1:] / 2**UNIT_BITS, np.diff(TIMES_S) * 7 / 27, atol=2.0**-UNIT_BITS)


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 8, 9, 16, 21])
def test_strides_over_a_trace_sum_its_gaps(stride):
    clock = trace_clock(TIMES_S)
    rows = len(TIMES_S)
    expected = [sum(int(clock.gaps[(row - k) % rows]) for k in range(stride)) for row in range(rows)]
    assert gaps_of_strides(clock, stride).tolist() == expected


def test_a_replica_of_seven_gets_every_seventh_request_at_its_own_time():
    draw = np.random.default_rng(6)
    rows, replicas, rate_rps = 30, 7, 2.0
    trace = with_clock(
        law(range(1, rows + 1), range(1, rows + 1), joint=True), np.cumsum(draw.pareto(1.5, rows))
    )
    system = replace(point(arrivals=Arrivals(REPLAY, round_robin=replicas)), law=trace)
    encoded = encode(system, Run(seed=3), mean_running=1)
    dealt = stream(encoded, seed=3, replication=1, arrival_rate_rps=rate_rps, aged_requests=0)
    got = [next(dealt) for _ in range(3 * rows)]
    times_s = np.array([request.arrival_ns for request in got]) / 1e9
    of_row = np.cumsum(trace.clock.gaps) / 2**UNIT_BITS
    first = got[0].prompt - 1
    for k, request in enumerate(got):
        rounds, row = divmod(first + k * replicas, rows)
        assert request.prompt == request.output == row + 1
        since_first = of_row[row] + rounds * rows - of_row[first]
        # All replicas together get requests at `replicas` times the rate.
        assert times_s[k] - times_s[0] == pytest.approx(since_first / (rate_rps * replicas), abs=1e-6)


@pytest.mark.parametrize("times_s", [[5.0], [5.0, 5.0], [1.0, 3.0, 2.0]])
def test_times_in_disorder_or_all_the_same_are_no_clock(times_s):
    assert trace_clock(np.array(times_s)) is None


def test_a_replay_makes_the_waits_of_the_trace_itself():
    """One server, service by output length: Lindley's recursion over the trace, round after round, gives each wait."""
    draw = np.random.default_rng(5)
    rows = 40
    outputs = draw.integers(1, 30, rows)
    times_s = np.cumsum(draw.pareto(1.3, rows))
    trace = with_clock(law(np.ones(rows, int), outputs, joint=True), times_s)
    system = replace(point(max_num_seqs=1, arrivals=Arrivals(REPLAY)), law=trace)
    rate_rps = 0.7 / (outputs.mean() * ITERATION_S)
    rounds = 60
    runs = replications(
        system, rate_rps=rate_rps, count=4, requests=rounds * rows, warmup_requests=rounds * rows
    )
    gaps_s = trace.clock.gaps / 2**UNIT_BITS / rate_rps
    wait_s, waits_s = 0.0, []
    for k in range(3 * rounds * rows):
        waits_s.append(wait_s)
        wait_s = max(wait_s + outputs[k % rows] * ITERATION_S - gaps_s[(k + 1) % rows], 0.0)
    expected_s = np.mean(waits_s[-rounds * rows :])
    # Whole rounds: every replication sees the same waits, wherever it began; its clock is in nanoseconds.
    assert [mean_wait_s(run) for run in runs] == pytest.approx([expected_s] * 4, rel=1e-6)
    assert [run.elapsed_ps / 1e12 for run in runs] == pytest.approx([rounds * rows / rate_rps] * 4, rel=1e-3)


def test_replications_begin_a_replay_at_rows_of_their_own():
    trace = with_clock(law(range(1, 1001), range(1, 1001), joint=True), np.arange(1000.0))
    system = replace(point(arrivals=Arrivals(REPLAY)), law=trace)
    # One request in the window, after none: its prompt is the row.
    runs = replications(system, rate_rps=0.001, count=6, requests=1, warmup_requests=0)
    assert len({run.kv_tokens_sum for run in runs}) == 6


def test_a_replay_warms_up_for_a_round_and_is_measured_over_whole_ones():
    """Requests of a replica of three come from every third row: a round of them is a third of the rows."""
    rows = 4800
    trace = with_clock(law(np.ones(rows, int), np.ones(rows, int), joint=True), np.arange(float(rows)))
    for replicas, warmup, window in ((1, 4800, 9600), (3, 1600, 6400), (7, 1000, 5486)):
        system = replace(point(max_num_seqs=1, arrivals=Arrivals(REPLAY, round_robin=replicas)), law=trace)
        (run,) = replications(system, rate_rps=1.0, count=1, requests=1)
        assert run.warmup_requests == warmup
        assert encode(system, Run(), mean_running=1).whole_rounds(5000) == window
        (told,) = replications(system, rate_rps=1.0, count=1, requests=1, warmup_requests=5)
        assert told.warmup_requests == 5
        assert replications(system, count=1, requests=1)[0].warmup_requests == 1000, "a backlog has no clock"
    assert encode(point(), Run(), mean_running=1).whole_rounds(5000) == 5000


@pytest.mark.parametrize("replicas", [1, 2, 4, 5, 6, 12, 24])
def test_a_replica_meets_all_rows_whatever_factors_their_number_and_the_replicas_have_in_common(replicas):
    """Of four replicas one would get rows 0, 4 and 8 of twelve for ever: a trace of three requests."""
    rows = 12
    trace = with_clock(law(range(1, rows + 1), [1] * rows, joint=True), np.arange(float(rows)))
    system = replace(point(arrivals=Arrivals(REPLAY, round_robin=replicas)), law=trace)
    recorded = record(system, Run(), arrival_rate_rps=0.1, requests=3 * rows).requests
    met = recorded["prompt_tokens"].reshape(3, rows)
    for each in met:
        assert sorted(each.tolist()) == list(range(1, rows + 1))
    own = [1 + (number * replicas) % rows for number in range(rows // math.gcd(replicas, rows))]
    assert met[0].tolist()[: len(own)] == own
    assert np.diff(recorded["arrival_s"]).mean() == pytest.approx(10.0, rel=1e-6)


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_replica_that_begins_among_rejected_requests_comes_to_others(replicas):
    """Rows 0 and 2 are what one of two replicas would get for ever, and look for one that is accepted."""
    trace = with_clock(law([90, 1, 90, 2], [9, 1, 9, 2], joint=True), np.arange(4.0))
    system = replace(point(arrivals=Arrivals(REPLAY, round_robin=replicas), max_model_len=10), law=trace)
    assert 1 < encode(system, Run(), mean_running=1).params["replay_lap"] * replicas <= 4, (
        "or this runs for ever"
    )
    recorded = record(system, Run(), arrival_rate_rps=1.0, requests=4).requests
    assert sorted(recorded["prompt_tokens"].tolist()) == [1, 1, 2, 2]


def test_rounds_are_of_accepted_requests():
    trace = with_clock(law([1, 9, 1, 1], [1, 9, 1, 1], joint=True), np.arange(4.0))
    system = replace(point(arrivals=Arrivals(REPLAY), max_model_len=10), law=trace)
    assert encode(system, Run(), mean_running=1).whole_rounds(4) == 6


def test_wherever_they_begin_replications_of_a_replay_agree(tmp_path):
    """A burst of 100 requests in a trace of 400: without a round before the window, and one within, some miss it."""
    times = np.concatenate([np.arange(300.0), 300 + np.arange(100) / 1000])
    rows = "".join(f"{time},1,1\n" for time in times)
    (tmp_path / "trace.csv").write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}")
    spec = parse_spec(
        {
            **SPEC,
            "workload": {"trace": str(tmp_path / "trace.csv")},
            "replica": {"kv_capacity_tokens": 1000, "max_num_seqs": 1},
            "iteration_time": {"constant": "500 ms"},
            "arrivals": {"process": "trace", "rate_rps": 400 / 300},
            "run": {"measure": ["rates"], "requests": 300},
        },
        source="spec",
    )
    result = evaluate_point(spec, 0)
    at_rate = [row for row in result.replications if row["arrival_rate_rps"] is not None]
    assert {row["requests"] for row in at_rate} == {400}
    (rate,) = result.rates
    assert rate["wait_s_mean"] > 1
    assert rate["wait_s_mean_high"] - rate["wait_s_mean_low"] < 1e-6 * rate["wait_s_mean"]


def test_rates_that_meet_an_objective_are_searched_over_whole_rounds_too(tmp_path):
    """Of 40 that come at once, at any rate, the last wait for 2 s; windows of 20 requests would miss them, mostly."""
    spec = replay_of(
        tmp_path,
        [*range(160), *(160 + number / 1000 for number in range(40))],
        replica={"kv_capacity_tokens": 1000, "max_num_seqs": 1},
        iteration_time={"constant": "10 ms"},
        slo={"wait": {"p99": "1 s"}},
        run={"measure": ["slo"], "requests": 20, "warmup_requests": 200},
    )
    assert evaluate_point(spec, 0).point["slo_rate_rps"] is None


def test_a_recording_follows_the_trace_from_its_first_request():
    times_s = np.array([3.0, 3.5, 3.5, 10.0, 11.0])
    trace = with_clock(law([5, 4, 3, 2, 1], [1, 2, 3, 4, 5], joint=True), times_s)
    system = replace(point(arrivals=Arrivals(REPLAY)), law=trace)
    recorded = record(system, Run(), arrival_rate_rps=trace.clock.mean_rate_rps, requests=5).requests
    assert recorded["prompt_tokens"].tolist() == [5, 4, 3, 2, 1]
    assert recorded["output_tokens"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(recorded["arrival_s"] - recorded["arrival_s"][0], times_s - 3.0, atol=1e-6)


def test_a_pause_of_almost_the_whole_trace_is_kept_to():
    """A thousand times the mean is beyond what is multiplied by 32 bits of it."""
    times_s = np.append(np.arange(999) / 1000, 10_000.0)
    trace = with_clock(law([1] * 1000, [1] * 1000, joint=True), times_s)
    system = replace(point(arrivals=Arrivals(REPLAY)), law=trace)
    recorded = record(system, Run(), arrival_rate_rps=trace.clock.mean_rate_rps, requests=1000).requests
    since_s = recorded["arrival_s"] - recorded["arrival_s"][0]
    np.testing.assert_allclose(since_s, times_s, rtol=1e-5, atol=1e-3)


# The keys

SPEC = {
    "workload": {"prompt_tokens": {"constant": 5}, "output_tokens": {"constant": 5}},
    "replica": {"kv_capacity_tokens": 1000},
    "iteration_time": {"constant": "1 ms"},
}


def spec_with(arrivals: dict, **sections: dict):
    return parse_spec({**SPEC, "arrivals": arrivals, **sections}, source="spec")


def replay_of(directory, times_s, rate_rps=1.0, **sections: dict):
    rows = "".join(f"{time!r},5,5\n" for time in times_s)
    (directory / "trace.csv").write_text(f"arrival_s,prompt_tokens,output_tokens\n{rows}")
    sections = {
        "workload": {"trace": str(directory / "trace.csv")},
        "run": {"measure": ["rates"]},
        **sections,
    }
    return spec_with({"process": "trace", "rate_rps": rate_rps}, **sections)


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ({"process": "gamma"}, "arrivals.interarrival_cv.*process 'gamma' needs"),
        ({"process": "gamma", "interarrival_cv": 0.001}, "arrivals.interarrival_cv"),
        ({"process": "weibull", "interarrival_cv": 9.0}, "arrivals.interarrival_cv"),
        ({"process": "gamma", "interarrival_cv": "2"}, "arrivals.interarrival_cv"),
        ({"interarrival_cv": 2.0}, "is of the processes 'gamma' and 'weibull'; no other leaves a choice"),
        ({"process": "deterministic", "interarrival_cv": 1.0}, "no other leaves a choice"),
        ({"process": "trace"}, "replays the requests of workload.trace.*lengths are laws"),
        ({"process": "hawkes"}, "arrivals.process"),
        ({"round_robin": 0}, "arrivals.round_robin"),
        ({"rate_rps": [2.0, "trace"]}, r"arrivals\.rate_rps\[1\] = 'trace': stands alone"),
        ({"process": "weibull", "interarrival_cv": 2.0, "round_robin": 2}, "arrivals.round_robin.*gamma"),
    ],
)
def test_what_does_not_go_together_is_refused(arrivals, message):
    with pytest.raises(SpecError, match=message):
        spec_with(arrivals)


@pytest.mark.parametrize(
    ("text", "has_clock"),
    [
        ("arrival_s,prompt_tokens,output_tokens\n0,5,6\n1,7,8\n", True),
        ("arrival_s,prompt_tokens,output_tokens\n1,5,6\n0,7,8\n", False),
        ("prompt_tokens,output_tokens\n5,6\n7,8\n", False),
    ],
)
def test_a_trace_is_replayed_where_it_has_times_in_order(tmp_path, text, has_clock):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    sections = {"workload": {"trace": str(path), "output_scale": 2.0}}
    if not has_clock:
        with pytest.raises(SpecError, match=r"trace\.csv has none"):
            spec_with({"process": "trace"}, **sections)
        return
    spec = spec_with({"process": "trace"}, **sections)
    drawn = spec.point(0).law
    assert drawn.clock is not None
    assert drawn.output_tokens.tolist() == [12, 16]
    assert spec.hash != spec_with({}, **sections).hash
    path.write_text(text.replace("1,7,8", "2,7,8\n2,7,8"))
    assert spec.hash != spec_with({"process": "trace"}, **sections).hash


def test_a_replay_at_its_own_rate(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,6\n1,7,8\n4,7,8\n")
    sections = {
        "workload": {"trace": str(path)},
        "run": {"measure": ["rates"], "requests": 3, "warmup_requests": 0},
    }
    spec = spec_with({"process": "trace", "rate_rps": "trace", "round_robin": 2}, **sections)
    (rate,) = evaluate_point(spec, 0).rates
    assert rate["arrival_rate_rps"] == pytest.approx(0.25), "half of 2 requests in 4 s"
    assert {each.key: each.value_text for each in spec.resolved()}["arrivals.rate_rps"] == "trace"
    by_default = spec_with({"process": "trace"}, workload={"trace": str(path)})
    texts = {each.key: each.value_text for each in by_default.resolved()}
    assert texts["run.warmup_requests"].endswith("at a rate at least a round of the trace")
    assert spec.hash != spec_with({"process": "trace", "rate_rps": 0.25, "round_robin": 2}, **sections).hash
    assert spec.at_rates([0.5]).rates == Rates((0.5,))
    assert spec.at_rates([0.5]).at_rates("trace").rates == Rates(recorded=True)
    with pytest.raises(
        SpecError, match=r"arrivals\.rate_rps = 'trace': is the rate of a trace that is replayed"
    ):
        spec_with({"rate_rps": "trace"}, **sections)


def test_its_own_rate_is_part_of_the_hash_where_it_is_the_one_that_is_measured(tmp_path):
    """A trace at twice its speed has the same gaps over their mean, and another rate."""
    times_s = [0.0, 0.5, 2.0, 2.25]
    twice_s = [time / 2 for time in times_s]
    own, faster = (replay_of(tmp_path, times, rate_rps="trace") for times in (times_s, twice_s))
    assert faster.point(0).law.clock.mean_rate_rps == 2 * own.point(0).law.clock.mean_rate_rps
    assert own.hash != faster.hash
    assert replay_of(tmp_path, times_s).hash == replay_of(tmp_path, twice_s).hash


def test_the_gaps_of_a_trace_are_part_of_the_hash_where_it_is_replayed(tmp_path):
    one, other = (replay_of(tmp_path, times_s) for times_s in ([0.0, 0.5, 2.0], [0.0, 1.5, 2.0]))
    assert one.hash != other.hash
    drawn = [spec.with_arrivals(process="poisson") for spec in (one, other)]
    assert drawn[0].hash == drawn[1].hash


@pytest.mark.parametrize("unit_s", [1e-15, 1e-9, 1e9])
def test_a_trace_whose_own_rate_no_other_could_have_is_refused(tmp_path, unit_s):
    times_s = [time * unit_s for time in (0.0, 0.5, 2.0, 2.25)]
    with pytest.raises(
        SpecError, match=r"rate_rps.*requests/s by the arrival times of trace\.csv.*in seconds"
    ):
        replay_of(tmp_path, times_s, rate_rps="trace")
    assert replay_of(tmp_path, times_s).point(0).law.clock is not None


def test_the_process_is_part_of_the_hash_and_stays_with_other_rates():
    bursty = spec_with({"process": "gamma", "interarrival_cv": 2.0, "rate_rps": 3.0})
    assert (
        len({bursty.hash, spec_with({"process": "gamma", "interarrival_cv": 3.0}).hash, spec_with({}).hash})
        == 3
    )
    for other in (bursty.at_rates([1.0]), bursty.with_arrivals(rate_rps=1.0)):
        assert other.point(0).arrivals == Arrivals("gamma", Rates((1.0,)), interarrival_cv=2.0)
    assert bursty.with_arrivals(process="poisson").point(0).arrivals == Arrivals(rates=Rates((3.0,)))
    assert bursty.with_arrivals(round_robin=4).at_rates([1.0]).point(0).arrivals.round_robin == 4
    with pytest.raises(SpecError, match=r"arrivals\.interarrival_cv.* is missing"):
        bursty.with_arrivals(process="weibull")


def test_processes_can_be_axes_and_cases_as_everything_but_rates():
    spec = spec_with(
        {"process": "gamma", "load": [0.5]},
        grid={"arrivals.interarrival_cv": [0.5, 2.0], "arrivals": {"round_robin": [1, 4]}},
    )
    found = [spec.point(index) for index in range(len(spec))]
    assert [(p.arrivals.interarrival_cv, p.arrivals.round_robin) for p in found] == [
        (0.5, 1),
        (0.5, 4),
        (2, 1),
        (2, 4),
    ]
    assert {p.arrivals.process for p in found} == {"gamma"}
    assert found[2].axes == {"arrivals.interarrival_cv": 2.0, "arrivals.round_robin": 1}
    by_case = spec_with(
        {"interarrival_cv": 3.0},
        cases=[
            {"name": "smooth", "arrivals.process": "deterministic"},
            {"name": "bursty", "arrivals": {"process": "gamma"}},
        ],
    )
    assert [p.arrivals for p in by_case] == [
        Arrivals("deterministic"),
        Arrivals("gamma", interarrival_cv=3.0),
    ]
    assert spec.hash != by_case.hash
    with pytest.raises(SpecError, match="can't be set where the grid or its cases vary it"):
        by_case.with_arrivals(process="poisson")
    with pytest.raises(SpecError, match="rates and loads are the same for every point"):
        spec_with({}, cases=[{"name": "a", "arrivals": {"load": [0.5]}}])
    with pytest.raises(SpecError, match=r"case 'trace': arrivals\.process = 'trace': replays"):
        spec_with({}, cases=[{"name": "trace", "arrivals.process": "trace"}])
    with pytest.raises(SpecError, match=r"arrivals\.interarrival_cv.* at most 8 with process 'weibull'"):
        spec_with({"process": "weibull"}, grid={"arrivals.interarrival_cv": [2.0, 9.0]})


def test_axes_of_many_values_are_checked_without_walking_them():
    grid = {
        "arrivals.interarrival_cv": {"linear": [0.1, 8.0, 50_000]},
        "arrivals.round_robin": {"linear": [1, 100_000, 100_000]},
    }
    assert len(spec_with({"process": "gamma"}, grid=grid)) == 5_000_000_000
    with pytest.raises(SpecError, match=r"arrivals\.round_robin = 100,?000"):
        spec_with({"process": "weibull"}, grid=grid)


def test_overriding_the_process_drops_the_spread_of_the_file_but_not_one_that_is_set():
    bursty = {**SPEC, "arrivals": {"process": "gamma", "interarrival_cv": 2.0}}
    poisson = parse_spec(bursty, source="spec", overrides=[("arrivals.process", "poisson")])
    assert poisson.point(0).arrivals == Arrivals()
    overrides = [("arrivals.interarrival_cv", "3"), ("arrivals.process", "weibull")]
    weibull = parse_spec(bursty, source="spec", overrides=overrides)
    assert weibull.point(0).arrivals == Arrivals("weibull", interarrival_cv=3.0)
    origins = {each.key: each.origin for each in weibull.resolved()}
    assert origins["arrivals.process"] == origins["arrivals.interarrival_cv"] == "--set"


def test_draws_that_are_independent_between_points_depend_on_the_process():
    same = point()
    digests = {
        replace(same, arrivals=arrivals).digest()
        for arrivals in (
            Arrivals(),
            Arrivals("deterministic"),
            Arrivals("gamma", interarrival_cv=2.0),
            Arrivals("gamma", interarrival_cv=3.0),
            Arrivals("gamma", interarrival_cv=3.0, round_robin=2),
        )
    }
    assert len(digests) == 5


def test_draws_that_are_independent_between_points_depend_on_the_clock_that_is_replayed():
    lengths = law([5, 5, 5], [5, 5, 5], joint=True)
    one, other = (with_clock(lengths, times_s) for times_s in ([0.0, 0.5, 2.0], [0.0, 1.5, 2.0]))
    digests = [
        [replace(point(arrivals=Arrivals(process)), law=trace).digest() for trace in (one, other)]
        for process in (REPLAY, "poisson")
    ]
    assert digests[0][0] != digests[0][1]
    assert digests[1][0] == digests[1][1]
