"""Queues with known answers: single server, bulk service, a token budget, and overload.

Each known answer must lie within the 99.9% interval of replications, and the interval must be narrow, so that
an error of a few percent in the simulator or in the bookkeeping of waits would show. Seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from builders import PS_PER_MS, law, point, uniform
from confidence import assert_covers, wide_interval
from plane_time import longest_plane_ps
from simulations import backlog_slope_rps, mean_wait_s, replications

from fastq.analysis.intervals import mean_interval, pooled_throughput
from fastq.analysis.verdict import Verdict, verdict_at
from fastq.closed_forms import closed_forms
from fastq.model.iteration_time import Plane
from fastq.model.marginal_geometric import Geometric

ITERATION_S = 0.001


def pollaczek_khinchine(rate_rps: float, service_s: np.ndarray) -> float:
    """Mean wait in M/G/1, seconds, for equally likely service times."""
    load = rate_rps * service_s.mean()
    return rate_rps * (service_s**2).mean() / (2 * (1 - load))


def bulk_wait(rate_rps: float, service_s: float, most: int) -> float:
    """Mean wait in M/D^[1,most]/1, seconds: up to ``most`` are served together, an arrival at an idle server at once.

    The embedded chain counts those present as a service ends. It is solved on 0, ..., 599, which leaves out
    less than 1e-12 of its mass at the loads used here.
    """
    states = 600
    mean = rate_rps * service_s
    arrivals = np.empty(states)
    arrivals[0] = np.exp(-mean)
    for k in range(1, states):
        arrivals[k] = arrivals[k - 1] * mean / k
    left = np.maximum(np.arange(states) - most, 0)
    transition = np.zeros((states, states))
    for state in range(states):
        transition[state, left[state] :] = arrivals[: states - left[state]]
    transition[:, -1] += 1 - transition.sum(axis=1)
    equations = np.vstack([(transition.T - np.eye(states))[:-1], np.ones(states)])
    stationary = np.linalg.solve(equations, np.eye(states)[-1])
    assert stationary[-1] < 1e-12
    # Waiting requests, integrated over one service and the idle time before it, over the length of both.
    waiting = stationary @ left * service_s + rate_rps * service_s**2 / 2
    length = service_s + stationary[0] / rate_rps
    return waiting / length / rate_rps


def test_bulk_wait_of_one_at_a_time_is_that_of_a_single_server():
    assert bulk_wait(800.0, 0.001, 1) == pytest.approx(0.8 * 0.001 / (2 * 0.2), rel=1e-9)


# Half-widths come out at 0.9, 1.0 and 2.1% of the wait, which grows ever noisier with the load.
@pytest.mark.parametrize(
    ("load", "requests", "half_width"), [(0.5, 100_000, 0.02), (0.8, 400_000, 0.02), (0.9, 800_000, 0.03)]
)
def test_mean_wait_of_a_single_server_with_equal_service_times(load, requests, half_width):
    runs = replications(
        point(max_num_seqs=1),
        rate_rps=load / ITERATION_S,
        count=16,
        requests=requests,
        warmup_requests=20_000,
    )
    known = load * ITERATION_S / (2 * (1 - load))
    assert_covers([mean_wait_s(run) for run in runs], known, half_width=half_width)
    busy = [run.busy_ps / run.elapsed_ps for run in runs]
    assert_covers(busy, load, half_width=0.005)


@pytest.mark.parametrize(("token_convention", "beyond_output"), [("engine", 0), ("paper", 1)])
def test_mean_wait_of_a_single_server_with_geometric_service_times(token_convention, beyond_output):
    outputs = Geometric(4.0).table()
    service_s = (outputs + beyond_output) * ITERATION_S
    rate_rps = 0.7 / service_s.mean()
    runs = replications(
        point(outputs=outputs, max_num_seqs=1, token_convention=token_convention),
        rate_rps=rate_rps,
        count=16,
        requests=200_000,
        warmup_requests=20_000,
    )
    waits = [mean_wait_s(run) for run in runs]
    assert_covers(waits, pollaczek_khinchine(rate_rps, service_s), half_width=0.03)


def service_time_s(prompt: int, output: int, planes: list[Plane], chunk: int) -> float:
    """Time that a request needs alone, iteration by iteration (engine convention), seconds."""
    total_ps = 0.0
    for cached in range(0, prompt, chunk):
        now = min(chunk, prompt - cached)
        total_ps += longest_plane_ps(planes, now, 0, 0, now * (cached + now / 2))
    total_ps += sum(longest_plane_ps(planes, 0, 1, prompt + j, 0) for j in range(1, output))
    return total_ps / 1e12


def test_mean_wait_of_a_single_server_with_service_times_from_two_planes():
    draw = np.random.default_rng(7)
    prompts, outputs = draw.integers(1, 200, 64), draw.integers(1, 60, 64)
    planes = [
        Plane(base_ps=8 * PS_PER_MS, prefill_token_ps=3 * 10**7, kv_token_ps=10**7, attention_ps=200_000),
        Plane(base_ps=2 * PS_PER_MS, decode_seq_ps=5 * PS_PER_MS, kv_token_ps=5 * 10**7),
    ]
    chunk = 48
    service_s = np.array(
        [service_time_s(int(s), int(o), planes, chunk) for s, o in zip(prompts, outputs, strict=True)]
    )
    one_plane = [
        sum(service_time_s(int(s), int(o), [plane], chunk) for s, o in zip(prompts, outputs, strict=True))
        for plane in planes
    ]
    assert max(one_plane) < 0.97 * service_s.sum(), "both planes must matter"
    rate_rps = 0.75 / service_s.mean()
    runs = replications(
        point(prompts, outputs, joint=True, planes=planes, max_num_seqs=1, prefill_chunk_tokens=chunk),
        rate_rps=rate_rps,
        count=16,
        requests=150_000,
        warmup_requests=10_000,
    )
    known = pollaczek_khinchine(rate_rps, service_s)
    assert_covers([mean_wait_s(run) for run in runs], known, half_width=0.03)


@pytest.mark.parametrize(("most", "load"), [(2, 0.6), (4, 0.5), (4, 0.9), (16, 0.85)])
def test_mean_wait_of_bulk_service(most, load):
    rate_rps = load * most / ITERATION_S
    runs = replications(
        point(max_num_seqs=most), rate_rps=rate_rps, count=16, requests=400_000, warmup_requests=20_000
    )
    known = bulk_wait(rate_rps, ITERATION_S, most)
    assert_covers([mean_wait_s(run) for run in runs], known, half_width=0.03)


def assert_stable_below(system, service_rate_rps, *, half_width, requests=60_000):
    """The saturated rate is ``service_rate_rps``; backlog stays below it and grows by the difference above."""
    saturated = replications(system, count=8, requests=requests)
    service_rate = pooled_throughput(saturated)
    assert_covers([run.throughput_rps for run in saturated], service_rate_rps, half_width=half_width)
    below, above = 0.95 * service_rate_rps, 1.05 * service_rate_rps
    stable = [
        backlog_slope_rps(run) for run in replications(system, rate_rps=below, count=8, requests=requests)
    ]
    assert verdict_at(below, service_rate, mean_interval(stable), nonergodic=False) is Verdict.STABLE
    flat = wide_interval(stable)
    assert flat.low <= 0 <= flat.high
    assert flat.high - flat.low < 0.02 * service_rate_rps
    growing = [
        backlog_slope_rps(run) for run in replications(system, rate_rps=above, count=8, requests=requests)
    ]
    assert verdict_at(above, service_rate, mean_interval(growing), nonergodic=False) is Verdict.UNSTABLE
    # 0.05 of the rate, to a third: an interval that can't be taken for no growth.
    assert_covers(growing, above - service_rate_rps, half_width=0.34)


@pytest.mark.parametrize("most", [1, 5])
def test_bulk_service_is_stable_just_below_a_full_batch_an_iteration(most):
    assert_stable_below(point(max_num_seqs=most), most / ITERATION_S, half_width=1e-9)


@pytest.mark.parametrize("token_convention", ["engine", "paper"])
def test_a_token_budget_is_stable_just_below_one_budget_of_tokens_an_iteration(token_convention):
    system = point(
        uniform(5, 60),
        uniform(1, 30),
        max_num_batched_tokens=64,
        prefill_chunk_tokens=64,
        token_convention=token_convention,
    )
    charged = 32.5 + 15.5 - (token_convention == "engine")
    assert_stable_below(system, 64 / charged / ITERATION_S, half_width=0.005)


@pytest.mark.parametrize("preemption", ["recompute", "restart"])
def test_overload_grows_at_the_arrival_rate_less_the_saturated_throughput(preemption):
    system = point(
        uniform(10, 160),
        uniform(10, 160),
        kv_capacity_tokens=4096,
        block_size=16,
        preemption=preemption,
        planes=[Plane(base_ps=8 * PS_PER_MS, prefill_token_ps=3 * 10**7, kv_token_ps=10**6)],
    )
    rate_rps = 1.2 * closed_forms(system).theory_rate_rps
    saturated = replications(system, count=16, requests=40_000)
    assert min(run.preemptions for run in saturated) > 0
    overloaded = replications(system, rate_rps=rate_rps, count=16, requests=40_000)
    # The same numbers of requests are drawn by both, so the pairs' differences are independent of each other.
    differences = [
        backlog_slope_rps(late) + run.throughput_rps - rate_rps
        for late, run in zip(overloaded, saturated, strict=True)
    ]
    interval = wide_interval(differences)
    assert interval.low <= 0 <= interval.high
    assert interval.high - interval.low < 0.02 * rate_rps


def test_the_table_of_a_law_is_what_is_drawn():
    """Mean lengths of the requests served alone, from the time they take: the table's own mean, not the family's."""
    outputs = Geometric(50.0).table()
    assert law([1], outputs).output_tokens.size == outputs.size
    runs = replications(point(outputs=outputs, max_num_seqs=1), count=8, requests=200_000)
    assert_covers([run.iterations / run.requests for run in runs], float(outputs.mean()), half_width=0.005)
