"""The first schema.

Written out in full and never changed: what a table looks like today stands in ``store/tables.py``, what a database had to
go through to get there stands here.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    _create_runs()
    _create_phase_runs()
    _create_attempts()
    _create_outputs()
    _create_facts()
    _create_decisions()
    op.create_table(
        "phasegate_workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME, nullable=False),
    )
    op.create_table(
        "phasegate_flows",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    _create_quotas()
    _create_tombstones()
    for statement in _MORE[context.config.attributes["dialect"]]:
        op.execute(statement)


def downgrade() -> None:
    for view in ("facts", "stuck", "failed_phases", "recent_completions", "phase_counts", "subjects_by_phase"):
        op.execute(f"DROP VIEW phasegate_v_{view}")
    # Those that refer to runs before the runs.
    for table in (
        "tombstones",
        "rates",
        "permits",
        "flows",
        "workers",
        "decisions",
        "facts",
        "outputs",
        "attempts",
        "phase_runs",
        "runs",
    ):
        op.drop_table(f"phasegate_{table}")


def _create_runs() -> None:
    op.create_table(
        "phasegate_runs",
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
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("aim", sa.Text),
        sa.Column("unchecked", sa.Boolean, nullable=False),
        sa.Column("ending", sa.String),
        sa.Column("reason", sa.Text),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("due_at", _TIME),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("worker", sa.String),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'waiting', 'paused', 'succeeded', 'failed', 'cancelled')",
            name="ck_phasegate_status_known",
        ),
        sa.CheckConstraint(
            "status NOT IN ('succeeded', 'failed', 'cancelled') OR (due_at IS NULL AND worker IS NULL)",
            name="ck_phasegate_final_run_is_at_rest",
        ),
    )
    op.create_index("ix_phasegate_runs_subject", "phasegate_runs", ["subject_id", "flow", "tenant"])
    live = sa.text("(status NOT IN ('succeeded', 'failed', 'cancelled'))")
    _create_partial_index(
        "ux_phasegate_one_live_run", ["subject_id", "subject_kind", "flow", "key", "tenant"], live, unique=True
    )
    due = ["tenant", sa.text("priority DESC"), "due_at"]
    _create_partial_index("ix_phasegate_runs_due", due, sa.text("worker IS NULL AND due_at IS NOT NULL"))
    _create_partial_index("ix_phasegate_runs_worker", ["worker"], sa.text("worker IS NOT NULL"))


def _create_partial_index(
    name: str, columns: list[Any], where: sa.TextClause, *, unique: bool = False, table: str = "phasegate_runs"
) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _instance() -> list[sa.Column[Any]]:
    return [
        sa.Column("run_id", sa.String, sa.ForeignKey("phasegate_runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("phase", sa.String, primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
    ]


def _create_phase_runs() -> None:
    op.create_table(
        "phasegate_phase_runs",
        *_instance(),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("flow", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("due_at", _TIME),
        sa.Column("started_at", _TIME),
        sa.Column("since", _TIME),
        sa.Column("version", sa.Integer),
        sa.Column("sha256", sa.String),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.CheckConstraint(
            "status IN ('pending', 'ready', 'running', 'waiting', 'succeeded', 'skipped', 'failed')",
            name="ck_phasegate_status_known",
        ),
        sa.CheckConstraint("status <> 'succeeded' OR outcome IS NOT NULL", name="ck_phasegate_success_has_outcome"),
        sqlite_with_rowid=False,
    )
    is_open = sa.text("status IN ('ready', 'running', 'waiting', 'failed')")
    columns: list[Any] = ["since", "tenant", "flow", "phase", "status"]
    _create_partial_index("ix_phasegate_phase_runs_open", columns, is_open, table="phasegate_phase_runs")
    failed = sa.text("status = 'failed'")
    _create_partial_index("ix_phasegate_phase_runs_failed", ["since", "tenant"], failed, table="phasegate_phase_runs")


def _create_attempts() -> None:
    op.create_table(
        "phasegate_attempts",
        *_instance(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("error", sa.String),
        sa.Column("message", sa.Text),
        sa.Column("trace", sa.Text),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "status IN ('succeeded', 'skipped', 'failed', 'snoozed', 'asked', 'lost', 'stopped')",
            name="ck_phasegate_status_known",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_phasegate_attempts_finished", "phasegate_attempts", ["finished_at"])


def _create_outputs() -> None:
    op.create_table(
        "phasegate_outputs",
        *_instance(),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_facts() -> None:
    op.create_table(
        "phasegate_facts",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("run_id", sa.String, sa.ForeignKey("phasegate_runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ux_phasegate_facts_run_seq", "phasegate_facts", ["run_id", "seq"], unique=True)


def _create_decisions() -> None:
    op.create_table(
        "phasegate_decisions",
        *_instance(),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("decided_by", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("seen", sa.String),
        sa.Column("answers", sa.Text),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )


def _create_quotas() -> None:
    op.create_table(
        "phasegate_permits",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("worker", sa.String, primary_key=True),
        sa.Column("taken", sa.Integer, nullable=False),
    )
    op.create_table(
        "phasegate_rates",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("tokens", sa.Double, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )


def _create_tombstones() -> None:
    op.create_table(
        "phasegate_tombstones",
        sa.Column("subject_id", sa.String, primary_key=True),
        sa.Column("subject_kind", sa.String, primary_key=True),
        sa.Column("flow", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False),
        sa.Column("purged_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('succeeded', 'failed', 'cancelled')", name="ck_phasegate_status_known"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_phasegate_tombstones_run", "phasegate_tombstones", ["tenant", "run_id"])


_SQLITE = (
    """CREATE VIEW phasegate_v_subjects_by_phase AS
    SELECT r.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, r.status AS run_status, p.phase, p.scope,
           p.status AS phase_status, p.attempt, p.since, p.due_at, coalesce(p.reason, r.reason) AS reason
    FROM phasegate_runs r
    LEFT JOIN phasegate_phase_runs p
      ON p.run_id = r.id AND p.tenant = r.tenant AND p.status IN ('ready', 'running', 'waiting', 'failed')""",
    """CREATE VIEW phasegate_v_phase_counts AS
    SELECT tenant, flow, phase, status AS phase_status, count(*) AS instances, min(since) AS oldest_since
    FROM phasegate_phase_runs WHERE status IN ('ready', 'running', 'waiting', 'failed')
    GROUP BY tenant, flow, phase, status""",
    """CREATE VIEW phasegate_v_recent_completions AS
    SELECT a.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, a.phase, a.scope, a.number AS attempt,
           a.outcome, a.started_at, a.finished_at
    FROM phasegate_attempts a JOIN phasegate_runs r ON r.id = a.run_id
    WHERE a.status = 'succeeded'
      AND a.finished_at >= strftime('%Y-%m-%dT%H:%M:%f', 'now', '-24 hours') || '000+00:00'
    ORDER BY a.finished_at DESC""",
    """CREATE VIEW phasegate_v_failed_phases AS
    SELECT p.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, p.phase, p.scope, p.attempt, p.reason,
           p.since AS failed_at
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE p.status = 'failed' AND r.status <> 'cancelled' ORDER BY p.since DESC""",
    """CREATE VIEW phasegate_v_stuck AS
    SELECT p.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, r.status AS run_status, p.phase, p.scope,
           p.status AS phase_status, p.since, p.due_at, p.reason
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND p.status IN ('ready', 'running', 'waiting', 'failed')
      AND p.since < strftime('%Y-%m-%dT%H:%M:%f', 'now', '-24 hours') || '000+00:00'
    ORDER BY p.since""",
    """CREATE VIEW phasegate_v_facts AS
    SELECT f.tenant, f.run_id, f.position, f.seq - json_array_length(f.body) + 1 + j.key AS seq,
           json_extract(j.value, '$.kind') AS kind, json_extract(j.value, '$.at') AS at,
           json_extract(j.value, '$.phase') AS phase, j.value AS fact
    FROM phasegate_facts f, json_each(f.body) j""",
)

_POSTGRESQL_VIEWS = (
    """CREATE VIEW phasegate.phasegate_v_subjects_by_phase WITH (security_invoker = true) AS
    SELECT r.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, r.status AS run_status, p.phase, p.scope,
           p.status AS phase_status, p.attempt, p.since, p.due_at, coalesce(p.reason, r.reason) AS reason
    FROM phasegate_runs r
    LEFT JOIN phasegate_phase_runs p
      ON p.run_id = r.id AND p.tenant = r.tenant AND p.status IN ('ready', 'running', 'waiting', 'failed')""",
    """CREATE VIEW phasegate.phasegate_v_phase_counts WITH (security_invoker = true) AS
    SELECT tenant, flow, phase, status AS phase_status, count(*) AS instances, min(since) AS oldest_since
    FROM phasegate_phase_runs WHERE status IN ('ready', 'running', 'waiting', 'failed')
    GROUP BY tenant, flow, phase, status""",
    """CREATE VIEW phasegate.phasegate_v_recent_completions WITH (security_invoker = true) AS
    SELECT a.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, a.phase, a.scope, a.number AS attempt,
           a.outcome, a.started_at, a.finished_at
    FROM phasegate_attempts a JOIN phasegate_runs r ON r.id = a.run_id
    WHERE a.status = 'succeeded' AND a.finished_at >= now() - interval '24 hours'
    ORDER BY a.finished_at DESC""",
    """CREATE VIEW phasegate.phasegate_v_failed_phases WITH (security_invoker = true) AS
    SELECT p.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, p.phase, p.scope, p.attempt, p.reason,
           p.since AS failed_at
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE p.status = 'failed' AND r.status <> 'cancelled' ORDER BY p.since DESC""",
    """CREATE VIEW phasegate.phasegate_v_stuck WITH (security_invoker = true) AS
    SELECT p.tenant, r.flow, r.version, r.subject_kind, r.subject_id, r.id AS run_id, r.status AS run_status, p.phase, p.scope,
           p.status AS phase_status, p.since, p.due_at, p.reason
    FROM phasegate_phase_runs p JOIN phasegate_runs r ON r.id = p.run_id
    WHERE r.status NOT IN ('succeeded', 'failed', 'cancelled') AND p.status IN ('ready', 'running', 'waiting', 'failed')
      AND p.since < now() - interval '24 hours'
    ORDER BY p.since""",
    """CREATE VIEW phasegate.phasegate_v_facts WITH (security_invoker = true) AS
    SELECT f.tenant, f.run_id, f.position, f.seq - json_array_length(f.body::json) + j.place AS seq,
           j.fact ->> 'kind' AS kind, j.fact ->> 'at' AS at, j.fact ->> 'phase' AS phase, j.fact AS fact
    FROM phasegate_facts f, json_array_elements(f.body::json) WITH ORDINALITY AS j(fact, place)""",
)
_OWN = "tenant = current_setting('phasegate.tenant', true)"
_POLICIES = tuple(
    statement
    for name in ("runs", "phase_runs", "attempts", "outputs", "facts", "decisions", "tombstones")
    for statement in (
        f"ALTER TABLE phasegate.phasegate_{name} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY own_tenant ON phasegate.phasegate_{name} USING ({_OWN}) WITH CHECK ({_OWN})",
    )
)
_STATISTICS = (
    "CREATE STATISTICS phasegate.st_phasegate_phase_runs (mcv) ON tenant, phase, status"
    " FROM phasegate.phasegate_phase_runs"
)

#: What follows the tables, by dialect.
_MORE = {"sqlite": _SQLITE, "postgresql": (*_POSTGRESQL_VIEWS, _STATISTICS, *_POLICIES)}
