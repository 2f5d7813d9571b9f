"""Colours of simulated over theory: light at 1, blue below, orange and hatched above."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from numpy.typing import NDArray

ABOVE_HATCH = "////"
"""Hatching of what is above 1: in grey, the same distance below looks alike."""

_AT_ONE = "#FFF3B8"
_LIGHTEST = 0.3
_MOST_BANDS = 13
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class RatioScale:
    """Bands of colour, each around a ratio that is a round number of percent from 1.

    Parameters
    ----------
    percent
        Width of a band.
    below, above
        How many bands there are on either side of the one around 1.
    """

    percent: int
    below: int
    above: int

    @property
    def centres(self) -> list[float]:
        """Ratio in the middle of each band, increasing."""
        return [round(1 + self.percent * step / 100, 2) for step in range(-self.below, self.above + 1)]

    @property
    def bounds(self) -> list[float]:
        """Where bands end, one more than there are bands."""
        return [
            round(1 + self.percent * (step - 0.5) / 100, 3) for step in range(-self.below, self.above + 2)
        ]

    @property
    def above_one(self) -> float:
        """Where the band around 1 ends."""
        return self.bounds[self.below + 1]

    def ticks(self, most: int) -> list[float]:
        """Return at most so many band centres at even steps, 1 among them."""
        every = (self.centres[self.below % step :: step] for step in count(1))
        return next(chosen for chosen in every if len(chosen) <= most)

    def look(self) -> ScalarMappable:
        """Return the colours; the same distance on either side of 1 is as dark."""
        import matplotlib as mpl
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import BoundaryNorm, ListedColormap

        shades = np.linspace(_LIGHTEST, 1.0, max(self.below, self.above))
        colours = [
            *mpl.colormaps["Blues"](shades[: self.below])[::-1],
            _AT_ONE,
            *mpl.colormaps["Oranges"](shades[: self.above]),
        ]
        return ScalarMappable(BoundaryNorm(self.bounds, len(colours)), ListedColormap(colours))


def ratio_scale(ratio: NDArray[np.float64]) -> RatioScale:
    """Return the finest scale of at most 13 bands that holds these ratios, some of it on either side of 1."""
    finite = np.append(ratio[np.isfinite(ratio)], 1.0)
    below, above = 1 - float(finite.min()), float(finite.max()) - 1
    every = (_scale(digit * 10**power, below, above) for power in count() for digit in (1, 2, 5))
    return next(scale for scale in every if len(scale.centres) <= _MOST_BANDS)


def _scale(percent: int, below: float, above: float) -> RatioScale:
    """Return the scale with bands of that width that reaches so far on either side of 1."""
    bands_below, bands_above = (
        math.ceil(100 * distance / percent - 0.5 - _ROUNDING) for distance in (below, above)
    )
    return RatioScale(percent, max(bands_below, 1), max(bands_above, 1))
