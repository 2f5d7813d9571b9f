"""Pictures as tests look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from fastq.plot import style

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


SIZE = style.SIZES["page"]


def svg(figure: Figure, path: Path) -> str:
    style.save(figure, path, size=SIZE)
    return path.read_text()


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_xlabel()]
