"""How long one iteration takes: the largest of several planes, each affine in what the batch holds, and more terms."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from fastq.errors import SpecError
from fastq.model.reading import check_names, exact, read_list, read_real, read_table, round_half_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastq.model.reading import Place

MAX_PLANES = 8
"""Most planes of an iteration time."""

PS_PER_MS = 10**9
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
class Terms:
    """What is added to the largest plane, in whole picoseconds per unit.

    Parameters
    ----------
    prefill_seq_ps
        Per prompt in prefill in the batch.
    finished_prompt_ps
        Per prompt whose prefill ends in the batch.
    prefill_kv_token_ps
        Per KV token that prefill chunks read again: what was cached of their prompts before them.
    prefill_ps
        In a batch that prefills.
    mixed_ps
        In a batch that both prefills and decodes.
    mixed_kv_token_ps
        Per KV token held by decoding requests in a batch that both prefills and decodes.
    jump_ps
        In a batch of more than ``jump_beyond_tokens`` tokens, prefill tokens and decoding requests together.
    jump_beyond_tokens
        Tokens; 0 where there is no jump.

    Raises
    ------
    SpecError
        If anything is negative, or one of the last two is 0 and the other is not.
    """

    prefill_seq_ps: int = 0
    finished_prompt_ps: int = 0
    prefill_kv_token_ps: int = 0
    prefill_ps: int = 0
    mixed_ps: int = 0
    mixed_kv_token_ps: int = 0
    jump_ps: int = 0
    jump_beyond_tokens: int = 0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0:
            raise SpecError("nothing that is added may be negative", key="iteration_time", value=self)
        if (self.jump_ps > 0) != (self.jump_beyond_tokens > 0):
            raise SpecError(
                "a jump takes both jump_ps and jump_beyond_tokens, each above 0",
                key="iteration_time",
                value=self,
            )

    @property
    def any(self) -> bool:
        """Whether anything is added."""
        return self != NO_TERMS


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class IterationTime:
    """The largest of ``planes`` (at least one, at most :data:`MAX_PLANES`), and what ``terms`` add to it."""

    planes: tuple[Plane, ...]
    terms: Terms = NO_TERMS

    @property
    def is_constant(self) -> bool:
        """Whether every iteration takes the same time."""
        return not self.terms.any and all(
            plane.prefill_token_ps == plane.decode_seq_ps == plane.kv_token_ps == plane.attention_ps == 0
            for plane in self.planes
        )

    def document(self) -> list[list[int]]:
        """Return all coefficients, those of the terms last and only where anything is added."""
        planes = [list(astuple(plane)) for plane in self.planes]
        return [*planes, list(astuple(self.terms))] if self.terms.any else planes


TERM_UNITS = {
    "prefill_seq_us": ("prefill_seq_ps", 10**6),
    "finished_prompt_us": ("finished_prompt_ps", 10**6),
    "prefill_kv_token_ns": ("prefill_kv_token_ps", 10**3),
    "prefill_ms": ("prefill_ps", 10**9),
    "mixed_ms": ("mixed_ps", 10**9),
    "mixed_kv_token_ns": ("mixed_kv_token_ps", 10**3),
    "jump_ms": ("jump_ps", 10**9),
}
"""Coefficient of a term as written: field it fills, and picoseconds in its unit."""

JUMP_BEYOND = "jump_beyond_tokens"
"""The batch size of a jump, as written."""


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


def make_terms(coefficients: Mapping[str, float], jump_beyond_tokens: int) -> Terms:
    """Make terms of coefficients as written, to whole picoseconds, halves up; those that are absent are 0.

    Parameters
    ----------
    coefficients
        By name of :data:`TERM_UNITS`, in the unit of the name.
    jump_beyond_tokens
        Batch size, tokens, beyond which the jump counts.
    """
    amounts = {
        TERM_UNITS[name][0]: round_half_up(exact(amount) * TERM_UNITS[name][1])
        for name, amount in coefficients.items()
    }
    jumps = amounts.get("jump_ps", 0) > 0
    return Terms(**amounts, jump_beyond_tokens=jump_beyond_tokens if jumps else 0)


def shown_planes(planes: tuple[Plane, ...]) -> str:
    """Show planes as text: P prefill tokens, D decoding requests, K their KV tokens, A attention work."""
    shown = [_shown_plane(plane) for plane in planes]
    return shown[0] if len(shown) == 1 else f"max({', '.join(shown)})"


def shown_terms(terms: Terms) -> str:
    """Show what is added to the planes as text; empty where nothing is."""
    shown = [
        f"{_decimal(getattr(terms, field), digits)} {unit} {what}"
        for field, digits, unit, what in _SHOWN_TERMS
        if getattr(terms, field)
    ]
    if terms.jump_ps:
        shown.append(f"{_decimal(terms.jump_ps, 9)} ms beyond {terms.jump_beyond_tokens:,} tokens")
    return " + ".join(shown)


_SHOWN_TERMS = (
    ("prefill_seq_ps", 6, "us", "per prompt in prefill"),
    ("finished_prompt_ps", 6, "us", "per prompt finished"),
    ("prefill_kv_token_ps", 3, "ns", "per cached token of a chunk"),
    ("prefill_ps", 9, "ms", "with prefill"),
    ("mixed_ps", 9, "ms", "with both"),
    ("mixed_kv_token_ps", 3, "ns", "per K with both"),
)


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
