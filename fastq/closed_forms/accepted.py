"""Exact sums over the accepted requests of a length law.

A request is accepted where its prompt + output is within the longest sequence of the model. The accepted
are a table of pairs; or independent marginals; or, where the limit cuts independent marginals, a prefix of
the sorted outputs for every prompt. The three have the same two sums: of a product f(s) h(o), which running
sums make cheap, and of the carry that adding residues of a block leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import mul
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastq.model.lengths import LengthLaw

_EXACT_BELOW = 2.0**62


class AcceptedLaw(Protocol):
    """Accepted requests of a law, all equally likely.

    Functions of one length are given to the sums by their values at ``prompt_tokens`` or ``output_tokens``,
    all of them >= 0.
    """

    @property
    def prompt_tokens(self) -> NDArray[np.int64]:
        """Prompt lengths at which functions of the prompt are evaluated, tokens."""

    @property
    def output_tokens(self) -> NDArray[np.int64]:
        """Output lengths at which functions of the output are evaluated, tokens."""

    @property
    def requests(self) -> int:
        """Requests accepted."""

    @property
    def longest_tokens(self) -> int:
        """Largest prompt + output, tokens."""

    def sum_product(self, of_prompt: NDArray[np.int64], of_output: NDArray[np.int64]) -> int:
        """Sum of f(s) h(o) over the requests."""

    def sum_carry(
        self, prompt_residues: NDArray[np.int64], output_residues: NDArray[np.int64], block: int
    ) -> int:
        """Sum of max(0, x + y - block) over the requests, x and y residues below ``block``."""


def accepted_law(law: LengthLaw, max_model_len: int | None) -> tuple[AcceptedLaw | None, int]:
    """Restrict a law to the requests that are accepted.

    Parameters
    ----------
    law
        Prompt and output lengths.
    max_model_len
        Longest prompt + output that is accepted, tokens; ``None``: all are.

    Returns
    -------
    AcceptedLaw or None
        ``None`` where no request is accepted.
    int
        Requests of the law, accepted or not.
    """
    if law.joint:
        return _accepted_pairs(law, max_model_len), law.prompt_tokens.size
    offered = law.prompt_tokens.size * law.output_tokens.size
    return _accepted_marginals(law, max_model_len), offered


def _accepted_pairs(law: LengthLaw, max_model_len: int | None) -> AcceptedLaw | None:
    prompts, outputs = law.prompt_tokens.astype(np.int64), law.output_tokens.astype(np.int64)
    if max_model_len is not None:
        within = prompts + outputs <= max_model_len
        prompts, outputs = prompts[within], outputs[within]
    return _Pairs(prompts, outputs) if prompts.size else None


def _accepted_marginals(law: LengthLaw, max_model_len: int | None) -> AcceptedLaw | None:
    prompts, prompt_counts = _values_and_counts(law.prompt_tokens)
    outputs, output_counts = _values_and_counts(law.output_tokens)
    if max_model_len is None or prompts[-1] + outputs[-1] <= max_model_len:
        return _Marginals(prompts, prompt_counts, outputs, output_counts)
    accepted = np.searchsorted(outputs, max_model_len - prompts, side="right")
    some, most = accepted > 0, int(accepted[0])
    if most == 0:
        return None
    return _CutMarginals(
        prompts[some], prompt_counts[some], outputs[:most], output_counts[:most], accepted[some] - 1
    )


def _values_and_counts(table: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    values, counts = np.unique(table, return_counts=True)
    return values.astype(np.int64), counts.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A table of pairs: entry k of both arrays is one request."""

    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]

    @property
    def requests(self) -> int:
        return self.prompt_tokens.size

    @property
    def longest_tokens(self) -> int:
        return int((self.prompt_tokens + self.output_tokens).max())

    def sum_product(self, of_prompt: NDArray[np.int64], of_output: NDArray[np.int64]) -> int:
        return _exact_sum(of_prompt, of_output)

    def sum_carry(
        self, prompt_residues: NDArray[np.int64], output_residues: NDArray[np.int64], block: int
    ) -> int:
        return _exact_sum(np.maximum(prompt_residues + output_residues - block, 0))


@dataclass(frozen=True, slots=True)
class _Marginals:
    """Independent lengths: sorted distinct values and how many entries of its table hold each."""

    prompt_tokens: NDArray[np.int64]
    prompt_counts: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    output_counts: NDArray[np.int64]

    @property
    def requests(self) -> int:
        return _exact_sum(self.prompt_counts) * _exact_sum(self.output_counts)

    @property
    def longest_tokens(self) -> int:
        return int(self.prompt_tokens[-1] + self.output_tokens[-1])

    def sum_product(self, of_prompt: NDArray[np.int64], of_output: NDArray[np.int64]) -> int:
        return _exact_sum(of_prompt, self.prompt_counts) * _exact_sum(of_output, self.output_counts)

    def sum_carry(
        self, prompt_residues: NDArray[np.int64], output_residues: NDArray[np.int64], block: int
    ) -> int:
        order = np.argsort(output_residues)
        residues, counts = output_residues[order], self.output_counts[order]
        count_from = np.append(np.cumsum(counts[::-1])[::-1], 0)
        sum_from = np.append(np.cumsum((residues * counts)[::-1])[::-1], 0)
        missing = block - prompt_residues
        first = np.searchsorted(residues, missing, side="right")
        return _exact_sum(self.prompt_counts, sum_from[first] - missing * count_from[first])


@dataclass(frozen=True, slots=True)
class _CutMarginals:
    """Independent lengths within a limit of their sum: prompt i goes with outputs 0..``last_output[i]``."""

    prompt_tokens: NDArray[np.int64]
    prompt_counts: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    output_counts: NDArray[np.int64]
    last_output: NDArray[np.intp]

    @property
    def requests(self) -> int:
        return self.sum_product(np.ones_like(self.prompt_tokens), np.ones_like(self.output_tokens))

    @property
    def longest_tokens(self) -> int:
        return int((self.prompt_tokens + self.output_tokens[self.last_output]).max())

    def sum_product(self, of_prompt: NDArray[np.int64], of_output: NDArray[np.int64]) -> int:
        up_to = _exact_running_sum(of_output, self.output_counts)
        return _exact_sum(of_prompt, self.prompt_counts, up_to[self.last_output])

    def sum_carry(
        self, prompt_residues: NDArray[np.int64], output_residues: NDArray[np.int64], block: int
    ) -> int:
        order = np.argsort(prompt_residues, kind="stable")
        residues, starts = np.unique(prompt_residues[order], return_index=True)
        total = 0
        for residue, same in zip(residues.tolist(), np.split(order, starts[1:]), strict=True):
            carry = np.maximum(residue + output_residues - block, 0)
            up_to = _exact_running_sum(carry, self.output_counts)
            total += _exact_sum(self.prompt_counts[same], up_to[self.last_output[same]])
        return total


def _exact_sum(*factors: NDArray[Any]) -> int:
    """Sum the products of integers >= 0: in 64 bits where that fits, else in Python's integers."""
    return int(_product(*_wide_enough(factors)).sum())


def _exact_running_sum(*factors: NDArray[Any]) -> NDArray[Any]:
    """Sum the products of integers >= 0 up to each entry, exact as in :func:`_exact_sum`."""
    running: NDArray[Any] = _product(*_wide_enough(factors)).cumsum()
    return running


def _wide_enough(factors: tuple[NDArray[Any], ...]) -> list[NDArray[Any]]:
    """Give the factors a type that holds the sum of their products, and so every part of it."""
    bound = prod(float(factor.max()) for factor in factors) * max(factor.size for factor in factors)
    if bound >= _EXACT_BELOW:
        bound = float(_product(*(factor.astype(np.float64) for factor in factors)).sum())
    return list(factors) if bound < _EXACT_BELOW else [factor.astype(object) for factor in factors]


def _product(*factors: NDArray[Any]) -> NDArray[Any]:
    return reduce(mul, factors)
