"""``--set`` on a plan: a value takes the place of what the plan file says of a key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.model.document import OVERRIDE, dotted_key, parsed
from fastq.model.reading import Place, nearest_key, unknown
from fastq.model.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OF_THE_PLAN = ("title", "currency", "demand", "limits", "run")
KEYS_OF_ALL_OPTIONS = (
    "gpus_per_replica",
    "price_per_gpu_hour",
    *(key for key in SETTINGS if key.partition(".")[0] in ("replica", "iteration_time", "scheduler")),
)
_RATES = frozenset({"demand.peak_rps", "demand.hourly_rps"})


def override_plan(
    document: Mapping[str, object], overrides: Sequence[tuple[str, object]]
) -> dict[str, object]:
    """Return the document with other values.

    Keys of ``demand``, ``limits`` and ``run`` are those of the file; ``replica.*``, ``iteration_time.*``,
    ``scheduler.*``, ``gpus_per_replica`` and ``price_per_gpu_hour`` hold for every option. What says the same in
    another way goes, and paths of traces start at the current directory.

    Raises
    ------
    SpecError
        If a key is none of these, or reaches into what is no table.
    """
    changed: dict[str, object] = copy.deepcopy(dict(document))
    for name, text in overrides:
        key, value = dotted_key(name), parsed(text)
        place = Place(OVERRIDE, key)
        if key.partition(".")[0] in _OF_THE_PLAN:
            if key.startswith("demand.workload"):
                value = _from_here(value, key.rpartition(".")[2])
            _replace(changed, key, value, place)
        elif key in KEYS_OF_ALL_OPTIONS:
            for option in _options(changed):
                _replace(option, key, value, place)
        else:
            known = [*_OF_THE_PLAN, *KEYS_OF_ALL_OPTIONS]
            raise place.at(key or "''").error(unknown(key, known, nearest_key(key, known)), value)
    return changed


def _options(document: Mapping[str, object]) -> list[dict[str, object]]:
    options = document.get("option")
    return [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []


def _from_here(value: object, name: str) -> object:
    """Return a part of a workload with its traces as paths that the place of the plan does not change."""
    if isinstance(value, dict):
        return {leaf: _from_here(entry, leaf) for leaf, entry in value.items()}
    if isinstance(value, list):
        return [_from_here(entry, "") for entry in value]
    return str(Path(value).expanduser().absolute()) if name == "trace" and isinstance(value, str) else value


def _replace(table: dict[str, object], key: str, value: object, place: Place) -> None:
    """Put a value under a dotted key, in place of what stands there and of what says the same in another way."""
    for hidden in (key, *_rivals(key)):
        _remove(table, hidden)
    path = key.split(".")
    for depth, name in enumerate(path[:-1], start=1):
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            whole = ".".join(path[:depth])
            raise place.error(
                f"{whole} is no table in the plan; set {whole} itself, with all that it is to hold", value
            )
        table = inner
    table[path[-1]] = value


def _rivals(key: str) -> set[str]:
    if key in _RATES:
        return {*_RATES} - {key}
    prefix = "demand." if key.startswith("demand.") else ""
    setting = SETTINGS.get(key.removeprefix(prefix))
    return set() if setting is None else {f"{prefix}{rival}" for rival in setting.rivals}


def _remove(table: dict[str, object], key: str) -> None:
    """Remove a dotted key, quoted or nested."""
    table.pop(key, None)
    section, _, leaf = key.partition(".")
    inner = table.get(section)
    if isinstance(inner, dict):
        _remove(inner, leaf)
