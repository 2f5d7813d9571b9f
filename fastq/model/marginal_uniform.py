"""Every whole length between two ends, both included, is as likely as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fastq.model.lengths import MAX_LENGTH_TOKENS, QUANTILE_ENTRIES
from fastq.model.reading import read_int, read_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastq.model.reading import Place


@dataclass(frozen=True, slots=True)
class Uniform:
    """The discrete uniform law on ``low_tokens``, ..., ``high_tokens``."""

    low_tokens: int
    high_tokens: int

    @classmethod
    def read(cls, value: object, place: Place) -> Self:
        """Read ``[lo, hi]``."""
        accepted = "must be [lo, hi], two whole numbers of tokens, lo <= hi"
        ends = read_list(value, place, accepted)
        if len(ends) != 2:
            raise place.error(accepted, value)
        low, high = (read_int(end, place, 1, MAX_LENGTH_TOKENS, "tokens") for end in ends)
        if low > high:
            raise place.error(accepted, value)
        return cls(low, high)

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"uniform({self.low_tokens}, {self.high_tokens})"

    @property
    def largest_tokens(self) -> int:
        """Largest length."""
        return int(self.table()[-1])

    def table(self) -> NDArray[np.int64]:
        """Make the table: the law itself, or its quantiles where it has too many values.

        With N values F(x) = (x - lo + 1) / N, so the lower inverse at (k + 1/2) / n is lo - 1 + ceil((2 k +
        1) N / 2 n).
        """
        import numpy as np

        values = self.high_tokens - self.low_tokens + 1
        if values <= QUANTILE_ENTRIES:
            return np.arange(self.low_tokens, self.high_tokens + 1, dtype=np.int64)
        odd = 2 * np.arange(QUANTILE_ENTRIES, dtype=np.int64) + 1
        return self.low_tokens - 1 - (-(odd * values) // (2 * QUANTILE_ENTRIES))
