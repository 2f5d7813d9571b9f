"""The terms that are tested beside the planes of an iteration time, and their values in the rows of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.calibration.iteration_log import CACHED_TOKENS, FINISHING_PROMPTS, PREFILL_SEQS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fastq.calibration.iteration_log import IterationLog
    from fastq.model.iteration_time import Terms

    Values = Callable[[IterationLog], NDArray[np.float64] | None]

CAPTURE_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024)
"""Batch sizes, tokens, beyond which a jump is looked for: those that engines record CUDA graphs for, and a
few more."""

JUMP_KEY = "jump_ms"

_PS_PER_S = 1e12


@dataclass(frozen=True, slots=True)
class Candidate:
    """A term that is tested.

    Parameters
    ----------
    key
        Its key in the table ``iteration_time`` of a spec.
    name
        What it counts.
    unit
        Of what its coefficient is the time.
    values
        Its values in the rows of a log, units; ``None`` where the log does not have them.
    """

    key: str
    name: str
    unit: str
    values: Values


def _extra(name: str) -> Values:
    return lambda log: log.extras.get(name)


def _mixed(log: IterationLog) -> NDArray[np.float64]:
    return ((log.prefill_tokens > 0) & (log.decode_seqs > 0)).astype(np.float64)


CANDIDATES = (
    Candidate("finished_prompt_us", "prompts that finish their prefill", "prompt", _extra(FINISHING_PROMPTS)),
    Candidate("prefill_seq_us", "prompts in prefill (host time a sequence)", "prompt", _extra(PREFILL_SEQS)),
    Candidate(
        "prefill_kv_token_ns", "KV that prefill chunks read again", "cached token", _extra(CACHED_TOKENS)
    ),
    Candidate(
        "prefill_ms",
        "a batch that prefills",
        "iteration",
        lambda log: (log.prefill_tokens > 0).astype(np.float64),
    ),
    Candidate("mixed_ms", "a batch that does both", "iteration", _mixed),
    Candidate(
        "mixed_kv_token_ns",
        "KV of decoding in a batch that does both",
        "KV token",
        lambda log: log.kv_tokens * _mixed(log),
    ),
)
"""All but the jump, whose batch size is looked for."""


def beyond(log: IterationLog, tokens: int) -> NDArray[np.float64]:
    """Return 1 for the rows whose batch has more tokens, prefill tokens and decoding requests together, else 0."""
    return (log.prefill_tokens + log.decode_seqs > tokens).astype(np.float64)


def terms_seconds(terms: Terms, log: IterationLog) -> NDArray[np.float64]:
    """Return what terms, in whole picoseconds, add to the time of each row, s."""
    from fastq.model.iteration_time import TERM_UNITS

    added_ps = terms.jump_ps * beyond(log, terms.jump_beyond_tokens)
    for candidate in CANDIDATES:
        amount_ps = getattr(terms, TERM_UNITS[candidate.key][0])
        values = candidate.values(log) if amount_ps else None
        if values is not None:
            added_ps = added_ps + amount_ps * values
    return np.asarray(added_ps / _PS_PER_S)
