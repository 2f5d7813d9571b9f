"""How every picture looks: sizes, fonts, colours, and files that are the same byte for byte."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
"""File endings that a picture can have."""

INK = "#222222"
FAINT = "#666666"
GRID_LINE = "#D5D5D5"
SKIPPED_FACE = "#DADADA"
SKIPPED_HATCH = "xxxx"

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
"""Eight colours that the colour-blind can tell apart (Okabe and Ito 2008)."""

LINE_STYLES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (7, 1.5, 1, 1.5, 1, 1.5)),
)
"""Dash patterns that tell curves apart without colour."""

_HASH_SALT = "fastq"
_PNG_DPI = 220
_PLACE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Size:
    """Width of a picture and the size of its letters.

    Parameters
    ----------
    width_in
        Width, inches.
    font_pt
        Size of ordinary text, points.
    """

    width_in: float
    font_pt: float

    @property
    def scale(self) -> float:
        """Lengths in points are multiplied by this; 1 on a page."""
        return self.font_pt / _PAGE_FONT_PT

    @property
    def width_em(self) -> float:
        """Width in units of the ordinary text size."""
        return self.width_in * 72 / self.font_pt


_PAGE_FONT_PT = 8.0
SIZES = {"page": Size(width_in=7.2, font_pt=_PAGE_FONT_PT), "slide": Size(width_in=13.0, font_pt=14.0)}
"""A picture across a page of A4 or Letter, and one across a 16:9 slide."""


@contextmanager
def pen(size: Size) -> Iterator[None]:
    """Run the body with matplotlib's settings for a picture of this size; they end with it."""
    from matplotlib import RcParams, rc_context

    with rc_context(RcParams(_settings(size))):
        yield


def colour_map(name: str) -> Colormap:
    """Return a colour map such as viridis without its darkest part, so that black lines show everywhere on it."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.colors import ListedColormap

    whole = mpl.colormaps[name]
    return ListedColormap(whole(np.linspace(0.28, 1.0, 256)), name=f"light {name}")


def settle(figure: Figure) -> None:
    """Lay the figure out and fix the places of its panels, rounded.

    The solver behind constrained layout differs in the last bits from call to call, which would show in files.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        if axes.get_axes_locator() is None:
            axes.set_position(Bbox(axes.get_position().get_points().round(_PLACE_DIGITS)))


def check_ending(path: str | Path, option: str = "") -> Path:
    """Return the path if a picture can be written under that name, which an option gave.

    Raises
    ------
    SpecError
        Where the ending is none of :data:`ENDINGS`.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise SpecError(
            f"a picture's name must end in one of {', '.join(ENDINGS)}",
            key=option or "picture",
            value=str(path),
        )
    return path


def save(figure: Figure, path: str | Path, *, size: Size) -> None:
    """Write the picture as PNG, SVG or PDF by the ending, in one step; the same picture gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    path
        Where, with one of :data:`ENDINGS`.
    size
        The size that it was drawn for.
    """
    path = check_ending(path)
    kind = path.suffix.lower()[1:]
    timeless: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        with pen(size):
            figure.savefig(partial, format=kind, dpi=_PNG_DPI, metadata=timeless[kind])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _settings(size: Size) -> dict[str, Any]:
    scale = size.scale
    return {
        "font.family": "DejaVu Sans",
        "font.size": size.font_pt,
        "axes.titlesize": size.font_pt,
        "axes.labelsize": size.font_pt,
        "axes.titlelocation": "left",
        "axes.titlepad": 5 * scale,
        "axes.labelpad": 3 * scale,
        "axes.linewidth": 0.6 * scale,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "xtick.labelsize": 0.9 * size.font_pt,
        "ytick.labelsize": 0.9 * size.font_pt,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.size": 3 * scale,
        "ytick.major.size": 3 * scale,
        "xtick.minor.size": 1.6 * scale,
        "ytick.minor.size": 1.6 * scale,
        "xtick.major.width": 0.6 * scale,
        "ytick.major.width": 0.6 * scale,
        "xtick.minor.width": 0.4 * scale,
        "ytick.minor.width": 0.4 * scale,
        "text.color": INK,
        "text.parse_math": False,
        "lines.linewidth": 1.3 * scale,
        "lines.markersize": 3.2 * scale,
        "grid.color": GRID_LINE,
        "grid.linewidth": 0.5 * scale,
        "hatch.linewidth": 0.5 * scale,
        "legend.frameon": False,
        "legend.fontsize": 0.9 * size.font_pt,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "svg.fonttype": "none",
        "svg.hashsalt": _HASH_SALT,
        "pdf.fonttype": 42,
        "path.simplify": True,
    }
