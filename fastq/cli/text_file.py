"""Text written to a file in one step: whoever reads it sees all of it, or what stood there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def check_directory(path: Path | None, option: str) -> None:
    """Refuse a file whose directory is not there, before anything is run."""
    if path is not None and not path.absolute().parent.is_dir():
        raise SpecError("there is no such directory; make it first", key=option, value=str(path.parent))
    if path is not None and path.is_dir():
        raise SpecError("is a directory; give the name of a file", key=option, value=str(path))


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then move."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
