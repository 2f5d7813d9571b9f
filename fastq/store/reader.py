"""Reading a data set back: finished blocks only, in the order of the grid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastq.errors import StoreError
from fastq.store.layout import block_file, block_of
from fastq.store.location import open_location
from fastq.store.manifest import require_manifest
from fastq.store.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    import pyarrow.compute as pc

    from fastq.store.location import Location
    from fastq.store.manifest import Manifest

FOOTER_THREADS = 8
"""Footers are tiny: reading them waits for the disk or the network, not for the processor."""


def read(
    location: str | os.PathLike[str],
    table: str = "points",
    columns: Sequence[str] | None = None,
    filter: pc.Expression | None = None,
) -> pa.Table:
    """Read one table of a data set, finished blocks only, ordered by point.

    Parameters
    ----------
    location
        Directory or ``pyarrow.fs`` URI of the data set.
    table
        ``points``, ``replications`` or ``rates``.
    columns
        Names of the columns to read; ``None``: all.
    filter
        Rows to keep, such as ``pyarrow.compute.field("point") < 100``.

    Raises
    ------
    StoreError
        There is no data set, it has no such table or column, the filter does not go with its columns, or a file is
        damaged.
    """
    place = open_location(location)
    manifest = require_manifest(place)
    if table not in manifest.tables:
        hint = (
            'it is measured with run.measure = ["rates"] only'
            if table in TABLES
            else f"one of {', '.join(sorted(manifest.tables))}"
        )
        raise StoreError(f"{place.show()} holds no table {table!r}: {hint}.")
    schema = arrow_schema(table, manifest.axes, manifest.schema_metadata)
    if isinstance(columns, str):
        raise StoreError(f"columns takes a list of names, as in columns=[{columns!r}].")
    unknown = [name for name in columns or () if name not in schema.names]
    if unknown:
        raise StoreError(
            f"table {table} of {place.show()} has no column {unknown[0]!r}; it has {', '.join(schema.names)}."
        )
    if filter is not None:
        _refuse_filter(place, table, schema, filter)
    return read_blocks(place, manifest, table, sorted(finished_blocks(place, manifest)), columns, filter)


def _refuse_filter(location: Location, table: str, schema: pa.Schema, filter: pc.Expression) -> None:
    """Refuse a filter that no row could be held against, before a file is blamed for it."""
    import pyarrow as pa

    try:
        schema.empty_table().filter(filter)
    except (pa.ArrowException, TypeError) as error:
        reason = str(error).partition(" in point: ")[0].rstrip(".")
        raise StoreError(
            f"the filter does not go with table {table} of {location.show()}: {reason}. "
            'Give an expression such as pyarrow.compute.field("point") < 100.'
        ) from error


def read_blocks(
    location: Location,
    manifest: Manifest,
    table: str,
    blocks: Iterable[int],
    columns: Sequence[str] | None = None,
    filter: pc.Expression | None = None,
) -> pa.Table:
    """Read some finished blocks of a table; see :func:`read`. Columns that an older version didn't write are null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(table, manifest.axes, manifest.schema_metadata)
    wanted = list(columns) if columns is not None else None
    empty = schema.empty_table()
    parts = [empty if wanted is None else empty.select(wanted)]
    for block in blocks:
        name = block_file(table, block)
        try:
            with location.open(name) as file:
                whole = set(schema.names) <= set(pq.read_schema(file).names)
                file.seek(0)
                part = pq.read_table(
                    file,
                    columns=wanted if whole else None,
                    filters=filter if whole else None,
                    partitioning=None,
                    page_checksum_verification=True,
                )
        except (pa.ArrowException, OSError) as error:
            raise damaged(location, name, str(error)) from error
        parts.append(part if whole else _completed(part, schema, wanted, filter))
    return pa.concat_tables(parts)


def _completed(
    part: pa.Table, schema: pa.Schema, wanted: list[str] | None, filter: pc.Expression | None
) -> pa.Table:
    """Give a block of an older version the columns that it lacks."""
    import pyarrow as pa

    complete = pa.concat_tables([schema.empty_table(), part], promote_options="default").select(schema.names)
    chosen = complete if filter is None else complete.filter(filter)
    return chosen if wanted is None else chosen.select(wanted)


def finished_blocks(location: Location, manifest: Manifest) -> set[int]:
    """Return the blocks all of whose files stand."""
    return set.intersection(
        *(
            {block for name in location.entries(table) if (block := block_of(name)) is not None}
            for table in manifest.tables
        )
    )


def count_values(table: pa.Table, column: str) -> dict[str, int]:
    """Count how often each text stands in a column; nulls are left out."""
    import pyarrow.compute as pc

    counted = pc.value_counts(table.column(column).drop_null())
    values, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return {str(value): int(count or 0) for value, count in zip(values, counts, strict=True)}


def verify_blocks(location: Location, manifest: Manifest, blocks: Iterable[int]) -> None:
    """Check that the files of finished blocks are whole and belong here, from their footers alone."""
    names = [(table, block) for block in sorted(blocks) for table in manifest.tables]
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        for _ in pool.map(lambda name: _verify(location, manifest, *name), names):
            pass


def damaged(location: Location, name: str, reason: str) -> StoreError:
    """Return the error that names a damaged file and says what to do."""
    return StoreError(
        f"{location.show(name)} is damaged: {reason.rstrip('.')}. Delete this file and run the sweep again: "
        "only its block is run again, all others are kept."
    )


def _verify(location: Location, manifest: Manifest, table: str, block: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = block_file(table, block)
    try:
        with location.open(name) as file, pq.ParquetFile(file) as parquet:
            metadata, arrow = parquet.metadata, parquet.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise damaged(location, name, str(error)) from error
    origin = {key.decode(): value.decode() for key, value in (arrow.metadata or {}).items()}
    if origin.get("spec_hash") != manifest.spec_hash:
        raise StoreError(
            f"{location.show(name)} belongs to another data set ({origin.get('spec_hash', 'no hash')[:12]}, "
            f"here {manifest.spec_hash[:12]}). Move it away and run the sweep again."
        )
    expected = len(manifest.block_range(block))
    if table == "points" and metadata.num_rows != expected:
        raise damaged(location, name, f"it has {metadata.num_rows} rows, not {expected}")
