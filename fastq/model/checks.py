"""What only several keys together can tell, checked before anything runs and without walking the grid.

Each check is monotone in what the axes vary, or depends on whether a key is given: so a few values of each
axis stand for all.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, cast

from fastq.model import resolve
from fastq.model.lengths import MAX_LENGTH_TOKENS, LengthLaw
from fastq.model.reading import Place
from fastq.model.settings import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastq.model.grid import Axis
    from fastq.model.marginals import Marginal
    from fastq.model.point import Arrivals
    from fastq.model.run import Run
    from fastq.model.settings import Layer, Value
    from fastq.model.spec import Spec

_EVERY_VALUE_COUNTS = ("scheduler.preset", "replica.catalogue", "iteration_time.planes")
_LARGEST_COUNTS = (
    "replica.kv_capacity_tokens",
    "replica.max_num_seqs",
    "replica.max_num_batched_tokens",
    "iteration_time.constant",
)


def check_rates(run: Run, arrivals: Arrivals, place: Place) -> None:
    """Refuse measure ``rates`` without a rate."""
    if "rates" in run.measure and not arrivals.rates_rps and not arrivals.loads:
        raise place.at("arrivals.rate_rps").missing(
            'is missing: measure "rates" needs arrivals.rate_rps (requests/s) or arrivals.load '
            "(shares of theory_rate_rps)"
        )


def check_combinations(spec: Spec) -> None:
    """Refuse a grid that holds a point which can't be resolved or computed."""
    longest = max(
        _longest(spec, number, "prompt_tokens") + _longest(spec, number, "output_tokens")
        for number in range(len(spec.case_layers))
    )
    for place, layer in _representatives(spec):
        values = resolve.settled(layer)
        system = resolve.replica(values, place)
        resolve.check_longest_iteration(resolve.iteration_time(values, place), system, longest, place)


def _place(spec: Spec, case_number: int) -> Place:
    """Return where a case stands, for messages."""
    if not spec.cases:
        return spec.place
    return Place(f"{spec.source}, case {spec.cases[case_number].name!r}")


def _representatives(spec: Spec) -> Iterator[tuple[Place, Layer]]:
    axes = [(axis.key, _representative_values(axis)) for axis in spec.axes]
    for number, layer in enumerate(spec.case_layers):
        for values in itertools.product(*(values for _, values in axes)):
            yield (
                _place(spec, number),
                {**layer, **{key: value for (key, _), value in zip(axes, values, strict=True)}},
            )


def _representative_values(axis: Axis) -> list[Value]:
    if axis.key in _EVERY_VALUE_COUNTS:
        return list(axis.settings)
    if axis.key in _LARGEST_COUNTS:
        limits = [cast("int", value) for value in axis.settings if value is not None]
        unlimited: list[Value] = [None] if None in axis.settings else []
        return unlimited + ([max(limits)] if limits else [])
    return [axis.settings[0]]


def _longest(spec: Spec, case_number: int, side: Literal["prompt_tokens", "output_tokens"]) -> int:
    """Return the largest length of a case, tokens; no law, or one that is too long, is an error."""
    layer, place = spec.case_layers[case_number], _place(spec, case_number)
    axes = {axis.key: axis for axis in spec.axes}
    resolve.check_workload_given({*layer, *axes}, place)
    sources: list[Value] = []
    for key in (f"workload.{side}", "workload.catalogue", "workload.trace"):
        if key in axes:
            sources = list(axes[key].settings)
            break
        if key in layer:
            sources = [layer[key]]
            break
    longest = max(_largest(source, side) for source in sources)
    scale_key = f"workload.{side.removesuffix('_tokens')}_scale"
    scales = axes[scale_key].settings if scale_key in axes else (layer.get(scale_key, DEFAULTS[scale_key]),)
    scale = max(cast("float", value) for value in scales)
    scaled = int(longest * scale + 0.5)
    if scaled > MAX_LENGTH_TOKENS:
        raise place.at(scale_key).error(
            f"makes the longest {side.removesuffix('_tokens')} {scaled:,} tokens; "
            f"at most {MAX_LENGTH_TOKENS:,} are supported",
            scale,
        )
    return max(1, scaled)


def _largest(source: Value, side: Literal["prompt_tokens", "output_tokens"]) -> int:
    if isinstance(source, LengthLaw):
        return int((source.prompt_tokens if side == "prompt_tokens" else source.output_tokens).max())
    return cast("Marginal", source).largest_tokens
