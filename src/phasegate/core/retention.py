"""Runs that have ended long ago: which are to go, what went, and what is left of each of them. Frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from phasegate.core.run import RunStatus, Subject

#: How a run may have ended: the only runs that are ever purged.
FINISHED = tuple(status for status in RunStatus if status.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldRuns:
    """The runs of a tenant that ended in one of ``statuses`` and have not changed since ``before``."""

    tenant: str
    before: datetime
    flow: str | None = None
    statuses: tuple[RunStatus, ...] = FINISHED


class OldRun(NamedTuple):
    """A run as it was when it was chosen: ``seq`` counts its facts, and tells whether it has moved since."""

    id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a purged run. Of several purged runs of the same subject, flow and key it is the latest."""

    tenant: str
    flow: str
    subject: Subject
    key: str
    status: RunStatus
    run_id: str
    ended_at: datetime
    purged_at: datetime

    def __str__(self) -> str:
        """One sentence for people."""
        key = f" (key {self.key!r})" if self.key else ""
        return (
            f"{self.subject}{key} {_ENDED[self.status]} in flow {self.flow!r} at {_to_the_second(self.ended_at)}"
            f" and was purged at {_to_the_second(self.purged_at)} (run {self.run_id})"
        )


@dataclass(frozen=True, slots=True)
class PurgedRuns:
    """The runs of one flow that ended in one way; ``oldest`` and ``newest`` are their last changes."""

    flow: str
    status: RunStatus
    runs: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge has deleted, or in a dry-run what it would delete.

    ``rows`` counts the rows by table. ``archived`` counts the runs written to the archive: also one that moved at the last
    moment and therefore stayed. ``size`` is known in a dry-run only: the characters of facts and outputs, most of what the
    runs take up.
    """

    groups: tuple[PurgedRuns, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    archived: int = 0
    size: int | None = None
    dry_run: bool = False

    @property
    def runs(self) -> int:
        """How many runs."""
        return sum(group.runs for group in self.groups)

    def plus(self, more: PurgeReport) -> PurgeReport:
        """Both together, as one purge."""
        groups = {(group.flow, group.status): group for group in self.groups}
        for group in more.groups:
            known = groups.get((group.flow, group.status))
            groups[group.flow, group.status] = group if known is None else _joined(known, group)
        rows = {name: self.rows.get(name, 0) + more.rows.get(name, 0) for name in {**self.rows, **more.rows}}
        return PurgeReport(
            tuple(groups[name] for name in sorted(groups)), rows, self.archived + more.archived, dry_run=self.dry_run
        )


_ENDED = {RunStatus.SUCCEEDED: "succeeded", RunStatus.FAILED: "failed", RunStatus.CANCELLED: "was cancelled"}


def _joined(one: PurgedRuns, other: PurgedRuns) -> PurgedRuns:
    oldest, newest = min(one.oldest, other.oldest), max(one.newest, other.newest)
    return PurgedRuns(one.flow, one.status, one.runs + other.runs, oldest, newest)


def _to_the_second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
