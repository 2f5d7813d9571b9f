"""What the marks and lines of a picture mean: a key in a strip of its own below the panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    Key = list[tuple[Artist | tuple[Artist, ...], str]]

_ROW_EM = 1.6
_EM_PER_LETTER = 0.52
_BESIDE_WORDS_EM = 4.2
"""Room of the drawn sample and of the gap to the next column."""


def key_height_em(entries: int, columns: int) -> float:
    """Height of the strip, in widths of the letters."""
    return _ROW_EM * -(-entries // columns)


def columns_that_fit(words: Sequence[str], most: int, room_em: float) -> int:
    """Return how many columns a key may have, ``most`` or fewer, so that it is no wider than its strip.

    Parameters
    ----------
    words
        What each entry says; a column is filled before the next one begins.
    most
        Largest number of columns.
    room_em
        Width of the strip in units of the text size.
    """
    import numpy as np

    for columns in range(most, 1, -1):
        parts = np.array_split([_EM_PER_LETTER * len(each) + _BESIDE_WORDS_EM for each in words], columns)
        if sum(part.max(initial=0.0) for part in parts) <= room_em:
            return columns
    return 1


def write_key(strip: Axes, key: Key, columns: int, **lengths: float) -> None:
    """Write a key from the upper left corner of ``strip``, which shows nothing else.

    Parameters
    ----------
    strip
        Axes below the panels.
    key
        What is drawn, and what it means.
    columns
        Entries side by side.
    lengths
        Of the drawn samples, as matplotlib's legend takes them: ``handlelength``, ``handleheight``, ``handletextpad``.
    """
    handles, words = zip(*key, strict=True)
    strip.axis("off")
    options: dict[str, Any] = {"ncols": columns, "columnspacing": 1.8, **lengths}
    legend = strip.legend(handles, words, loc="upper left", borderaxespad=0, borderpad=0, **options)
    legend.set_in_layout(False)
