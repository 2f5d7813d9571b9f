"""The title above a picture and the note below it, broken into lines that fit its width."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.plot import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastq.plot.style import Size

_TITLE_SCALE = 1.25
_NOTE_SCALE = 0.85
_EM_PER_LETTER = {"title": 0.68, "note": 0.56}
_LINE_EM = 1.2


@dataclass(frozen=True, slots=True)
class Caption:
    """Title and note of one picture.

    Parameters
    ----------
    title
        What the picture shows.
    note
        What was run; it may have several lines.
    size
        Width and letters of the picture.
    """

    title: str
    note: str
    size: Size

    @property
    def height_em(self) -> float:
        """Height that both take, in units of the text size."""
        title, note = self._lines()
        return _LINE_EM * (_TITLE_SCALE * len(title) + _NOTE_SCALE * len(note)) + 2

    def write(self, figure: Figure) -> None:
        """Write both on a figure with constrained layout."""
        title, note = self._lines()
        font_pt = self.size.font_pt
        figure.suptitle(
            "\n".join(title), x=0.01, ha="left", fontsize=_TITLE_SCALE * font_pt, fontweight="bold"
        )
        figure.supxlabel(
            "\n".join(note), x=0.01, ha="left", fontsize=_NOTE_SCALE * font_pt, color=style.FAINT
        )

    def _lines(self) -> tuple[list[str], list[str]]:
        widths = (
            int(self.size.width_em / (_TITLE_SCALE * _EM_PER_LETTER["title"])),
            int(self.size.width_em / (_NOTE_SCALE * _EM_PER_LETTER["note"])),
        )
        title = textwrap.wrap(self.title, widths[0]) or [""]
        note = [line for part in self.note.splitlines() for line in textwrap.wrap(part, widths[1])]
        return title, note
