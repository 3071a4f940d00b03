"""The engine's tables. Every row carries its tenant; times are UTC with zone; JSON is text that ``codec`` wrote.

Constraints repeat the invariants, so that a defect in the code cannot become a false row. Tables that are read by run are
clustered by run (``WITHOUT ROWID``): a run is loaded from neighbouring pages and no second index has to be kept.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.sqltypes import UtcTime

PREFIX = "phasegate_"
FINAL = tuple(status.value for status in RunStatus if status.final)


metadata = sa.MetaData()


def _table(name: str, *columns: Any, **options: Any) -> sa.Table:
    return sa.Table(PREFIX + name, metadata, *columns, **options)


def _one_of(column: str, words: Any) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"ck_phasegate_{column}_known")


runs = _table(
    "runs",
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("flow", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("subject_kind", sa.String, nullable=False),
    sa.Column("subject_id", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("started_by", sa.String, nullable=False),
    sa.Column("input", sa.Text),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("aim", sa.Text),
    sa.Column("unchecked", sa.Boolean, nullable=False),
    sa.Column("ending", sa.String),
    sa.Column("reason", sa.Text),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("due_at", UtcTime),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("worker", sa.String),
    _one_of("status", [s.value for s in RunStatus]),
    sa.CheckConstraint(
        "status NOT IN ('succeeded', 'failed', 'cancelled') OR (due_at IS NULL AND worker IS NULL)",
        name="ck_phasegate_final_run_is_at_rest",
    ),
)
_live = runs.c.status.not_in([sa.literal_column(f"'{word}'") for word in FINAL])
sa.Index("ix_phasegate_runs_subject", runs.c.subject_id, runs.c.flow, runs.c.tenant)
sa.Index(
    "ux_phasegate_one_live_run", runs.c.subject_id, runs.c.subject_kind, runs.c.flow, runs.c.key, runs.c.tenant,
    unique=True, sqlite_where=_live, postgresql_where=_live,
)  # fmt: skip
_claimable = sa.and_(runs.c.worker.is_(None), runs.c.due_at.is_not(None))
sa.Index(
    "ix_phasegate_runs_due", runs.c.tenant, runs.c.priority.desc(), runs.c.due_at,
    sqlite_where=_claimable, postgresql_where=_claimable,
)  # fmt: skip
_held = runs.c.worker.is_not(None)
sa.Index("ix_phasegate_runs_worker", runs.c.worker, sqlite_where=_held, postgresql_where=_held)

_instance = ("run_id", "phase", "scope")


def _instance_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("run_id", sa.String, sa.ForeignKey(runs.c.id, ondelete="CASCADE"), primary_key=True),
        sa.Column("phase", sa.String, primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
    ]


phase_runs = _table(
    "phase_runs",
    *_instance_columns(),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("flow", sa.String, nullable=False),  # stands in the run too; here it saves counting the join
    sa.Column("status", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String),
    sa.Column("due_at", UtcTime),
    sa.Column("started_at", UtcTime),
    sa.Column("since", UtcTime),
    sa.Column("version", sa.Integer),
    sa.Column("sha256", sa.String),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    _one_of("status", [s.value for s in PhaseStatus]),
    sa.CheckConstraint("status <> 'succeeded' OR outcome IS NOT NULL", name="ck_phasegate_success_has_outcome"),
    sqlite_with_rowid=False,
)
#: What a subject is in now, beside what it has been through and has before it.
OPEN = tuple(s.value for s in (PhaseStatus.READY, PhaseStatus.RUNNING, PhaseStatus.WAITING, PhaseStatus.FAILED))
_open = phase_runs.c.status.in_([sa.literal_column(f"'{word}'") for word in OPEN])
# For the views, which look for what is open or has failed, oldest or latest first.
sa.Index(
    "ix_phasegate_phase_runs_open", phase_runs.c.since, phase_runs.c.tenant, phase_runs.c.flow, phase_runs.c.phase,
    phase_runs.c.status,
    sqlite_where=_open, postgresql_where=_open,
)  # fmt: skip
_failed = phase_runs.c.status == sa.literal_column("'failed'")
sa.Index(
    "ix_phasegate_phase_runs_failed", phase_runs.c.since, phase_runs.c.tenant,
    sqlite_where=_failed, postgresql_where=_failed,
)  # fmt: skip

ATTEMPT_ENDINGS = ("succeeded", "skipped", "failed", "snoozed", "asked", "lost", "stopped")

attempts = _table(
    "attempts",
    *_instance_columns(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("outcome", sa.String),
    sa.Column("error", sa.String),
    sa.Column("message", sa.Text),
    sa.Column("trace", sa.Text),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime, nullable=False),
    _one_of("status", ATTEMPT_ENDINGS),
    sqlite_with_rowid=False,
)
sa.Index("ix_phasegate_attempts_finished", attempts.c.finished_at)

outputs = _table(
    "outputs",
    *_instance_columns(),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

#: One row per commit of a run, not per fact: ``body`` is the JSON list of the facts that were recorded together, ``seq`` the
#: number of the last of them. The view ``phasegate_v_facts`` shows them one by one.
facts = _table(
    "facts",
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.String, sa.ForeignKey(runs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
sa.Index("ux_phasegate_facts_run_seq", facts.c.run_id, facts.c.seq, unique=True)

decisions = _table(
    "decisions",
    *_instance_columns(),
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False),
    sa.Column("decided_by", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("seen", sa.String),
    sa.Column("answers", sa.Text),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

#: What is left of a run that was purged: the latest of its subject, flow and key, so that nobody does the subject again
#: unawares.
tombstones = _table(
    "tombstones",
    sa.Column("subject_id", sa.String, primary_key=True),
    sa.Column("subject_kind", sa.String, primary_key=True),
    sa.Column("flow", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("ended_at", UtcTime, nullable=False),
    sa.Column("purged_at", UtcTime, nullable=False),
    _one_of("status", FINAL),
    sqlite_with_rowid=False,
)
sa.Index("ix_phasegate_tombstones_run", tombstones.c.tenant, tombstones.c.run_id)

workers = _table(
    "workers",
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("host", sa.String, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("lease_until", UtcTime, nullable=False),
)

#: How many places under a quota each worker has in use.
permits = _table(
    "permits",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("worker", sa.String, primary_key=True),
    sa.Column("taken", sa.Integer, nullable=False),
)

#: What was left of the rate of a quota at a time.
rates = _table(
    "rates",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("tokens", sa.Double, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

#: Definitions of flows as data, so that a command line can plan runs of flows whose code it does not have.
flows = _table(
    "flows",
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
