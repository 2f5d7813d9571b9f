"""Every length is the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fastq.model.lengths import MAX_LENGTH_TOKENS
from fastq.model.reading import read_int

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastq.model.reading import Place


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant length, tokens."""

    tokens: int

    @classmethod
    def read(cls, value: object, place: Place) -> Self:
        """Read ``n``."""
        return cls(read_int(value, place, 1, MAX_LENGTH_TOKENS, "tokens"))

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"constant({self.tokens})"

    @property
    def largest_tokens(self) -> int:
        """Largest length."""
        return self.tokens

    def table(self) -> NDArray[np.int64]:
        """Make the table of equally likely lengths."""
        import numpy as np

        return np.array([self.tokens], dtype=np.int64)
