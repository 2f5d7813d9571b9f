"""The keys that a point is made of: how each is read, how result tables show it, what it is by default.

A layer is a mapping from dotted keys to values: what the spec says, what a case says, one value of each grid
axis. Layers lie on one another; a key that is in none comes from the preset, then the replica's catalogue
entry, then its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from fastq.errors import SpecError
from fastq.model.arrival_process import (
    CV_KEY,
    LARGEST_CV,
    MAX_ROUND_ROBIN,
    PROCESS_KEY,
    PROCESSES,
    ROUND_ROBIN_KEY,
    SMALLEST_CV,
)
from fastq.model.catalogue import load_replica, load_workload, replica_path
from fastq.model.duration import read_duration_ps, seconds, shown_duration
from fastq.model.iteration_time import (
    JUMP_BEYOND,
    MAX_ITERATION_PS,
    PS_PER_MS,
    TERM_UNITS,
    Plane,
    read_planes,
    shown_planes,
)
from fastq.model.lengths import LengthLaw
from fastq.model.marginals import Marginal, read_marginal
from fastq.model.point import POISSON
from fastq.model.reading import (
    Place,
    nearest_key,
    read_choice,
    read_int,
    read_real,
    read_table,
    read_text,
    shown_number,
    unknown,
)
from fastq.model.scheduler import PRESETS, Admission, Preemption, TokenConvention
from fastq.model.trace import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastq.model.point import Scalar

MAX_KV_TOKENS = 2**31 - 1
MAX_LIMIT = 2**31 - 1
MAX_BLOCK_TOKENS = 2**20
LARGEST_SCALE = 1e6
SMALLEST_SCALE = 1e-6
UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaEntry:
    """An entry of the catalogue of replicas, or a file like one: the layer that it fills.

    Parameters
    ----------
    name
        As it was written.
    source
        Its file, for messages.
    layer
        What it sets.
    gpus
        How many it has; ``None`` where it does not say.
    """

    name: str
    source: str
    layer: Mapping[str, Value]
    gpus: int | None


Value = int | float | str | None | Marginal | LengthLaw | ReplicaEntry | tuple[Plane, ...]
"""Value of a key: ``None`` stands for "unlimited"; a constant iteration time is in whole picoseconds."""

Layer = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Setting:
    """One key.

    Parameters
    ----------
    key
        Dotted key.
    read
        Turns what was written into a value.
    kind
        Type of its column in result tables: ``float``, ``int`` or ``str``.
    show
        Turns a value into what result tables show.
    text
        Turns a value into what a person reads.
    spacing
        What lies between two values: whole numbers, numbers, durations; ``None`` where nothing does.
    rivals
        Other ways to say the same: one given in a higher layer hides the others below.
    """

    key: str
    read: Callable[[object, Place], Value]
    kind: Literal["float", "int", "str"]
    show: Callable[[Value], Scalar]
    text: Callable[[Value], str]
    spacing: Literal["whole", "real", "duration"] | None = None
    rivals: frozenset[str] = field(default=frozenset())


def _scalar(value: Value) -> Scalar:
    return cast("Scalar", value)


def _number_text(value: Value) -> str:
    return UNLIMITED if value is None else shown_number(cast("float", value))


def _word_text(value: Value) -> str:
    return str(value)


def _whole(key: str, low: int, high: int, unit: str, *, may_be_unlimited: bool = False) -> Setting:
    def read(value: object, place: Place) -> Value:
        if may_be_unlimited and isinstance(value, str):
            if value == UNLIMITED:
                return None
            raise place.error(
                f'must be a whole number between {low:,} and {high:,} {unit}, or "{UNLIMITED}"', value
            )
        return read_int(value, place, low, high, unit)

    return Setting(key, read, "int", _scalar, _number_text, "whole")


def _real(key: str, low: float, high: float, *, below_high: bool = False) -> Setting:
    def read(value: object, place: Place) -> Value:
        return read_real(value, place, low, high, below_high=below_high)

    return Setting(key, read, "float", _scalar, _number_text, "real")


def _word(key: str, choices: tuple[str, ...]) -> Setting:
    def read(value: object, place: Place) -> Value:
        return read_choice(value, place, choices)

    return Setting(key, read, "str", _scalar, _word_text)


def _marginal_text(value: Value) -> str:
    return cast("Marginal", value).text


def _name(value: Value) -> str:
    return cast("LengthLaw | ReplicaEntry", value).name


def _read_trace(value: object, place: Place) -> Value:
    name = read_text(
        value, place, "must be the path of a CSV, Parquet or JSON Lines file, relative to the spec"
    )
    try:
        return read_trace(place.directory / Path(name).expanduser()).law()
    except (SpecError, RuntimeError) as error:  # RuntimeError: a home directory that is not known
        raise place.error(str(error), value) from error


def _read_workload(value: object, place: Place) -> Value:
    return load_workload(
        read_text(value, place, "must be the name of a workload of the catalogue"), place
    ).law


def _read_replica(value: object, place: Place) -> Value:
    name = read_text(
        value,
        place,
        "must be the name of a replica of the catalogue, or the path of a .toml file, relative to the spec",
    )
    document = load_replica(name, place)
    gpus = document.pop("provenance").get("gpus")
    source = str(replica_path(name, place))
    return ReplicaEntry(
        name,
        source,
        read_layer(document, Place(source), ("replica", "iteration_time")),
        gpus if isinstance(gpus, int) and gpus >= 1 else None,
    )


def _planes_text(value: Value) -> str:
    return shown_planes(cast("tuple[Plane, ...]", value))


_LENGTHS = frozenset({"workload.prompt_tokens", "workload.output_tokens"})

_ALL = (
    Setting(
        "workload.prompt_tokens",
        read_marginal,
        "str",
        _marginal_text,
        _marginal_text,
        rivals=frozenset({"workload.catalogue", "workload.trace"}),
    ),
    Setting(
        "workload.output_tokens",
        read_marginal,
        "str",
        _marginal_text,
        _marginal_text,
        rivals=frozenset({"workload.catalogue", "workload.trace"}),
    ),
    Setting("workload.catalogue", _read_workload, "str", _name, _name, rivals=_LENGTHS | {"workload.trace"}),
    Setting("workload.trace", _read_trace, "str", _name, _name, rivals=_LENGTHS | {"workload.catalogue"}),
    _real("workload.prompt_scale", SMALLEST_SCALE, LARGEST_SCALE),
    _real("workload.output_scale", SMALLEST_SCALE, LARGEST_SCALE),
    Setting("replica.catalogue", _read_replica, "str", _name, _name),
    _whole("replica.kv_capacity_tokens", 1, MAX_KV_TOKENS, "tokens"),
    _whole("replica.block_size", 1, MAX_BLOCK_TOKENS, "tokens"),
    _whole("replica.max_num_seqs", 1, MAX_LIMIT, "requests", may_be_unlimited=True),
    _whole("replica.max_num_batched_tokens", 1, MAX_LIMIT, "tokens", may_be_unlimited=True),
    _whole("replica.prefill_chunk_tokens", 1, MAX_LIMIT, "tokens"),
    _real("replica.watermark", 0, 1, below_high=True),
    _whole("replica.max_model_len", 1, MAX_LIMIT, "tokens", may_be_unlimited=True),
    Setting(
        "iteration_time.constant",
        read_duration_ps,
        "float",
        lambda value: seconds(cast("int", value)),
        lambda value: shown_duration(cast("int", value)),
        "duration",
        frozenset({"iteration_time.planes"}),
    ),
    Setting(
        "iteration_time.planes",
        read_planes,
        "str",
        _planes_text,
        _planes_text,
        rivals=frozenset({"iteration_time.constant"}),
    ),
    _real("iteration_time.host_ms", 0, MAX_ITERATION_PS / PS_PER_MS),
    *(
        _real(f"iteration_time.{name}", 0, MAX_ITERATION_PS / unit_ps)
        for name, (_, unit_ps) in TERM_UNITS.items()
    ),
    _whole(f"iteration_time.{JUMP_BEYOND}", 1, MAX_LIMIT, "tokens"),
    _word("scheduler.preset", tuple(PRESETS)),
    _word("scheduler.admission", tuple(Admission)),
    _word("scheduler.preemption", tuple(Preemption)),
    _word("scheduler.token_convention", tuple(TokenConvention)),
    _word(PROCESS_KEY, PROCESSES),
    _real(CV_KEY, SMALLEST_CV, LARGEST_CV),
    _whole(ROUND_ROBIN_KEY, 1, MAX_ROUND_ROBIN, "replicas"),
)

SETTINGS: dict[str, Setting] = {setting.key: setting for setting in _ALL}
"""Every key that a point is made of, in the order in which they are listed."""

TERM_KEYS = tuple(f"iteration_time.{name}" for name in TERM_UNITS)
"""Keys of what is added to the planes; 0 where they have no value."""

HOST_KEY = "iteration_time.host_ms"
"""Key of what every iteration takes on top; 0 where it has no value."""

JUMP_KEY, JUMP_BEYOND_KEY = "iteration_time.jump_ms", f"iteration_time.{JUMP_BEYOND}"

SECTIONS = ("workload", "replica", "iteration_time", "scheduler", "arrivals")

DEFAULTS: dict[str, Value] = {
    "workload.prompt_scale": 1.0,
    "workload.output_scale": 1.0,
    "replica.block_size": 16,
    "replica.max_num_seqs": 256,
    "replica.max_num_batched_tokens": 2048,
    "replica.watermark": 0.0,
    "replica.max_model_len": None,
    "scheduler.preset": "vllm",
    PROCESS_KEY: POISSON,
}


def flat_keys(
    table: Mapping[str, object], place: Place, sections: tuple[str, ...]
) -> Iterator[tuple[str, object]]:
    """Walk a table whose dotted keys are quoted or nested; yields each known key with what stands there."""
    seen = set()
    for key, value in _walk(table, "", place, sections):
        if key in seen:
            raise place.at(key).error("given twice, once quoted and once nested", value)
        seen.add(key)
        yield key, value


def _walk(
    table: Mapping[str, object], prefix: str, place: Place, sections: tuple[str, ...]
) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if key in sections:
            inner = read_table(
                value, place.below(f"{place.key and '.'}{key}"), f"must be a table of keys of {key}"
            )
            yield from _walk(inner, f"{key}.", place, sections)
        elif key in SETTINGS and key.partition(".")[0] in sections:
            yield key, value
        else:
            raise unknown_key(
                key, value, place, [known for known in SETTINGS if known.partition(".")[0] in sections]
            )


def unknown_key(key: str, value: object, place: Place, known: list[str]) -> SpecError:
    """Make the error of a dotted key that means nothing; keys of its own table are shown."""
    here = [name for name in known if name.partition(".")[0] == key.partition(".")[0]] or known
    return place.below(f"{place.key and '.'}{key}").error(unknown(key, here, nearest_key(key, known)), value)


def read_layer(
    document: Mapping[str, object], place: Place, sections: tuple[str, ...] = SECTIONS
) -> dict[str, Value]:
    """Read a table of settings; of keys that say the same in two ways only one may be there."""
    layer: dict[str, Value] = {}
    for key, value in flat_keys(document, place, sections):
        where = place.below(f"{place.key and '.'}{key}")
        check_rivals(key, layer, where, value)
        layer[key] = SETTINGS[key].read(value, where)
    return layer


def check_rivals(key: str, layer: Mapping[str, object], place: Place, value: object) -> None:
    """Refuse a key that says in another way what its layer says already."""
    for rival in SETTINGS[key].rivals:
        if rival in layer:
            raise place.error(f"can't be given together with {rival}", value)


def overlay(lower: Layer, upper: Layer) -> dict[str, Value]:
    """Lay one layer on another."""
    hidden = {rival for key in upper for rival in SETTINGS[key].rivals}
    return {**{key: value for key, value in lower.items() if key not in hidden}, **upper}
