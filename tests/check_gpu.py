"""What must hold on a GPU, real or simulated: it gives the CPU's bits. Run by ``test_gpu.py``, in a process of its own.

numba decides when it is imported whether ``cuda`` is a card or its simulator.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import rate_at, with_digest
from drawn import points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.cuda.cudadrv.driver import LinkerError

import fastq.cli.sweep
from fastq.analysis import rate_search
from fastq.analysis.rate_search import Searches, settle
from fastq.cli.main import main
from fastq.engine import gpu_lanes, gpu_layout, gpu_points, gpu_wave
from fastq.engine.backend import INSTALL_CUDA, warm_up, why_not_cuda
from fastq.engine.blocks import BlockStopped
from fastq.engine.encode import encode
from fastq.engine.ensemble import Ensemble
from fastq.engine.estimate import estimate
from fastq.engine.evaluate import evaluate_block, evaluate_point
from fastq.engine.gpu_busy import Busy
from fastq.engine.gpu_layout import Placed
from fastq.engine.gpu_points import Job, evaluate_points, run_jobs
from fastq.engine.gpu_searches import search_jobs
from fastq.engine.sweep import sweep
from fastq.errors import BackendUnavailable, KernelError, SpecError
from fastq.kernels import cuda as kernels_cuda
from fastq.kernels.cuda import CudaAPIError, Lane, OutOfMemory, compiled_advance
from fastq.model.load import parse_spec
from fastq.model.run import Run
from fastq.model.scheduler import Admission

FLOW = tuple(admission for admission in Admission if admission is not Admission.LOOKAHEAD)

few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
runs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**64 - 1),
        "warmup_requests": st.integers(0, 10),
        "requests": st.integers(1, 25),
        "aged": st.integers(1, 12),
        "load": st.sampled_from([0.05, 0.5, 1.0, 3.0]),
    }
)


def comparable(value: Any) -> Any:
    """Everything that a replication yields, comparable with ==."""
    if dataclasses.is_dataclass(value):
        return comparable({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {name: comparable(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tolist()
    return [comparable(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("saturated", [True, False], ids=["saturated", "poisson"])
@pytest.mark.parametrize("admissions", [FLOW, (Admission.LOOKAHEAD,)], ids=["flow", "lookahead"])
@pytest.mark.parametrize("widest", [0, 60, 0xFFFF], ids=["wide", "mixed", "narrow"])
def test_drawn_points_side_by_side_equal_the_cpu(monkeypatch, saturated, admissions, widest):
    """Points of different shapes share a wave, end at different times, and are cut into launches."""
    monkeypatch.setattr(gpu_layout, "MAX_NARROW", widest)

    @few
    @given(
        drawn_points=st.lists(points(admissions), min_size=1, max_size=3),
        drawn=runs,
        first=st.integers(1, 99),
    )
    def check(drawn_points, drawn, first):
        monkeypatch.setattr(gpu_wave, "FIRST_STEPS", first)
        jobs, expected, found = [], [], {}
        for number, drawn_point in enumerate(drawn_points):
            system = with_digest(drawn_point)
            run = Run(seed=drawn["seed"], warmup_requests=drawn["warmup_requests"])
            encoded = encode(system, run, mean_running=drawn["aged"])
            rate_rps = None if saturated else rate_at(system, drawn["load"])
            goal = drawn["requests"] + 7 * number
            expected.append(Ensemble(encoded, range(2), rate_rps).run_to(goal))

            def done(replications, number=number):
                found[number] = replications

            jobs.append(Job(Placed(encoded, range(2), rate_rps), goal, number, lambda _: None, done))
        run_jobs(jobs)
        assert comparable([found[number] for number in range(len(jobs))]) == comparable(expected)

    check()


def grid(**run):
    return parse_spec(grid_document(**run), source="test")


def grid_document(**run):
    return {
        "workload": {"prompt_tokens": {"uniform": [5, 20]}, "output_tokens": {"uniform": [1, 20]}},
        "arrivals": {"load": [0.5]},
        "replica": {"kv_capacity_tokens": 128, "max_num_batched_tokens": 32},
        "iteration_time": {"planes": [{"base_ms": 8, "prefill_token_us": 30, "kv_token_ns": 1000}]},
        "run": {
            "requests": 10,
            "warmup_requests": 4,
            "replications": 2,
            "measure": ["boundary", "rates"],
            "infeasible": "skip",
            **run,
        },
        "grid": {
            "replica.kv_capacity_tokens": [16, 64, 128],  # the first holds no longest request
            "scheduler.admission": ["prompt", "lookahead"],
        },
    }


def test_a_data_set_has_the_bytes_of_the_cpu(tmp_path: Path):
    """Two blocks; points that run to a precision stop at the checkpoints at which they do on the CPU."""
    spec = grid(precision=0.15, max_requests=40)
    for backend in ("cpu", "cuda"):
        sweep(spec, tmp_path / backend, backend=backend, workers=1, block_points=4)
    written = {
        backend: {
            path.relative_to(tmp_path / backend): path.read_bytes()
            for path in (tmp_path / backend).rglob("*")
            if path.is_file()
        }
        for backend in ("cpu", "cuda")
    }
    assert len(written["cpu"]) == 7
    assert written["cpu"] == written["cuda"]
    statuses = set(evaluate_block(spec, 0, backend="cpu").points["status"])
    assert {"skipped", "capped"} <= statuses <= {"skipped", "capped", "ok", "short", "nonergodic"}


def test_searches_find_what_they_find_on_the_cpu(monkeypatch):
    """Objectives that fail between, from the lowest rate on, and never, beside rates and cold starts."""
    monkeypatch.setattr(rate_search, "BISECTIONS", 4)
    document = grid_document(
        measure=["slo", "rates", "metastability"], requests=60, warmup_requests=20, replications=3
    )
    document["slo"] = {"ttft": {"p90": "80 ms"}, "e2e": {"p50": "250 ms"}}
    document["grid"] = {
        "workload.output_scale": [0.1, 1.0, 20.0],
        "replica.kv_capacity_tokens": [64, 500],
    }
    spec = parse_spec(document, source="test")
    cpu = {index: evaluate_point(spec, index, backend="cpu") for index in range(6)}
    assert evaluate_points(spec, range(6)) == cpu
    limits = [cpu[index].point["slo_limit"] for index in range(6)]
    assert set(limits) == {"ttft_p90", "e2e_p50", "stability", None}
    assert [cpu[index].point["slo_rate_rps"] is None for index in range(6)].count(True) == 2


def test_searches_side_by_side_look_at_the_rates_that_one_after_another_do():
    """The searches of one point end after different numbers of runs, and name each replication's own."""
    fails_at = [0.5, 3.0, 3.7, 9.0]

    def searches(replications, looked_at):
        def failing(number, rate_rps, replication):
            looked_at[number].append(rate_rps)
            assert replication == (number, rate_rps)
            return "late" if rate_rps >= fails_at[number] else None

        return Searches(replications, 1.0, 5.0, failing, tuple)

    alone, together = [[] for _ in fails_at], [[] for _ in fails_at]
    expected = settle(searches(4, alone), lambda number, rate_rps: (number, rate_rps))
    assert [(rate is None, why) for rate, why in expected] == [
        (True, "late"),
        (False, "late"),
        (False, "late"),
        (False, None),
    ]
    told = []
    jobs = search_jobs(searches(4, together), lambda *job: job, told.append)
    while jobs:
        number, rate_rps, ran = jobs.pop()
        jobs[:0] = ran([(number, rate_rps)])
    assert told == [expected]
    assert together == alone
    assert [len(rates) for rates in alone] == [1, 2 + rate_search.BISECTIONS, 2 + rate_search.BISECTIONS, 2]
    assert search_jobs(searches(0, together), lambda *job: job, told.append) == []
    assert told[1] == ()


def test_what_is_done_takes_no_threads(monkeypatch):
    """A replication that arrives before the other of its point waits, and a point that has passed is not launched."""
    launched = []
    run = Lane.run

    def counting(lane, kernel, threads, *arguments):
        if kernel is compiled_advance(True, False, False, None):
            launched.append(threads)
        run(lane, kernel, threads, *arguments)

    monkeypatch.setattr(Lane, "run", counting)
    monkeypatch.setattr(gpu_lanes, "LANES", 1)
    monkeypatch.setattr(gpu_points, "LANES", 1)
    encoded = encode(grid().point(2), Run(warmup_requests=2), mean_running=2)
    goals = iter([20, None])
    ended = []
    jobs = [
        Job(Placed(encoded, [0], None), 5, 1.0, lambda _: None, ended.append),
        Job(Placed(encoded, [0, 1], None), 5, 1.0, lambda _: next(goals), ended.append),
    ]
    run_jobs(jobs)
    assert launched == [3, 2]
    assert comparable(ended[0]) == comparable(Ensemble(encoded, [0]).run_to(5))
    carried = Ensemble(encoded, [0, 1])
    carried.run_to(5)
    assert comparable(ended[1]) == comparable(carried.run_to(20))
    launched.clear()
    monkeypatch.setattr(gpu_wave, "FIRST_STEPS", 4)
    goals = iter([None])
    run_jobs([Job(Placed(encoded, range(8), None), 5, 1.0, lambda _: next(goals), ended.append)])
    assert launched[0] == 8
    assert 0 < launched[-1] < 8


def test_little_memory_makes_more_waves_and_the_same_rows(monkeypatch):
    spec = grid()
    expected = evaluate_points(spec, range(2, 6))
    monkeypatch.setattr(gpu_points, "free_bytes", lambda: 1)
    assert evaluate_points(spec, range(2, 6)) == expected


def test_a_card_that_is_full_takes_half_and_then_says_so(monkeypatch):
    spec = grid()
    expected = evaluate_points(spec, range(2, 6))
    monkeypatch.setattr(gpu_points, "Wave", most_at_a_time(1))
    assert evaluate_points(spec, range(2, 6)) == expected
    monkeypatch.setattr(gpu_points, "Wave", most_at_a_time(0))
    with pytest.raises(BackendUnavailable, match="GB of GPU memory"):
        evaluate_points(spec, range(2, 6))


def most_at_a_time(most: int):
    def wave(lane, placed, goals, max_registers):
        if len(placed) > most:
            raise OutOfMemory
        return gpu_wave.Wave(lane, placed, goals, max_registers)

    return wave


def test_a_stop_is_heeded_between_launches(monkeypatch):
    class Stop:
        """Set at the third look."""

        looks = 0

        def is_set(self):
            self.looks += 1
            return self.looks > 3

    monkeypatch.setattr(gpu_wave, "FIRST_STEPS", 1)
    monkeypatch.setattr(gpu_wave, "MAX_CHANGE", 1.0)
    stop = Stop()
    with pytest.raises(BlockStopped):
        evaluate_points(grid(), [2], stop=stop)
    assert stop.looks == 4


def test_progress_counts_every_point():
    told = []
    results = evaluate_points(grid(), range(6), progress=lambda *done: told.append(done))
    assert sum(points for points, _ in told) == 6
    assert sum(requests for _, requests in told) == sum(r.simulated_requests for r in results.values()) > 0


def test_an_estimate_times_many_points_at_once(capsys, monkeypatch):
    found = estimate(grid(), backend="cuda", workers=1)
    assert (found.sampled_points, found.workers, found.gpus) == (6, 1, 1)
    assert found.seconds > 0
    monkeypatch.setattr(fastq.cli.sweep, "load", lambda _: grid())
    assert main(["sweep", "grid.toml", "--backend", "cuda", "--workers", "1", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "from 6 points run just now" in printed
    assert "1 process that feeds 1 GPU" in printed


@pytest.mark.parametrize(
    ("took_s", "sizes"), [(0.1, [64, 512, 4096]), (1.0, [64, 512]), (2.0, [64]), (100.0, [64])]
)
def test_an_estimate_times_more_points_while_its_budget_lasts(monkeypatch, took_s, sizes):
    """The card is taken to be full with 64 points, so that eight times as many take eight times as long."""
    now_s, timed = [0.0], []

    def evaluate(spec, indices, *, busy):
        timed.append(len(indices))
        now_s[0] += took_s * len(indices) / 64
        busy.seconds += took_s * len(indices) / 80

    monkeypatch.setattr(gpu_points, "evaluate_points", evaluate)
    monkeypatch.setattr("fastq.engine.estimate.time.perf_counter", lambda: now_s[0])
    monkeypatch.setattr("fastq.engine.estimate.gpu_count", lambda: 3)
    document = grid_document()
    document["grid"] = {"replica.kv_capacity_tokens": {"linear": [64, 20_063, 20_000]}}
    spec = parse_spec(document, source="test")
    alone = estimate(spec, backend="cuda", workers=1)
    assert timed == sizes
    assert alone.sampled_points == sizes[-1]
    assert alone.seconds == pytest.approx(20_000 * took_s / 64)
    # Two processes share the work of the host; five can get no more out of three cards than these give.
    two, five = (estimate(spec, backend="cuda", workers=count) for count in (2, 5))
    assert two.seconds == pytest.approx(20_000 * took_s / 128)
    assert five.seconds == pytest.approx(20_000 * took_s / 80 / 3)
    assert (five.workers, five.gpus) == (5, 3)


def test_kernels_side_by_side_keep_a_card_busy_once(monkeypatch):
    class Ended:
        def __init__(self, *span_s):
            self.span_s = span_s

        def kernel_span_s(self, clock):
            return self.span_s

    busy = Busy()
    for span_s in ((1.0, 2.0), (1.5, 3.0), (1.6, 2.5), (5.0, 5.5)):
        busy.add(Ended(*span_s))
    assert busy.seconds == 2.5
    busy = Busy()
    evaluate_points(grid(), [2], busy=busy)
    assert busy.seconds >= 0


def test_a_clock_that_would_overflow_is_refused():
    spec = parse_spec(
        {
            "workload": {"prompt_tokens": {"constant": 4}, "output_tokens": {"constant": 4}},
            "replica": {"kv_capacity_tokens": 64, "prefill_chunk_tokens": 4},
            "iteration_time": {"constant": "900 s"},
            "arrivals": {"load": 1e-6},
            "run": {"measure": ["rates"], "requests": 200, "warmup_requests": 2, "replications": 2},
        },
        source="test",
    )
    with pytest.raises(SpecError, match="simulated time"):
        evaluate_points(spec, [0])


def test_every_variant_of_a_grid_is_compiled_before_workers_start(monkeypatch):
    """Blocks of 100,000 tokens need 32 bits; a grid that has them alone compiles nothing else."""
    document = grid_document()
    document["replica"]["kv_capacity_tokens"] = 200_000
    document["grid"] = {
        "replica.max_num_batched_tokens": [32, 64, 128],
        "replica.block_size": [16, 100_000],
        "scheduler.admission": ["prompt", "lookahead"],
        "iteration_time.mixed_ms": [0, 1],
    }
    compiled = []
    run_alone = gpu_points.run_alone

    def noting(encoded, replications, rate_rps, *, requests):
        compiled.append(
            (rate_rps is None, encoded.lookahead, Placed(encoded, [0], rate_rps).narrow, encoded.terms)
        )
        return run_alone(encoded, replications, rate_rps, requests=requests)

    monkeypatch.setattr(gpu_points, "run_alone", noting)
    warm_up(parse_spec(document, source="test"), "cuda")
    flags = [True, False]
    assert sorted(compiled) == sorted(itertools.product(flags, flags, flags, flags))
    compiled.clear()
    document["run"]["measure"] = ["boundary"]
    document["grid"] = {"replica.block_size": [100_000]}
    warm_up(parse_spec(document, source="test"), "cuda")
    assert compiled == [(True, False, False, False)]


def test_threads_of_an_executor_are_spread_over_the_cards(monkeypatch, tmp_path):
    used, all_at_once = [], threading.Barrier(4)

    def use(number):
        used.append(number)
        all_at_once.wait(60)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpu_points, "device_ids", lambda: ["one", "other"])
    monkeypatch.setattr(gpu_points, "use_device", use)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run_jobs, [[]] * 4))
    assert sorted(used) == [0, 0, 1, 1]


def test_a_launch_is_sized_by_how_long_the_last_one_took(monkeypatch):
    """On a card that does 10,000 steps a second a launch takes a second, but for the first ones."""
    launched = []
    run = Lane.run

    def noting(lane, kernel, threads, *arguments):
        if kernel is compiled_advance(True, False, False, None):
            launched.append(arguments[-2])
        run(lane, kernel, threads, *arguments)

    monkeypatch.setattr(Lane, "run", noting)
    monkeypatch.setattr(Lane, "kernel_s", lambda _: launched[-1] / 10_000)
    encoded = encode(grid().point(2), Run(warmup_requests=2), mean_running=2)
    run_jobs([Job(Placed(encoded, [0], None), 6_000, 1.0, lambda _: None, lambda _: None)])
    assert launched[:4] == [1024, 4096, 10_000, 10_000]


def test_a_card_that_fails_is_told_in_one_sentence(monkeypatch):
    def failing(lane, *_):
        raise CudaAPIError(700, "Call to cuStreamSynchronize results in CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(Lane, "run", failing)
    with pytest.raises(BackendUnavailable, match=r"ILLEGAL_ADDRESS.*--backend cpu"):
        evaluate_points(grid(), [2])


def test_a_fault_of_ours_is_not_the_cards(monkeypatch):
    def failing(lane, *_):
        raise ZeroDivisionError

    monkeypatch.setattr(Lane, "run", failing)
    with pytest.raises(ZeroDivisionError):
        evaluate_points(grid(), [2])


def test_a_card_counts_as_usable_once_a_kernel_has_run_on_it(monkeypatch):
    def failing(lane, *_):
        raise LinkerError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION\nptxas application ptx input")

    why = why_not_cuda.__wrapped__
    assert why() is None
    monkeypatch.setattr(Lane, "run", failing)
    assert "no kernel runs on it (LinkerError: CUDA_ERROR_UNSUPPORTED_PTX_VERSION ptxas" in why()
    assert why().endswith(INSTALL_CUDA)
    monkeypatch.setattr(Lane, "run", lambda *_: None)
    assert "does not come back" in why()


def test_what_16_bits_hold_is_kept_in_16_bits():
    spec = grid()
    placed = Placed(encode(spec.point(2), spec.run, mean_running=1.0), range(3), None)
    limits = {"longest_tokens": 0xFFFE, "wheel": 1 << 16, "slots": 0x7FFF}
    for name, limit in limits.items():
        inside, beyond = (
            dataclasses.replace(placed, encoded=dataclasses.replace(placed.encoded, **{name: value}))
            for value in (limit, limit + 1)
        )
        assert (inside.narrow, beyond.narrow) == (True, False)


@pytest.mark.parametrize("rate_rps", [None, 1.0])
@pytest.mark.parametrize("index", [2, 3], ids=["flow", "lookahead"])
def test_state_bytes_are_what_is_allocated(rate_rps, index):
    spec = grid()
    encoded = encode(spec.point(index), spec.run, mean_running=1.0)
    one, many = (Placed(encoded, range(count), rate_rps) for count in (64, 256))
    taken = [gpu_wave.bytes_on_card(gpu_layout.plan([placed])) for placed in (one, many)]
    assert (
        abs((many.state_bytes - one.state_bytes) - (taken[1] - taken[0])) <= 40 * kernels_cuda.ALIGNED_BYTES
    )
    unaccounted = taken[1] - many.state_bytes - sum(many.tables.values())
    assert abs(unaccounted) <= 40 * kernels_cuda.ALIGNED_BYTES


def test_a_lane_keeps_its_memory_from_one_block_to_the_next(monkeypatch):
    """One allocation a lane, as long as the blocks are alike; all of it is given back in the end."""
    allocated = []
    allocate = kernels_cuda._allocated

    def counting(function, shape, dtype, **options):
        if function is kernels_cuda.cuda.device_array:
            allocated.append(shape)
        return allocate(function, shape, dtype, **options)

    monkeypatch.setattr(kernels_cuda, "_allocated", counting)
    spec = grid()
    with gpu_lanes.keep_lanes():
        expected = evaluate_points(spec, [2, 4])
        first = len(allocated)
        assert evaluate_points(spec, [2, 4]) == expected
        with gpu_lanes.open_lanes() as lanes:
            assert sum(lane.held_bytes for lane in lanes) == sum(allocated[-len(lanes) :])
    assert len(allocated) == first <= 2 * gpu_lanes.LANES
    assert all(lane.held_bytes == 0 for lane in lanes)
    evaluate_points(spec, [2])
    assert len(allocated) > first


def test_lanes_give_back_what_they_keep_where_memory_is_short(monkeypatch):
    """A card that can hold one wave at a time runs them one after another, whatever a lane kept from before."""
    spec = grid()
    expected = evaluate_points(spec, range(2, 6))
    room = max(
        Placed(encode(spec.point(k), spec.run, mean_running=9.0), range(2), 1.0).state_bytes
        for k in range(2, 6)
    )
    limit = 2 * room
    reserve = Lane.reserve

    def reserving(lane, size_bytes):
        others = sum(other.held_bytes for other in gpu_lanes._kept.lanes if other is not lane)
        if max(size_bytes, lane.held_bytes) + others > limit:
            lane.release()
            raise OutOfMemory
        reserve(lane, size_bytes)

    monkeypatch.setattr(Lane, "reserve", reserving)
    with gpu_lanes.keep_lanes():
        assert evaluate_points(spec, range(2, 6)) == expected
        assert evaluate_points(spec, range(2, 6)) == expected


def test_what_a_worker_keeps_is_room_for_its_next_block(monkeypatch):
    """Other workers have taken the rest meanwhile, so little is free: no reason to cut waves smaller."""
    waves = []

    def noting(lane, placed, goals, max_registers):
        waves.append(len(placed))
        return gpu_wave.Wave(lane, placed, goals, max_registers)

    monkeypatch.setattr(gpu_points, "Wave", noting)
    document = grid_document()
    document["grid"] = {"replica.max_num_batched_tokens": [32, 33, 34, 35]}
    spec = parse_spec(document, source="test")
    with gpu_lanes.keep_lanes():
        expected = evaluate_points(spec, range(4))
        first = list(waves)
        waves.clear()
        monkeypatch.setattr(gpu_points, "free_bytes", lambda: 1)
        assert evaluate_points(spec, range(4)) == expected
    assert waves == first == [2, 2, 2, 2]


def test_tables_count_once_in_each_wave():
    """Six points, two of each law, whose tables take far more than their states."""
    law = np.arange(1, 40_001, dtype=np.int32)
    encoded = encode(grid().point(2), Run(), mean_running=1.0)

    def job(table):
        tables = encoded.tables._replace(prompts=table)
        placed = Placed(dataclasses.replace(encoded, tables=tables), [0], None)
        return Job(placed, 1, 1.0, lambda _: None, lambda _: None)

    tables = [law.copy() for _ in range(3)]
    jobs = [job(table) for table in tables for _ in range(2)]
    state = jobs[0].placed.state_bytes
    shared = sum(jobs[0].placed.tables.values())
    assert shared > 2 * state

    def waves(most_bytes):
        return [len(wave) for wave in gpu_points._cut_into_waves(jobs, most_bytes)]

    assert waves(1 << 40) == [3, 3]
    assert waves(2 * state + shared) == [2, 2, 2]
    assert waves(2 * state + shared - 1) == [1] * 6


def test_copies_in_parts_are_whole(monkeypatch):
    monkeypatch.setattr(kernels_cuda, "STAGED_BYTES", 24)
    lane = Lane()
    lane.reserve(4096)
    for array in (np.arange(100), np.arange(12, dtype=np.uint16).reshape(3, 4), np.arange(7, dtype=np.uint8)):
        copied = lane.download(lane.upload(array))
        assert (copied.dtype, copied.shape, copied.tolist()) == (array.dtype, array.shape, array.tolist())


def test_bins_are_packed_in_as_many_turns_as_they_need(monkeypatch):
    spec = grid()
    encoded = encode(spec.point(2), Run(warmup_requests=2), mean_running=2)
    expected = Ensemble(encoded, range(6), 20.0).run_to(30)
    most = max(
        len(one.iteration_time.bins) + sum(len(latency.bins) for latency in one.latencies.values())
        for one in expected
    )
    ended, packed = [], []
    pack = gpu_wave.Wave._packed

    def packing(wave, chosen, sizes):
        packed.append(len(chosen))
        return pack(wave, chosen, sizes)

    monkeypatch.setattr(gpu_wave.Wave, "_packed", packing)
    monkeypatch.setattr(gpu_layout.Plan, "packed_bins", property(lambda _: most))
    run_jobs([Job(Placed(encoded, range(6), 20.0), 30, 1.0, lambda _: None, ended.append)])
    assert sum(packed) == 6
    assert len(packed) > 1
    assert comparable(ended[0]) == comparable(expected)


def test_counts_beyond_32_bits_are_refused(monkeypatch):
    monkeypatch.setattr(gpu_wave, "MAX_COUNT", 10)
    with pytest.raises(KernelError, match="--backend cpu"):
        evaluate_points(grid(), [2])
