"""What the marks and lines of a picture mean: a key in a strip of its own below the panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    Key = list[tuple[Artist | tuple[Artist, ...], str]]

_ROW_EM = 1.6


def key_height_em(entries: int, columns: int) -> float:
    """Height of the strip, in widths of the letters."""
    return _ROW_EM * -(-entries // columns)


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
