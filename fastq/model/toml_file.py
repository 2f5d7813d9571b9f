"""TOML files, with errors that name the file and the line."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file.

    Raises
    ------
    SpecError
        If there is no such file, it is not text in UTF-8, or it is not TOML.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"can't be read: {reason}", source=str(path)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"not text in UTF-8 ({error.reason}, line {line}); save it as UTF-8", source=str(path)
        ) from error
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise SpecError("not TOML that can be used: nested too deeply", source=str(path)) from error
    except ValueError as error:
        raise SpecError(f"not TOML: {error}", source=str(path)) from error
