"""The parametric laws of one length: each a file with the same members and a line in :data:`FAMILIES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from fastq.model.marginal_constant import Constant
from fastq.model.marginal_geometric import Geometric
from fastq.model.marginal_lognormal import Lognormal
from fastq.model.marginal_uniform import Uniform
from fastq.model.reading import check_names, read_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastq.model.reading import Place


class Marginal(Protocol):
    """The law of one length."""

    @classmethod
    def read(cls, value: object, place: Place) -> Self:
        """Read the parameters."""

    @property
    def text(self) -> str:
        """Canonical text, as shown in result tables."""

    @property
    def largest_tokens(self) -> int:
        """Largest length that the table holds."""

    def table(self) -> NDArray[np.int64]:
        """Make the table of equally likely lengths, ascending, each >= 1."""


FAMILIES: dict[str, type[Constant] | type[Uniform] | type[Geometric] | type[Lognormal]] = {
    "constant": Constant,
    "uniform": Uniform,
    "geometric": Geometric,
    "lognormal": Lognormal,
}

_ACCEPTED = (
    "must be a law of lengths: { constant = n }, { uniform = [lo, hi] }, { geometric = { mean = m } } or "
    "{ lognormal = { mean = m, cv = c, max = n } }"
)


def read_marginal(value: object, place: Place) -> Marginal:
    """Read the law of one length."""
    table = read_table(value, place, _ACCEPTED)
    check_names(table, place, tuple(FAMILIES), ())
    if len(table) != 1:
        raise place.error(_ACCEPTED, value)
    ((family, parameters),) = table.items()
    return FAMILIES[family].read(parameters, place.below(f".{family}"))
