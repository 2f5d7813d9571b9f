"""The entries that ship with fastq: workloads, replicas, grids, plans and measurements.

``data/workloads/NAME.parquet`` holds equally likely pairs of lengths, ``data/replicas/NAME.toml`` the
settings of a replica and its iteration time, ``data/grids/NAME.toml`` a spec, ``data/plans/NAME.toml`` a plan,
``data/validation/NAME.toml`` what others measured. Every workload, replica and measurement names its source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastq.errors import SpecError
from fastq.model.reading import Place, nearest, unknown
from fastq.model.toml_file import read_toml
from fastq.model.trace import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.lengths import LengthLaw

_DATA = Path(__file__).resolve().parent.parent / "data"
_METADATA_KEY = b"fastq"
_REPLICA_TABLES = ("replica", "iteration_time", "provenance")


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload of the catalogue.

    Parameters
    ----------
    law
        Joint law of its lengths, named after the entry.
    metadata
        Source, licence and figures, as the file tells them.
    """

    law: LengthLaw
    metadata: Mapping[str, object]


def workload_names() -> tuple[str, ...]:
    """List the workloads that ship."""
    return _names("workloads", ".parquet")


def replica_names() -> tuple[str, ...]:
    """List the replicas that ship."""
    return _names("replicas", ".toml")


def grid_names() -> tuple[str, ...]:
    """List the grids that ship."""
    return _names("grids", ".toml")


def plan_names() -> tuple[str, ...]:
    """List the plans that ship."""
    return _names("plans", ".toml")


def locate(name: str, kind: Literal["grid", "plan"]) -> tuple[Path, str]:
    """Find the file that a user names.

    Parameters
    ----------
    name
        Path of a file; a bare name that is no file is looked up among what ships.
    kind
        Of what ships.

    Returns
    -------
    Path
        The file; a path is not opened, so that what reads it says what is wrong with it.
    str
        What messages call it.

    Raises
    ------
    SpecError
        If a bare name is neither.
    """
    path = Path(name)
    is_bare = path.name == name and not path.suffix and name != ""
    if not is_bare or _exists(path):
        return path, name
    names = _names(f"{kind}s", ".toml")
    if name in names:
        return _DATA / f"{kind}s" / f"{name}.toml", f"{kind} {name}"
    meant = nearest(name, names)
    raise SpecError(
        f"no such file, nor a {kind} that ships with fastq{meant and f'; did you mean {meant}?'} "
        f"(there are: {', '.join(names) or 'none'})",
        source=name,
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def load_workload(name: str, place: Place | None = None) -> Workload:
    """Load a workload of the catalogue; ``place`` is where its name stands, for errors."""
    return _read_workload(_entry("workloads", ".parquet", name, place or Place("", "workload.catalogue")))


@lru_cache(maxsize=16)
def _read_workload(path: Path) -> Workload:
    """Read a workload, once in a process: what ships does not change, and a law can't be written to."""
    return Workload(replace(read_trace(path).law(), name=path.stem), _metadata(path))


def load_replica(name: str, place: Place | None = None) -> dict[str, dict[str, object]]:
    """Load a replica: its tables ``replica``, ``iteration_time`` and ``provenance``.

    Parameters
    ----------
    name
        Entry of the catalogue, or the path of a file that ends in ``.toml``, which may lack ``provenance``.
    place
        Where the name stands: for errors, and the directory that a path starts from.

    Raises
    ------
    SpecError
        If there is no such entry or file, or it lacks a table or holds another one.
    """
    place = place or Place("", "replica.catalogue")
    path = replica_path(name, place)
    is_own = _is_path(name)
    try:
        document = read_toml(path)
    except SpecError as error:
        raise place.error(str(error), name) from error
    for table in document:
        if is_own and table not in _REPLICA_TABLES:
            raise SpecError(unknown(table, _REPLICA_TABLES), source=str(path), key=table)
    tables: dict[str, dict[str, object]] = {}
    for table in _REPLICA_TABLES:
        entries = document.get(table, {} if is_own and table == "provenance" else None)
        if not isinstance(entries, dict):
            raise SpecError(f"table [{table}] is missing", source=str(path), key=table)
        tables[table] = entries
    return tables


def replica_path(name: str, place: Place | None = None) -> Path:
    """Return the file of a replica: one that ships, or the one whose path the name is.

    Raises
    ------
    SpecError
        If no such replica ships and the name is no path of a ``.toml`` file.
    """
    place = place or Place("", "replica.catalogue")
    if not _is_path(name):
        return _entry("replicas", ".toml", name, place, "; or the path of a file that ends in .toml")
    try:
        return place.directory / Path(name).expanduser()
    except RuntimeError as error:  # a home directory that is not known
        raise place.error(str(error), name) from error


def _is_path(name: str) -> bool:
    return name.endswith(".toml")


def validation_paths() -> tuple[Path, ...]:
    """List the files of published measurements that ship."""
    return tuple(_DATA / "validation" / f"{name}.toml" for name in _names("validation", ".toml"))


def _names(folder: str, suffix: str) -> tuple[str, ...]:
    return tuple(
        sorted(path.stem for path in (_DATA / folder).glob(f"*{suffix}") if not path.name.startswith("."))
    )


def _entry(folder: str, suffix: str, name: str, place: Place, others: str = "") -> Path:
    names = _names(folder, suffix)
    if name not in names:
        meant = nearest(name, names)
        raise place.error(
            f"no such entry of the catalogue{meant and f'; did you mean {meant}?'} "
            f"(there are: {', '.join(names) or 'none'}{others})",
            name,
        )
    return _DATA / folder / f"{name}{suffix}"


def _metadata(path: Path) -> Mapping[str, object]:
    import pyarrow.parquet as pq

    text = (pq.read_metadata(path).metadata or {}).get(_METADATA_KEY, b"{}")
    metadata = json.loads(text)
    return metadata if isinstance(metadata, dict) else {}
