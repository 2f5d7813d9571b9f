"""From the columns of a block to its files: one file with one row group in each table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastq.store.layout import block_file
from fastq.store.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from fastq.store.location import Location
    from fastq.store.manifest import Manifest

ZSTD_LEVEL = 3
"""Fixed, so that a change of pyarrow's default does not change bytes."""

REPEATED_COLUMNS = {"point", "arrival_rate_rps", "load", "replication"}
"""Columns beside axes and texts whose values come again and again: stored as a dictionary."""


def write_block(
    location: Location, manifest: Manifest, block: int, tables: Mapping[str, Mapping[str, Sequence[Any]]]
) -> None:
    """Write every table of a block; the block is done once the last file stands.

    Parameters
    ----------
    location
        Where the data set lives.
    manifest
        What it holds.
    block
        Number of the block.
    tables
        Columns by name, for each of the manifest's tables. ``None`` in a column is a null, an absent column
        is all nulls; ``point``, ``case`` (with cases) and the axes must be given wherever a table has them.
    """
    for table in manifest.tables:
        _check_points(manifest, table, block, tables[table].get("point", ()))
    encoded = {table: encode(manifest, table, tables[table]) for table in manifest.tables}
    for table, data in encoded.items():
        location.write(block_file(table, block), data)


def encode(manifest: Manifest, table: str, columns: Mapping[str, Sequence[Any]]) -> pa.Buffer:
    """Return the bytes of a block's file: a function of the values alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = block_table(manifest, table, columns)
    texts = {field.name for field in rows.schema if field.type == pa.string()}
    repeated = {axis.key for axis in manifest.axes} | REPEATED_COLUMNS
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {
        "version": "2.6",
        "compression": "zstd",
        "compression_level": ZSTD_LEVEL,
        "row_group_size": max(1, rows.num_rows),
        "use_dictionary": sorted(texts | repeated.intersection(rows.column_names)),
        "write_statistics": True,
        "write_page_checksum": True,
    }
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def block_table(manifest: Manifest, table: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Build the Arrow table of a block, every column of the registry in its order."""
    import pyarrow as pa

    schema = arrow_schema(table, manifest.axes, manifest.schema_metadata)
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise ValueError(f"table {table} has no columns {sorted(unknown)}: add them to fastq.store.schema")
    axes = [axis.key for axis in manifest.axes] if table != "replications" else []
    missing = {"point", *axes} - set(columns)
    if missing and columns:
        raise ValueError(f"table {table} lacks the columns {sorted(missing)}")
    rows = len(columns["point"]) if columns else 0
    uneven = {name: len(values) for name, values in columns.items() if len(values) != rows}
    if uneven:
        raise ValueError(f"table {table} has {rows} rows, but its columns hold {uneven}")
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _check_points(manifest: Manifest, table: str, block: int, points: Sequence[int]) -> None:
    """Refuse rows that are not the block's, in order: a fault of the caller."""
    expected = manifest.block_range(block)
    rows = [int(point) for point in points]
    right = (
        rows == list(expected) if table == "points" else rows == sorted(rows) and set(rows).issubset(expected)
    )
    if not right:
        raise ValueError(
            f"table {table} of block {block} must hold {expected.start} to {expected.stop - 1} in order"
        )
