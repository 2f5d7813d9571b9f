"""The oracle itself, against examples worked by hand and known answers.

Unless a test says otherwise an iteration lasts 1 ms, a block is a token, and nothing but memory is limited.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count, product

import pytest
from oracle import Config, Request, Terms, Trace, simulate

MS_NS = 10**6
CONSTANT_MS = ((10**9, 0, 0, 0, 0),)
DEFAULT = Config(
    kv_capacity_tokens=1000,
    block_size=1,
    max_num_seqs=None,
    max_num_batched_tokens=None,
    prefill_chunk_tokens=1000,
    watermark_blocks=0,
    max_model_len=None,
    admission="prompt",
    preemption="recompute",
    token_convention="engine",
    planes=CONSTANT_MS,
)


def run(config: Config, *lengths: tuple[int, int], arrivals_ns: tuple[int, ...] | None = None) -> Trace:
    """Run requests of these (prompt, output) lengths to the end; they arrive at 0 unless told otherwise."""
    arrivals_ns = arrivals_ns or (0,) * len(lengths)
    requests = (Request(i, t, *pair) for i, (t, pair) in enumerate(zip(arrivals_ns, lengths, strict=True)))
    trace = simulate(config, requests, saturated=False, warmup_requests=0, window_requests=10**9)
    assert len(trace.completed) + trace.rejected == len(lengths)
    return trace


def saturate(config: Config, prompt: int, output: int, *, warmup: int, window: int) -> Trace:
    """Run an infinite backlog of equal requests."""
    requests = (Request(i, 0, prompt, output) for i in count())
    return simulate(config, requests, saturated=True, warmup_requests=warmup, window_requests=window)


def column(trace: Trace, name: str) -> list[int]:
    return [getattr(iteration, name) for iteration in trace.iterations]


def events(trace: Trace, *kinds: str) -> list[tuple[int, str, int, int]]:
    return [(e.iteration, e.kind, e.request_index, e.value) for e in trace.events if e.kind in kinds]


# One request


def test_engine_convention_emits_the_first_token_when_the_prefill_ends():
    trace = run(replace(DEFAULT, prefill_chunk_tokens=2), (5, 3))
    assert column(trace, "prefill_tokens") == [2, 2, 1, 0, 0]
    assert column(trace, "decodes") == [0, 0, 0, 1, 1]
    assert column(trace, "decode_kv_tokens") == [0, 0, 0, 6, 7]
    assert column(trace, "kv_tokens") == [2, 4, 5, 6, 7]
    # Chunk times tokens cached before it plus half the chunk: 2 x (0 + 1), 2 x (2 + 1), 1 x (4 + 1/2).
    assert column(trace, "attention2") == [4, 12, 9, 0, 0]
    (done,) = trace.completed
    assert (done.first_scheduled_ns, done.first_token_ns, done.finish_ns) == (0, 3 * MS_NS, 5 * MS_NS)


def test_paper_convention_emits_the_first_token_in_the_first_decode_iteration():
    trace = run(replace(DEFAULT, prefill_chunk_tokens=2, token_convention="paper"), (5, 3))
    assert column(trace, "prefill_tokens") == [2, 2, 1, 0, 0, 0]
    assert column(trace, "decode_kv_tokens") == [0, 0, 0, 6, 7, 8]
    assert column(trace, "kv_tokens") == [2, 4, 5, 6, 7, 8]
    (done,) = trace.completed
    assert (done.first_token_ns, done.finish_ns) == (4 * MS_NS, 6 * MS_NS)


@pytest.mark.parametrize(("convention", "iterations"), [("engine", 1), ("paper", 2)])
def test_shortest_request(convention, iterations):
    trace = run(replace(DEFAULT, token_convention=convention), (1, 1))
    assert len(trace.iterations) == iterations
    assert events(trace, "first_token", "finish") == [
        (iterations - 1, "first_token", 0, 0),
        (iterations - 1, "finish", 0, 0),
    ]


# The clock


def test_iteration_time_is_the_largest_plane_and_half_attention_units_are_cut_off():
    planes = ((10, 3, 5, 7, 1), (0, 0, 40, 0, 0), (15, 0, 0, 0, 0))
    trace = run(replace(DEFAULT, planes=planes), (3, 2))
    # Prefill: 10 + 3 x 3 + 9 // 2 = 23; decode: 10 + 5 + 7 x 4 = 43.
    assert column(trace, "duration_ps") == [23, 43]


FREE = replace(DEFAULT, prefill_chunk_tokens=4, planes=((100, 0, 0, 0, 0),))


@pytest.mark.parametrize(
    ("terms", "added"),
    [
        # Prompts of 10 in chunks of 4, 4 and 2, and of 3 in one: they decode from the iteration after.
        (Terms(prefill_seq=5), [10, 5, 5, 0, 0]),
        (Terms(finished_prompt=7), [7, 0, 7, 0, 0]),
        (Terms(prefill_kv_token=2), [0, 8, 16, 0, 0]),
        (Terms(prefills=9), [9, 9, 9, 0, 0]),
        (Terms(mixed=11), [0, 11, 11, 0, 0]),
        (Terms(mixed_kv_token=3), [0, 12, 15, 0, 0]),
        (Terms(jump=50, jump_beyond=3), [50, 50, 0, 0, 0]),
        (Terms(jump=50, jump_beyond=4), [50, 50, 0, 0, 0]),
        (Terms(jump=50, jump_beyond=5), [50, 0, 0, 0, 0]),
        (Terms(jump=50, jump_beyond=7), [0, 0, 0, 0, 0]),
        (Terms(prefill_seq=5, mixed=11, jump=50, jump_beyond=1), [60, 66, 66, 50, 0]),
    ],
)
def test_terms_are_added_to_the_largest_plane(terms, added):
    trace = run(replace(FREE, terms=terms), (10, 3), (3, 4))
    assert column(trace, "prefill_tokens") == [7, 4, 2, 0, 0]
    assert column(trace, "decodes") == [0, 1, 1, 2, 1]
    assert column(trace, "decode_kv_tokens") == [0, 4, 5, 17, 12]
    assert column(trace, "duration_ps") == [100 + each for each in added]


def test_clock_carries_what_is_below_a_nanosecond_and_an_idle_jump_drops_it():
    trace = run(replace(DEFAULT, planes=((1600, 0, 0, 0, 0),)), (1, 3), (1, 2), arrivals_ns=(10, 50))
    assert column(trace, "start_ns") == [10, 11, 13, 50, 51]
    assert [done.finish_ns for done in trace.completed] == [14, 53]


def test_arrival_at_the_start_of_an_iteration_is_seen_by_it():
    trace = run(DEFAULT, (1, 3), (1, 1), (1, 1), arrivals_ns=(0, MS_NS, MS_NS + 1))
    assert events(trace, "admit") == [(0, "admit", 0, 1), (1, "admit", 1, 1), (2, "admit", 2, 1)]


def test_jumps_count_as_idle_time_and_not_as_iterations():
    requests = iter([Request(0, 5, 1, 1), Request(1, 5 + 3 * MS_NS, 1, 1), Request(2, 10**9, 1, 1)])
    trace = simulate(DEFAULT, requests, saturated=False, warmup_requests=1, window_requests=1)
    window = trace.window
    assert window is not None
    assert (window.iterations, window.completed, window.arrivals) == (1, 1, 1)
    assert (window.idle_ns, window.elapsed_ns, window.elapsed_ps) == (2 * MS_NS, 3 * MS_NS, 0)
    assert window.sums["duration_ps"] == 10**9


# Budget, slots, memory


def test_token_budget_is_spent_in_order_of_admission():
    trace = run(replace(DEFAULT, max_num_batched_tokens=4, prefill_chunk_tokens=4), (3, 2), (4, 1), (2, 1))
    # 3 + 1 of request 1; decode + 3 of request 1, and it has 4; request 2.
    assert column(trace, "prefill_tokens") == [4, 3, 2]
    assert column(trace, "decodes") == [0, 1, 0]
    assert column(trace, "attention2") == [9 + 1, 3 * (2 + 3), 4]
    assert column(trace, "waiting") == [1, 1, 0]


def test_several_requests_prefill_at_once_where_the_chunk_is_below_the_budget():
    trace = run(replace(DEFAULT, max_num_batched_tokens=5, prefill_chunk_tokens=2), (4, 1), (4, 1), (4, 1))
    assert column(trace, "running") == [3, 3, 1]
    assert column(trace, "prefill_tokens") == [2 + 2 + 1, 2 + 2 + 1, 2]


def test_one_slot_serves_one_request_after_another():
    trace = run(replace(DEFAULT, max_num_seqs=1), (1, 1), (1, 2), (1, 1))
    assert [done.first_scheduled_ns for done in trace.completed] == [0, MS_NS, 3 * MS_NS]
    assert [done.finish_ns for done in trace.completed] == [MS_NS, 3 * MS_NS, 4 * MS_NS]
    assert column(trace, "waiting") == [2, 1, 1, 0]


def test_a_partly_filled_block_is_a_block():
    trace = run(replace(DEFAULT, kv_capacity_tokens=15, block_size=4), (4, 3), (5, 1))
    # Three blocks: 1, then (5 tokens) 2, then 2; the second request needs 2.
    assert column(trace, "used_blocks") == [3, 2, 2]
    trace = run(replace(DEFAULT, kv_capacity_tokens=11, block_size=4), (4, 3), (5, 1))
    assert column(trace, "used_blocks") == [1, 2, 2, 2]


# Admission


def test_chunk_admission_asks_for_the_first_chunk_and_prompt_admission_for_all():
    config = replace(DEFAULT, kv_capacity_tokens=8, prefill_chunk_tokens=2)
    # The first holds 2, 4, 5; the second 2, 4, 6: at the third iteration they don't fit together.
    chunk = run(replace(config, admission="chunk"), (4, 2), (6, 1))
    assert events(chunk, "admit", "preempt") == [
        (0, "admit", 0, 4),
        (0, "admit", 1, 6),
        (2, "preempt", 1, 4),
        (3, "admit", 1, 6),
    ]
    # As the first one's later chunks are not reserved, the whole prompt fits beside its first chunk.
    prompt = run(config, (4, 2), (6, 1))
    assert events(prompt, "admit", "preempt") == events(chunk, "admit", "preempt")
    # One token less of memory and it does not.
    small = replace(config, kv_capacity_tokens=7)
    assert events(run(small, (4, 2), (6, 1)), "admit", "preempt") == [(0, "admit", 0, 4), (3, "admit", 1, 6)]
    chunk = run(replace(small, admission="chunk"), (4, 2), (6, 1))
    assert (0, "admit", 1, 6) in events(chunk, "admit")


def test_head_of_line_blocks_those_behind_it():
    trace = run(replace(DEFAULT, kv_capacity_tokens=10), (6, 2), (5, 1), (1, 1))
    assert events(trace, "admit") == [(0, "admit", 0, 6), (2, "admit", 1, 5), (2, "admit", 2, 1)]


def test_watermark_stays_free_unless_nothing_else_runs():
    trace = run(
        replace(DEFAULT, kv_capacity_tokens=10, watermark_blocks=3), (8, 1), (2, 1), (5, 1), (1, 1), (3, 1)
    )
    # 8 alone leaves 2 free, which is allowed; beside it none is admitted. Then 2 + 5 leave 3, and no more.
    assert events(trace, "admit") == [
        (0, "admit", 0, 8),
        (1, "admit", 1, 2),
        (1, "admit", 2, 5),
        (2, "admit", 3, 1),
        (2, "admit", 4, 3),
    ]


@pytest.mark.parametrize(("convention", "reserved"), [("engine", 4), ("paper", 5)])
def test_peak_reserves_the_largest_kv_until_the_request_leaves(convention, reserved):
    config = replace(
        DEFAULT, kv_capacity_tokens=7, admission="peak", token_convention=convention, watermark_blocks=3
    )
    trace = run(config, (1, 4), (1, 4))
    assert set(column(trace, "used_blocks")) == {reserved}
    assert set(column(trace, "running")) == {1}
    assert column(trace, "kv_tokens") == 2 * list(range(1, reserved + 1))


def test_lookahead_admits_as_soon_as_the_peaks_pass_each_other():
    config = replace(DEFAULT, kv_capacity_tokens=7, admission="lookahead", watermark_blocks=3)
    # Together they would hold 2, 4, 6, 8; one iteration apart 1, 3, 5, 7, 4.
    trace = run(config, (1, 4), (1, 4))
    assert column(trace, "kv_tokens") == [1, 3, 5, 7, 4]
    assert events(
        run(replace(config, admission="prompt", watermark_blocks=0), (1, 4), (1, 4)), "preempt"
    ) == [(3, "preempt", 1, 3)]


def test_lookahead_preempts_as_a_last_resort_where_the_budget_delays_a_prefill():
    config = replace(
        DEFAULT, kv_capacity_tokens=5, max_num_batched_tokens=2, prefill_chunk_tokens=2, admission="lookahead"
    )
    # Foreseen: 1 + 1, 2 + 3, 3. But beside a decode the second gets one token: 1 + 1, 2 + 2, 3 + 3.
    trace = run(config, (1, 3), (3, 1))
    assert column(trace, "kv_tokens") == [2, 4, 3, 2, 3]
    assert events(trace, "preempt") == [(2, "preempt", 1, 2)]


# Preemption


PREEMPTED = replace(DEFAULT, kv_capacity_tokens=6)
THREE = ((2, 3), (2, 3), (1, 1))
THREE_ARRIVALS_NS = (0, 0, 2 * MS_NS)


def test_recompute_keeps_the_tokens_and_prefills_them_again():
    # 2 + 2, 3 + 3, then the first needs a fourth: the second gives up 3, and none is admitted with that.
    trace = run(PREEMPTED, *THREE, arrivals_ns=THREE_ARRIVALS_NS)
    assert events(trace, "admit", "preempt", "first_token", "finish") == [
        (0, "admit", 0, 2),
        (0, "admit", 1, 2),
        (0, "first_token", 0, 0),
        (0, "first_token", 1, 0),
        (2, "preempt", 1, 3),
        (2, "finish", 0, 0),
        (3, "admit", 1, 4),
        (3, "admit", 2, 1),
        (3, "finish", 1, 0),
        (3, "first_token", 2, 0),
        (3, "finish", 2, 0),
    ]
    assert column(trace, "waiting") == [0, 0, 2, 0]
    assert column(trace, "preempted") == [0, 0, 1, 0]
    assert column(trace, "kv_tokens") == [4, 6, 4, 5]
    second = trace.completed[1]
    assert (second.index, second.first_scheduled_ns, second.preemptions) == (1, 0, 1)
    assert (second.first_token_ns, second.finish_ns) == (MS_NS, 4 * MS_NS)


def test_restart_loses_everything_and_starts_the_output_over():
    trace = run(replace(PREEMPTED, preemption="restart"), *THREE, arrivals_ns=THREE_ARRIVALS_NS)
    assert events(trace, "admit")[2:] == [(3, "admit", 1, 2), (3, "admit", 2, 1)]
    assert column(trace, "kv_tokens") == [4, 6, 4, 3, 3, 4]
    second = trace.completed[2]
    assert (second.index, second.first_scheduled_ns, second.preemptions) == (1, 0, 1)
    assert (second.first_token_ns, second.finish_ns) == (4 * MS_NS, 6 * MS_NS)


def test_recompute_in_the_paper_convention_decodes_after_the_second_prefill():
    trace = run(replace(PREEMPTED, token_convention="paper"), (2, 2), (2, 2))
    # 2 + 2, 3 + 3 (a token each), 4: then 2 + 1 tokens of prefill, which emit nothing, and 4.
    assert events(trace, "admit", "preempt")[2:] == [(2, "preempt", 1, 3), (3, "admit", 1, 3)]
    assert column(trace, "kv_tokens") == [4, 6, 4, 3, 4]
    assert trace.completed[1].first_token_ns == 2 * MS_NS


def test_preemption_during_prefill_loses_the_chunks_and_may_hit_the_request_that_asks():
    config = replace(DEFAULT, kv_capacity_tokens=6, prefill_chunk_tokens=2, admission="chunk")
    # 2 + 2; then the first takes its last chunk: 4 + 2, and the second, asking for 2 more, gives way itself.
    trace = run(config, (4, 1), (4, 1))
    assert events(trace, "admit", "preempt") == [
        (0, "admit", 0, 4),
        (0, "admit", 1, 4),
        (1, "preempt", 1, 2),
        (2, "admit", 1, 4),
    ]


def test_preempted_requests_stand_in_order_of_admission_before_the_waiting():
    trace = run(replace(DEFAULT, kv_capacity_tokens=6), (1, 6), (1, 6), (1, 6), (4, 1))
    # 1 1 1, 2 2 2, then 3 3 and the third goes; 4 and the second goes.
    assert events(trace, "preempt") == [(2, "preempt", 2, 2), (3, "preempt", 1, 3)]
    assert [index for _, _, index, _ in events(trace, "admit")] == [0, 1, 2, 1, 2, 3]


@pytest.mark.parametrize("convention", ["engine", "paper"])
@pytest.mark.parametrize("preemption", ["recompute", "restart"])
def test_aged_request_is_one_that_was_preempted_by_recompute(convention, preemption):
    config = replace(DEFAULT, token_convention=convention, preemption=preemption)
    aged = iter([Request(0, 0, 3, 4, emitted=2)])
    trace = simulate(config, aged, saturated=True, warmup_requests=0, window_requests=1)
    # Five tokens of prefill; then (`engine`) that emits token 3 and a decode iteration token 4.
    assert events(trace, "admit", "first_token") == [(0, "admit", 0, 5)]
    assert column(trace, "kv_tokens") == ([5, 6] if convention == "engine" else [5, 6, 7])
    assert trace.completed[0].first_token_ns is None


def test_aged_request_loses_its_age_under_restart():
    config = replace(DEFAULT, kv_capacity_tokens=6, preemption="restart")
    requests = iter([Request(0, 0, 2, 5, emitted=1), Request(1, 0, 2, 5, emitted=1)])
    trace = simulate(config, requests, saturated=True, warmup_requests=0, window_requests=2)
    # 3 + 3, then the first takes 4, 5, 6, beside which the prompt of 2 has no room.
    assert events(trace, "preempt", "first_token") == [(1, "preempt", 1, 3), (4, "first_token", 1, 0)]
    assert events(trace, "admit") == [(0, "admit", 0, 3), (0, "admit", 1, 3), (4, "admit", 1, 2)]
    assert trace.completed[1].first_token_ns == 5 * MS_NS


# Saturated runs and windows


@pytest.mark.parametrize(("preemption", "per_iteration"), [("restart", 3), ("recompute", 4)])
def test_restart_cycles_below_the_service_rate(preemption, per_iteration):
    """Ao, Luo, Simchi-Levi, Wang (2025), adapted: one token, then two, in memory of twelve."""
    config = replace(DEFAULT, kv_capacity_tokens=12, preemption=preemption)
    window = saturate(config, 1, 2, warmup=12, window=1200).window
    assert window is not None
    assert window.completed == per_iteration * window.iterations
    assert window.backlog_end - window.backlog_start == window.arrivals - window.completed == 0


def test_peak_reservation_completes_as_many_as_it_holds_per_lifetime():
    config = replace(DEFAULT, kv_capacity_tokens=70_000, admission="peak")
    window = saturate(config, 50, 800, warmup=82, window=2 * 82).window
    assert window is not None
    assert 800 * window.completed == 82 * window.iterations
    # Conservation: KV in use is throughput times the KV area of a request.
    assert window.sums["kv_tokens"] == window.completed * sum(range(50, 850))
    assert window.sums["used_blocks"] == 82 * 849 * window.iterations


def test_warm_up_ends_by_itself_at_a_thousand_completions_or_ten_times_the_running():
    one = saturate(replace(DEFAULT, max_num_seqs=1), 1, 1, warmup=None, window=10)
    assert len(one.iterations) == 1000 + 10
    many = saturate(replace(DEFAULT, kv_capacity_tokens=150), 1, 1, warmup=None, window=10)
    assert len(many.iterations) == 10 + 1
    assert many.window is not None
    assert many.window.completed == 150


@pytest.mark.parametrize("saturated", [False, True])
def test_requests_longer_than_the_model_allows_are_rejected(saturated):
    lengths = [(3, 3), (1, 1), (4, 4), (5, 1), (2, 3)]
    requests = (Request(i, i * MS_NS, *pair) for i, pair in enumerate(lengths))
    config = replace(DEFAULT, max_model_len=5)
    trace = simulate(config, requests, saturated=saturated, warmup_requests=1, window_requests=1)
    assert [done.index for done in trace.completed] == [1, 4]
    assert trace.rejected == 3
    assert trace.completed[0].arrival_ns == (0 if saturated else MS_NS)


def test_window_counts_the_backlog_at_its_ends():
    requests = iter([Request(i, i * MS_NS // 2, 1, 1) for i in range(10)])
    config = replace(DEFAULT, max_num_seqs=1)
    trace = simulate(config, requests, saturated=False, warmup_requests=1, window_requests=3)
    window = trace.window
    assert window is not None
    # At 1 ms requests 0, 1, 2 have arrived and one is done; at 4 ms 0..8 have and four are.
    assert (window.backlog_start, window.backlog_end, window.arrivals) == (2, 5, 6)
    assert window.sums["waiting"] == 1 + 2 + 3
    assert window.max_waiting == 3


# Drawn runs: the oracle asserts the invariants of the model in every iteration of them.


@pytest.mark.parametrize("admission", ["chunk", "prompt", "peak", "lookahead"])
@pytest.mark.parametrize("convention", ["engine", "paper"])
def test_drawn_runs_keep_the_invariants_and_use_the_kv_area(admission, convention):
    largest_extra = 0 if convention == "engine" else 1
    for seed, preemption, budgeted in product(range(30), ["recompute", "restart"], [False, True]):
        draw = random.Random(seed)
        lengths = [(draw.randint(1, 20), draw.randint(1, 20)) for _ in range(40)]
        chunk = draw.randint(1, 12)
        config = Config(
            kv_capacity_tokens=draw.randint(60, 150),
            block_size=draw.choice([1, 4, 16]),
            max_num_seqs=draw.choice([None, 3, 8]),
            max_num_batched_tokens=draw.randint(chunk, 20) if budgeted else None,
            prefill_chunk_tokens=chunk,
            watermark_blocks=draw.choice([0, 1]),
            max_model_len=None,
            admission=admission,
            preemption=preemption,
            token_convention=convention,
            planes=CONSTANT_MS,
        )
        config = replace(
            config, max_num_seqs=min(config.max_num_seqs or 20, config.max_num_batched_tokens or 20)
        )
        arrivals_ns = tuple(sorted(draw.randrange(100 * MS_NS) for _ in lengths))
        trace = run(config, *lengths, arrivals_ns=arrivals_ns)
        preempted = sum(column(trace, "preempted"))
        if admission == "peak" or (admission == "lookahead" and not budgeted):
            assert preempted == 0
        if preempted == 0 and not budgeted:
            assert sum(column(trace, "kv_tokens")) == sum(
                sum(min(j * chunk, s) for j in range(1, -(-s // chunk) + 1))
                + sum(range(s + 1, s + o + largest_extra))
                for s, o in lengths
            )
        if preempted == 0:
            assert sum(column(trace, "prefill_tokens")) == sum(s for s, _ in lengths)
            assert sum(column(trace, "decodes")) == sum(o - 1 + largest_extra for _, o in lengths)
