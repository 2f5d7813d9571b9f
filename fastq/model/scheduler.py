"""Scheduler policies and their named presets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Admission(StrEnum):
    """What must fit in memory for a waiting request to be admitted."""

    CHUNK = "chunk"
    PROMPT = "prompt"
    PEAK = "peak"
    LOOKAHEAD = "lookahead"


class Preemption(StrEnum):
    """What happens to the most recently admitted request when memory runs out."""

    RECOMPUTE = "recompute"
    RESTART = "restart"


class TokenConvention(StrEnum):
    """Which iteration emits the first output token."""

    ENGINE = "engine"
    PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A first come first served scheduler.

    Parameters
    ----------
    preset
        Name of the preset that the policies started from: ``vllm`` or ``paper``.
    admission, preemption, token_convention
        The policies in force, whether from the preset or set one by one.
    """

    preset: str = "vllm"
    admission: Admission = Admission.PROMPT
    preemption: Preemption = Preemption.RECOMPUTE
    token_convention: TokenConvention = TokenConvention.ENGINE


PRESETS: dict[str, dict[str, str | int | None]] = {
    "vllm": {
        "scheduler.admission": Admission.PROMPT,
        "scheduler.preemption": Preemption.RECOMPUTE,
        "scheduler.token_convention": TokenConvention.ENGINE,
    },
    "paper": {
        "scheduler.admission": Admission.LOOKAHEAD,
        "scheduler.preemption": Preemption.RECOMPUTE,
        "scheduler.token_convention": TokenConvention.PAPER,
        "replica.block_size": 1,
        "replica.max_num_seqs": None,
        "replica.max_num_batched_tokens": None,
    },
}
"""What each preset sets; ``None``: unlimited.

``vllm`` follows vLLM V1 (whole-prompt admission, recomputation), ``paper`` the model of Nie, Si and Zhou
(2026), which knows no limit but memory.
"""
