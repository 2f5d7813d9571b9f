"""The file of a replica: its KV capacity, its iteration time, and where both come from."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.calibration.design import FIELDS
from fastq.calibration.term_choice import LEAST_DROP
from fastq.errors import SpecError
from fastq.model.iteration_time import JUMP_BEYOND, TERM_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastq.calibration.calibration import Calibration
    from fastq.calibration.term_choice import Term
    from fastq.model.iteration_time import Plane, Terms

_WIDTH = 118
_NEEDED = FIELDS[1:4]
_DIGITS = (
    ("base_ms", "base_ps", 9),
    ("prefill_token_us", "prefill_token_ps", 6),
    ("decode_seq_us", "decode_seq_ps", 6),
    ("kv_token_ns", "kv_token_ps", 3),
    ("attention_ps", "attention_ps", 0),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a replica entry says of itself.

    Parameters
    ----------
    name
        What was calibrated: model, type, cards.
    source
        Where the measurements come from; empty: only the files are named.
    licence
        Licence of the measurements; empty: not stated.
    command
        The command that makes the entry again.
    version
        Version of fastq.
    """

    name: str
    source: str
    licence: str
    command: str
    version: str


def check_complete(calibration: Calibration) -> None:
    """Refuse to make an entry of a fit that does not know what prefill, decoding or KV tokens cost.

    Raises
    ------
    SpecError
        If one of these coefficients could not be told.
    """
    for name in _NEEDED:
        if name in calibration.untold:
            raise SpecError(
                f"what {name} cost can't be told from this log: {calibration.untold[name]}. A "
                "replica with it for nothing would be wrong, so none was written; log iterations "
                "in which it varies",
                source=calibration.log.name,
                key=name,
            )


def entry_text(
    calibration: Calibration,
    origin: Origin,
    *,
    kv_capacity_tokens: int | None,
    kv_capacity_text: str,
    block_size: int,
    gpus: int,
) -> str:
    """Return the file of a replica as text.

    Parameters
    ----------
    calibration
        The fit.
    origin
        What the entry says of itself.
    kv_capacity_tokens
        KV capacity; ``None`` where it is not known: a spec then has to give it.
    kv_capacity_text
        How the capacity came about.
    block_size
        Tokens per block.
    gpus
        Cards of the replica.
    """
    planes = "".join(f"    {{ {_plane(plane)} }},\n" for plane in calibration.iteration_time.planes)
    terms = "".join(
        f"{key} = {figure}\n" for key, figure in term_figures(calibration.iteration_time.terms).items()
    )
    capacity = "" if kv_capacity_tokens is None else f"kv_capacity_tokens = {kv_capacity_tokens:_}\n"
    provenance: Mapping[str, str] = {
        "name": origin.name,
        "source": _source(calibration, origin),
        "licence": origin.licence or "not stated",
        "command": origin.command,
        "timing": " ".join(calibration.log.notes) or "Iterations as they were logged.",
        "fit": fit_text(calibration),
        "missing": missing_text(calibration),
        "kv_capacity": kv_capacity_text,
        "limits": _limits(calibration),
    }
    texts = "".join(_entry(key, value) for key, value in provenance.items())
    return (
        f"# {' '.join(origin.name.split())}. Made by fastq calibrate; [provenance] has the command.\n\n"
        f"[replica]\n{capacity}block_size = {block_size}\n\n"
        f"[iteration_time]\nplanes = [\n{planes}]\n{terms}\n[provenance]\n{texts}gpus = {gpus}\n"
    )


def fit_text(calibration: Calibration) -> str:
    """Say how planes and terms were fitted and how far they are from what was measured."""
    count = len(calibration.iteration_time.planes)
    planes = "One plane" if count == 1 else f"The largest of {count} planes"
    how = (
        "the fewest within one standard error of the smallest held-out error, and none for under 5% of the batches"
        if calibration.chosen
        else "as many as were asked for"
    )
    held_out = ", ".join(f"{each.planes}: {each.error:.1%}" for each in calibration.held_out)
    errors = "; ".join(
        f"{each.region}: {each.median:.1%}, {each.p90:.1%}, {each.worst:.1%} ({each.rows:,} batches)"
        for each in calibration.errors
        if each.median is not None
    )
    untold = "".join(f" {name}: {why}." for name, why in calibration.untold.items())
    return (
        f"{planes} ({how}; held-out mean error by number of planes: {held_out}).{_added(calibration)} Relative error, "
        f"median, 90th percentile, worst: {errors}. All batches together take "
        f"{_signed(calibration.errors[0].total)} of what was measured.{untold}"
    )


def _added(calibration: Calibration) -> str:
    """Say which terms are added, and what that does to the held-out error."""
    if not calibration.added:
        return ""
    return (
        f" Added to it, each because it lowered the held-out error by more than the standard error of that and by at "
        f"least {100 * LEAST_DROP:.1f} percentage points: {_named(calibration.added)}; with them it is "
        f"{calibration.error_with_terms:.1%} in place of {calibration.error_of_planes:.1%}."
    )


def missing_text(calibration: Calibration) -> str:
    """Name the terms that the iteration time lacks and the log shows."""
    terms = [each for each in calibration.terms if each.carries_weight]
    if not terms:
        return "No further term that was tested carries weight."
    return (
        "Not simulated, since it lowers the held-out error too little or would have to be negative, though each alone "
        f"would lower it: {_named(terms)}."
    )


def _named(terms: Sequence[Term]) -> str:
    return "; ".join(
        f"{each.name} (held-out error lower by {100 * (each.drop or 0):.2f} percentage points)"
        for each in terms
    )


def term_figures(terms: Terms) -> dict[str, str]:
    """Return the terms that add something as a spec writes them, exact to the picosecond."""
    figures = {
        key: _decimal(getattr(terms, field), len(str(unit_ps)) - 1)
        for key, (field, unit_ps) in TERM_UNITS.items()
        if getattr(terms, field)
    }
    return {**figures, JUMP_BEYOND: str(terms.jump_beyond_tokens)} if terms.jump_ps else figures


def plane_figures(plane: Plane) -> dict[str, str]:
    """Return the coefficients of a plane as a spec writes them, exact to the picosecond."""
    return {key: _decimal(getattr(plane, field), digits) for key, field, digits in _DIGITS}


def _source(calibration: Calibration, origin: Origin) -> str:
    files = ", ".join(f"{each.name} (SHA-256 {each.sha256})" for each in calibration.log.files)
    stated = f"{origin.source.rstrip('.')}. " if origin.source else ""
    read = f"{calibration.log.form}, {calibration.log.rows:,} batches"
    return f"{stated}Read as {read}, by fastq {origin.version}, from {files}."


def _limits(calibration: Calibration) -> str:
    log = calibration.log
    return (
        f"Fitted on batches of up to {log.prefill_tokens.max():,.0f} prefill tokens, "
        f"{log.decode_seqs.max():,.0f} decoding requests and {log.kv_tokens.max():,.0f} KV tokens; "
        "beyond, the planes are extrapolated. Sequence and token limits and the context window are "
        "the engine's: the defaults hold unless a spec sets them."
    )


def _plane(plane: Plane) -> str:
    return ", ".join(f"{key} = {figure}" for key, figure in plane_figures(plane).items() if figure != "0")


def _decimal(amount: int, digits: int) -> str:
    whole, rest = divmod(amount, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


def _signed(share: float | None) -> str:
    return f"{1 + (share or 0.0):.2%}"


def _entry(key: str, value: str) -> str:
    """Return a TOML string, broken into lines that a backslash joins again."""
    value = " ".join(value.split()).replace("\\", "\\\\").replace('"', '\\"')
    value = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in value)
    if len(value) + len(key) + 5 <= _WIDTH:
        return f'{key} = "{value}"\n'
    lines = textwrap.wrap(value, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return f'{key} = """\n' + " \\\n".join(lines) + '"""\n'
