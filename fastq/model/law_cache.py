"""Laws of lengths made from settings, each table once while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from fastq.model.lengths import Column, LengthLaw, column, law, scaled_column, scaled_name

if TYPE_CHECKING:
    from fastq.model.marginals import Marginal
    from fastq.model.settings import Layer

    Side = Literal["prompt_tokens", "output_tokens"]

_MAX_BYTES = 256 * 2**20
_MAX_LAWS = 16_384
_MIN_COLUMNS = 4


class Lengths(NamedTuple):
    """What a law of lengths is made of: small, unlike the law.

    Parameters
    ----------
    prompt, output
        Laws of the two lengths; where they are pairs, one and the same table of pairs.
    prompt_scale, output_scale
        Factors of the lengths.
    """

    prompt: Marginal | LengthLaw
    output: Marginal | LengthLaw
    prompt_scale: float
    output_scale: float


def lengths(values: Layer) -> Lengths:
    """Gather what settled settings say of the lengths."""
    joint = values.get("workload.catalogue", values.get("workload.trace"))
    scales = cast("float", values["workload.prompt_scale"]), cast("float", values["workload.output_scale"])
    if isinstance(joint, LengthLaw):
        return Lengths(joint, joint, *scales)
    prompt, output = values["workload.prompt_tokens"], values["workload.output_tokens"]
    return Lengths(cast("Marginal", prompt), cast("Marginal", output), *scales)


class LawCache:
    """Makes laws of lengths and keeps them while their tables have room; safe to use from several threads.

    No law outlives one of its tables here, so the bytes of the tables bound the memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: OrderedDict[tuple[object, float], Column] = OrderedDict()
        self._bytes = 0
        self._laws: dict[Lengths, LengthLaw] = {}

    def law(self, given: Lengths) -> LengthLaw:
        """Return the law of some lengths."""
        with self._lock:
            found = self._laws.get(given)
            if found is None:
                found = self._make(given)
                if len(self._laws) >= _MAX_LAWS:
                    self._laws.clear()
                self._laws[given] = found
        return found

    def _make(self, given: Lengths) -> LengthLaw:
        if isinstance(given.prompt, LengthLaw):
            name = given.prompt.name
        else:
            name = f"prompt {given.prompt.text}, output {cast('Marginal', given.output).text}"
        made = law(
            self._column(given.prompt, "prompt_tokens", given.prompt_scale),
            self._column(given.output, "output_tokens", given.output_scale),
            joint=isinstance(given.prompt, LengthLaw),
            name=scaled_name(name, given.prompt_scale, given.output_scale),
        )
        return replace(made, clock=given.prompt.clock) if isinstance(given.prompt, LengthLaw) else made

    def column(self, source: Marginal | LengthLaw, side: Side) -> Column:
        """Return one table of a workload, as it is before it is scaled."""
        with self._lock:
            return self._column(source, side, 1.0)

    def _column(self, source: Marginal | LengthLaw, side: Side, scale: float) -> Column:
        key = ((source.digest, side) if isinstance(source, LengthLaw) else source, scale)
        found = self._columns.get(key)
        if found is not None:
            self._columns.move_to_end(key)
            return found
        if scale != 1.0:
            made = scaled_column(self._column(source, side, 1.0), scale)
        elif isinstance(source, LengthLaw):
            made = column(getattr(source, side))
        else:
            made = column(source.table())
        self._columns[key] = made
        self._bytes += made.tokens.nbytes
        while self._bytes > _MAX_BYTES and len(self._columns) > _MIN_COLUMNS:
            _, dropped = self._columns.popitem(last=False)
            self._bytes -= dropped.tokens.nbytes
            self._laws.clear()
        return made
