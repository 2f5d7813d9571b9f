"""A real server's run, request by request: vLLM on an RTX 4090, and the simulation of the same arrivals.

The run served 300 requests that arrived within half a minute and kept it busy for three. Each of them arrives here when
it did there, with its lengths; iterations take what the layer profile says, and nothing is taken from the run but the
KV capacity. ::

    python -m benchmarks.replay --requests requests.parquet --series timeseries.csv -o docs/replay.png

Both files are of LLMServingSim's RTX 4090 run (CASYS Lab, KAIST, commit 5daddb21, MIT License).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastq.engine.record import record
from fastq.model.load import load_spec
from fastq.model.point import REPLAY, Arrivals
from fastq.model.trace import Trace
from fastq.plot import style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.engine.record import Recording

    Numbers = NDArray[np.float64]

ADMISSIONS = ("prompt", "chunk")
PAUSE_S = 1e4
"""From the last request to the one that begins the next round, which nothing here sees."""

LATENCIES = {"wait": "wait_s", "TTFT": "ttft_s", "E2E": "e2e_s"}
QUANTILES = {"median": 0.5, "90%": 0.9, "99%": 0.99}
BUSY_S = (20.0, 160.0)
"""While KV memory was full all the time."""

_SIZE = style.SIZES["page"]


@dataclass(frozen=True)
class Served:
    """Requests as they were served, and the server over time.

    Parameters
    ----------
    arrival_s, wait_s, ttft_s, e2e_s
        Of each request, in order of arrival, s.
    time_s, running, waiting, kv_share
        Once a second: requests running and waiting, and the share of the KV memory that is in use.
    """

    arrival_s: Numbers
    wait_s: Numbers
    ttft_s: Numbers
    e2e_s: Numbers
    time_s: Numbers
    running: Numbers
    waiting: Numbers
    kv_share: Numbers


def measured(requests: Path, series: Path) -> tuple[Served, Trace]:
    """Read the run."""
    import pyarrow.parquet as pq

    table = pq.read_table(requests)
    column = {name: table[name].to_numpy() for name in table.column_names}
    with series.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seconds = {
        name: np.array([float(row[name]) for row in rows])
        for name in ("t", "running", "waiting", "kv_cache_pct")
    }
    served = Served(
        arrival_s=column["arrival_s"],
        wait_s=column["queue_s"],
        ttft_s=column["ttft_s"],
        e2e_s=column["e2e_s"],
        time_s=seconds["t"],
        running=seconds["running"],
        waiting=seconds["waiting"],
        kv_share=seconds["kv_cache_pct"] / 100,
    )
    trace = Trace(
        prompt_tokens=np.append(column["prompt_tokens"], 1).astype(np.int32),
        output_tokens=np.append(column["output_tokens"], 1).astype(np.int32),
        arrival_s=np.append(column["arrival_s"], column["arrival_s"][-1] + PAUSE_S),
        name=requests.name,
    )
    return served, trace


def replayed(trace: Trace, admission: str, seconds: Numbers) -> tuple[Served, float]:
    """Simulate the same requests; also return the preemptions a request."""
    spec = load_spec("rtx-4090", [("scheduler.admission", f'"{admission}"')])
    point = replace(spec.point(0), law=trace.law(), arrivals=Arrivals(REPLAY))
    assert point.law.clock is not None
    requests = len(trace.prompt_tokens) - 1
    found = record(point, spec.run, arrival_rate_rps=point.law.clock.mean_rate_rps, requests=requests)
    of_request = {name: np.asarray(values, np.float64) for name, values in found.requests.items()}
    began_s = of_request["arrival_s"][0]
    at = _iterations_at(found, seconds + began_s)
    iteration = {name: np.asarray(values, np.float64)[at] for name, values in found.iterations.items()}
    served = Served(
        arrival_s=of_request["arrival_s"] - began_s,
        wait_s=of_request["wait_s"],
        ttft_s=of_request["ttft_s"],
        e2e_s=of_request["e2e_s"],
        time_s=seconds[: len(at)],
        running=iteration["running"],
        waiting=iteration["waiting"],
        kv_share=iteration["kv_blocks"] / point.replica.kv_blocks,
    )
    return served, float(of_request["preemptions"].mean())


def _iterations_at(found: Recording, seconds: Numbers) -> NDArray[np.intp]:
    """Number of the iteration that runs at each time, up to the last."""
    start_s = np.asarray(found.iterations["start_s"], np.float64)
    return np.searchsorted(start_s, seconds[seconds <= start_s[-1]], side="right") - 1


def table(real: Served, by_admission: dict[str, Served]) -> Iterator[tuple[str, ...]]:
    """Compare them; the first row is the head."""
    yield ("", "measured", *(text for name in by_admission for text in (f"fastq, {name}", "error")))

    def row(name: str, number: str, figures: list[float]) -> tuple[str, ...]:
        first, *others = figures
        errors = (text for each in others for text in (format(each, number), f"{each / first - 1:+.1%}"))
        return (name, format(first, number), *errors)

    runs = [real, *by_admission.values()]
    for name, column in LATENCIES.items():
        yield row(f"{name}, mean, s", ".1f", [float(getattr(run, column).mean()) for run in runs])
        for quantile, share in QUANTILES.items():
            figures = [float(np.quantile(getattr(run, column), share)) for run in runs]
            yield row(f"{name}, {quantile}, s", ".1f", figures)
    yield row("E2E less TTFT, mean, s", ".2f", [float((run.e2e_s - run.ttft_s).mean()) for run in runs])
    yield row("last request finished, s", ".1f", [float((run.arrival_s + run.e2e_s).max()) for run in runs])
    yield row("most requests waiting", ".0f", [float(run.waiting.max()) for run in runs])
    for name, column, number in (
        ("requests running", "running", ".1f"),
        ("KV memory in use, share", "kv_share", ".3f"),
    ):
        busy = [(run.time_s >= BUSY_S[0]) & (run.time_s <= BUSY_S[1]) for run in runs]
        means = [float(getattr(run, column)[when].mean()) for run, when in zip(runs, busy, strict=True)]
        yield row(f"{name}, {BUSY_S[0]:.0f} to {BUSY_S[1]:.0f} s", number, means)


def differences(real: Served, simulated: Served) -> str:
    """Say how far each request's own times are off."""
    texts = []
    for name in ("TTFT", "E2E"):
        column = LATENCIES[name]
        off = np.abs(getattr(simulated, column) / getattr(real, column) - 1)
        median, most = np.quantile(off, [0.5, 0.9])
        texts.append(f"{name} {median:.1%} (nine in ten within {most:.1%})")
    return ", ".join(texts)


def picture(real: Served, simulated: Served) -> Figure:
    """Draw the run over time, and each request's E2E in both."""
    from matplotlib.figure import Figure

    with style.pen(_SIZE):
        figure = Figure(figsize=(_SIZE.width_in, 2.7), layout="constrained")
        queue, memory, each = figure.subplots(1, 3)
        _over_time(queue, real, simulated, "waiting", 1.0)
        _over_time(queue, real, simulated, "running", 1.0)
        queue.set_ylabel("Requests")
        queue.annotate("waiting", (70, 190), color=style.INK)
        queue.annotate("running", (60, 11), color=style.INK)
        _over_time(memory, real, simulated, "kv_share", 100.0)
        memory.set_ylabel("KV memory in use, %")
        for axes in (queue, memory):
            axes.set_xlabel("Time, s")
            axes.set_xlim(0, None)
            axes.set_ylim(0, None)
        longest = 1.05 * max(real.e2e_s.max(), simulated.e2e_s.max())
        each.plot([0, longest], [0, longest], color=style.FAINT, linewidth=0.6)
        for column, marker, name in (("ttft_s", "o", "TTFT"), ("e2e_s", "^", "E2E")):
            each.plot(
                getattr(real, column),
                getattr(simulated, column),
                marker,
                markersize=2.2,
                markeredgewidth=0.0,
                alpha=0.7,
                color=style.OKABE_ITO["blue" if column == "ttft_s" else "orange"],
                label=name,
            )
        each.set_xlim(0, longest)
        each.set_ylim(0, longest)
        each.set_xlabel("Measured, s")
        each.set_ylabel("Simulated, s")
        each.legend(loc="upper left", handletextpad=0.1)
        for axes in (queue, memory, each):
            axes.grid(visible=True)
            axes.set_axisbelow(True)
        memory.legend(loc="lower center")
        style.settle(figure)
    return figure


def _over_time(axes: Axes, real: Served, simulated: Served, column: str, unit: float) -> None:
    axes.plot(
        real.time_s,
        getattr(real, column) * unit,
        color=style.OKABE_ITO["vermilion"],
        linewidth=1.0,
        label="measured",
    )
    axes.plot(
        simulated.time_s,
        getattr(simulated, column) * unit,
        color=style.OKABE_ITO["blue"],
        linewidth=1.0,
        linestyle=style.LINE_STYLES[1],
        label="simulated",
    )


def main() -> None:
    """Print the table, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=Path, required=True, help="the 300 requests of the run, Parquet")
    parser.add_argument("--series", type=Path, required=True, help="its time series, CSV")
    parser.add_argument("-o", "--output", help="picture to write")
    args = parser.parse_args()
    real, trace = measured(args.requests, args.series)
    seconds = np.arange(1.0, real.time_s[-1] + 30)
    runs = {admission: replayed(trace, admission, seconds) for admission in ADMISSIONS}
    head, *rows = table(real, {name: served for name, (served, _) in runs.items()})
    for row in (head, ("---",) + ("--:",) * (len(head) - 1), *rows):
        print("| " + " | ".join(row) + " |")
    print()
    for name, (served, preemptions) in runs.items():
        print(
            f"{name}: off by, request by request, {differences(real, served)}; {preemptions:.2f} preemptions a request"
        )
    if args.output:
        style.save(picture(real, runs["prompt"][0]), args.output, size=_SIZE)


if __name__ == "__main__":
    main()
