"""Whether a trace is one workload: its parts in time, a test that they differ, and neighbours that are alike.

The test is that of Kruskal and Wallis (1952), not over requests but over blocks of neighbours, ten in each part:
requests close in time may resemble one another (a burst of one user's, one template) without any part differing, and
blocks carry that with them; blocks that resemble their neighbours count for less. Lengths are compared by the mean rank
of a block's requests, the rate by the counts of equal stretches of time. Ranks leave heavy tails no hold. What moves as
slowly as a part counts as drift; so do gaps between arrivals of infinite variance, which no part is long enough for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fastq.analysis.length_statistics import correlation, ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

ERROR_RATE = 0.05
"""Share of traces without drift of any kind that are said to drift, at most."""

BLOCKS_PER_PART = 10
"""Blocks of neighbouring requests, or of time, in each part."""

_FEWEST_PARTS, _MOST_PARTS = 4, 12
_REQUESTS_PER_PART = 100
_MOST_ALIKE = 0.9
_NORMAL_99 = 2.576
_FEWEST_REQUESTS = _FEWEST_PARTS * BLOCKS_PER_PART * 5


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a trace: requests that follow one another.

    Parameters
    ----------
    start_s, end_s
        Arrival of its first request, and of the first of the next part (of its own last in the last part), s.
    requests
        Requests in it.
    rate_rps
        Requests from its start to its end over that time (the last one's end is no start of another's), requests/s;
        ``None`` where that time is 0.
    mean_prompt_tokens, mean_output_tokens
        Mean lengths, tokens.
    """

    start_s: float
    end_s: float
    requests: int
    rate_rps: float | None
    mean_prompt_tokens: float
    mean_output_tokens: float


@dataclass(frozen=True, slots=True)
class DriftTest:
    """Whether the parts differ in one figure by more than chance.

    Parameters
    ----------
    figure
        ``rate``, ``prompt`` or ``output``.
    p_value
        Probability of parts that differ so much or more, if nothing but chance parts them; times what Holm (1979)
        asks for three tests at once.
    differs
        Whether that is below :data:`ERROR_RATE`.
    """

    figure: str
    p_value: float
    differs: bool

    @property
    def words(self) -> str:
        """The verdict in words, as 'drift, p = 0.0017'."""
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.2g}"
        return f"{'drift' if self.differs else 'no drift shown'}, {p_value}"


@dataclass(frozen=True, slots=True)
class Drift:
    """A trace over its span.

    Parameters
    ----------
    parts
        Parts of equally many requests, in order of time; empty for fewer than 200 requests.
    tests
        One for the rate, prompts and outputs each; empty likewise.
    """

    parts: tuple[Part, ...]
    tests: tuple[DriftTest, ...]


@dataclass(frozen=True, slots=True)
class SerialCorrelation:
    """Whether a request's lengths resemble those of the one before.

    Parameters
    ----------
    prompt, output
        Correlation of the ranks of neighbours' lengths; ``None`` where lengths don't vary.
    chance
        What independent lengths stay within, on either side of 0, with 99% probability; ``None`` as before.
    """

    prompt: float | None
    output: float | None
    chance: float | None


def drift(
    arrival_s: NDArray[np.float64], prompt_tokens: NDArray[np.int32], output_tokens: NDArray[np.int32]
) -> Drift:
    """Cut a trace into parts and compare them.

    Parameters
    ----------
    arrival_s
        Arrival times, ascending, s.
    prompt_tokens, output_tokens
        Lengths of the same requests, tokens.
    """
    requests = arrival_s.size
    if requests < _FEWEST_REQUESTS or arrival_s[-1] == arrival_s[0]:
        return Drift((), ())
    count = min(max(requests // _REQUESTS_PER_PART, _FEWEST_PARTS), _MOST_PARTS)
    bounds = np.arange(count + 1) * requests // count
    parts = tuple(
        _part(arrival_s, prompt_tokens, output_tokens, int(first), int(end))
        for first, end in pairwise(bounds)
    )
    blocks = count * BLOCKS_PER_PART
    p_values = {
        "rate": kruskal_wallis(_counts(arrival_s, blocks), count),
        "prompt": kruskal_wallis(_mean_ranks(prompt_tokens, blocks), count),
        "output": kruskal_wallis(_mean_ranks(output_tokens, blocks), count),
    }
    return Drift(parts, _holm(p_values))


def serial_correlation(
    prompt_tokens: NDArray[np.int32], output_tokens: NDArray[np.int32]
) -> SerialCorrelation:
    """Correlate the lengths of each request with those of the next.

    Parameters
    ----------
    prompt_tokens, output_tokens
        Lengths in order of arrival, tokens.
    """
    prompt, output = _lag_one(prompt_tokens), _lag_one(output_tokens)
    varies = prompt is not None or output is not None
    return SerialCorrelation(
        prompt, output, _NORMAL_99 / float(np.sqrt(prompt_tokens.size)) if varies else None
    )


def kruskal_wallis(values: NDArray[np.float64], groups: int) -> float:
    """Return the p-value of the hypothesis that groups of equal size have one distribution.

    Parameters
    ----------
    values
        (groups x size,) one group after the other, each in order of time. Neighbours may be correlated: the
        statistic is divided by what that does to the variance of a group's mean, (1 + r) / (1 - r) for a correlation
        r between neighbours of one group, off a line through it.
    groups
        How many.

    Returns
    -------
    float
        By the chi-squared distribution; 1 where all values are equal.
    """
    from scipy.special import chdtrc

    ranked = ranks(np.unique(values, return_inverse=True)[1]).reshape(groups, -1)
    size = ranked.shape[1]
    spread = ((ranked - ranked.mean()) ** 2).sum() / (values.size - 1)
    if spread == 0.0:
        return 1.0
    means = ranked.mean(axis=1)
    statistic = size * ((means - ranked.mean()) ** 2).sum() / spread
    line = np.vander(np.arange(size, dtype=np.float64), 2)
    off_line = np.eye(size) - line @ np.linalg.pinv(line)
    rest = ranked @ off_line
    squares = (rest * rest).sum()
    # Taking a line off makes neighbours correlated by itself, by this much where they are independent.
    by_itself = np.diag(off_line, 1).sum() / np.trace(off_line)
    alike = (rest[:, 1:] * rest[:, :-1]).sum() / squares - by_itself if squares > 0.0 else 0.0
    alike = min(max(alike, 0.0), _MOST_ALIKE)
    return float(chdtrc(groups - 1, statistic * (1.0 - alike) / (1.0 + alike)))


def _part(
    arrival_s: NDArray[np.float64],
    prompt_tokens: NDArray[np.int32],
    output_tokens: NDArray[np.int32],
    first: int,
    end: int,
) -> Part:
    is_last = end == arrival_s.size
    start_s, end_s = float(arrival_s[first]), float(arrival_s[end - 1 if is_last else end])
    duration_s = end_s - start_s
    return Part(
        start_s=start_s,
        end_s=end_s,
        requests=end - first,
        rate_rps=(end - first - is_last) / duration_s if duration_s > 0.0 else None,
        mean_prompt_tokens=float(prompt_tokens[first:end].mean()),
        mean_output_tokens=float(output_tokens[first:end].mean()),
    )


def _counts(arrival_s: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
    """Count arrivals in equal stretches of time."""
    inner = np.linspace(arrival_s[0], arrival_s[-1], blocks + 1)[1:-1]
    places = np.searchsorted(arrival_s, inner)
    return np.diff(places, prepend=0, append=arrival_s.size).astype(np.float64)


def _lag_one(lengths: NDArray[np.int32]) -> float | None:
    ranked = ranks(lengths.astype(np.int64))
    return correlation(ranked[:-1], ranked[1:])


def _mean_ranks(lengths: NDArray[np.int32], blocks: int) -> NDArray[np.float64]:
    """Return the mean rank of the lengths in blocks of neighbours."""
    bounds = np.arange(blocks + 1) * lengths.size // blocks
    return np.add.reduceat(ranks(lengths.astype(np.int64)), bounds[:-1]) / np.diff(bounds)


def _holm(p_values: dict[str, float]) -> tuple[DriftTest, ...]:
    """Hold the probability of any false alarm among all tests to :data:`ERROR_RATE` (Holm 1979)."""
    adjusted: dict[str, float] = {}
    floor = 0.0
    for place, figure in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        floor = adjusted[figure] = min(1.0, max(floor, (len(p_values) - place) * p_values[figure]))
    return tuple(DriftTest(figure, adjusted[figure], adjusted[figure] < ERROR_RATE) for figure in p_values)
