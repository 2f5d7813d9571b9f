"""Simulated against predicted over two grids: draws ``docs/theory.png`` and prints the tables beside it.

::

    fastq sweep quickstart --out results/quickstart
    fastq sweep docs/theory.toml --out results/theory
    python -m benchmarks.theory_picture results/quickstart results/theory -o docs/theory.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastq
from benchmarks.theory import Outcome, peak_completions, rate_rps
from fastq.closed_forms import closed_forms
from fastq.model.scheduler import Admission
from fastq.plot import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

OWN_GRID = Path(__file__).parents[1] / "docs" / "theory.toml"
MARKERS = {"kv": "o", "seqs": "^", "tokens": "s"}
LIMITS = {"kv": "memory binds", "seqs": "sequence slots bind", "tokens": "the token budget binds"}
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
TIE = 1.1
"""Two limits within this ratio of each other count as a tie."""

_ROUNDING = 1e-9
"""Where nothing is noise a rate equals theory but for the rounding of its iterations to picoseconds."""

_SIZE = style.SIZES["page"]
_LOWEST, _HIGHEST = 0.4, 1.03


@dataclass(frozen=True)
class Spot:
    """A point of a grid.

    Parameters
    ----------
    family
        Grid and policy.
    binding
        What limits it by theory.
    plenty
        Completions per iteration that memory allows, over what the tighter of the other limits allows.
    output_scale
        Factor on the output lengths.
    share, to_expected, to_paper, to_peak
        Simulated rate over theory's, over the one to expect, over M / (b E[g]), and, under ``peak``, over the bound
        with the reserved area.
    above
        Whether the interval of the simulated rate lies above theory's whole.
    """

    family: str
    binding: str
    plenty: float
    output_scale: float
    share: float
    to_expected: float
    to_paper: float
    to_peak: float | None
    above: bool


def spots(document: str | Path, results: str, family: str) -> list[Spot]:
    """Put the closed forms beside every simulated point of a data set."""
    spec = fastq.load(document)
    found = []
    for row in fastq.read(results).to_pylist():
        point = spec.point(row["point"])
        forms, replica = closed_forms(point), point.replica
        others = [
            limit / use
            for limit, use in (
                (replica.max_num_seqs, forms.iterations_per_request),
                (replica.max_num_batched_tokens, forms.charged_tokens_per_request),
            )
            if limit is not None
        ]
        simulated_rps = row["service_rate_rps"]
        found.append(
            Spot(
                family=row["case"] or family,
                binding=row["binding"],
                plenty=replica.kv_blocks / forms.kv_area_blocks / min(others),
                output_scale=row["workload.output_scale"],
                share=simulated_rps / row["theory_rate_rps"],
                to_expected=simulated_rps / forms.expected_rate_rps,
                to_paper=simulated_rps / row["paper_rate_rps"],
                to_peak=_over_peak(Outcome(point, forms, row), min(others)),
                above=row["service_rate_low_rps"] > row["theory_rate_rps"] * (1 + _ROUNDING),
            )
        )
    return found


def _over_peak(outcome: Outcome, others: float) -> float | None:
    if outcome.point.scheduler.admission is not Admission.PEAK:
        return None
    _, completions = peak_completions(outcome.point)
    return float(outcome.columns["service_rate_rps"]) / rate_rps(outcome, min(completions, others))


def table(all_spots: Sequence[Spot]) -> list[tuple[str, ...]]:
    """Quantiles of simulated over predicted, by family and by what binds; the first row is the head."""
    rows: list[tuple[str, ...]] = [
        (
            "policy",
            "binding",
            "points",
            "least",
            "5%",
            "median",
            "95%",
            "most",
            "over expected, 5%, 50%, 95%",
            "over M/(b E[g]), 5%, 95%",
        )
    ]
    kinds: dict[str, Any] = {
        "kv, no tie": lambda s: s.plenty < 1 / TIE,
        "tie": lambda s: 1 / TIE <= s.plenty <= TIE,
        "seqs": lambda s: s.plenty > TIE and s.binding == "seqs",
        "tokens": lambda s: s.plenty > TIE and s.binding == "tokens",
    }
    for family in dict.fromkeys(s.family for s in all_spots):
        for kind, belongs in kinds.items():
            chosen = [s for s in all_spots if s.family == family and belongs(s)]
            if chosen:
                paper = _quantiles([s.to_paper for s in chosen])
                shares = _quantiles([s.share for s in chosen])
                expected = ", ".join(_quantiles([s.to_expected for s in chosen])[1:4])
                rows.append((family, kind, f"{len(chosen):,}", *shares, expected, f"{paper[1]}, {paper[3]}"))
    over = [s.to_peak for s in all_spots if s.to_peak is not None]
    if over:
        rows.append(("peak", "over section 6.3", f"{len(over):,}", *_quantiles(over), "", ""))
    return rows


def _quantiles(values: Sequence[float]) -> list[str]:
    return [f"{value:.3f}" for value in np.quantile(values, QUANTILES)]


def picture(all_spots: Sequence[Spot]) -> Figure:
    """Draw a panel for each policy: simulated over theory against how plentiful memory is."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, NullFormatter

    families = list(dict.fromkeys(s.family for s in all_spots))
    scales = [s.output_scale for s in all_spots]
    look = ScalarMappable(LogNorm(min(scales), max(scales)), style.colour_map("viridis"))
    with style.pen(_SIZE):
        figure = Figure(figsize=(_SIZE.width_in, 5.0), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, family in zip(panels.flat, families, strict=True):
            _draw(axes, [s for s in all_spots if s.family == family], look)
            axes.set_title(family)
        panels.flat[0].set_xscale("log")
        panels.flat[0].set_ylim(_LOWEST, _HIGHEST)
        for axes in panels[-1]:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        figure.supxlabel(
            "Completions per iteration that memory allows / that the tighter other limit allows",
            fontsize=_SIZE.font_pt,
        )
        figure.supylabel("Simulated rate / theory_rate_rps", fontsize=_SIZE.font_pt)
        bar = figure.colorbar(look, ax=panels, location="right", fraction=0.03, pad=0.01, aspect=40)
        bar.set_label("Output lengths, factor")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.set_ticks([0.25, 0.5, 1, 2, 4, 8, 16])
        keys: list[Line2D] = [
            Line2D([], [], linestyle="", marker=MARKERS[name], color=style.FAINT, label=words)
            for name, words in LIMITS.items()
        ]
        keys.append(
            Line2D(
                [], [], linestyle="", marker="+", color=style.OKABE_ITO["vermilion"],
                label="over the rate with reserved area",
            )
        )  # fmt: skip
        figure.legend(handles=keys, loc="outside upper center", ncols=4, handletextpad=0.1)
        style.settle(figure)
    return figure


def _draw(axes: Axes, chosen: Sequence[Spot], look: Any) -> None:
    axes.axhline(1, color=style.INK, linewidth=0.8)
    axes.axvline(1, color=style.FAINT, linewidth=0.6, linestyle=(0, (4, 2)))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    for binding, marker in MARKERS.items():
        spots_here = [s for s in chosen if s.binding == binding]
        axes.scatter(
            _column(spots_here, "plenty"),
            _column(spots_here, "share"),
            s=7,
            marker=marker,
            c=look.to_rgba(_column(spots_here, "output_scale")),
            edgecolors=style.INK,
            linewidths=0.15,
        )
    over_peak = [s for s in chosen if s.to_peak is not None]
    axes.scatter(
        _column(over_peak, "plenty"),
        _column(over_peak, "to_peak"),
        s=9,
        marker="+",
        color=style.OKABE_ITO["vermilion"],
        linewidths=0.5,
    )


def _column(chosen: Sequence[Spot], name: str) -> NDArray[np.float64]:
    return np.array([getattr(s, name) for s in chosen], np.float64)


def main() -> None:
    """Print the table, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("quickstart", help="data set of the grid quickstart")
    parser.add_argument("own", help="data set of docs/theory.toml")
    parser.add_argument("-o", "--output", help="picture to write")
    args = parser.parse_args()
    all_spots = spots(OWN_GRID, args.own, "") + spots("quickstart", args.quickstart, "quickstart: vllm")
    head, *rows = table(all_spots)
    for row in (head, ("---",) * 2 + ("--:",) * (len(head) - 2), *rows):
        print("| " + " | ".join(row) + " |")
    above = sum(s.above for s in all_spots)
    print(f"\n{len(all_spots):,} points, the whole interval above theory at {above}")
    if args.output:
        style.save(picture(all_spots), args.output, size=_SIZE)


if __name__ == "__main__":
    main()
