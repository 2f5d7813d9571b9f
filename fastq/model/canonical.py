"""What decides the numbers of a spec, and nothing else.

The same document, and hash, comes out however the spec was written and wherever its files stand.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, cast

from fastq.model.arrival_process import PROCESS_KEY, ROUND_ROBIN_KEY
from fastq.model.iteration_time import Plane
from fastq.model.lengths import LengthLaw
from fastq.model.point import POISSON, REPLAY
from fastq.model.resolve import settled
from fastq.model.settings import HOST_KEY, JUMP_BEYOND_KEY, JUMP_KEY, SETTINGS, TERM_KEYS, ReplicaEntry, Value
from fastq.model.version import RESULTS_VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fastq.model.grid import Axis
    from fastq.model.marginals import Marginal
    from fastq.model.run import Run
    from fastq.model.settings import Layer
    from fastq.model.spec import Spec

_DECIDES_ONLY_OTHERS = ("scheduler.preset", "replica.catalogue")
"""Keys that matter by the values they give to other keys."""

_PLANES = "iteration_time.planes"


def hash_of(document: dict[str, object]) -> str:
    """Return the SHA-256 of a canonical document and of the version of the results."""
    versioned = {"results_version": RESULTS_VERSION, "spec": document}
    text = json.dumps(versioned, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_document(spec: Spec) -> dict[str, object]:
    """Describe what decides the numbers of a spec.

    ``settings`` has an entry for each case and each value of the axes ``scheduler.preset`` and
    ``replica.catalogue``, the last varying fastest: what holds there for every key that is no axis.
    ``tables`` gives the SHA-256 of each table of lengths.
    """
    document: dict[str, object] = {
        "cases": list(spec.case_names),
        "axes": [{"key": axis.key, "values": _axis_values(axis)} for axis in spec.axes],
        "settings": [_settings(spec, layer) for layer in _modes(spec)],
        "tables": _tables(spec),
        "run": _run(spec.run),
    }
    document["arrivals"] = _arrivals(spec)
    if "slo" in spec.run.measure:
        document["slo"] = [[one.latency, one.percentile, one.at_most_ps] for one in spec.slo]
    return document


def _arrivals(spec: Spec) -> dict[str, object]:
    """Describe the rates and the process where all points have one; its other keys are settings."""
    processes = {str(settled(layer)[PROCESS_KEY]) for layer in _modes(spec)}
    processes.update(str(value) for axis in spec.axes if axis.key == PROCESS_KEY for value in axis.settings)
    named = sorted(processes)
    document: dict[str, object] = {"process": named[0] if len(named) == 1 else named}
    if REPLAY in processes:
        laws = [value for value in _all_values(spec) if isinstance(value, LengthLaw)]
        clocks = [(law.digest, law.clock) for law in laws if law.clock is not None]
        document["clocks"] = [[digest, clock.digest] for digest, clock in clocks]
        if spec.rates.recorded and "rates" in spec.run.measure:
            document["recorded_rate_rps"] = [clock.mean_rate_rps for _, clock in clocks]
    if "rates" in spec.run.measure:
        rates: list[object] = [REPLAY] if spec.rates.recorded else list(spec.rates.rates_rps)
        document |= {"rate_rps": rates, "load": list(spec.rates.loads)}
    return document


def _axis_values(axis: Axis) -> list[object]:
    """Show axis values: durations exactly, catalogue entries and traces with what they hold."""
    return [
        {"name": shown, "holds": _canonical(axis.key, setting)}
        if isinstance(setting, (LengthLaw, ReplicaEntry))
        else _canonical(axis.key, setting)
        for shown, setting in zip(axis.values, axis.settings, strict=True)
    ]


def _canonical(key: str, value: Value) -> object:
    if isinstance(value, LengthLaw):
        return {"sha256": value.digest}
    if isinstance(value, ReplicaEntry):
        layer = _without_idle_terms(value.layer)
        return {inner: _canonical(inner, entry) for inner, entry in sorted(layer.items())}
    if isinstance(value, tuple):
        return [_plane(plane) for plane in value]
    if value is None or isinstance(value, (int, float, str)):
        return str(value) if isinstance(value, str) else value
    return SETTINGS[key].text(value)


def _plane(plane: Plane) -> list[int]:
    return [plane.base_ps, plane.prefill_token_ps, plane.decode_seq_ps, plane.kv_token_ps, plane.attention_ps]


def _modes(spec: Spec) -> Iterator[Layer]:
    """Yield the given layers under which presets and catalogue entries differ."""
    axes = [axis for axis in spec.axes if axis.key in _DECIDES_ONLY_OTHERS]
    for layer in spec.case_layers:
        for values in itertools.product(*(axis.settings for axis in axes)):
            yield {**layer, **{axis.key: value for axis, value in zip(axes, values, strict=True)}}


def _settings(spec: Spec, layer: Layer) -> dict[str, object]:
    values = settled(layer)
    varied = {axis.key for axis in spec.axes}
    varied.update(*(SETTINGS[key].rivals for key in list(varied)))
    if "replica.prefill_chunk_tokens" not in values and "replica.max_num_batched_tokens" not in varied:
        values["replica.prefill_chunk_tokens"] = values["replica.max_num_batched_tokens"]
    for key in ("workload.catalogue", "workload.trace"):
        if key in values:
            values["workload"] = values.pop(key)
    if "iteration_time.constant" in values:
        values[_PLANES] = (Plane(base_ps=cast("int", values.pop("iteration_time.constant"))),)
    hidden = {*varied, *_DECIDES_ONLY_OTHERS, *_idle_process_keys(values)}
    return {
        key: _canonical(key, value)
        for key, value in sorted(_without_idle_terms(values, varied).items())
        if key not in hidden
    }


def _idle_process_keys(values: Layer) -> set[str]:
    """Find keys of the arrival process that say what holds without them."""
    idle = {PROCESS_KEY} if values[PROCESS_KEY] == POISSON else set()
    return idle if values.get(ROUND_ROBIN_KEY, 1) != 1 else {*idle, ROUND_ROBIN_KEY}


def _without_idle_terms(values: Layer, varied: Collection[str] = ()) -> Layer:
    """Leave out terms of the iteration time that add nothing: they are as good as not given."""
    idle = {key for key in (*TERM_KEYS, HOST_KEY) if not values.get(key) and key not in varied}
    if JUMP_KEY in idle and JUMP_BEYOND_KEY not in varied:
        idle.add(JUMP_BEYOND_KEY)
    return {key: value for key, value in values.items() if key not in idle}


def _all_values(spec: Spec) -> Iterator[Value]:
    """Yield what is given for any key, of any case or axis."""
    for layer in spec.case_layers:
        yield from layer.values()
    for axis in spec.axes:
        yield from axis.settings


def _tables(spec: Spec) -> dict[str, str]:
    """Return the SHA-256 of the table of every parametric law; other tables stand where they are used."""
    marginals: dict[str, Marginal] = {}
    for value in _all_values(spec):
        if not isinstance(value, (int, float, str, tuple, LengthLaw, ReplicaEntry)) and value is not None:
            marginals[value.text] = value
    return {
        text: spec.laws.column(marginal, "prompt_tokens").digest
        for text, marginal in sorted(marginals.items())
    }


def _run(run: Run) -> dict[str, object]:
    return {
        "measure": list(run.measure),
        "seed": run.seed,
        "replications": run.replications,
        "requests": run.requests,
        "warmup_requests": run.warmup_requests,
        "precision": run.precision,
        "max_requests": None if run.precision is None else run.max_requests,
        "common_random_numbers": run.common_random_numbers,
        "infeasible": run.infeasible,
    }
