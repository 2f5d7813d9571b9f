"""Queues over time: requests waiting and running, KV memory in use, one curve for each arrival rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.plot import style
from fastq.plot.caption import Caption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.plot.style import Size

    Series = NDArray[np.float64]

_BINS = 400
_PANEL_HEIGHT_EM = 10.5
_LABEL_GAP_EM = 1.25
_ZOOM_SPAN = 6.0
"""Queues this much shorter than the longest get a panel of their own."""
_FEWEST_ZOOMED = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One recorded run.

    Parameters
    ----------
    label
        What the key says of it.
    iterations
        Arrays over its iterations: ``start_s``, ``duration_s``, ``waiting``, ``running``, ``kv_tokens``.
    """

    label: str
    iterations: Mapping[str, NDArray[np.generic]]

    @property
    def end_s(self) -> float:
        """End of the last iteration, s."""
        return float(self.iterations["start_s"][-1] + self.iterations["duration_s"][-1])


def draw_timeline(
    curves: Sequence[Curve],
    *,
    kv_capacity_tokens: int,
    max_num_seqs: int | None,
    backlogged: bool,
    title: str,
    note: str,
    size: Size,
) -> Figure:
    """Draw three panels over one time axis, as long as the shortest run.

    Parameters
    ----------
    curves
        One or more runs, in the order of the key.
    kv_capacity_tokens
        KV cache capacity, tokens; a line in the panel of memory.
    max_num_seqs
        Largest number of running requests; a line where it comes into view.
    backlogged
        Whether the runs were under an infinite backlog: what they count as waiting are then preempted requests.
    title
        Title of the picture.
    note
        Lines below it: what was run.
    size
        Width and letters.

    Returns
    -------
    Figure
        Free of any global state of matplotlib; :func:`fastq.plot.style.save` writes it.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with style.pen(size):
        horizon_s = min(curve.end_s for curve in curves)
        waiting = [_Binned(curve, "waiting", horizon_s) for curve in curves]
        zoom = _zoom([each.largest_mean for each in waiting])
        count = 3 if zoom is None else 4
        em = size.font_pt / 72
        caption = Caption(title, note, size)
        height = em * (count * _PANEL_HEIGHT_EM + caption.height_em + 4)
        engine = ConstrainedLayoutEngine(w_pad=0.35 * em, h_pad=0.35 * em, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(size.width_in, height), layout=engine)
        panels = figure.subplots(count, 1, sharex=True)
        who = "Preempted,\nwaiting to resume" if backlogged else "Waiting"
        _draw(panels[0], waiting, f"{who}\n(requests)", size)
        if zoom is not None:
            _draw(panels[1], waiting, f"{who}, enlarged\n(requests)", size, top=zoom)
        running = [_Binned(curve, "running", horizon_s) for curve in curves]
        if max_num_seqs is not None and max(each.largest_mean for each in running) > 0.7 * max_num_seqs:
            _limit(panels[-2], max_num_seqs, "sequence limit", size)
        _draw(panels[-2], running, "Running\n(requests)", size)
        memory = [_Binned(curve, "kv_tokens", horizon_s) for curve in curves]
        _limit(panels[-1], kv_capacity_tokens, "capacity", size)
        _draw(panels[-1], memory, "KV cache in use\n(tokens)", size)
        panels[-1].set_xlabel("Time (s)")
        panels[-1].set_xlim(0, horizon_s)
        caption.write(figure)
        style.settle(figure)
    return figure


def in_bins(start_s: Series, values: Series, end_s: float, edges_s: Series) -> tuple[Series, Series, Series]:
    """Return mean, least and largest value of a step function in each bin.

    Parameters
    ----------
    start_s
        When each step begins, increasing, s.
    values
        Its value until the next begins.
    end_s
        When the last step ends, s.
    edges_s
        Bounds of the bins, within the steps, s.
    """
    steps = np.append(start_s, end_s)
    area = np.concatenate(([0.0], np.cumsum(values * np.diff(steps))))
    mean = np.diff(np.interp(edges_s, steps, area)) / np.diff(edges_s)
    first = np.clip(np.searchsorted(steps, edges_s[:-1], side="right") - 1, 0, len(values) - 1)
    last = np.clip(np.searchsorted(steps, edges_s[1:], side="left"), 1, len(values))
    bounds = np.column_stack((first, np.maximum(last, first + 1))).ravel()
    padded = np.append(values, values[-1])
    return mean, np.minimum.reduceat(padded, bounds)[::2], np.maximum.reduceat(padded, bounds)[::2]


class _Binned:
    """One column of a run, binned for drawing."""

    def __init__(self, curve: Curve, column: str, horizon_s: float) -> None:
        start_s = np.asarray(curve.iterations["start_s"], dtype=np.float64)
        values = np.asarray(curve.iterations[column], dtype=np.float64)
        edges_s = np.linspace(0.0, horizon_s, _BINS + 1)
        self.label = curve.label
        self.middle_s = (edges_s[1:] + edges_s[:-1]) / 2
        self.mean, self.least, self.largest = in_bins(start_s, values, curve.end_s, edges_s)

    @property
    def largest_mean(self) -> float:
        return float(self.mean.max())


def _zoom(largest: list[float]) -> float | None:
    """Return how far up the enlarged panel of waiting requests goes; none where all queues are alike."""
    small = [value for value in largest if value * _ZOOM_SPAN < max(largest)]
    return 1.25 * max(small) if small and max(small) >= _FEWEST_ZOOMED else None


def _draw(axes: Axes, curves: Sequence[_Binned], label: str, size: Size, *, top: float | None = None) -> None:
    from matplotlib.ticker import FuncFormatter

    for number, curve in enumerate(curves):
        colour, dashes = _look(number, len(curves))
        axes.fill_between(curve.middle_s, curve.least, curve.largest, color=colour, alpha=0.22, linewidth=0)
        axes.plot(curve.middle_s, curve.mean, color=colour, linestyle=dashes)
    largest = max(float(curve.largest.max()) for curve in curves)
    axes.set_ylim(0, top if top is not None else max(1.0, axes.get_ylim()[1], 1.05 * largest))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 1000 else f"{value:,.0f}")
    )
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_ylabel(label)
    _name_curves(axes, curves, size)


def _look(number: int, count: int) -> tuple[str, object]:
    """Return colour and dashes of a curve: along viridis, light parts left out."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    share = number / max(1, count - 1)
    return to_hex(mpl.colormaps["viridis"](0.78 * share)), style.LINE_STYLES[number % len(style.LINE_STYLES)]


def _name_curves(axes: Axes, curves: Sequence[_Binned], size: Size) -> None:
    """Write each curve's label right of its end, unless it left the panel; labels are pushed apart."""
    top = axes.get_ylim()[1]
    ends = {number: float(curve.mean[-1]) / top for number, curve in enumerate(curves)}
    inside = {number: end for number, end in ends.items() if end <= 1}
    order = sorted(inside, key=lambda number: (round(inside[number], 1), number))
    places = _spread([inside[number] for number in order], _LABEL_GAP_EM / _PANEL_HEIGHT_EM)
    for number, place in zip(order, places, strict=True):
        colour, _ = _look(number, len(curves))
        axes.annotate(
            curves[number].label,
            xy=(1.0, inside[number]),
            xytext=(1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8 * size.scale,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _spread(ends: list[float], gap: float) -> list[float]:
    """Push increasing places apart to at least ``gap``, upward first, then down from the top of the panel."""
    places: list[float] = []
    for end in ends:
        places.append(max(end, places[-1] + gap) if places else end)
    ceiling = 1.0
    for number in reversed(range(len(places))):
        places[number] = min(places[number], ceiling)
        ceiling = places[number] - gap
    return places


def _limit(axes: Axes, value: float, words: str, size: Size) -> None:
    axes.axhline(value, color=style.INK, linewidth=0.8 * size.scale, linestyle=(0, (1, 1.5)))
    axes.set_ylim(0, 1.12 * value)
    axes.annotate(
        f"{words} {value:,}",
        (0.995, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 0.2 * size.font_pt),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=0.9 * size.font_pt,
    )
