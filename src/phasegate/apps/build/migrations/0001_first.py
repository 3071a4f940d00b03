"""The first tables of the build application.

Written out in full and never changed: what a table looks like today stands in ``tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
_STATUS = (
    "status IN ('running', 'succeeded', 'failed', 'blocked', 'awaiting_approval', 'rejected', 'interrupted', 'cancelled', "
    "'skipped')"
)
_TABLES = ("meta", "runs", "phases", "attempts", "events", "approvals", "file_changes", "health_checks", "llm_calls")


def upgrade() -> None:
    _meta()
    _runs()
    _phases()
    _attempts()
    _events()
    _approvals()
    _file_changes()
    _health_checks()
    _llm_calls()
    op.create_index("ix_events_run_fk", "events", ["run_fk"])
    op.create_index("ix_phases_run_id", "phases", ["run_id"])
    op.create_index("ix_health_checks_run_fk", "health_checks", ["run_fk"])
    op.create_index("ix_llm_calls_attempt_fk", "llm_calls", ["attempt_fk"])
    op.bulk_insert(
        sa.table("meta", sa.column("key"), sa.column("value")),
        [{"key": "schema", "value": "build"}, {"key": "version", "value": "1"}],
    )


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("repo_root", sa.String(), nullable=False),
        sa.Column("stop_on_failure", sa.Boolean(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("health_checks", sa.Boolean(), nullable=False),
        sa.Column("total_phases", sa.Integer(), nullable=False),
        sa.Column("successful_phases", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("failed_phases", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("skipped_phases", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("token_usage", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("engine_version", sa.String(), nullable=False),
        sa.Column("policy_json", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("heartbeat_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'failed', 'cancelled', 'interrupted', 'awaiting_approval')"
        ),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run_fk", sa.String(), nullable=False),
        sa.Column("phase_fk", sa.String(), nullable=True),
        sa.Column("attempt_fk", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["attempt_fk"], ["attempts.attempt_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["phase_fk"], ["phases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_fk"], ["runs.run_id"], ondelete="CASCADE"),
    )


def _phases() -> None:
    op.create_table(
        "phases",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("phase_index", sa.Integer(), nullable=False),
        sa.Column("phase_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("complexity", sa.String(), nullable=False),
        sa.Column("spec_json", sa.Text(), nullable=False),
        sa.Column("spec_sha256", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("tokens_used", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("errors_json", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("result_json", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint(_STATUS),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "phase_index"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("phase_fk", sa.String(), nullable=False),
        sa.Column("attempt_index", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("escalation_level", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_category", sa.String(), nullable=True),
        sa.Column("errors_json", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("feedback_json", sa.Text(), nullable=True),
        sa.Column("prompt_sha256", sa.String(), nullable=True),
        sa.Column("prompt_text", sa.Text(), nullable=True),
        sa.Column("response_text", sa.Text(), nullable=True),
        sa.Column("parse_method", sa.String(), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("attempt_id"),
        sa.CheckConstraint(_STATUS),
        sa.ForeignKeyConstraint(["phase_fk"], ["phases.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("phase_fk", "attempt_index"),
    )


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("attempt_fk", sa.String(), nullable=False),
        sa.Column("change_sha256", sa.String(), nullable=False),
        sa.Column("risk_score", sa.Integer(), nullable=False),
        sa.Column("reasons_json", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("responded_at", _TIME, nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id"),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected', 'expired', 'consumed')"),
        sa.ForeignKeyConstraint(["attempt_fk"], ["attempts.attempt_id"], ondelete="CASCADE"),
    )


def _file_changes() -> None:
    op.create_table(
        "file_changes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("attempt_fk", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("effective_mode", sa.String(), nullable=False),
        sa.Column("sha_before", sa.String(), nullable=True),
        sa.Column("sha_after", sa.String(), nullable=True),
        sa.Column("bytes_before", sa.Integer(), nullable=True),
        sa.Column("bytes_after", sa.Integer(), nullable=True),
        sa.Column("lines_added", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("lines_removed", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("state IN ('planned', 'applied', 'rolled_back')"),
        sa.ForeignKeyConstraint(["attempt_fk"], ["attempts.attempt_id"], ondelete="CASCADE"),
        sa.UniqueConstraint("attempt_fk", "path"),
    )


def _health_checks() -> None:
    op.create_table(
        "health_checks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_fk", sa.String(), nullable=False),
        sa.Column("phase_fk", sa.String(), nullable=True),
        sa.Column("attempt_fk", sa.String(), nullable=True),
        sa.Column("moment", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("critical", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("details_json", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("moment IN ('baseline', 'after')"),
        sa.ForeignKeyConstraint(["attempt_fk"], ["attempts.attempt_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["phase_fk"], ["phases.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_fk"], ["runs.run_id"], ondelete="CASCADE"),
    )


def _llm_calls() -> None:
    op.create_table(
        "llm_calls",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("attempt_fk", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("total_tokens", sa.Integer(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["attempt_fk"], ["attempts.attempt_id"], ondelete="CASCADE"),
    )
