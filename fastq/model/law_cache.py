"""Laws of lengths made from settings, each table once while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, cast

from fastq.model.lengths import Column, LengthLaw, column, law, scaled_column, scaled_name

if TYPE_CHECKING:
    from fastq.model.marginals import Marginal
    from fastq.model.settings import Layer

    Side = Literal["prompt_tokens", "output_tokens"]

_MAX_BYTES = 256 * 2**20
_MAX_LAWS = 1024
_MIN_COLUMNS = 4


class LawCache:
    """Makes the law of settled settings; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: OrderedDict[tuple[object, float], Column] = OrderedDict()
        self._bytes = 0
        self._laws: dict[tuple[object, ...], LengthLaw] = {}

    def law(self, values: Layer) -> LengthLaw:
        """Return the law of lengths that settled settings describe."""
        prompt_scale = cast("float", values["workload.prompt_scale"])
        output_scale = cast("float", values["workload.output_scale"])
        joint = values.get("workload.catalogue", values.get("workload.trace"))
        if isinstance(joint, LengthLaw):
            key: tuple[object, ...] = (joint.digest, joint.name, prompt_scale, output_scale)
        else:
            prompt = cast("Marginal", values["workload.prompt_tokens"])
            output = cast("Marginal", values["workload.output_tokens"])
            key = (prompt, output, prompt_scale, output_scale)
        with self._lock:
            found = self._laws.get(key)
            if found is None:
                if len(self._laws) >= _MAX_LAWS:
                    self._laws.clear()
                if isinstance(joint, LengthLaw):
                    found = law(
                        self._column(joint, "prompt_tokens", prompt_scale),
                        self._column(joint, "output_tokens", output_scale),
                        joint=True,
                        name=scaled_name(joint.name, prompt_scale, output_scale),
                    )
                else:
                    found = law(
                        self._column(prompt, "prompt_tokens", prompt_scale),
                        self._column(output, "output_tokens", output_scale),
                        joint=False,
                        name=scaled_name(
                            f"prompt {prompt.text}, output {output.text}", prompt_scale, output_scale
                        ),
                    )
                self._laws[key] = found
        return found

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
        return made
