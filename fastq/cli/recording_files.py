"""Files of ``fastq simulate`` that hold whole runs: a row per request, or the state over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastq.cli.output_file import check_target
from fastq.errors import SpecError
from fastq.store.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from fastq.engine.point_result import PointResult
    from fastq.engine.record import Recording
    from fastq.model.point import Point
    from fastq.model.spec import Spec
    from fastq.plot.style import Size

_PARQUET = ".parquet"
_REPLICATION = 0


@dataclass(frozen=True, slots=True)
class RecordedRate:
    """One recorded run.

    Parameters
    ----------
    arrival_rate_rps
        Requests/s; ``None``: an infinite backlog.
    recording
        Its requests and iterations.
    """

    arrival_rate_rps: float | None
    recording: Recording


def check_timeline(path: str | None) -> Path | None:
    """Refuse a name that says neither Parquet nor a picture, before anything is run."""
    from fastq.plot.style import ENDINGS

    if path is None or Path(path).suffix.lower() in (_PARQUET, *ENDINGS):
        return check_target(path, "--timeline")
    raise SpecError(
        f"the name must end in {_PARQUET} (the numbers) or one of {', '.join(ENDINGS)} (a picture)",
        key="--timeline",
        value=path,
    )


def is_picture(timeline: Path | None) -> bool:
    """Whether a timeline is drawn, not written as numbers."""
    return timeline is not None and timeline.suffix.lower() != _PARQUET


def record_rates(spec: Spec, index: int) -> list[RecordedRate]:
    """Record one replication of a point at each of its rates; under an infinite backlog where it has none."""
    from fastq.closed_forms import closed_forms
    from fastq.engine.point_result import arrival_rates
    from fastq.engine.record import record

    point = spec.point(index)
    rates: Sequence[float | None] = [None]
    if "rates" in spec.run.measure:
        rates = [rate_rps for rate_rps, _ in arrival_rates(point, closed_forms(point))]
    return [
        RecordedRate(
            rate_rps,
            record(
                point,
                spec.run,
                arrival_rate_rps=rate_rps,
                replication=_REPLICATION,
                requests=spec.run.requests,
            ),
        )
        for rate_rps in rates
    ]


def write_requests(recorded: Sequence[RecordedRate], path: Path, spec: Spec, index: int) -> None:
    """Write a row per finished request: when it came, how long it waited, when it finished."""
    from fastq.store.recording_schema import REQUESTS

    tables = [(each.arrival_rate_rps, each.recording.requests) for each in recorded]
    _write_parquet(tables, path, schema_of(REQUESTS, _origin(spec, index)))


def write_timeline(
    recorded: Sequence[RecordedRate], path: Path, spec: Spec, result: PointResult, size: Size
) -> None:
    """Write the state of every iteration, as Parquet or as a picture by the ending."""
    index = int(result.point["point"])
    if not is_picture(path):
        from fastq.store.recording_schema import ITERATIONS

        tables = [(each.arrival_rate_rps, each.recording.iterations) for each in recorded]
        _write_parquet(tables, path, schema_of(ITERATIONS, _origin(spec, index)))
        return
    from fastq.plot import style
    from fastq.plot.labels import rate_label
    from fastq.plot.timeline import Curve, draw_timeline

    point = spec.point(index)
    curves = [
        Curve(
            "always a backlog" if each.arrival_rate_rps is None else rate_label(each.arrival_rate_rps),
            each.recording.iterations,
        )
        for each in recorded
    ]
    figure = draw_timeline(
        curves,
        kv_capacity_tokens=point.replica.kv_capacity_tokens,
        max_num_seqs=point.replica.max_num_seqs,
        backlogged=any(each.arrival_rate_rps is None for each in recorded),
        title=spec.title or spec.source,
        note=_note(spec, point, result.point),
        size=size,
    )
    style.save(figure, path, size=size)


def _note(spec: Spec, point: Point, row: dict[str, Any]) -> str:
    from fastq.cli.point_note import boundary_words, setting_words

    run = f"One replication, seed {spec.run.seed}. Bands: lowest to highest value; lines: mean over time."
    return "\n".join([*setting_words(point), boundary_words(row), run])


def _write_parquet(
    tables: Sequence[tuple[float | None, dict[str, Any]]], path: Path, schema: pa.Schema
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for rate_rps, columns in tables:
        rows = len(next(iter(columns.values())))
        every = {"arrival_rate_rps": [rate_rps] * rows, **columns}
        arrays = [pa.array(every[field.name], field.type, from_pandas=True) for field in schema]
        parts.append(pa.Table.from_arrays(arrays, schema=schema))
    pq.write_table(pa.concat_tables(parts), path, compression="zstd")


def _origin(spec: Spec, index: int) -> dict[str | bytes, str | bytes]:
    """Say what a file was made from, as the tables of a data set do, and which run of it this is."""
    from fastq.model.version import RESULTS_VERSION

    return {
        "spec_hash": spec.hash,
        "results_version": str(RESULTS_VERSION),
        "point": str(index),
        "replication": str(_REPLICATION),
    }
