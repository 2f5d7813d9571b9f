"""Lengths from 1, memoryless: after each token the next one is the last with probability 1 / mean."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from fastq.model.lengths import MAX_LENGTH_TOKENS, QUANTILE_ENTRIES
from fastq.model.reading import check_names, exact, read_real, read_table, shown_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastq.model.reading import Place

_DIGITS = Context(prec=60)
_NEAR_WHOLE = 1e-7
"""Quantiles this close to a whole number are decided in 60 digits; the float has an error below 1e-9."""


@dataclass(frozen=True, slots=True)
class Geometric:
    """The geometric law on 1, 2, ... with a mean, tokens: P(X > x) = (1 - 1/mean)^x."""

    mean_tokens: float

    @classmethod
    def read(cls, value: object, place: Place) -> Self:
        """Read ``{ mean }``."""
        table = read_table(value, place, "must be a table { mean = tokens }")
        check_names(table, place, ("mean",), ("mean",))
        self = cls(read_real(table["mean"], place.below(".mean"), 1, MAX_LENGTH_TOKENS, "tokens"))
        if self.largest_tokens > MAX_LENGTH_TOKENS:
            raise place.error(
                f"the longest entry of its table would be {self.largest_tokens:,} tokens; at most "
                f"{MAX_LENGTH_TOKENS:,} are supported: take a smaller mean",
                value,
            )
        return self

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"geometric(mean={shown_number(self.mean_tokens)})"

    @property
    def largest_tokens(self) -> int:
        """Largest length: the quantile at 1 - 1/131,072."""
        return 1 if self.mean_tokens == 1.0 else self._quantile(QUANTILE_ENTRIES - 1)

    def table(self) -> NDArray[np.int64]:
        """Make the table: at q = (k + 1/2) / 65,536 the smallest x with (1 - 1/mean)^x <= 1 - q."""
        import numpy as np

        if self.mean_tokens == 1.0:
            return np.ones(1, dtype=np.int64)
        survival = 1.0 - (np.arange(QUANTILE_ENTRIES) + 0.5) / QUANTILE_ENTRIES
        real = np.log(survival) / np.log1p(-1.0 / self.mean_tokens)
        lengths: NDArray[np.int64] = np.maximum(np.ceil(real), 1.0).astype(np.int64)
        near = np.abs(real - np.rint(real)) < _NEAR_WHOLE
        for entry in np.flatnonzero(near).tolist():
            lengths[entry] = self._quantile(entry)
        return lengths

    def _quantile(self, entry: int) -> int:
        """Return one entry of the table, exactly."""
        stay = 1 - 1 / exact(self.mean_tokens)
        survival = Fraction(2 * (QUANTILE_ENTRIES - entry) - 1, 2 * QUANTILE_ENTRIES)
        real = _DIGITS.divide(_log(survival), _log(stay))
        whole = int(real.to_integral_value())
        if abs(real - whole) < Decimal("1e-40"):  # a tie: (1 - 1/mean)^whole is the survival itself
            return max(1, whole)
        return max(1, whole if whole > real else whole + 1)


def _log(number: Fraction) -> Decimal:
    return _DIGITS.ln(_DIGITS.divide(Decimal(number.numerator), Decimal(number.denominator)))
