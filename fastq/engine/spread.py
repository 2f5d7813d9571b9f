"""Points that stand for a grid."""

from __future__ import annotations

import random
from itertools import pairwise


def spread(points: int, most: int) -> list[int]:
    """Return at most so many indices, one from each of as many stretches of the grid.

    Drawn within its stretch: even steps would fall in step with the axes, and see one value of the fast ones.
    """
    count = min(points, most)
    ends = [points * k // count for k in range(count + 1)]
    draw = random.Random(0)
    return [draw.randrange(first, end) for first, end in pairwise(ends)]
