"""``--size``: what a picture is made for; refused where none is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    import argparse

    from fastq.plot.style import Size

_NAMES = ("page", "slide")
_DEFAULT = "page"


def add_size(options: argparse._ActionsContainer) -> None:
    """Add the option to a command or to a group of its options."""
    options.add_argument(
        "--size",
        choices=_NAMES,
        help=f"picture made for a page or a slide (default: {_DEFAULT})",
    )


def check_size(args: argparse.Namespace, option: str, *, drawn: bool) -> None:
    """Refuse a size without a picture, before anything is computed.

    Parameters
    ----------
    args
        Parsed arguments.
    option
        What asks for a picture, as in ``--picture FILE``.
    drawn
        Whether one is asked for.

    Raises
    ------
    SpecError
        If ``--size`` was given and no picture is asked for.
    """
    if args.size is not None and not drawn:
        raise SpecError(
            f"is of a picture, and none is asked for: give {option} too, or leave --size out",
            key="--size",
            value=args.size,
        )


def picture_size(args: argparse.Namespace) -> Size:
    """Return width and letters of the picture."""
    from fastq.plot import style

    return style.SIZES[args.size or _DEFAULT]
