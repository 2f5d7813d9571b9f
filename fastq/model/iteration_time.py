"""How long one iteration takes: the largest of several planes, each affine in what the batch holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.model.reading import check_names, exact, read_list, read_real, read_table, round_half_up

if TYPE_CHECKING:
    from fastq.model.reading import Place

MAX_PLANES = 8
"""Most planes of an iteration time."""

MAX_ITERATION_PS = 10**15
"""Longest iteration that is simulated, ps: 1000 s. Sums of picoseconds then never pass 63 bits."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One affine form of the batch, in whole picoseconds per unit.

    Parameters
    ----------
    base_ps
        Per iteration.
    prefill_token_ps
        Per prefill token P.
    decode_seq_ps
        Per decoding request D.
    kv_token_ps
        Per KV token K held by decoding requests.
    attention_ps
        Per unit A of prefill attention work, chunk x (cached before + chunk / 2).
    """

    base_ps: int = 0
    prefill_token_ps: int = 0
    decode_seq_ps: int = 0
    kv_token_ps: int = 0
    attention_ps: int = 0


@dataclass(frozen=True, slots=True)
class IterationTime:
    """The largest of ``planes`` (at least one, at most :data:`MAX_PLANES`)."""

    planes: tuple[Plane, ...]

    @property
    def is_constant(self) -> bool:
        """Whether every iteration takes the same time."""
        return all(
            plane.prefill_token_ps == plane.decode_seq_ps == plane.kv_token_ps == plane.attention_ps == 0
            for plane in self.planes
        )


_UNITS = {
    "base_ms": ("base_ps", 10**9),
    "prefill_token_us": ("prefill_token_ps", 10**6),
    "decode_seq_us": ("decode_seq_ps", 10**6),
    "kv_token_ns": ("kv_token_ps", 10**3),
    "attention_ps": ("attention_ps", 1),
}
"""Coefficient as written: field it fills, and picoseconds in its unit."""

_ACCEPTED = f"must be a list of 1 to {MAX_PLANES} tables {{ {', '.join(_UNITS)} }}, each number >= 0"


def read_planes(value: object, place: Place) -> tuple[Plane, ...]:
    """Read the planes of an iteration time; coefficients to whole picoseconds, halves up."""
    entries = read_list(value, place, _ACCEPTED)
    if len(entries) > MAX_PLANES:
        raise place.error(_ACCEPTED, value)
    planes = tuple(_read_plane(entry, place.below(f"[{position}]")) for position, entry in enumerate(entries))
    advances_prefill = any(plane.prefill_token_ps for plane in planes)
    advances_decode = any(plane.decode_seq_ps or plane.kv_token_ps for plane in planes)
    if not any(plane.base_ps for plane in planes) and not (advances_prefill and advances_decode):
        raise place.error(
            "some iterations would take no time at all: a plane needs base_ms > 0 (or prefill_token_us > 0 "
            "and one of decode_seq_us and kv_token_ns > 0)",
            value,
        )
    return planes


def _read_plane(value: object, place: Place) -> Plane:
    table = read_table(value, place, f"must be a table {{ {', '.join(_UNITS)} }}, each number >= 0")
    check_names(table, place, tuple(_UNITS), ())
    coefficients = {}
    for name, coefficient in table.items():
        field, unit_ps = _UNITS[name]
        number = read_real(coefficient, place.below(f".{name}"), 0, MAX_ITERATION_PS / unit_ps)
        coefficients[field] = round_half_up(exact(number) * unit_ps)
    return Plane(**coefficients)


def shown_planes(planes: tuple[Plane, ...]) -> str:
    """Show planes as text: P prefill tokens, D decoding requests, K their KV tokens, A attention work."""
    shown = [_shown_plane(plane) for plane in planes]
    return shown[0] if len(shown) == 1 else f"max({', '.join(shown)})"


def _shown_plane(plane: Plane) -> str:
    terms = (
        (plane.base_ps, "ms", 9, ""),
        (plane.prefill_token_ps, "us", 6, " P"),
        (plane.decode_seq_ps, "us", 6, " D"),
        (plane.kv_token_ps, "ns", 3, " K"),
        (plane.attention_ps, "ps", 0, " A"),
    )
    shown = [
        f"{_decimal(amount, digits)} {unit}{variable}" for amount, unit, digits, variable in terms if amount
    ]
    return " + ".join(shown) or "0 ms"


def _decimal(amount_ps: int, digits: int) -> str:
    whole, rest = divmod(amount_ps, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if rest else str(whole)
