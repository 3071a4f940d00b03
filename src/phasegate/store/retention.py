"""Runs that have ended long ago: what they are, as rows and as documents, and what stays when they are deleted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from phasegate.core.retention import OldRun, OldRuns, PurgedRuns, PurgeReport, Tombstone
from phasegate.core.run import Run, RunStatus, Subject
from phasegate.store import archiving, rows
from phasegate.store.base import Write
from phasegate.store.queries import Queries
from phasegate.store.tables import FINAL, PREFIX, attempts, decisions, facts, outputs, phase_runs, runs, tombstones

#: What a run consists of besides its own row.
PARTS = (phase_runs, attempts, outputs, facts, decisions)
#: Subjects in one question for tombstones.
CHUNK = 10_000

_KEY = tuple(column.name for column in tombstones.primary_key)
_FORGET = sa.delete(tombstones).where(*(tombstones.c[name] == sa.bindparam(f"of_{name}") for name in _KEY))


class Retention(ABC):
    """The verbs of ``Store`` about old runs; see there for what each promises."""

    _queries: Queries

    @abstractmethod
    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection to read from."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction."""

    @abstractmethod
    def now(self) -> datetime:
        """The database's time."""

    @abstractmethod
    def many(self, values: Sequence[str]) -> Any:
        """Many values as one parameter."""

    @abstractmethod
    def any_of(self, column: Any, values: Any) -> sa.ColumnElement[bool]:
        """Whether a column is among many values."""

    def old_runs(self, which: OldRuns, *, after: str = "", limit: int) -> list[OldRun]:
        query = sa.select(runs.c.id, runs.c.seq).where(_old(which), runs.c.id > after)
        with self.reading() as connection:
            return [OldRun(*row) for row in connection.execute(query.order_by(runs.c.id).limit(limit))]

    def count_old(self, which: OldRuns, *, limit: int | None = None) -> PurgeReport:
        columns = (runs.c.id, runs.c.flow, runs.c.status, runs.c.updated_at)
        chosen = sa.select(*columns).where(_old(which)).order_by(runs.c.id).limit(limit).cte("chosen")
        at = chosen.c.updated_at
        groups = sa.select(chosen.c.flow, chosen.c.status, sa.func.count(), sa.func.min(at), sa.func.max(at))
        groups = groups.group_by(chosen.c.flow, chosen.c.status).order_by(chosen.c.flow, chosen.c.status)
        with self.reading() as connection:
            found = tuple(
                PurgedRuns(flow, RunStatus(status), *rest) for flow, status, *rest in connection.execute(groups)
            )
            counts, size = {_name(runs): sum(group.runs for group in found)}, 0
            for table in PARTS:
                long: Any = sa.func.sum(sa.func.length(table.c.body)) if "body" in table.c else sa.literal(0)
                counted = sa.select(sa.func.count(), long).where(table.c.run_id.in_(sa.select(chosen.c.id)))
                count, characters = connection.execute(counted).one()
                counts[_name(table)], size = count, size + int(characters or 0)
        return PurgeReport(found, counts, size=size, dry_run=True)

    def documents(self, run_ids: Sequence[str]) -> list[str]:
        def these(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
            return self.any_of(column, sa.bindparam("ids"))

        given = {"ids": self.many(run_ids)}
        with self.reading() as connection:
            own = connection.execute(sa.select(runs).where(these(runs.c.id)).order_by(runs.c.id), given).mappings()
            heads = {row["id"]: dict(row) for row in own}
            parts: archiving.Parts = {run_id: {_name(table): [] for table in PARTS} for run_id in heads}
            for table in PARTS:
                query = sa.select(table).where(these(table.c.run_id)).order_by(*table.primary_key)
                for row in connection.execute(query, given).mappings():
                    parts[row["run_id"]][_name(table)].append(dict(row))
        return [archiving.document(head, parts[run_id]) for run_id, head in heads.items()]

    def purge(self, chosen: Sequence[OldRun]) -> PurgeReport:
        now, seqs = self.now(), dict(chosen)
        # What somebody is changing at this moment is no longer old: it is passed over instead of waited for.
        query = sa.select(runs).where(self.any_of(runs.c.id, sa.bindparam("ids")), runs.c.status.in_(FINAL))
        query = query.order_by(runs.c.id).with_for_update(skip_locked=True)
        with self.writing() as connection:
            locked = connection.execute(query, {"ids": self.many(list(seqs))})
            gone = [row for row in locked if row.seq == seqs[row.id]]
            if not gone:
                return PurgeReport()
            _raise_stones(connection, gone, now)
            given = {"ids": self.many([row.id for row in gone])}
            counts = {
                _name(table): connection.execute(
                    sa.delete(table).where(self.any_of(table.c.get("run_id", table.c.get("id")), sa.bindparam("ids"))),
                    given,
                ).rowcount
                for table in (*PARTS, runs)  # those that refer to runs first
            }
        return _report(gone, counts)

    def known(
        self, tenant: str, flow: str, subjects: Sequence[Subject], key: str
    ) -> tuple[dict[Subject, Run], dict[Subject, Tombstone]]:
        wanted = set(subjects)
        if not wanted:
            return {}, {}
        given = {"flow": flow, "key": key, "tenant": tenant}
        ids = self.many(sorted({subject.id for subject in wanted}))
        with self.reading() as connection:
            rows_ = connection.execute(self._queries.latest, {**given, "ids": ids}).mappings()
            runs_ = [run for run in map(rows.run_of, map(dict, rows_)) if run.key == key and run.subject in wanted]
            found = {run.subject: run for run in runs_}  # in the order of their ids: the latest one stays
            return found, self._stones(connection, wanted - found.keys(), given)

    def _stones(
        self, connection: sa.Connection, subjects: Iterable[Subject], given: dict[str, str]
    ) -> dict[Subject, Tombstone]:
        by_kind: dict[str, list[str]] = {}
        for subject in subjects:
            by_kind.setdefault(subject.kind, []).append(subject.id)
        found: list[Tombstone] = []
        for kind, ids in by_kind.items():
            for start in range(0, len(ids), CHUNK):
                here = {**given, "kind": kind, "ids": self.many(ids[start : start + CHUNK])}
                found += map(_stone, connection.execute(self._queries.tombstones, here))
        return {stone.subject: stone for stone in found}

    def tombstones(self, tenant: str, *, subject: Subject | None = None, run_id: str | None = None) -> list[Tombstone]:
        query = sa.select(tombstones).where(tombstones.c.tenant == tenant)
        if subject is not None:
            here = (tombstones.c.subject_kind == subject.kind, tombstones.c.subject_id == subject.id)
            query = query.where(*here).order_by(tombstones.c.run_id)
        if run_id is not None:
            # The neighbours in the index: a comparison of beginnings would have to look at every stone.
            query = query.where(tombstones.c.run_id >= run_id).order_by(tombstones.c.run_id).limit(2)
        with self.reading() as connection:
            found = map(_stone, connection.execute(query))
            return [stone for stone in found if run_id is None or stone.run_id.startswith(run_id)]


def forgetting(stone: Tombstone) -> Write:
    """What removes a tombstone, for the commit that starts its subject anew."""
    values = {
        "tenant": stone.tenant,
        "flow": stone.flow,
        "subject_kind": stone.subject.kind,
        "subject_id": stone.subject.id,
        "key": stone.key,
    }
    return Write(_FORGET, {f"of_{name}": value for name, value in values.items()})


def _old(which: OldRuns) -> sa.ColumnElement[bool]:
    chosen = [status.value for status in which.statuses if status.final]
    of_flow = sa.true() if which.flow is None else runs.c.flow == which.flow
    return sa.and_(runs.c.tenant == which.tenant, runs.c.status.in_(chosen), runs.c.updated_at < which.before, of_flow)


def _name(table: sa.Table) -> str:
    return table.name.removeprefix(PREFIX)


def _raise_stones(connection: sa.Connection, gone: Sequence[Any], now: datetime) -> None:
    from sqlalchemy.dialects.postgresql import insert  # writes the same ON CONFLICT for SQLite

    latest = {tuple(getattr(row, name) for name in _KEY): row for row in gone}  # ids sort by time: the last one stays
    values = [
        {**dict(zip(_KEY, key, strict=True)), "status": row.status, "run_id": row.id, "ended_at": row.updated_at,
         "purged_at": now}
        for key, row in sorted(latest.items(), key=lambda each: each[0])  # in one order, so that nobody waits in a ring
    ]  # fmt: skip
    fresh = insert(tombstones)
    told = {column.name: fresh.excluded[column.name] for column in tombstones.c if column.name not in _KEY}
    newer = fresh.excluded.run_id >= tombstones.c.run_id
    connection.execute(fresh.on_conflict_do_update(index_elements=_KEY, set_=told, where=newer), values)


def _report(gone: Sequence[Any], counts: dict[str, int]) -> PurgeReport:
    report = PurgeReport(rows=counts)
    for row in gone:
        one = PurgedRuns(row.flow, RunStatus(row.status), 1, row.updated_at, row.updated_at)
        report = report.plus(PurgeReport((one,)))
    return report


def _stone(row: Any) -> Tombstone:
    return Tombstone(
        row.tenant, row.flow, Subject(row.subject_kind, row.subject_id), row.key, RunStatus(row.status), row.run_id,
        row.ended_at, row.purged_at,
    )  # fmt: skip
