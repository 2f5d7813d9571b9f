"""Tables as Markdown, and text that Markdown must not take for markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_MARKUP = re.compile(r"[\\|<>*`~&\[\]]|(?<!\w)_|_(?!\w)")
"""Within a word an underscore is no markup, and names of columns are full of them."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int]) -> str:
    """Return a table, its cells as they are read.

    Parameters
    ----------
    header, rows
        Cells.
    left
        Columns of words, aligned left; the others hold numbers and are aligned right.
    """
    rule = ["---" if column in left else "--:" for column in range(len(header))]
    lines = [_escaped_cells(header), rule, *map(_escaped_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: str) -> str:
    """Keep what would be markup from being taken for it, on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _escaped_cells(cells: Sequence[str]) -> list[str]:
    return [escaped(cell) for cell in cells]
