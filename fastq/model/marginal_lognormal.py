"""Lognormal lengths, rounded to whole tokens and cut at a largest length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Self

from fastq.model.lengths import MAX_LENGTH_TOKENS, QUANTILE_ENTRIES
from fastq.model.reading import check_names, read_int, read_real, read_table, shown_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastq.model.reading import Place

_NAMES = ("mean", "cv", "max")
_SMALLEST_CV, _LARGEST_CV = 1e-6, 100.0


@dataclass(frozen=True, slots=True)
class Lognormal:
    """min(max, max(1, floor(X + 1/2))) for a lognormal X.

    Parameters
    ----------
    mean_tokens
        Mean of X, tokens, before rounding and cutting.
    cv
        Standard deviation of X over its mean.
    max_tokens
        Longest length: whatever is longer counts as this.
    """

    mean_tokens: float
    cv: float
    max_tokens: int

    @classmethod
    def read(cls, value: object, place: Place) -> Self:
        """Read ``{ mean, cv, max }``."""
        table = read_table(value, place, "must be a table { mean = tokens, cv = number, max = tokens }")
        check_names(table, place, _NAMES, _NAMES)
        return cls(
            read_real(table["mean"], place.below(".mean"), 1, MAX_LENGTH_TOKENS, "tokens"),
            read_real(table["cv"], place.below(".cv"), _SMALLEST_CV, _LARGEST_CV),
            read_int(table["max"], place.below(".max"), 1, MAX_LENGTH_TOKENS, "tokens"),
        )

    @property
    def text(self) -> str:
        """Canonical text."""
        mean, cv = shown_number(self.mean_tokens), shown_number(self.cv)
        return f"lognormal(mean={mean}, cv={cv}, max={self.max_tokens})"

    @property
    def largest_tokens(self) -> int:
        """Largest length that its table holds."""
        return int(self.table()[-1])

    def table(self) -> NDArray[np.int64]:
        """Make the table of quantiles at (k + 1/2) / 65,536.

        X is below n + 1/2 just where it is rounded to n or less, so the lower inverse at q is ceil(x_q - 1/2)
        for the quantile x_q of X.
        """
        import numpy as np

        variance = math.log1p(self.cv * self.cv)
        centre = math.log(self.mean_tokens) - variance / 2
        real = np.exp(centre + math.sqrt(variance) * np.asarray(_standard_normal_quantiles()))
        return np.clip(np.ceil(real - 0.5), 1, self.max_tokens).astype(np.int64)


@lru_cache(maxsize=1)
def _standard_normal_quantiles() -> tuple[float, ...]:
    quantile = NormalDist().inv_cdf
    return tuple(quantile((2 * entry + 1) / (2 * QUANTILE_ENTRIES)) for entry in range(QUANTILE_ENTRIES))
