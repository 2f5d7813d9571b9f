"""``--set`` on a plan: a value takes the place of what the plan file says of a key."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from fastq.model.document import parsed
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
_RIVALS = {"demand.peak_rps": "demand.hourly_rps", "demand.hourly_rps": "demand.peak_rps"}


def override_plan(document: Mapping[str, object], overrides: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return the document with other values.

    Keys of ``demand``, ``limits`` and ``run`` are those of the file; ``replica.*``, ``iteration_time.*``,
    ``scheduler.*``, ``gpus_per_replica`` and ``price_per_gpu_hour`` hold for every option.

    Raises
    ------
    SpecError
        If a key is none of these.
    """
    changed: dict[str, object] = copy.deepcopy(dict(document))
    for key, text in overrides:
        first = key.partition(".")[0]
        if first in _OF_THE_PLAN:
            if key in _RIVALS:
                _remove(changed, _RIVALS[key])
            _put(changed, key.split("."), parsed(text))
        elif key in KEYS_OF_ALL_OPTIONS:
            for option in _options(changed):
                for rival in SETTINGS[key].rivals if key in SETTINGS else ():
                    _remove(option, rival)
                _remove(option, key)
                _put(option, key.split("."), parsed(text))
        else:
            known = [*_OF_THE_PLAN, *KEYS_OF_ALL_OPTIONS]
            raise Place("--set", key).error(unknown(key, known, nearest_key(key, known)), parsed(text))
    return changed


def _options(document: Mapping[str, object]) -> list[dict[str, object]]:
    options = document.get("option")
    return [option for option in options if isinstance(option, dict)] if isinstance(options, list) else []


def _put(table: dict[str, object], path: Sequence[str], value: object) -> None:
    for name in path[:-1]:
        inner = table.get(name)
        if not isinstance(inner, dict):
            inner = table[name] = {}
        table = inner
    table[path[-1]] = value


def _remove(table: dict[str, object], key: str) -> None:
    """Remove a dotted key, quoted or nested."""
    table.pop(key, None)
    section, _, leaf = key.partition(".")
    inner = table.get(section)
    if isinstance(inner, dict):
        inner.pop(leaf, None)
