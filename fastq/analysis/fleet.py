"""How many replicas a demand takes, what they leave in hand, and what they cost: arithmetic alone.

G independent replicas behind a splitter that sends each request to one of them at random, with equal chances, get
Poisson streams of 1/G of the rate, so G replicas serve G times what one does. Where arrivals come in bursts and are
dealt out in turn, each replica gets a smaller part of a burst the more there are, and may be given more. All rates are
of accepted requests.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fastq.analysis.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TARGET_LOAD = "target_load"

MOST_SHARING = 1_000_000
"""Replicas that share arrivals, at most, where one may be given nothing."""

_BEYOND_ALL = 1 << 60
"""Replicas that no demand takes."""

_TOLERANCE = 1e-12
"""Of a rate: 52 requests/s on 10 replicas are the 5.2 that each may get, whatever binary fractions say."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica can be given.

    Parameters
    ----------
    boundary
        Of stability, requests/s, with its interval.
    limits
        Largest rate that meets the limits of latencies, requests/s; ``None`` where there are none.
    limit
        Which of them fails first beyond it: ``ttft_p99``, or ``stability`` where none does.
    target_load
        Largest share of the boundary that is to be used.
    """

    boundary: Interval
    limits: Interval | None
    limit: str | None
    target_load: float

    @property
    def at_most_rps(self) -> float:
        """Largest rate that keeps to the target load and the limits, by the lower ends of both intervals."""
        return self._at_most(self.boundary.low, None if self.limits is None else self.limits.low)

    @property
    def at_best_rps(self) -> float:
        """The same by the upper ends."""
        return self._at_most(self.boundary.high, None if self.limits is None else self.limits.high)

    def _at_most(self, boundary_rps: float, limits_rps: float | None) -> float:
        target_rps = self.target_load * boundary_rps
        return target_rps if limits_rps is None else min(target_rps, limits_rps)

    @property
    def sized_by(self) -> str:
        """What sets :attr:`at_most_rps`: ``target_load``, or the limit that fails first."""
        if self.limits is not None and self.limits.low < self.target_load * self.boundary.low:
            return str(self.limit)
        return TARGET_LOAD

    def failing(self, rate_rps: float) -> tuple[str, ...]:
        """What a replica fails at a rate: ``target_load``, and the limit that fails first; empty where neither."""
        fails = []
        if _exceeds(rate_rps, self.target_load * self.boundary.low):
            fails.append(TARGET_LOAD)
        if self.limits is not None and _exceeds(rate_rps, self.limits.low):
            fails.append(str(self.limit))
        return tuple(fails)


CapacityAmong: TypeAlias = "Callable[[int], Capacity]"
"""What a replica can be given where so many share the arrivals; rates don't fall with their number."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """As many replicas as a demand takes, and no more.

    Parameters
    ----------
    replicas
        Fewest that keep to target load and limits, by the lower ends of the intervals.
    replicas_at_best
        Fewest by the upper ends: where it is the same, the count is sure.
    rate_rps
        Of one replica at the peak.
    load
        That rate as a share of the boundary, with the interval that the boundary's gives it.
    headroom_to_boundary, headroom_to_limits
        How much the demand may grow, as a share, before this fleet is at the boundary, or at the first limit of
        latencies; ``None`` without limits.
    fewer_fail
        What one replica less would fail; empty where there is only one.
    """

    replicas: int
    replicas_at_best: int
    rate_rps: float
    load: Interval
    headroom_to_boundary: Interval
    headroom_to_limits: Interval | None
    fewer_fail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """A fleet over a day, hour by hour.

    Parameters
    ----------
    demand_rps
        Accepted requests/s.
    replicas
        Fewest that each hour takes; 0 where nothing arrives.
    fixed_replica_hours, following_replica_hours
        Of a fleet sized for the peak all day, and of one that follows the hours.
    requests
        Served in the day.
    """

    demand_rps: tuple[float, ...]
    replicas: tuple[int, ...]
    fixed_replica_hours: int
    following_replica_hours: int
    requests: float


def replicas_for(demand_rps: float, at_most_rps: float) -> int:
    """Count the fewest replicas, at least one, that each get at most ``at_most_rps`` > 0."""
    return max(1, math.ceil(demand_rps / at_most_rps * (1 - _TOLERANCE)))


def fewest_sharing(demand_rps: float, at_most_rps: Callable[[int], float]) -> int | None:
    """Count the fewest replicas among which a demand can be shared.

    Parameters
    ----------
    demand_rps
        Accepted requests/s, > 0.
    at_most_rps
        What each may be given where so many share it. It does not fall with their number, but for ripples.

    Returns
    -------
    int or None
        They are enough, and one less is not; ``None`` where no number is, or none of :data:`MOST_SHARING` may be given
        anything.
    """

    def needed(replicas: int) -> int:
        each_rps = at_most_rps(replicas)
        return replicas_for(demand_rps, each_rps) if each_rps > 0 else sys.maxsize

    few = 1
    while at_most_rps(few) <= 0:
        if few == MOST_SHARING:
            return None
        few = min(2 * few, MOST_SHARING)
    enough = max(few, needed(few))
    while needed(enough) > enough:
        if enough > _BEYOND_ALL:
            return None
        enough = min(needed(enough), 2 * enough)
    # Fewer than all of them need may be given less each, so no fewer than that will do.
    least = min(enough, needed(enough))
    while least < enough:
        middle = math.isqrt(least * enough)
        if needed(middle) <= middle:
            enough, least = middle, max(least, needed(middle))
        else:
            least = middle + 1
    while enough > 1 and needed(enough - 1) < enough:
        enough -= 1
    return enough


def fleet(demand_rps: float, capacity_among: CapacityAmong) -> Fleet | None:
    """Size a fleet for its peak.

    Parameters
    ----------
    demand_rps
        Accepted requests/s, > 0.
    capacity_among
        What a replica can be given, by how many share the arrivals.

    Returns
    -------
    Fleet or None
        ``None`` where no number of replicas may be given anything.
    """
    replicas = fewest_sharing(demand_rps, lambda count: capacity_among(count).at_most_rps)
    at_best = fewest_sharing(demand_rps, lambda count: capacity_among(count).at_best_rps)
    if replicas is None or at_best is None:
        return None
    capacity = capacity_among(replicas)
    rate_rps = demand_rps / replicas
    boundary, limits = capacity.boundary, capacity.limits
    return Fleet(
        replicas=replicas,
        replicas_at_best=at_best,
        rate_rps=rate_rps,
        load=Interval(rate_rps / boundary.estimate, rate_rps / boundary.high, rate_rps / boundary.low),
        headroom_to_boundary=_headroom(boundary, rate_rps),
        headroom_to_limits=None if limits is None else _headroom(limits, rate_rps),
        fewer_fail=capacity_among(replicas - 1).failing(demand_rps / (replicas - 1)) if replicas > 1 else (),
    )


def day(hourly_rps: Sequence[float], capacity_among: CapacityAmong) -> Day:
    """Follow a day.

    Parameters
    ----------
    hourly_rps
        Accepted requests/s in each hour.
    capacity_among
        As for :func:`fleet`, which has an answer for each of them.
    """
    replicas = [
        fewest_sharing(rate, lambda count: capacity_among(count).at_most_rps) or 0 if rate > 0 else 0
        for rate in hourly_rps
    ]
    return Day(
        demand_rps=tuple(hourly_rps),
        replicas=tuple(replicas),
        fixed_replica_hours=max(replicas) * len(replicas),
        following_replica_hours=sum(replicas),
        requests=math.fsum(hourly_rps) * 3600,
    )


def cost_per_million(cost: float, requests: float, tokens_per_request: float) -> float:
    """Cost of a million tokens, where ``cost`` buys ``requests`` of so many tokens each, on average."""
    return cost / (requests * tokens_per_request) * 1e6


def _headroom(rate: Interval, used_rps: float) -> Interval:
    return Interval(rate.estimate / used_rps - 1, rate.low / used_rps - 1, rate.high / used_rps - 1)


def _exceeds(rate_rps: float, limit_rps: float) -> bool:
    return rate_rps * (1 - _TOLERANCE) > limit_rps
