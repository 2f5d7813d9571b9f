"""What arrival times say of traffic: its rate, how bursty it is, and how finely it was recorded.

The index of dispersion of counts is the variance of the requests in a window over their mean: 1 for Poisson
arrivals at every window, more where they come in bursts. Where it goes on rising with the window, the rate itself
moves. (D. R. Cox and P. A. W. Lewis, The Statistical Analysis of Series of Events, 1966.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOWS_S = (1.0, 10.0, 60.0, 600.0, 3600.0)
"""Windows in which requests are counted, s."""

_FEWEST_WINDOWS = 5
_POISSON_CONFIDENCE = 0.99
_FEWEST_INSTANTS = 20
_MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_S, _DAY_S = 3600.0, 86400.0
_FEWEST_HOURS = 2.0
_LEAST_OBSERVED_S = 60.0
_RESOLUTIONS_S = (60.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_GRID_TOLERANCE = 0.05
_GRID_SHARE = 0.95
_GRID_TIES = 0.05
_BATCH_TIES = 0.05


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    """Requests counted in windows of one length.

    Parameters
    ----------
    window_s
        Length of a window, s.
    windows
        Whole windows side by side that the trace has room for.
    dispersion
        Index of dispersion of counts: their variance over their mean; ``None`` with fewer than five windows.
    poisson_low, poisson_high
        Where it lies with 99% probability if arrivals are Poisson at a constant rate; ``None`` as before.
    peak_rps
        Most requests in any window of that length, wherever it begins, over its length, requests/s.
    """

    window_s: float
    windows: int
    dispersion: float | None
    poisson_low: float | None
    poisson_high: float | None
    peak_rps: float


@dataclass(frozen=True, slots=True)
class TieStatistics:
    """Requests with the same arrival time, and the times that there are.

    Parameters
    ----------
    resolution_s
        Largest of 60 s, 1 s, 0.1 s, ... that all times are multiples of, counted from the first; ``None`` where it is
        finer than 0.1 µs, or the numbers are too large to tell.
    tied_share
        Share of the requests that arrive at the same time as another.
    instants
        Different arrival times.
    largest_batch
        Most requests at one time.
    grid_s
        Spacing of the arrival times where they lie on a grid that leaves at least 5% of the requests tied, s;
        within 5% of that spacing, so that a clock may jitter; else ``None``.
    """

    resolution_s: float | None
    tied_share: float
    instants: int
    largest_batch: int
    grid_s: float | None

    @property
    def in_batches(self) -> bool:
        """Whether enough requests arrive at the same time to speak of batches."""
        return self.tied_share >= _BATCH_TIES


@dataclass(frozen=True, slots=True)
class HourStatistics:
    """Requests in one hour of the day, over all days of the trace.

    Parameters
    ----------
    hour
        0 to 23; in UTC where the trace has timestamps, else counted from its time 0.
    requests
        Arrivals in that hour.
    observed_s
        How long the trace covers that hour, s.
    rate_rps
        Requests over that time, requests/s; ``None`` where it is under a minute, too short to speak of a rate.
    """

    hour: int
    requests: int
    observed_s: float
    rate_rps: float | None


@dataclass(frozen=True, slots=True)
class ArrivalStatistics:
    """Arrivals of a trace.

    Parameters
    ----------
    span_s
        From the first arrival to the last, s.
    mean_rate_rps
        Interarrival times over their sum, requests/s; ``None`` where all arrive at once.
    interarrival_cv
        Standard deviation of the interarrival times over their mean; 1 for Poisson. ``None`` as before.
    windows
        Counts and peaks, shortest window first; those that fit into the span.
    ties
        Requests with the same arrival time.
    hours
        By hour of the day; empty where the trace spans less than two hours.
    hours_are_utc
        Whether the trace has timestamps, so that its hours are those of a clock.
    were_ordered
        Whether the rows of the file stood in order of arrival.
    """

    span_s: float
    mean_rate_rps: float | None
    interarrival_cv: float | None
    windows: tuple[WindowStatistics, ...]
    ties: TieStatistics
    hours: tuple[HourStatistics, ...]
    hours_are_utc: bool
    were_ordered: bool

    @property
    def bursty_windows_s(self) -> tuple[float, ...]:
        """Windows with more dispersion than Poisson arrivals at a constant rate have by chance, s."""
        return tuple(
            each.window_s
            for each in self.windows
            if each.dispersion is not None
            and each.poisson_high is not None
            and each.dispersion > each.poisson_high
        )


def arrival_statistics(arrival_s: NDArray[np.float64], clock_start: datetime | None) -> ArrivalStatistics:
    """Describe arrival times.

    Parameters
    ----------
    arrival_s
        Arrival times, at least one, finite, in any order, s.
    clock_start
        The moment at which they are 0, with its zone; ``None``: unknown.
    """
    ordered = np.sort(arrival_s)
    gaps_s = np.diff(ordered)
    span_s = float(ordered[-1] - ordered[0])
    spread_out = span_s > 0.0
    from_midnight_s = 0.0 if clock_start is None else (clock_start - _MIDNIGHT).total_seconds() % _DAY_S
    return ArrivalStatistics(
        span_s=span_s,
        mean_rate_rps=gaps_s.size / span_s if spread_out else None,
        interarrival_cv=float(gaps_s.std() / gaps_s.mean()) if spread_out else None,
        windows=tuple(_in_windows(ordered, window_s) for window_s in WINDOWS_S if window_s <= span_s),
        ties=_ties(ordered, gaps_s),
        hours=_by_hour(ordered + from_midnight_s) if span_s >= _FEWEST_HOURS * _HOUR_S else (),
        hours_are_utc=clock_start is not None,
        were_ordered=bool((np.diff(arrival_s) >= 0.0).all()),
    )


def _in_windows(ordered_s: NDArray[np.float64], window_s: float) -> WindowStatistics:
    from scipy.special import chdtri

    from_first_s = ordered_s - ordered_s[0]
    last_of_window = np.searchsorted(from_first_s, from_first_s + window_s, side="left")
    peak_rps = int((last_of_window - np.arange(ordered_s.size)).max()) / window_s
    windows = int(from_first_s[-1] // window_s)
    dispersion = low = high = None
    if windows >= _FEWEST_WINDOWS:
        # Only occupied windows are held: a span may be very long.
        number = np.floor(from_first_s / window_s)
        _, counts = np.unique(number[number < windows], return_counts=True)
        mean = counts.sum() / windows
        squares = ((counts - mean) ** 2).sum() + (windows - counts.size) * mean**2
        dispersion = float(squares / (windows - 1) / mean)
        tail = (1.0 - _POISSON_CONFIDENCE) / 2.0
        low, high = (float(chdtri(windows - 1, above)) / (windows - 1) for above in (1.0 - tail, tail))
    return WindowStatistics(window_s, windows, dispersion, low, high, peak_rps)


def _ties(ordered_s: NDArray[np.float64], gaps_s: NDArray[np.float64]) -> TieStatistics:
    apart = gaps_s > 0.0
    first_of_instant = np.flatnonzero(np.concatenate(([True], apart)))
    batches = np.diff(np.append(first_of_instant, ordered_s.size))
    tied_share = float(batches[batches > 1].sum() / ordered_s.size)
    return TieStatistics(
        resolution_s=_resolution_s(ordered_s),
        tied_share=tied_share,
        instants=int(batches.size),
        largest_batch=int(batches.max()),
        grid_s=_grid_s(gaps_s[apart]) if tied_share >= _GRID_TIES else None,
    )


def _resolution_s(ordered_s: NDArray[np.float64]) -> float | None:
    from_first_s = ordered_s - ordered_s[0]
    if from_first_s[-1] == 0.0:
        return None
    rounding_s = 4.0 * float(np.spacing(np.abs(ordered_s).max()))
    for resolution_s in _RESOLUTIONS_S:
        if rounding_s > 0.01 * resolution_s:
            return None
        steps = from_first_s / resolution_s
        if (np.abs(steps - np.round(steps)) * resolution_s <= rounding_s).all():
            return resolution_s
    return None


def _grid_s(gaps_s: NDArray[np.float64]) -> float | None:
    """Return the spacing of times if their gaps are multiples of one, nearly; ``gaps_s`` are above 0."""
    if gaps_s.size < _FEWEST_INSTANTS:
        return None
    short_s = float(np.quantile(gaps_s, 0.05))
    spacing_s = float(np.median(gaps_s[gaps_s < 1.5 * short_s]))
    multiples = gaps_s / spacing_s
    on_grid = np.abs(multiples - np.round(multiples)) <= _GRID_TOLERANCE
    return spacing_s if float(on_grid.mean()) >= _GRID_SHARE else None


def _by_hour(time_s: NDArray[np.float64]) -> tuple[HourStatistics, ...]:
    """Count by hour of the day; ``time_s`` ascends and is 0 at a midnight, or at the trace's own time 0."""
    hours = (np.floor(time_s / _HOUR_S) % 24).astype(np.int64)
    requests = np.bincount(hours, minlength=24)
    observed_s = _seconds_by_hour(float(time_s[-1])) - _seconds_by_hour(float(time_s[0]))
    return tuple(
        HourStatistics(
            hour,
            int(requests[hour]),
            float(observed),
            float(requests[hour] / observed) if observed >= _LEAST_OBSERVED_S else None,
        )
        for hour, observed in enumerate(observed_s)
        if observed > 0.0
    )


def _seconds_by_hour(until_s: float) -> NDArray[np.float64]:
    """Return the seconds that each of the 24 hours has had from time 0 to ``until_s``."""
    days, rest_s = divmod(until_s, _DAY_S)
    started_s = _HOUR_S * np.arange(24)
    return np.asarray(days * _HOUR_S + np.clip(rest_s - started_s, 0.0, _HOUR_S))
