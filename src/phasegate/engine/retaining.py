"""Retention: finished runs that are old enough go, into an archive if there is one, and leave a tombstone each."""

from __future__ import annotations

import time as _time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from phasegate.core.retention import FINISHED, OldRun, OldRuns, PurgeReport, Tombstone
from phasegate.core.run import RunStatus, Subject
from phasegate.engine.archive import Archive
from phasegate.engine.base import Base
from phasegate.errors import InputError, Purged

#: Facts in one commit: a run of ten thousand items is not deleted together with five hundred others.
MOST_FACTS = 20_000
#: How many subjects a message names.
NAMED = 3


class Retaining(Base):
    """The part of the façade that lets old runs go."""

    def purge(
        self, older_than: timedelta | float, *, flow: str | None = None,
        statuses: Collection[RunStatus | str] = FINISHED, archive: str | Path | None = None, dry_run: bool = False,
        tenant: str | None = None, limit: int | None = None, batch: int = 500,
        listen: Callable[[PurgeReport], None] | None = None,
    ) -> PurgeReport:  # fmt: skip
        """Delete the runs that have ended and have not changed for ``older_than`` (seconds, if it is a number).

        Every run goes with all its rows and leaves a tombstone, by which ``start`` knows that its subject was done. With
        ``archive`` each run is first written to the end of that file, one JSON document a line, and is on the disk before
        its rows are deleted: a crash in between archives a run twice and never loses one. At most ``batch`` runs go in one
        commit, at most ``limit`` in all; ``listen`` is told after each commit what has gone so far. Workers, and other
        purges, may be at work; the time is the database's.

        With ``dry_run`` nothing changes, and the report says what would go. In a rehearsal no archive is written.

        Raises ``InputError`` for an age, a status or an archive that cannot be. When the archive fails half way, what has
        gone by then is in it. Tables of applications are left alone.
        """
        which = OldRuns(
            tenant=tenant or self.tenant, before=_before(self.store.now(), older_than), flow=flow,
            statuses=_finished(statuses),
        )  # fmt: skip
        if dry_run:
            return self.store.count_old(which, limit=limit)
        total = PurgeReport(dry_run=self.dry_run)
        with nullcontext() if archive is None or self.dry_run else Archive(Path(archive)) as file:
            for some in self._portions(which, limit, batch):
                total = total.plus(self._purge(some, file))
                if listen is not None:
                    listen(total)
        return total

    def purged(self, subject: Subject, *, tenant: str | None = None) -> list[Tombstone]:
        """What is left of the purged runs of a subject, in all flows; the latest run comes last."""
        return self.store.tombstones(tenant or self.tenant, subject=subject)

    def _portions(self, which: OldRuns, limit: int | None, batch: int) -> Iterator[list[OldRun]]:
        """The runs that are to go, in the order of their ids, so many at a time as make a short transaction."""
        after, left = "", limit
        while left is None or left > 0:
            found = self.store.old_runs(which, after=after, limit=batch if left is None else min(batch, left))
            if not found:
                return
            yield from _small(found)
            after, left = found[-1].id, None if left is None else left - len(found)

    def _purge(self, some: Sequence[OldRun], archive: Archive | None) -> PurgeReport:
        archived = 0
        if archive is not None:
            documents = self.store.documents([run.id for run in some])
            archive.append(documents)
            archived = len(documents)
        began = _time.monotonic()
        report = self._journal.call(lambda: self.store.purge(some)).result()
        # SQLite gives its lock to whoever asks at the right moment, not to who waits longest: leave others a moment.
        _time.sleep(min(_time.monotonic() - began, 0.1))
        return replace(report, archived=archived)


def purged(stones: Iterable[Tombstone]) -> Purged:
    """The error for subjects that were done and purged."""
    told = {stone.subject: str(stone) for stone in stones}
    some = "; ".join(list(told.values())[:NAMED])
    more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return Purged(some + more, subjects=told)


def _small(found: Sequence[OldRun]) -> Iterator[list[OldRun]]:
    portion: list[OldRun] = []
    facts = 0
    for run in found:
        if portion and facts + run.seq > MOST_FACTS:
            yield portion
            portion, facts = [], 0
        portion.append(run)
        facts += run.seq
    yield portion


def _before(now: datetime, age: timedelta | float) -> datetime:
    try:
        span = age if isinstance(age, timedelta) else timedelta(seconds=age)
        before = now - span
    except (OverflowError, ValueError):
        raise InputError(f"{age} is too long ago, or no age at all", hint="give a number of seconds") from None
    if span < timedelta(0):
        raise InputError(f"an age is not negative: {span.total_seconds():g} seconds")
    return before


def _finished(statuses: Collection[RunStatus | str]) -> tuple[RunStatus, ...]:
    """Statuses in which runs may go. Raises ``InputError``."""
    words = ", ".join(status.value for status in FINISHED)
    try:
        chosen = tuple(RunStatus(each) for each in statuses)
    except ValueError as error:
        raise InputError(str(error), hint=f"one of {words}") from None
    alive = [status.value for status in chosen if not status.final]
    if alive:
        raise InputError(f"a run that is {alive[0]} has not ended and cannot be purged", hint=f"one of {words}")
    return chosen
