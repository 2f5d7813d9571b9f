"""From what is given to the parts of a point: presets, catalogue entries and defaults fill the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from fastq.model.iteration_time import (
    MAX_ITERATION_PS,
    PS_PER_MS,
    TERM_UNITS,
    IterationTime,
    Plane,
    make_terms,
)
from fastq.model.reading import exact, round_half_up
from fastq.model.replica import Replica
from fastq.model.scheduler import PRESETS, Admission, Preemption, Scheduler, TokenConvention
from fastq.model.settings import (
    DEFAULTS,
    HOST_KEY,
    JUMP_BEYOND_KEY,
    JUMP_KEY,
    SETTINGS,
    TERM_KEYS,
    Layer,
    ReplicaEntry,
    Value,
    overlay,
)

if TYPE_CHECKING:
    from fastq.errors import SpecError
    from fastq.model.iteration_time import Terms
    from fastq.model.reading import Place

NOT_GIVEN: Layer = {}

_PLANE_KEYS = frozenset({"iteration_time.constant", "iteration_time.planes"})
_ALL_TERM_KEYS = frozenset({*TERM_KEYS, JUMP_BEYOND_KEY, HOST_KEY})


class Resolved(NamedTuple):
    """Value of a key and its origin: ``given``, ``preset NAME``, ``catalogue NAME`` or ``default``."""

    value: Value
    origin: str


def settled(given: Layer) -> dict[str, Value]:
    """Fill what was not given: preset before catalogue before default.

    Terms of a catalogue entry go with its planes: where those are replaced, they hold no longer.
    """
    entry = given.get("replica.catalogue")
    below = entry.layer if isinstance(entry, ReplicaEntry) else NOT_GIVEN
    if not _PLANE_KEYS.isdisjoint(given):
        below = {key: value for key, value in below.items() if key not in _ALL_TERM_KEYS}
    preset = PRESETS[str(given.get("scheduler.preset", DEFAULTS["scheduler.preset"]))]
    return {**DEFAULTS, **overlay({**below, **preset}, given)}


def resolve(given: Layer) -> dict[str, Resolved]:
    """Resolve every key that has a value, with what it comes from, in the order of :data:`SETTINGS`."""
    values = settled(given)
    if "replica.prefill_chunk_tokens" not in values and values["replica.max_num_batched_tokens"] is not None:
        values["replica.prefill_chunk_tokens"] = values["replica.max_num_batched_tokens"]
    return {key: Resolved(values[key], _origin(key, given)) for key in SETTINGS if key in values}


def _origin(key: str, given: Layer) -> str:
    if key in given:
        return "given"
    preset = str(given.get("scheduler.preset", DEFAULTS["scheduler.preset"]))
    if key in PRESETS[preset]:
        return f"preset {preset}"
    entry = given.get("replica.catalogue")
    if isinstance(entry, ReplicaEntry) and key in entry.layer:
        return f"catalogue {entry.name}"
    return "default"


def replica(values: Layer, place: Place) -> Replica:
    """Make the replica of settled values."""
    if "replica.kv_capacity_tokens" not in values:
        raise _capacity_missing(values, place)
    budget = cast("int | None", values["replica.max_num_batched_tokens"])
    chunk = cast("int | None", values.get("replica.prefill_chunk_tokens", budget))
    if chunk is None:
        raise _chunk_missing(values, place)
    return Replica(
        kv_capacity_tokens=cast("int", values["replica.kv_capacity_tokens"]),
        block_size=cast("int", values["replica.block_size"]),
        max_num_seqs=cast("int | None", values["replica.max_num_seqs"]),
        max_num_batched_tokens=budget,
        prefill_chunk_tokens=chunk,
        watermark=cast("float", values["replica.watermark"]),
        max_model_len=cast("int | None", values["replica.max_model_len"]),
    )


def _capacity_missing(values: Layer, place: Place) -> SpecError:
    key = "replica.kv_capacity_tokens"
    entry = values.get("replica.catalogue")
    if isinstance(entry, ReplicaEntry):
        return place.at(key).missing(
            f"is missing, and {entry.source} (replica.catalogue) has none either: add the KV cache capacity in tokens, "
            "which vLLM prints when it starts, below [replica] there, as in kv_capacity_tokens = 131_000, or give "
            f"{key} here (fastq calibrate writes it with --kv-capacity-tokens or --memory-gib)"
        )
    return place.at(key).missing(
        "is missing: give the KV cache capacity in tokens (vLLM prints it when it starts), or replica.catalogue"
    )


def _chunk_missing(values: Layer, place: Place) -> SpecError:
    preset = values["scheduler.preset"]
    why = f" (preset {preset} sets no token budget)" if preset == "paper" else ""
    return place.at("replica.prefill_chunk_tokens").missing(
        f"is missing: it must be given where replica.max_num_batched_tokens is unlimited{why}; it is the "
        "most prompt tokens of one request in one iteration, 512 for example"
    )


def iteration_time(values: Layer, place: Place) -> IterationTime:
    """Make the iteration time of settled values."""
    if "iteration_time.constant" in values:
        planes: tuple[Plane, ...] = (Plane(base_ps=cast("int", values["iteration_time.constant"])),)
    elif "iteration_time.planes" in values:
        planes = cast("tuple[Plane, ...]", values["iteration_time.planes"])
    else:
        raise _time_missing(place)
    host_ps = round_half_up(exact(cast("float", values.get(HOST_KEY, 0))) * PS_PER_MS)
    planes = tuple(replace(plane, base_ps=plane.base_ps + host_ps) for plane in planes)
    return IterationTime(planes, _terms(values, place))


def _time_missing(place: Place) -> SpecError:
    return place.at("iteration_time").missing(
        'is missing: give iteration_time.constant, as in "37.2 ms", or iteration_time.planes, '
        "or replica.catalogue"
    )


def _terms(values: Layer, place: Place) -> Terms:
    jumps = bool(values.get(JUMP_KEY))
    if jumps and JUMP_BEYOND_KEY not in values:
        raise place.at(JUMP_BEYOND_KEY).missing(
            f"is missing: {JUMP_KEY} needs it; it is the batch size, in tokens, beyond which iterations take longer"
        )
    if JUMP_KEY not in values and JUMP_BEYOND_KEY in values:
        raise place.at(JUMP_KEY).missing(
            f"is missing: {JUMP_BEYOND_KEY} needs it; it is how much longer iterations beyond that size take"
        )
    coefficients = {
        name: cast("float", values[key])
        for name, key in zip(TERM_UNITS, TERM_KEYS, strict=True)
        if key in values
    }
    return make_terms(coefficients, cast("int", values.get(JUMP_BEYOND_KEY, 0)))


def scheduler(values: Layer) -> Scheduler:
    """Make the scheduler of settled values."""
    return Scheduler(
        preset=str(values["scheduler.preset"]),
        admission=Admission(cast("str", values["scheduler.admission"])),
        preemption=Preemption(cast("str", values["scheduler.preemption"])),
        token_convention=TokenConvention(cast("str", values["scheduler.token_convention"])),
    )


def check_workload_given(given: set[str], place: Place) -> None:
    """Refuse settings without a law of lengths."""
    if "workload.catalogue" in given or "workload.trace" in given:
        return
    for key in ("workload.prompt_tokens", "workload.output_tokens"):
        if key not in given:
            raise place.at(key).missing(
                "is missing: give a law such as { uniform = [10, 1600] }, or workload.catalogue or "
                "workload.trace in place of both lengths"
            )


def longest_iteration_ps(times: IterationTime, system: Replica, longest_request_tokens: int) -> int:
    """Bound the time of the largest batch that can ever run.

    No more than the KV capacity is prefilled or held at once, and the attention work of a prompt token is at
    most the length of its request.
    """
    capacity = system.kv_capacity_tokens
    prefill = min(system.max_num_batched_tokens or capacity, capacity)
    decoding = min(system.max_num_seqs or capacity, capacity)
    length = min(longest_request_tokens, capacity, system.max_model_len or capacity)
    terms = times.terms
    added = (
        (terms.prefill_seq_ps + terms.finished_prompt_ps) * min(prefill, decoding)
        + (terms.prefill_kv_token_ps + terms.mixed_kv_token_ps) * capacity
        + terms.prefill_ps
        + terms.mixed_ps
        + terms.jump_ps
    )
    return added + max(
        plane.base_ps
        + plane.prefill_token_ps * prefill
        + plane.decode_seq_ps * decoding
        + plane.kv_token_ps * capacity
        + plane.attention_ps * prefill * length
        for plane in times.planes
    )


def check_longest_iteration(
    times: IterationTime, system: Replica, longest_request_tokens: int, place: Place
) -> None:
    """Refuse an iteration time whose sums of picoseconds could overflow."""
    longest_ps = longest_iteration_ps(times, system, longest_request_tokens)
    if longest_ps >= MAX_ITERATION_PS:
        raise place.at("iteration_time").missing(
            f"the largest batch that fits ({system.kv_capacity_tokens:,} KV tokens) would take "
            f"{longest_ps / 1e12:,.0f} s; iterations of less than {MAX_ITERATION_PS // 10**12:,} s are "
            "supported: check the units of iteration_time and replica.kv_capacity_tokens"
        )
