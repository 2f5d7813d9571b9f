"""A trace in figures, for those who plan capacity: when requests come, how long they are, whether that stays so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.arrival_statistics import ArrivalStatistics, arrival_statistics
from fastq.analysis.drift import Drift, SerialCorrelation, drift, serial_correlation
from fastq.analysis.length_statistics import JointStatistics, joint_statistics
from fastq.errors import SpecError

if TYPE_CHECKING:
    from fastq.model.trace import Trace

_LONGEST_SPAN_S = 1e11


@dataclass(frozen=True, slots=True)
class WorkloadDescription:
    """A trace of requests.

    Parameters
    ----------
    name
        Name of its file.
    requests
        How many.
    lengths
        Prompt and output lengths.
    arrivals, drift, serial_correlation
        Arrivals, differences between its parts, and likeness of neighbours; ``None`` for a trace without arrival
        times, since the order of its rows then need not mean anything.
    """

    name: str
    requests: int
    lengths: JointStatistics
    arrivals: ArrivalStatistics | None
    drift: Drift | None
    serial_correlation: SerialCorrelation | None


def describe_trace(trace: Trace) -> WorkloadDescription:
    """Describe a trace.

    Raises
    ------
    SpecError
        If its arrival times lie more than 3,000 years apart.
    """
    lengths = joint_statistics(trace.prompt_tokens, trace.output_tokens)
    if trace.arrival_s is None:
        return WorkloadDescription(trace.name, trace.prompt_tokens.size, lengths, None, None, None)
    first_s, last_s = float(trace.arrival_s.min()), float(trace.arrival_s.max())
    if last_s / 2.0 - first_s / 2.0 > _LONGEST_SPAN_S / 2.0:
        raise SpecError(
            f"arrival times from {first_s:g} s to {last_s:g} s can't be those of one trace; they are seconds",
            source=trace.name,
            key="arrival_s",
        )
    order = np.argsort(trace.arrival_s, kind="stable")
    prompts, outputs = trace.prompt_tokens[order], trace.output_tokens[order]
    return WorkloadDescription(
        name=trace.name,
        requests=prompts.size,
        lengths=lengths,
        arrivals=arrival_statistics(trace.arrival_s, trace.clock_start),
        drift=drift(trace.arrival_s[order], prompts, outputs),
        serial_correlation=serial_correlation(prompts, outputs),
    )
