"""What a batch takes beyond the sum of its measured operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.calibration.model_shape import ModelShape

BANDWIDTH_SHARE = 0.8
"""Share of its memory bandwidth that a card reaches in such kernels; AIConfigurator's figure for A100 and H100."""

KERNEL_S = 3e-6
"""What each of them takes besides, s; likewise."""

_ACTIVATION_BYTES = 2
_S_PER_BYTE_OF_GB_S = 1e-9


@dataclass(frozen=True, slots=True)
class BeyondTables:
    """Parts of a batch that tables of single operators don't have.

    Parameters
    ----------
    memory_bandwidth_gb_s
        Memory bandwidth of a card, GB/s, from which norms and activations are counted; ``None``: they are not.
    mixed_attention
        Time of decode attention in a batch that also prefills, over its time in one that does not.
    """

    memory_bandwidth_gb_s: float | None = None
    mixed_attention: float = 1.0

    def small_kernels_s(self, shape: ModelShape, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the time of norms and activations of all layers, s, for batches of so many tokens.

        A layer has two norms, each with the residual added to it: two numbers of the hidden size are read for each
        token, and two written. Its gated activation reads two numbers of the inner size and writes one.
        """
        if self.memory_bandwidth_gb_s is None:
            return np.zeros(tokens.size)
        norm, activation = 4 * shape.hidden, 3 * shape.intermediate / shape.tensor_parallel
        token_bytes = (2 * norm + activation) * _ACTIVATION_BYTES
        byte_s = _S_PER_BYTE_OF_GB_S / (BANDWIDTH_SHARE * self.memory_bandwidth_gb_s)
        return np.asarray(shape.layers * (token_bytes * byte_s * tokens + 3 * KERNEL_S))

    def notes(self) -> tuple[str, ...]:
        """Say what was added."""
        notes = []
        if self.memory_bandwidth_gb_s is not None:
            notes.append(
                f"Norms and activations are counted as the bytes that they move at {BANDWIDTH_SHARE:.0%} of "
                f"{self.memory_bandwidth_gb_s:,g} GB/s, and {KERNEL_S * 1e6:g} µs a kernel."
            )
        if self.mixed_attention != 1:
            notes.append(
                f"Decode attention takes {self.mixed_attention:g} times as long in a batch that also prefills; the "
                "tables have each alone."
            )
        return tuple(notes)
