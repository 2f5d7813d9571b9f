"""Loading specs: from a TOML file, from a grid that ships with fastq, or from the same tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastq.errors import SpecError
from fastq.model.arrivals import read_rates
from fastq.model.catalogue import locate
from fastq.model.document import OVERRIDE, Document, override, read_base, read_title, take_apart
from fastq.model.grid import check_axes, read_axis, read_cases
from fastq.model.reading import Place
from fastq.model.run import read_run
from fastq.model.settings import SETTINGS
from fastq.model.slo import read_slo
from fastq.model.spec import Spec
from fastq.model.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def load_spec(path_or_name: str | os.PathLike[str], overrides: Sequence[tuple[str, object]] = ()) -> Spec:
    """Load a spec from a TOML file, or a grid that ships with fastq by its name.

    Parameters
    ----------
    path_or_name
        Path of the file; a bare name that is no file is looked up among the grids that ship.
    overrides
        Pairs (key, value or its text) that take the place of what the spec says, as ``--set key=value`` gives
        them. Paths of traces in them are relative to the current directory.

    Raises
    ------
    SpecError
        If anything in it can't be used.
    """
    name = os.fspath(path_or_name)
    path, source = locate(name, "grid")
    document = read_toml(path)
    _refuse_others(document, source, name)
    return parse_spec(document, source=source, directory=path.parent, overrides=overrides)


def _refuse_others(document: Mapping[str, object], source: str, name: str) -> None:
    """Tell a replica's file and a plan from a spec, where a key that is unknown here would say little."""
    if "provenance" in document:
        raise SpecError(
            f"this is the file of a replica; a spec beside it names it as replica.catalogue = './{Path(name).name}'",
            source=source,
        )
    if "option" in document or "demand" in document:
        raise SpecError(f"this is a plan; 'fastq plan {name}' works it out", source=source)


def parse_spec(
    document: Mapping[str, object],
    *,
    source: str = "spec",
    directory: Path | None = None,
    overrides: Sequence[tuple[str, object]] = (),
) -> Spec:
    """Make a spec of tables, as TOML holds them.

    Parameters
    ----------
    document
        Tables ``workload``, ``arrivals``, ``slo``, ``replica``, ``iteration_time``, ``scheduler``, ``run``,
        ``grid``, ``cases`` and ``title``.
    source
        What messages call it.
    directory
        Where relative paths of traces start; the current directory by default.
    overrides
        Pairs (key, value or its text) that take the place of what the document says.

    Raises
    ------
    SpecError
        If anything in it can't be used.
    """
    written = take_apart(document, Place(source, "", directory or Path()))
    for name, text in overrides:
        override(written, name, text)
    axes = tuple(read_axis(SETTINGS[key], axis.value, axis.place) for key, axis in written.grid.items())
    check_axes(axes, written.place)
    return Spec(
        title=read_title(written),
        source=source,
        run=read_run(written.run, written.section("run")),
        rates=read_rates(written.arrivals, written.section("arrivals")),
        slo=read_slo(written.slo, written.section("slo")),
        base=read_base(written),
        cases=read_cases(written.cases.value, written.cases.place, axes) if written.cases else (),
        axes=axes,
        origins=_origins(written),
    )


def _origins(written: Document) -> dict[str, str]:
    given = [
        *written.base,
        *(f"run.{name}" for name in written.run),
        *(f"arrivals.{name}" for name in written.arrivals),
        *(f"slo.{name}" for name in written.slo),
    ]
    overridden = {".".join(key.removeprefix("grid.").split(".")[:2]) for key in written.overridden}
    return {**dict.fromkeys(given, "spec"), **dict.fromkeys(overridden, OVERRIDE)}
