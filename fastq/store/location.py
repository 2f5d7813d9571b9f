"""Where a data set lives: a local directory, or any URI that ``pyarrow.fs`` knows.

Both kinds of place offer the same few operations, and only whole files ever become visible in them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a data set: its size in bytes and when it was last written, seconds since 1970."""

    size_bytes: int
    modified_s: float


class Location(Protocol):
    """A place that holds one data set. File names are relative, with forward slashes."""

    @property
    def uri(self) -> str:
        """Absolute path or URI: what another process opens to reach the same place."""

    def prepare(self, directories: tuple[str, ...]) -> None:
        """Make the place and the directories in it, and prove that it can be written to."""

    def entries(self, directory: str = "") -> dict[str, Entry]:
        """List the finished files of a directory by name; empty where the directory does not exist."""

    def foreign(self) -> list[str]:
        """Name what stands at the top level, hidden names aside; the place may not exist yet."""

    def read(self, name: str) -> bytes:
        """Return a whole file; ``FileNotFoundError`` where there is none."""

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Put a whole file in place at once, over what stood there."""

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading at any offset."""

    def show(self, name: str = "") -> str:
        """Return the path or URI of a file, for messages."""

    def clean(self) -> list[str]:
        """Remove what killed runs left half-written, and nothing that a live run may be writing."""


def open_location(place: str | os.PathLike[str]) -> Location:
    """Return the place that a local path or a ``pyarrow.fs`` URI names; nothing is read or made yet."""
    from fastq.store.local import LocalDirectory
    from fastq.store.remote import RemoteDirectory

    text = os.fspath(place)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return LocalDirectory(Path(unquote(parts.path)))
    if "://" in text:
        return RemoteDirectory(text)
    return LocalDirectory(Path(text))
