"""What is written above a facet: its settings, broken into lines that fit the width of a panel."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_EM = 1.2
"""Height of a line, in units of the text size."""

_EM_PER_LETTER = 0.54


def title_lines(settings: Sequence[str], room_em: float) -> list[str]:
    """Return all settings on one line where they fit, else each on lines of its own.

    Parameters
    ----------
    settings
        Settings in words; none where the picture has one facet.
    room_em
        Width of the panel in units of the text size.
    """
    letters = int(room_em / _EM_PER_LETTER)
    together = ", ".join(settings)
    if len(together) <= letters:
        return [together] if together else []
    return [line for setting in settings for line in textwrap.wrap(setting, letters, subsequent_indent="  ")]
