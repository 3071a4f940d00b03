"""The queries of the hot path, built once per store: composing a statement costs more than running it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from phasegate.store import rows
from phasegate.store.base import DEATH
from phasegate.store.tables import permits, phase_runs, runs, tombstones, workers

AnyOf = Callable[[Any, Any], sa.ColumnElement[bool]]


class Queries:
    """Statements with named parameters. Those called ``ids``, ``flows`` and ``dead`` are lists, encoded by the dialect."""

    def __init__(self, any_of: AnyOf) -> None:
        free, now = runs.c.worker.is_(None), sa.bindparam("now", type_=runs.c.due_at.type)
        ids: Any = sa.bindparam("ids")
        known = any_of(runs.c.flow + "@" + sa.cast(runs.c.version, sa.String), sa.bindparam("flows"))
        raised = {"epoch": runs.c.epoch + 1}
        freed = sa.update(runs).values(worker=None, **raised)
        bereft = sa.update(runs).values(worker=None, epoch=runs.c.epoch + DEATH)

        tenant = sa.bindparam("tenant", type_=sa.String)
        priority = sa.bindparam("priority", type_=sa.Integer)
        # The first group of one tenant and priority, and the one behind a given one; see ``claiming``.
        waiting = free, runs.c.due_at.is_not(None)
        order = runs.c.tenant, runs.c.priority.desc()
        group = sa.select(runs.c.tenant, runs.c.priority).where(*waiting).order_by(*order).limit(1)
        self.first_group = group
        lower = group.where(runs.c.tenant == tenant, runs.c.priority < priority).subquery()
        other = group.where(runs.c.tenant > tenant).subquery()
        self.next_group = (
            sa.union_all(sa.select(sa.literal(0).label("turn"), lower), sa.select(sa.literal(1), other))
            .order_by("turn").limit(1)
        )  # fmt: skip
        mine = runs.c.tenant == tenant, runs.c.priority == priority
        self.due = (
            sa.select(runs.c.id).where(free, *mine, runs.c.due_at <= now, known).order_by(runs.c.due_at)
            .limit(sa.bindparam("most", type_=sa.Integer))
        )  # fmt: skip
        # For the transaction that takes them: what another worker is taking now is passed over. SQLite has one writer at a
        # time anyway, and its dialect leaves the clause out.
        self.due_and_free = self.due.with_for_update(skip_locked=True)
        self.later = (
            sa.select(runs.c.due_at).where(free, *mine, runs.c.due_at > now, known).order_by(runs.c.due_at).limit(1)
        )
        # When somebody's runs come free should they not renew.
        leases = sa.select(sa.func.min(workers.c.lease_until)).where(sa.exists().where(runs.c.worker == workers.c.id))
        self.next_lease_end = leases.where(workers.c.id != sa.bindparam("holder"))
        self.dead = sa.select(workers.c.id).where(workers.c.lease_until <= now)
        self.dead_and_free = self.dead.with_for_update(skip_locked=True)
        self.take = sa.update(runs).where(any_of(runs.c.id, ids)).values(worker=sa.bindparam("holder"), **raised)
        self.free_of_dead = bereft.where(any_of(runs.c.worker, sa.bindparam("dead")))
        self.free_some = freed.where(any_of(runs.c.id, ids), runs.c.worker == sa.bindparam("holder"))
        registered = sa.select(workers.c.id)
        self.free_of_unknown = bereft.where(runs.c.worker.is_not(None), runs.c.worker.not_in(registered))
        self.free_all = freed.where(runs.c.worker == sa.bindparam("holder"))
        self.bury = sa.delete(workers).where(any_of(workers.c.id, sa.bindparam("dead")))
        self.forfeit = sa.delete(permits).where(any_of(permits.c.worker, sa.bindparam("dead")))
        self.latest = (
            sa.select(runs)
            .where(
                any_of(runs.c.subject_id, ids),
                runs.c.flow == sa.bindparam("flow"),
                runs.c.tenant == sa.bindparam("tenant"),
            )
            .order_by(runs.c.id)
        )
        self.tombstones = sa.select(tombstones).where(
            any_of(tombstones.c.subject_id, ids),
            *(tombstones.c[name] == sa.bindparam(name) for name in ("flow", "key", "tenant")),
            tombstones.c.subject_kind == sa.bindparam("kind"),
        )
        self.runs = sa.select(runs).where(any_of(runs.c.id, ids))
        columns = (phase_runs.c[name] for name in rows.PHASE_COLUMNS)
        self.phases = sa.select(*columns).where(any_of(phase_runs.c.run_id, ids))
