"""What only several keys together can tell, checked before anything runs and without walking the grid.

Each check is monotone in what the axes vary, or depends on whether a key is given: so a few values of each
axis stand for all.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from fastq.model import resolve
from fastq.model.arrival_process import (
    CV_KEY,
    PROCESS_KEY,
    PROCESS_KEYS,
    ROUND_ROBIN_KEY,
    check_process,
    check_spread_is_used,
)
from fastq.model.arrivals import LARGEST_RATE_RPS, SMALLEST_RATE_RPS
from fastq.model.concurrency import MAX_AT_ONCE, most_at_once_from
from fastq.model.lengths import MAX_LENGTH_TOKENS, LengthLaw
from fastq.model.point import REPLAY
from fastq.model.reading import Place
from fastq.model.settings import DEFAULTS, HOST_KEY, TERM_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastq.model.grid import Axis
    from fastq.model.law_cache import Side
    from fastq.model.marginals import Marginal
    from fastq.model.point import Rates
    from fastq.model.replica import Replica
    from fastq.model.run import Run
    from fastq.model.settings import Layer, Value
    from fastq.model.slo import Objective
    from fastq.model.spec import Spec

_EVERY_VALUE_COUNTS = ("scheduler.preset", "replica.catalogue", "iteration_time.planes")
_LARGEST_COUNTS = (
    "replica.kv_capacity_tokens",
    "replica.max_num_seqs",
    "replica.max_num_batched_tokens",
    "replica.max_model_len",
    "iteration_time.constant",
    HOST_KEY,
    *TERM_KEYS,
)
_SMALLEST_COUNTS = ("replica.prefill_chunk_tokens",)

_LARGEST_SUM_OF_SQUARES = 1 << 61
"""Half of what a register holds: a window may end a batch of requests later than asked."""

_LONGEST_SPAN_S = 4e9
"""Longest simulated time, s, of a warm-up or a window: the clock, 63 bits of nanoseconds, holds both."""


def check_rates(run: Run, rates: Rates, place: Place) -> None:
    """Refuse measure ``rates`` without a rate, or with one so small that the clock would overflow."""
    if "rates" not in run.measure:
        return
    if not rates.any:
        raise place.at("arrivals.rate_rps").missing(
            'is missing: measure "rates" needs arrivals.rate_rps (requests/s) or arrivals.load '
            "(shares of theory_rate_rps)"
        )
    if rates.rates_rps:
        _check_span(run, min(rates.rates_rps), place)


def check_arrivals(spec: Spec) -> None:
    """Refuse arrival processes that a point can't have, and a spread that none has a use for.

    Of the numbers that an axis varies the largest counts.
    """
    layers: list[Layer] = []
    keys = (*PROCESS_KEYS, "workload.trace", "workload.catalogue")
    for number in range(len(spec.case_layers)):
        choices = {key: values for key in keys if (values := _values(spec, number, key))}
        for key in (CV_KEY, ROUND_ROBIN_KEY):
            if key in choices:
                choices[key] = [max(choices[key], key=lambda value: cast("float", value))]
        for chosen in itertools.product(*choices.values()):
            layers.append(dict(zip(choices, chosen, strict=True)))
            check_process(layers[-1], _place(spec, number).at)
            if spec.rates.recorded:
                _check_recorded_rate(layers[-1], _place(spec, number).at("arrivals.rate_rps"))
    check_spread_is_used(layers, spec.place.at(CV_KEY))


def _check_recorded_rate(values: Layer, place: Place) -> None:
    """Refuse the rate of a trace where none is replayed, or where it is beyond those that can be given."""
    if values[PROCESS_KEY] != REPLAY:
        raise place.error(
            "is the rate of a trace that is replayed: set arrivals.process = 'trace' too, or give a number",
            REPLAY,
        )
    law = values.get("workload.trace", values.get("workload.catalogue"))
    assert isinstance(law, LengthLaw)
    assert law.clock is not None
    rate_rps = law.clock.mean_rate_rps
    if not SMALLEST_RATE_RPS <= rate_rps <= LARGEST_RATE_RPS:
        raise place.error(
            f"is {rate_rps:.3g} requests/s by the arrival times of {law.name}; from {SMALLEST_RATE_RPS:g} to "
            f"{LARGEST_RATE_RPS:g} are supported: check that they are in seconds, or give a number",
            REPLAY,
        )


def check_objectives(run: Run, slo: tuple[Objective, ...], place: Place) -> None:
    """Refuse measure ``slo`` without an objective."""
    if "slo" in run.measure and not slo:
        raise place.at("slo").missing(
            'is missing: measure "slo" needs at least one objective, as in slo.ttft = { p99 = "2 s" }; of '
            "wait, ttft, tpot and e2e, at any percentile"
        )


def _check_span(run: Run, rate_rps: float, place: Place) -> None:
    counts = {"requests": run.requests, "warmup_requests": run.warmup_requests or 0}
    if run.precision is not None:
        counts["max_requests"] = run.max_requests
    name = max(counts, key=lambda name: counts[name])
    span_s = counts[name] / rate_rps
    if span_s > _LONGEST_SPAN_S:
        raise place.at("arrivals.rate_rps").error(
            f"run.{name} = {counts[name]:,} at this rate is a simulated time of {span_s:.3g} s; at most "
            f"{_LONGEST_SPAN_S:.3g} s are supported: raise arrivals.rate_rps or lower run.{name}",
            rate_rps,
        )


def check_combinations(spec: Spec) -> None:
    """Refuse a grid that holds a point which can't be resolved or computed."""
    prompts = [_longest(spec, number, "prompt_tokens") for number in range(len(spec.case_layers))]
    longest = max(prompt + _longest(spec, number, "output_tokens") for number, prompt in enumerate(prompts))
    _check_squares(spec.run, max(prompts), spec.place)
    for number, layer in _representatives(spec):
        place, values = _place(spec, number), resolve.settled(layer)
        system = resolve.replica(values, place)
        resolve.check_longest_iteration(resolve.iteration_time(values, place), system, longest, place)
        _check_concurrency(spec, number, system)


def _check_squares(run: Run, longest_prompt_tokens: int, place: Place) -> None:
    """Refuse windows in which the squares of the prompts could add up to more than 63 bits."""
    name = "requests" if run.precision is None else "max_requests"
    requests = run.requests if run.precision is None else run.max_requests
    most = _LARGEST_SUM_OF_SQUARES // longest_prompt_tokens**2
    if requests > most:
        raise place.at(f"run.{name}").error(
            f"with prompts of up to {longest_prompt_tokens:,} tokens at most {most:,} requests in the window of a "
            "replication are supported; take more run.replications",
            requests,
        )


def _check_concurrency(spec: Spec, case_number: int, system: Replica) -> None:
    """Refuse more requests at once than a simulation keeps room for.

    A token budget that lets so many in is beyond every prompt: the first chunk of a request does not depend
    on it, and the largest limits stand for all. Block sizes don't: each rounds capacity and chunk its own way.
    """
    if most_at_once_from(1, replace(system, block_size=1)) <= MAX_AT_ONCE:
        return
    shortest = _shortest_prompt(spec, case_number)
    sizes = next((axis.settings for axis in spec.axes if axis.key == "replica.block_size"), ())
    for size in sizes or (system.block_size,):
        _check_room(replace(system, block_size=cast("int", size)), shortest, _place(spec, case_number))


def _check_room(system: Replica, shortest_prompt_tokens: int, place: Place) -> None:
    at_once = most_at_once_from(shortest_prompt_tokens, system)
    if at_once > MAX_AT_ONCE:
        raise place.at("replica.max_num_seqs").missing(
            f"{at_once:,} requests could be running at once ({system.kv_blocks:,} blocks of "
            f"{system.block_size:,} tokens, prompts from {shortest_prompt_tokens:,} tokens); a simulation "
            f"keeps room for at most {MAX_AT_ONCE:,}: set replica.max_num_seqs to what the engine runs "
            "with, 256 for example"
        )


def _place(spec: Spec, case_number: int) -> Place:
    """Return where a case stands, for messages."""
    if not spec.cases:
        return spec.place
    return Place(f"{spec.source}, case {spec.cases[case_number].name!r}")


def _representatives(spec: Spec) -> Iterator[tuple[int, Layer]]:
    """Yield layers that stand for all points, each with the number of its case."""
    axes = [(axis.key, _representative_values(axis)) for axis in spec.axes]
    for number, layer in enumerate(spec.case_layers):
        for values in itertools.product(*(values for _, values in axes)):
            yield number, {**layer, **{key: value for (key, _), value in zip(axes, values, strict=True)}}


def _representative_values(axis: Axis) -> list[Value]:
    if axis.key in _EVERY_VALUE_COUNTS:
        return list(axis.settings)
    if axis.key in _LARGEST_COUNTS:
        limits = [cast("int", value) for value in axis.settings if value is not None]
        unlimited: list[Value] = [None] if None in axis.settings else []
        return unlimited + ([max(limits)] if limits else [])
    if axis.key in _SMALLEST_COUNTS:
        return [min(cast("int", value) for value in axis.settings)]
    return [axis.settings[0]]


def _longest(spec: Spec, case_number: int, side: Side) -> int:
    """Return the largest length of a case, tokens; no law, or one that is too long, is an error."""
    layer, place = spec.case_layers[case_number], _place(spec, case_number)
    resolve.check_workload_given({*layer, *(axis.key for axis in spec.axes)}, place)
    longest = max(_largest(source, side) for source in _sources(spec, case_number, side))
    scale_key = f"workload.{side.removesuffix('_tokens')}_scale"
    scale = max(cast("float", value) for value in _values(spec, case_number, scale_key))
    scaled = int(longest * scale + 0.5)
    if scaled > MAX_LENGTH_TOKENS:
        raise place.at(scale_key).error(
            f"makes the longest {side.removesuffix('_tokens')} {scaled:,} tokens; "
            f"at most {MAX_LENGTH_TOKENS:,} are supported",
            scale,
        )
    return max(1, scaled)


def _shortest_prompt(spec: Spec, case_number: int) -> int:
    """Return the smallest prompt of a case, tokens."""
    shortest = min(_smallest_prompt(spec, source) for source in _sources(spec, case_number, "prompt_tokens"))
    scale = min(cast("float", value) for value in _values(spec, case_number, "workload.prompt_scale"))
    return max(1, int(shortest * scale + 0.5))


def _values(spec: Spec, case_number: int, key: str) -> list[Value]:
    """Return all values that a key takes in a case; none where nothing gives it one."""
    for axis in spec.axes:
        if axis.key == key:
            return list(axis.settings)
    layer = spec.case_layers[case_number]
    if key in layer:
        return [layer[key]]
    return [DEFAULTS[key]] if key in DEFAULTS else []


def _sources(spec: Spec, case_number: int, side: Side) -> list[Value]:
    """Return all that the lengths of one side of a case come from."""
    for key in (f"workload.{side}", "workload.catalogue", "workload.trace"):
        values = _values(spec, case_number, key)
        if values:
            return values
    return []


def _largest(source: Value, side: Side) -> int:
    if isinstance(source, LengthLaw):
        return int((source.prompt_tokens if side == "prompt_tokens" else source.output_tokens).max())
    return cast("Marginal", source).largest_tokens


def _smallest_prompt(spec: Spec, source: Value) -> int:
    if isinstance(source, LengthLaw):
        return int(source.prompt_tokens.min())
    return int(spec.laws.column(cast("Marginal", source), "prompt_tokens").tokens.min())
