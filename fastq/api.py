"""What ``import fastq`` offers: each function loads the parts that it needs when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    import pyarrow as pa
    import pyarrow.compute as pc

    from fastq.analysis.workload_description import WorkloadDescription
    from fastq.engine.plan_result import PlanResult
    from fastq.engine.point_result import PointResult
    from fastq.engine.progress import Progress
    from fastq.engine.sweep import SweepSummary
    from fastq.model.plan import Plan
    from fastq.model.spec import Spec
    from fastq.store.comparison import Comparison

    Overrides = Mapping[str, object] | Sequence[tuple[str, object]]

_FORMS = (
    "theory_rate_rps",
    "expected_rate_rps",
    "theory_stable_rps",
    "paper_rate_rps",
    "binding",
    "mean_iteration_s",
    "completions_per_iteration",
    "mean_running",
    "mean_kv_tokens",
    "kv_area_tokens",
    "kv_area_blocks",
    "iterations_per_request",
    "charged_tokens_per_request",
    "decode_kv_tokens_per_request",
    "attention_per_request",
    "mean_prompt_tokens",
    "mean_output_tokens",
    "max_kv_tokens",
    "rejected_share",
)


def _pairs(overrides: Overrides) -> list[tuple[str, object]]:
    pairs: list[Any] = list(overrides.items() if isinstance(overrides, Mapping) else overrides)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            from fastq.errors import SpecError

            raise SpecError(
                'must be a mapping such as {"run.seed": 3}, or pairs such as ("run.seed", "3")',
                key="overrides",
                value=pair,
            )
    return pairs


def load(path: str | os.PathLike[str], overrides: Overrides = ()) -> Spec:
    """Load a spec file, or a grid that comes with fastq.

    Parameters
    ----------
    path
        A TOML file, or the name of a grid.
    overrides
        Dotted keys and values, as a mapping or in pairs: ``{"run.seed": 3}``; texts are read as ``--set`` reads them.

    Raises
    ------
    SpecError
        The message names the file, the key, the value and what would be accepted.
    """
    import os

    from fastq.model.load import load_spec

    return load_spec(os.fspath(path), _pairs(overrides))


def _check_spec(spec: object) -> None:
    """Refuse what is no spec: a path, or tables that nobody has read yet."""
    from fastq.errors import SpecError
    from fastq.model.spec import Spec

    if not isinstance(spec, Spec):
        raise SpecError(
            'must be a spec, as fastq.load("spec.toml") or fastq.parse_spec(tables) makes it',
            key="spec",
            value=spec if isinstance(spec, str) else type(spec).__name__,
        )


def theory(spec: Spec) -> pa.Table:
    """Return the closed forms of every point, without simulation.

    Parameters
    ----------
    spec
        The grid.

    Returns
    -------
    pyarrow.Table
        A row per point: its axes, the fields of :class:`fastq.ClosedForms`, and ``infeasible``, the reason
        where a point can't run (its other columns are null then).
    """
    import pyarrow as pa

    _check_spec(spec)
    columns: dict[str, list[Any]] = {name: [] for name in theory_columns(spec)}
    for row in theory_rows(spec):
        for name, values in columns.items():
            values.append(row[name])
    return pa.table({name: pa.array(values, _arrow_type(spec, name)) for name, values in columns.items()})


def simulate(
    spec: Spec,
    *,
    point: int = 0,
    arrival_rate: float | Iterable[float] | str | None = None,
    threads: int | None = None,
    backend: str = "auto",
) -> PointResult:
    """Simulate one point.

    Parameters
    ----------
    spec
        The grid.
    point
        Index of the point.
    arrival_rate
        One or more arrival rates to measure too, requests/s, in place of the spec's; an array will do. ``"trace"``:
        that of the trace that is replayed.
    threads
        Threads to use; by default the CPUs that this process may use.
    backend
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    PointResult
        Rows, as dictionaries by column: ``point``, ``replications`` and ``rates``.

    Raises
    ------
    SpecError
        There is no such point or backend, or a rate or the number of threads is out of range.
    InfeasibleError
        The point holds a request that can never fit, and ``run.infeasible`` is ``error``.
    BackendUnavailable
        ``cuda`` was asked for and can't run here.
    """
    from collections.abc import Iterable

    from fastq.engine.cpus import usable_cpus
    from fastq.engine.evaluate import evaluate_point
    from fastq.engine.executors import refuse_counts

    _check_spec(spec)
    refuse_counts(threads=threads)
    if isinstance(arrival_rate, str):
        spec = spec.at_rates(arrival_rate)
    elif arrival_rate is not None:
        rates = tuple(arrival_rate) if isinstance(arrival_rate, Iterable) else (arrival_rate,)
        spec = spec.at_rates(rates)
    return evaluate_point(spec, point, threads=threads or usable_cpus(), backend=backend)


def plan(
    plan: str | os.PathLike[str] | Mapping[str, object] | Plan,
    *,
    data_set: str | os.PathLike[str] | None = None,
    overrides: Overrides = (),
    threads: int | None = None,
    backend: str = "auto",
) -> PlanResult:
    """Work out which fleet serves a demand within limits, and what it costs.

    Parameters
    ----------
    plan
        A TOML file, the name of a plan that comes with fastq, the same as tables, or a loaded plan.
    data_set
        Directory or ``pyarrow.fs`` URI of a finished sweep to interpolate in; by default every option is simulated.
    overrides
        Dotted keys and values, as of :func:`load`; a loaded plan takes none.
    threads
        Threads to use; by default the CPUs that this process may use.
    backend
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    PlanResult
        A :class:`fastq.PlannedOption` for each option, and ``cheapest``; ``table()`` is a pyarrow.Table of them.

    Raises
    ------
    SpecError
        The message names the file, the key, the value and what would be accepted.
    StoreError
        The data set can't be read, or lacks a point that the plan needs.
    """
    from fastq.model.plan import Plan

    if not isinstance(plan, Plan):
        plan = _load_plan(plan, _pairs(overrides))
    elif overrides:
        from fastq.errors import SpecError

        raise SpecError(
            "a loaded plan takes no overrides; give them to fastq.load_plan, or the file in place of the plan",
            source=plan.source,
            key=_pairs(overrides)[0][0],
            value=_pairs(overrides)[0][1],
        )
    if data_set is not None:
        from fastq.engine.plan_from import answer_from

        return answer_from(plan, data_set)
    from fastq.engine.cpus import usable_cpus
    from fastq.engine.executors import refuse_counts
    from fastq.engine.plan import answer_by_simulation

    refuse_counts(threads=threads)
    return answer_by_simulation(plan, threads=threads or usable_cpus(), backend=backend)


def _load_plan(
    plan: str | os.PathLike[str] | Mapping[str, object], overrides: Sequence[tuple[str, object]]
) -> Plan:
    from fastq.model.load_plan import load_plan, parse_plan

    if isinstance(plan, Mapping):
        return parse_plan(plan, overrides=overrides)
    return load_plan(plan, overrides)


def sweep(
    spec: Spec,
    out: str | os.PathLike[str],
    *,
    backend: str = "auto",
    workers: int | None = None,
    threads: int | None = None,
    shard: str | None = None,
    executor: Executor | str | None = None,
    address: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SweepSummary:
    """Run every point of a grid and write the data set; blocks that are finished are not run again.

    Workers are processes that import the caller's main script, so a script calls this under
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    spec
        The grid.
    out
        Directory or ``pyarrow.fs`` URI of the data set.
    backend
        ``auto``, ``cpu`` or ``cuda``.
    workers, threads
        Worker processes, and threads in each; by default all CPUs that this process may use.
    shard
        ``I/N``: only the blocks congruent to I modulo N.
    executor
        ``local``, ``dask``, or any ``concurrent.futures.Executor`` that does not fork.
    address
        Scheduler of a running Dask cluster, with ``executor="dask"``.
    progress
        Called several times a second.

    Raises
    ------
    SpecError
        An option or a point that can't be used; nothing was written.
    StoreError
        The place can't be used, holds something else, or holds a damaged file.
    BackendUnavailable
        ``cuda`` was asked for and can't run here.
    WorkerError
        A worker died, or the executor can't be used.
    """
    from fastq.engine.sweep import sweep as run_sweep

    _check_spec(spec)
    return run_sweep(
        spec,
        out,
        backend=backend,
        workers=workers,
        threads=threads,
        shard=shard,
        executor=executor,
        address=address,
        progress=progress,
    )


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
    from fastq.store.reader import read as read_table

    return read_table(location, table, columns, filter)


def compare(
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    tolerance: float = 0.01,
    confidence: float = 0.95,
) -> Comparison:
    """Compare the boundaries of two data sets, point by point.

    Parameters
    ----------
    old, new
        Directories or ``pyarrow.fs`` URIs that a sweep wrote. Points are joined by case and axes.
    tolerance
        Relative difference up to which nothing has moved, in [0, 1).
    confidence
        1 less the chance that anything is called moved where nothing did (Holm's method), in (0, 1).

    Returns
    -------
    Comparison
        ``moved``, ``unclear``, and the tables ``points`` and ``changes``.

    Raises
    ------
    SpecError
        No point is in both, points can't be told apart, or a number is out of range.
    StoreError
        A data set can't be read.
    """
    from fastq.store.comparison import compare as compare_data_sets

    return compare_data_sets(old, new, tolerance=tolerance, confidence=confidence)


def describe_workload(path: str | os.PathLike[str]) -> WorkloadDescription:
    """Describe a trace: arrivals, lengths, memory, and whether that stays so over its span.

    Parameters
    ----------
    path
        CSV (also with Azure's column names), Parquet or JSON Lines.

    Returns
    -------
    WorkloadDescription
        Figures in requests/s, s and tokens; ``dataclasses.asdict`` makes what ``fastq workload --json`` prints.

    Raises
    ------
    SpecError
        Where the trace can't be used; the message names the row.
    """
    from pathlib import Path

    from fastq.analysis.workload_description import describe_trace
    from fastq.model.trace import read_trace

    return describe_trace(read_trace(Path(path)))


def theory_columns(spec: Spec) -> list[str]:
    """List the columns of :func:`theory`."""
    return ["point", "case", *(axis.key for axis in spec.axes), *_FORMS, "infeasible"]


def theory_rows(spec: Spec, indices: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of :func:`theory` one by one, for all points or some."""
    from fastq.closed_forms import closed_forms
    from fastq.model.feasibility import infeasible_reason

    for index in indices if indices is not None else range(len(spec)):
        point = spec.point(index)
        reason = infeasible_reason(point)
        forms = None if reason is not None else closed_forms(point)
        yield {
            "point": index,
            "case": point.case,
            **point.axes,
            **{name: getattr(forms, name, None) for name in _FORMS},
            "infeasible": reason,
        }


def _arrow_type(spec: Spec, name: str) -> pa.DataType:
    import pyarrow as pa

    kinds = {axis.key: axis.kind for axis in spec.axes} | {
        "case": "str",
        "binding": "str",
        "infeasible": "str",
    }
    kinds |= {"point": "int", "max_kv_tokens": "int"}
    types: dict[str, pa.DataType] = {"int": pa.int64(), "str": pa.string(), "float": pa.float64()}
    return types[kinds.get(name, "float")]
