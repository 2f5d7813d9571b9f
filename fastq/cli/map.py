"""``fastq map``: draw the stability boundary of a data set."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fastq.cli.exit_status import ExitStatus
from fastq.cli.picture_size import add_size, picture_size
from fastq.plot.boundary_words import BOUNDARIES

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fastq.model.point import Scalar
    from fastq.store.manifest import Manifest

_ENDS = ("", "_low", "_high")
_SHARPEST = 1e-4
"""Half-widths are shown to this share of the rate."""

_COLUMNS = (
    "theory_rate_rps",
    "theory_stable_rps",
    "paper_rate_rps",
    "binding",
    "status",
)
_EPILOG = """\
The picture has three panels: the simulated boundary (requests/s) with curves of equal rate, those of theory
dashed; simulated over theory; and what limits it: KV memory, the sequence limit or the token budget. With --x
alone it has lines instead, with error bars or, where points are many, a band. Other axes become rows of panels,
or are held by --where.

With --against-theory every point is a mark instead, whatever its axes: its simulated rate against that of theory,
and their ratio.

examples, after 'fastq sweep quickstart --out results':
  fastq map results --x replica.kv_capacity_tokens --y workload.output_scale -o map.png
  fastq map results --x replica.kv_capacity_tokens --where workload.output_scale=4 -o lines.pdf
  fastq map results --against-theory -o theory.png"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "map",
        help="draw the stability boundary of a data set",
        description="Draw the stability boundary of a data set, theory beside simulation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", metavar="DIR", help="directory or URI that 'fastq sweep --out' wrote")
    parser.add_argument(
        "--x", metavar="AXIS", help="axis to the right (may be left out where there is only one)"
    )
    parser.add_argument("--y", metavar="AXIS", help="axis upwards; without it, lines along --x")
    parser.add_argument(
        "--against-theory",
        action="store_true",
        help="simulated against theory, a mark for each point, without --x and --y",
    )
    parser.add_argument(
        "--where",
        metavar="AXIS=VALUE",
        action="append",
        default=[],
        type=_held,
        help="hold another axis at one value; may be given several times",
    )
    parser.add_argument(
        "--boundary",
        choices=tuple(BOUNDARIES),
        default="service",
        help="service: throughput under a backlog (default); cold: the largest rate from an empty start (measure "
        '"metastability"); slo: the largest rate that meets the objectives (measure "slo")',
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="picture: .png, .svg or .pdf")
    add_size(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the picture."""
    from fastq.cli.output_file import check_picture
    from fastq.plot import style
    from fastq.store.location import open_location
    from fastq.store.manifest import require_manifest

    check_picture(args.output, "--output")
    _refuse_axes(args)
    _refuse_twice(args)
    manifest = require_manifest(open_location(args.dir))
    table = _read(args.dir, manifest, args.boundary)
    draw = _draw_against_theory if args.against_theory else _draw_along_axes
    style.save(draw(args, manifest, table), args.output, size=picture_size(args))
    sys.stdout.write(f"{args.output}\n")
    return ExitStatus.DONE


def _refuse_axes(args: argparse.Namespace) -> None:
    from fastq.errors import SpecError

    for option in ("x", "y"):
        if args.against_theory and getattr(args, option) is not None:
            raise SpecError(
                "can't be given together with --against-theory, which shows every point whatever its axes; "
                "--where holds an axis at one value",
                key=f"--{option}",
                value=getattr(args, option),
            )


def _refuse_twice(args: argparse.Namespace) -> None:
    """Refuse an axis that is held at two values: the first would be dropped without a word."""
    from fastq.errors import SpecError

    for number, (key, value) in enumerate(args.where):
        if key in [other for other, _ in args.where[:number]]:
            raise SpecError(
                "this axis is held at a value already; a picture takes one", key=f"--where {key}", value=value
            )


def _draw_along_axes(args: argparse.Namespace, manifest: Manifest, table: pa.Table) -> Figure:
    from fastq.plot.boundary_lines import draw_boundary_lines
    from fastq.plot.boundary_map import draw_boundary_map
    from fastq.plot.selection import select

    axes = _axes(manifest, table)
    x = args.x or _only_axis(axes, args.dir)
    selection = select(table, axes, x=x, y=args.y, where=dict(args.where), source=args.dir)
    draw = draw_boundary_lines if len(selection.y.values) == 1 else draw_boundary_map
    return draw(
        selection,
        title=manifest.title or args.dir,
        note=_note(manifest, table, selection.rows, selection.chosen, args.boundary),
        size=picture_size(args),
        boundary=BOUNDARIES[args.boundary],
    )


def _draw_against_theory(args: argparse.Namespace, manifest: Manifest, table: pa.Table) -> Figure:
    from fastq.plot.against_theory import draw_against_theory
    from fastq.plot.selection import hold

    rows, chosen = hold(table, _axes(manifest, table), dict(args.where), source=args.dir)
    return draw_against_theory(
        table.take(rows),
        title=manifest.title or args.dir,
        note=f"{_note(manifest, table, rows, chosen, args.boundary)}\n{_spread(table, rows)}",
        size=picture_size(args),
        boundary=BOUNDARIES[args.boundary],
    )


def _held(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not AXIS=VALUE, as in replica.max_num_seqs=256")
    return key.strip(), value.strip()


def _only_axis(axes: dict[str, list[Scalar]], directory: str) -> str:
    from fastq.errors import SpecError

    keys = [key for key, values in axes.items() if len(values) > 1]
    if len(keys) == 1:
        return keys[0]
    if not keys:
        raise SpecError(
            "this data set has no axis to draw along; 'fastq simulate' shows a single configuration",
            source=directory,
        )
    raise SpecError(f"is missing; this data set has the axes {', '.join(keys)}", source=directory, key="--x")


def _read(directory: str, manifest: Manifest, boundary: str) -> pa.Table:
    """Read what is drawn; the rate of the chosen boundary stands in the columns of the service rate."""
    from fastq.errors import SpecError, StoreError
    from fastq.store.reader import read

    keys = [axis.key for axis in manifest.axes]
    rates = [f"{boundary}_rate{end}_rps" for end in _ENDS]
    table = read(
        directory,
        columns=list(dict.fromkeys((*(["case"] * bool(_cases(manifest))), *keys, *rates, *_COLUMNS))),
    )
    if table.num_rows == 0:
        raise StoreError(
            f"{directory} holds no finished block yet; 'fastq status {directory}' says how far it is."
        )
    if table.column("theory_rate_rps").null_count == table.num_rows:
        raise SpecError("no point that is finished can run, so there is no rate to draw", source=directory)
    if table.column(rates[0]).null_count == table.num_rows:
        measured = manifest.document["canonical"]["run"]["measure"]
        if boundary in measured:
            raise SpecError(
                "no point that is finished meets its objectives at any rate", source=directory, key="slo"
            )
        raise SpecError(
            f"no point of {directory} has a {rates[0]}; its run.measure was {', '.join(measured)}",
            key="--boundary",
            value=boundary,
        )
    names = dict(zip(rates, (f"service_rate{end}_rps" for end in _ENDS), strict=True))
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def _cases(manifest: Manifest) -> list[str]:
    return list(manifest.document["cases"])


def _axes(manifest: Manifest, table: pa.Table) -> dict[str, list[Scalar]]:
    """Return all values of each axis, of points that are not finished too where the manifest tells them."""
    cases = _cases(manifest)
    axes: dict[str, list[Scalar]] = {"case": list(cases)} if cases else {}
    for axis in manifest.document["canonical"]["axes"]:
        key, every = axis["key"], axis["values"]
        found = table.column(key).unique().to_pylist()
        axes[key] = every if _holds(every, found) else found
    return axes


def _holds(every: list[Any], found: list[Scalar]) -> bool:
    """Whether the manifest tells the values of an axis as the tables show them, not what they stand for."""
    return not any(isinstance(value, dict | list) for value in every) and set(found) <= set(every)


def _measured(manifest: Manifest, boundary: str) -> str:
    if boundary == "service":
        return "Saturated throughput"
    if boundary == "cold":
        return "Largest rate from an empty start"
    from fastq.model.duration import shown_duration

    limits = (
        f"{latency} {percentile.replace('_', '.')} within {shown_duration(at_most_ps)}"
        for latency, percentile, at_most_ps in manifest.document["canonical"]["slo"]
    )
    return f"Largest rate with {', '.join(limits)}"


def _note(manifest: Manifest, table: pa.Table, rows: NDArray[np.int64], chosen: str, boundary: str) -> str:
    """Say below the picture what was run, how much of it, and how sharp it is."""
    import numpy as np

    from fastq.plot.selection import numbers, texts

    run = manifest.document["canonical"]["run"]
    points = f"{len(rows):,} point{'' if len(rows) == 1 else 's'}"
    if table.num_rows < manifest.points:
        points += f" ({table.num_rows:,} of {manifest.points:,} finished)"
    skipped = int((texts(table, "status")[rows] == "skipped").sum())
    if skipped:
        points += f", {skipped:,} can't run"
    rate, low, high = (numbers(table, f"service_rate{end}_rps")[rows] for end in ("", "_low", "_high"))
    nowhere = int(np.isnan(rate).sum()) - skipped
    if nowhere:
        points += f", {nowhere:,} without such a rate"
    half_widths = (high - low) / (2 * rate)
    half_widths = half_widths[np.isfinite(half_widths)]
    sharp = (
        f"; 95% interval {_half_width(float(np.median(half_widths)))} (median)" if len(half_widths) else ""
    )
    until = "" if run["precision"] is None else f", longer until ±{run['precision']:.3g}"
    lines = [
        f"{_measured(manifest, boundary)}: {run['replications']:,} replications of {run['requests']:,} "
        f"requests{until}, seed {run['seed']}; {points}{sharp}."
    ]
    return "\n".join(([f"{chosen[0].upper()}{chosen[1:]}."] if chosen else []) + lines)


def _half_width(share: float) -> str:
    """Return half of an interval's width, a share of the rate, in words; a small one isn't rounded to none."""
    return f"below ±{_SHARPEST:.2%}" if 0 < share < _SHARPEST else f"±{share:.2%}"


def _spread(table: pa.Table, rows: NDArray[np.int64]) -> str:
    """Say how far simulation lies from theory."""
    import numpy as np

    from fastq.plot.selection import numbers

    ratio = numbers(table, "service_rate_rps")[rows] / numbers(table, "theory_rate_rps")[rows]
    if not np.isfinite(ratio).any():
        return ""
    least, low, middle, high, most = np.nanquantile(ratio, (0, 0.05, 0.5, 0.95, 1))
    within = f"middle 90% {low:.3f} to {high:.3f}, all {least:.3f} to {most:.3f}"
    return f"Simulated ÷ theory: median {middle:.3f}, {within}."
