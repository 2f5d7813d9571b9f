"""From what saturated replications did to what theory makes of it: samples of work, and the account of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastq.closed_forms.losses import Losses, Occupancy, losses
from fastq.closed_forms.sampled import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastq.analysis.replication import Replication, Work
    from fastq.model.point import Point


def sample_of(replication: Replication) -> Sample:
    """The work that a saturated replication did, redone work apart, for the requests that it completed.

    It is that of requests in progress too: in the mean, what requests of the law take that never are preempted.
    """
    executed = Sample(replication.requests, *replication.executed)
    return executed.less(Sample(replication.preemptions, *replication.redone))


def account(point: Point, replications: Sequence[Replication]) -> Losses:
    """Say where the time of saturated ``replications`` of ``point`` went that theory does not ask for."""
    executed = _sample(sum(r.requests for r in replications), [r.executed for r in replications])
    redone = _sample(sum(r.preemptions for r in replications), [r.redone for r in replications])
    held = Occupancy(
        iterations=sum(r.iterations for r in replications),
        elapsed_ps=sum(r.busy_ps for r in replications),
        running=sum(r.running_sum for r in replications),
        kv_tokens=sum(r.kv_tokens_sum for r in replications),
        blocks=sum(r.blocks_sum for r in replications),
        kv_stopped=sum(r.stopped_kv for r in replications),
        kv_stopped_blocks=sum(r.stopped_kv_blocks for r in replications),
        limit_stopped=sum(r.stopped_seqs + r.stopped_tokens for r in replications),
        limit_stopped_blocks=sum(r.stopped_limit_blocks for r in replications),
    )
    return losses(point, executed, redone, held)


def _sample(requests: int, work: Iterable[Work]) -> Sample:
    return Sample(requests, *map(sum, zip(*work, strict=True)))
