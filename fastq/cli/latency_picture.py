"""The picture of ``fastq simulate --latencies``: which rates it shows, and what stands below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fastq.engine.point_result import PointResult
    from fastq.model.spec import Spec
    from fastq.plot.style import Size

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Of the simulated boundary: closer together where latencies rise."""


def with_rates(spec: Spec, index: int, *, threads: int | None, backend: str) -> Spec:
    """Return the spec at rates up to its simulated boundary; as it is where it has rates, or can't run."""
    from fastq.api import simulate
    from fastq.plot.latency import offered_rps

    if "rates" in spec.run.measure:
        return spec
    alone = spec.with_run(measure=["boundary"])
    row = simulate(alone, point=index, threads=threads, backend=backend).point
    if row["status"] == "skipped":
        return spec
    boundary_rps = offered_rps(row, "service_rate_rps")
    return spec.at_rates([float(f"{share * boundary_rps:.4g}") for share in _SHARES])


def write_latencies(path: Path, spec: Spec, result: PointResult, size: Size) -> None:
    """Draw the latencies of a point at its rates."""
    from fastq.plot import style
    from fastq.plot.latency import draw_latencies

    figure = draw_latencies(
        result.rates,
        result.point,
        title=spec.title or spec.source,
        note=_note(spec, result),
        size=size,
    )
    style.save(figure, path, size=size)


def _note(spec: Spec, result: PointResult) -> str:
    from fastq.cli.point_note import boundary_words, setting_words
    from fastq.plot.latency import is_settled

    run = spec.run
    lines = [
        *setting_words(spec.point(int(result.point["point"]))),
        boundary_words(result.point),
        f"{run.replications} replications of {run.requests:,} requests at each rate, from an empty start, seed "
        f"{run.seed}; bars: 95% intervals.",
    ]
    if not all(map(is_settled, result.rates)):
        lines.append(
            "Open marks: the queue is not shown to be stable there. What an unstable queue makes requests wait grows "
            "with the length of the run: it has no latency of its own."
        )
    return "\n".join(lines)
