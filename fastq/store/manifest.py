"""``manifest.json``: what a data set holds, written once, with the same bytes whatever writes it.

It holds no times and no state: which blocks are done is told by the files alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastq.errors import StoreError
from fastq.store.layout import block_count, block_range
from fastq.store.schema import TABLES, AxisColumn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.describe import ResolvedKey
    from fastq.model.spec import Spec
    from fastq.store.location import Location

MANIFEST_FILE = "manifest.json"
MANIFEST_VERSION = 2
"""Rises whenever an entry of the file changes its meaning. 1, not written, had the text of a resolved key as
its ``value``. Numbers do not depend on it, so data sets of both go on."""
MAX_SHOWN_DIFFERENCES = 6


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a data set holds.

    Parameters
    ----------
    title
        Title of the spec that began the data set.
    spec_hash
        Hash of all that decides numbers; a data set takes blocks of one hash only.
    results_version
        Version of the numbers: it rises whenever any of them changes.
    points
        Number of grid points.
    block_points
        Points in a block; the last one may hold fewer.
    tables
        The tables that every block writes, in writing order.
    axes
        The grid axes, as columns.
    document
        The whole of the file.
    """

    title: str
    spec_hash: str
    results_version: int
    points: int
    block_points: int
    tables: tuple[str, ...]
    axes: tuple[AxisColumn, ...]
    document: Mapping[str, Any]

    @property
    def blocks(self) -> int:
        """Number of blocks of the whole grid."""
        return block_count(self.points, self.block_points)

    @property
    def schema_metadata(self) -> dict[str | bytes, str | bytes]:
        """What the schema of every file says of its origin."""
        return {"spec_hash": self.spec_hash, "results_version": str(self.results_version)}

    def block_range(self, block: int) -> range:
        """Return the points that a block covers."""
        return block_range(block, self.points, self.block_points)

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def manifest_of(spec: Spec, block_points: int) -> Manifest:
    """Describe the data set that a spec makes."""
    from fastq.model.version import RESULTS_VERSION, VERSION

    measured = {"points", "replications"} | ({"rates"} if "rates" in spec.run.measure else set())
    return _from_document(
        {
            "title": spec.title,
            "spec_hash": spec.hash,
            "results_version": RESULTS_VERSION,
            "versions": {"fastq": VERSION, "manifest": MANIFEST_VERSION},
            "points": len(spec),
            "block_points": block_points,
            "blocks": block_count(len(spec), block_points),
            "tables": [table for table in TABLES if table in measured],
            "axes": [{"key": axis.key, "kind": axis.kind, "values": len(axis.values)} for axis in spec.axes],
            "cases": list(spec.case_names),
            "resolved": {resolved.key: _entry(resolved) for resolved in spec.resolved()},
            "canonical": spec.canonical(),
        }
    )


def _entry(resolved: ResolvedKey) -> dict[str, object]:
    """Describe a key; one that cases or an axis vary has no ``value``, its values stand in ``canonical``."""
    single = {"value": resolved.values[0]} if len(resolved.values) == 1 else {}
    return {**single, "text": resolved.value_text, "origin": resolved.origin}


def load_manifest(location: Location) -> Manifest | None:
    """Read the manifest of a data set; ``None`` where there is none."""
    try:
        data = location.read(MANIFEST_FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{location.show(MANIFEST_FILE)} can't be read: {error}.") from error
    try:
        return _from_document(json.loads(data))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{location.show(MANIFEST_FILE)} is not a manifest of fastq, or is damaged ({error!r}). "
            "Restore it from a copy, or move the directory away and run the sweep again."
        ) from error


def require_manifest(location: Location) -> Manifest:
    """Read the manifest of a data set that must be there."""
    manifest = load_manifest(location)
    if manifest is None:
        raise StoreError(
            f"{location.show()} holds no {MANIFEST_FILE}: it is no data set of fastq. "
            "Name the directory that 'fastq sweep SPEC --out DIR' wrote."
        )
    return manifest


def claim(location: Location, manifest: Manifest) -> None:
    """Make a place the home of this data set, or prove that it already is.

    Shards that begin at the same moment write the same bytes, so it does not matter whose stay.
    """
    check(location, manifest)
    location.prepare(manifest.tables)
    if load_manifest(location) is None:
        location.write(MANIFEST_FILE, manifest.text().encode())


def check(location: Location, manifest: Manifest) -> None:
    """Refuse a place that holds another data set, or something else; nothing is written."""
    there = load_manifest(location)
    if there is None:
        _refuse_foreign(location, manifest)
    elif there.spec_hash != manifest.spec_hash:
        raise StoreError(
            f"{location.show()} holds another data set, {there.title!r} ({there.spec_hash[:12]}); this spec "
            f"is {manifest.title!r} ({manifest.spec_hash[:12]}). {_differences(there, manifest)} "
            "Give another directory, or run the spec that the directory was made with."
        )
    elif there.block_points != manifest.block_points:
        raise StoreError(
            f"{location.show()} is cut into blocks of {there.block_points} points, not "
            f"{manifest.block_points}. Give another directory."
        )


def _refuse_foreign(location: Location, manifest: Manifest) -> None:
    foreign = []
    for name in location.foreign():
        # Another shard may just have made its empty tables.
        if name in (*manifest.tables, MANIFEST_FILE) and not location.entries(name):
            continue
        foreign.append(name)
    if foreign and load_manifest(location) is None:
        shown = ", ".join(foreign[:MAX_SHOWN_DIFFERENCES]) + (
            ", ..." if len(foreign) > MAX_SHOWN_DIFFERENCES else ""
        )
        raise StoreError(
            f"{location.show()} is not empty and holds no {MANIFEST_FILE} (found: {shown}). "
            "Give a directory that is new, empty, or holds this data set."
        )


def _differences(there: Manifest, here: Manifest) -> str:
    """Say in words which settings of two data sets differ."""
    lines: list[str] = []
    if there.results_version != here.results_version:
        lines.append(f"results_version: {there.results_version} there, {here.results_version} here")
    then, now = _settings(there), _settings(here)
    lines.extend(
        f"{key}: {then.get(key, 'not set')} there, {now.get(key, 'not set')} here"
        for key in dict.fromkeys((*then, *now))
        if then.get(key) != now.get(key)
    )
    if not lines:
        return "They differ in the values of a table or of a grid axis."
    more = len(lines) - MAX_SHOWN_DIFFERENCES
    shown = "; ".join(lines[:MAX_SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
    return f"They differ in {shown}."


def settings_texts(manifest: Manifest) -> dict[str, str]:
    """Return every resolved setting as a person reads it, by its dotted key."""
    shown = "text" if _tells_values(manifest) else "value"
    return {key: str(entry[shown]) for key, entry in manifest.document["resolved"].items()}


def only_value(manifest: Manifest, key: str) -> tuple[object] | None:
    """Return the value of a setting that holds at every point, as tables show it; ``None`` where none does."""
    entry = manifest.document["resolved"].get(key, {})
    return (entry["value"],) if _tells_values(manifest) and "value" in entry else None


def _tells_values(manifest: Manifest) -> bool:
    return "manifest" in manifest.document["versions"]


def _settings(manifest: Manifest) -> dict[str, str]:
    document = manifest.document
    settings = settings_texts(manifest)
    settings |= {f"axis {axis['key']}": f"{axis['values']} values" for axis in document["axes"]}
    if document["cases"]:
        settings["cases"] = ", ".join(document["cases"])
    return settings


def _from_document(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        title=str(document["title"]),
        spec_hash=str(document["spec_hash"]),
        results_version=int(document["results_version"]),
        points=int(document["points"]),
        block_points=int(document["block_points"]),
        tables=tuple(map(str, document["tables"])),
        axes=tuple(AxisColumn(str(axis["key"]), str(axis["kind"])) for axis in document["axes"]),
        document=document,
    )
