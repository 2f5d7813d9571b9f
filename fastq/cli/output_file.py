"""Results as files: whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


def check_target(path: str | Path | None, option: str, ending: str = "") -> Path | None:
    """Return where a result is to be written, before anything is computed; ``None`` where nowhere.

    Raises
    ------
    SpecError
        Where there is no such directory, a directory stands there, or the name lacks the ``ending``.
    """
    if path is None:
        return None
    target = Path(path)
    if ending and target.suffix.lower() != ending:
        raise SpecError(f"the name must end in {ending}", key=option, value=str(path))
    if not target.absolute().parent.is_dir():
        raise SpecError("there is no such directory; make it first", key=option, value=str(target.parent))
    if target.is_dir():
        raise SpecError("is a directory; give the name of a file", key=option, value=str(path))
    return target


def check_picture(path: str | Path | None, option: str) -> Path | None:
    """Return where a picture is to be drawn, before anything is computed; ``None`` where nowhere.

    Raises
    ------
    SpecError
        As :func:`check_target`, and where the ending is none of a picture.
    """
    from fastq.plot.style import check_ending

    target = check_target(path, option)
    return None if target is None else check_ending(target, option)


def refuse_shared(targets: Mapping[str, Path | None]) -> None:
    """Refuse two results in one file, of which the second would take the place of the first.

    Raises
    ------
    SpecError
        Two options, the keys, name the same file.
    """
    named: dict[Path, str] = {}
    for option, target in targets.items():
        if target is None:
            continue
        other = named.setdefault(target.resolve(), option)
        if other != option:
            raise SpecError(
                f"{other} names the same file; give each a name of its own", key=option, value=str(target)
            )


def write_text(path: Path, text: str) -> None:
    """Write a text, over what stood there, in one step."""
    partial = _partial(path)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, over what stood there, in one step."""
    import pyarrow.parquet as pq

    partial = _partial(path)
    try:
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
