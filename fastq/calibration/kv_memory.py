"""How many KV tokens fit on a card beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastq.errors import SpecError

if TYPE_CHECKING:
    from fastq.calibration.model_shape import ModelShape

GIB = 2**30


@dataclass(frozen=True, slots=True)
class KvMemory:
    """Memory of a card and what becomes of it; a card at a time.

    Parameters
    ----------
    card_bytes
        Memory of the card.
    utilisation
        Share of it that the engine takes (vLLM: gpu_memory_utilization).
    reserve_bytes
        Taken by activations, CUDA graphs, collectives and the runtime.
    weight_bytes
        Weights on the card.
    token_bytes
        A token in the KV cache on the card.
    block_size
        Tokens per block.
    notes
        What of the model is counted otherwise than an engine may hold it, a sentence each.
    """

    card_bytes: int
    utilisation: float
    reserve_bytes: int
    weight_bytes: int
    token_bytes: int
    block_size: int
    notes: tuple[str, ...] = ()

    @property
    def free_bytes(self) -> int:
        """Bytes left for the KV cache."""
        return int(self.card_bytes * self.utilisation) - self.weight_bytes - self.reserve_bytes

    @property
    def blocks(self) -> int:
        """Blocks that fit, with the one that vLLM counts and never uses."""
        return self.free_bytes // (self.token_bytes * self.block_size)

    @property
    def capacity_tokens(self) -> int:
        """Tokens that requests can hold: the blocks less the unused one."""
        return (self.blocks - 1) * self.block_size

    def text(self) -> str:
        """Say how the capacity came about."""
        text = (
            f"Derived, not measured; a card at a time. {self.card_bytes:,} bytes; "
            f"{self.utilisation:.0%} of it; less {self.weight_bytes:,} bytes of weights; less "
            f"{self.reserve_bytes:,} bytes for activations, CUDA graphs, collectives and the "
            f"runtime; leaves {self.free_bytes:,} bytes. A token takes {self.token_bytes:,} bytes: "
            f"{self.blocks:,} blocks of {self.block_size}; less the one that vLLM counts and never "
            f"uses: {self.capacity_tokens:,} tokens. The reserve is the uncertain part: 1 GiB more "
            f"or less moves the capacity by {GIB // self.token_bytes:,} tokens."
        )
        return " ".join([text, *self.notes])


def kv_memory(
    shape: ModelShape, *, card_gib: float, utilisation: float, reserve_gib: float, block_size: int
) -> KvMemory:
    """Share out the memory of a card.

    Raises
    ------
    SpecError
        If no block is left beside the weights.
    """
    memory = KvMemory(
        card_bytes=round(card_gib * GIB),
        utilisation=utilisation,
        reserve_bytes=round(reserve_gib * GIB),
        weight_bytes=shape.card_weight_bytes,
        token_bytes=shape.card_kv_token_bytes,
        block_size=block_size,
        notes=shape.notes,
    )
    if memory.blocks < 2:
        raise SpecError(
            f"no room for KV tokens: {utilisation:.0%} of it is "
            f"{memory.card_bytes * utilisation / GIB:.1f} GiB, the weights on a card take "
            f"{memory.weight_bytes / GIB:.1f} GiB and the reserve is {reserve_gib:g} GiB; more "
            "cards (--tensor-parallel) or smaller weights (--dtype)?",
            key="--memory-gib",
            value=card_gib,
        )
    return memory


def used_capacity(printed_tokens: int, block_size: int) -> int:
    """Return what requests can hold of the KV size that vLLM prints: it counts one block that is never used."""
    return printed_tokens - block_size
