"""Every resolved value of a spec as a person reads it, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.model.arrival_process import PROCESS_KEY
from fastq.model.point import REPLAY, Scalar
from fastq.model.reading import shown_number
from fastq.model.resolve import resolve
from fastq.model.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastq.model.grid import Axis
    from fastq.model.resolve import Resolved
    from fastq.model.spec import Spec

SpecValue = Scalar | bool | list[str] | list[float]

_MAX_SHOWN = 4
_ABSENT = "none"
_WARMUP = "max(1000, 10 x the largest number running so far)"
_CHUNK, _BUDGET = "replica.prefill_chunk_tokens", "replica.max_num_batched_tokens"


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    """One key of a spec.

    Parameters
    ----------
    key
        Dotted key.
    value_text
        Its value; those of different cases or presets are parted by " | ".
    values
        Its values, each once, as result tables show them: durations in seconds, "unlimited" as ``None``. More
        than one where cases or an axis vary the key; empty where only some cases have it.
    origin
        ``spec``, ``--set``, ``grid``, ``case NAME`` or ``cases``, ``preset NAME``, ``catalogue NAME`` or
        ``default``.
    """

    key: str
    value_text: str
    values: tuple[SpecValue, ...]
    origin: str


def resolved_keys(spec: Spec, index: int | None) -> list[ResolvedKey]:
    """List every key that has a value: of one point, or of the whole grid."""
    return [*_settings(spec, index), *_arrivals(spec), *_slo(spec), *_run(spec)]


def _settings(spec: Spec, index: int | None) -> list[ResolvedKey]:
    axes = {axis.key: axis for axis in spec.axes}
    layers = spec.given_layers(index)
    resolved = [resolve(layer) for layer in layers]
    keys = []
    for key, setting in SETTINGS.items():
        if key in axes and index is None:
            axis = axes[key]
            keys.append(ResolvedKey(key, _axis_text(axis), axis.values, _axis_origin(spec, key)))
            continue
        found = [values[key] for values in resolved if key in values]
        if found:
            text = _joined(setting.text(each.value) for each in found)
            values = tuple(dict.fromkeys(setting.show(each.value) for each in found))
            if len(found) < len(layers):
                values = ()
            if key == _CHUNK and index is None and _BUDGET in axes and found[0].origin == "default":
                text, values = _BUDGET, axes[_BUDGET].values
            origin = _joined(_origin(spec, key, each, index) for each in found)
            keys.append(ResolvedKey(key, text, values, origin))
    return keys


def _origin(spec: Spec, key: str, resolved: Resolved, index: int | None) -> str:
    if resolved.origin != "given":
        return resolved.origin
    if any(axis.key == key for axis in spec.axes):
        return _axis_origin(spec, key)
    if index is not None:
        case = spec.case_at(index)
        if case is not None and key in case.layer:
            return f"case {case.name}"
    elif any(key in case.layer for case in spec.cases):
        return "cases"
    return spec.origins.get(key, "spec")


def _axis_origin(spec: Spec, key: str) -> str:
    return "--set" if key in spec.origins and spec.origins[key] == "--set" else "grid"


def _axis_text(axis: Axis) -> str:
    texts = [SETTINGS[axis.key].text(value) for value in axis.settings]
    if len(texts) <= _MAX_SHOWN:
        return ", ".join(texts)
    return f"{texts[0]}, {texts[1]}, ..., {texts[-1]} ({len(texts):,} values)"


def _joined(texts: Iterable[str]) -> str:
    different = list(dict.fromkeys(texts))
    shown = different[:_MAX_SHOWN] + (["..."] if len(different) > _MAX_SHOWN else [])
    return " | ".join(shown)


def _arrivals(spec: Spec) -> list[ResolvedKey]:
    entries: dict[str, tuple[str, SpecValue]] = {}
    for name, rates in (("rate_rps", spec.rates.rates_rps), ("load", spec.rates.loads)):
        if rates:
            entries[name] = ", ".join(map(shown_number, rates)), list(rates)
    if spec.rates.recorded:
        entries["rate_rps"] = REPLAY, REPLAY
    return _keys(spec, "arrivals", entries)


def _slo(spec: Spec) -> list[ResolvedKey]:
    texts: dict[str, list[str]] = {}
    for objective in spec.slo:
        texts.setdefault(objective.latency, []).append(objective.text)
    return _keys(spec, "slo", {name: (", ".join(each), each) for name, each in texts.items()})


def _run(spec: Spec) -> list[ResolvedKey]:
    run = spec.run
    warmup, limit = run.warmup_requests, None if run.precision is None else run.max_requests
    by_running = _WARMUP
    if any(values[PROCESS_KEY].value == REPLAY for values in map(resolve, spec.given_layers(None))):
        by_running += "; at a rate at least a round of the trace"
    return _keys(
        spec,
        "run",
        {
            "measure": (", ".join(run.measure), list(run.measure)),
            "seed": (str(run.seed), run.seed),
            "replications": (str(run.replications), run.replications),
            "requests": (str(run.requests), run.requests),
            "warmup_requests": (by_running if warmup is None else str(warmup), warmup),
            "precision": (_ABSENT if run.precision is None else shown_number(run.precision), run.precision),
            "max_requests": (_ABSENT if limit is None else str(limit), limit),
            "common_random_numbers": (str(run.common_random_numbers).lower(), run.common_random_numbers),
            "infeasible": (run.infeasible, run.infeasible),
        },
    )


def _keys(spec: Spec, table: str, entries: dict[str, tuple[str, SpecValue]]) -> list[ResolvedKey]:
    return [
        ResolvedKey(f"{table}.{name}", text, (value,), spec.origins.get(f"{table}.{name}", "default"))
        for name, (text, value) in entries.items()
    ]
