"""The history of builds: what became of runs, phases and attempts, what was asked, changed, checked and approved.

The engine's own log is the truth; these tables are what a projection makes of it, in the same commit, for whoever asks in SQL.
Only ``llm_calls`` are written by the stage that asks, each call in a commit of its own at once, so that no token is lost. Times
are UTC, durations seconds, lists and objects JSON text. On PostgreSQL the tables lie in the schema ``build``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from phasegate.sqltypes import UtcTime

SCHEMA = "build"

RUN_STATUSES = ("running", "succeeded", "failed", "cancelled", "interrupted", "awaiting_approval")
#: Of runs, phases and attempts that have not ended.
OPEN = ("running", "awaiting_approval", "interrupted")
PHASE_STATUSES = (
    "running", "succeeded", "failed", "blocked", "awaiting_approval", "rejected", "interrupted", "cancelled", "skipped",
)  # fmt: skip
CHANGE_STATES = ("planned", "applied", "rolled_back")
APPROVAL_STATUSES = ("pending", "approved", "rejected", "expired", "consumed")
MOMENTS = ("baseline", "after")

metadata = sa.MetaData()


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(name, metadata, *columns, info={"schema": SCHEMA})


def _word(name: str, words: tuple[str, ...]) -> list[Any]:
    listed = ", ".join(f"'{word}'" for word in words)
    return [sa.Column(name, sa.String, nullable=False), sa.CheckConstraint(f"{name} IN ({listed})")]


def _to(table: str, key: str, name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(
        name, sa.String, sa.ForeignKey(f"{table}.{key}", ondelete="CASCADE"), **{"nullable": False} | options
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


#: One row per run of a plan. ``pid`` and ``host`` are of the process that began it or took it up last.
runs = _table(
    "runs",
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    *_word("status", RUN_STATUSES),
    sa.Column("repo_root", sa.String, nullable=False),
    sa.Column("stop_on_failure", sa.Boolean, nullable=False),
    sa.Column("max_retries", sa.Integer, nullable=False),
    sa.Column("health_checks", sa.Boolean, nullable=False),
    sa.Column("total_phases", sa.Integer, nullable=False),
    _count("successful_phases"),
    _count("failed_phases"),
    _count("skipped_phases"),
    _count("token_usage"),
    sa.Column("duration_s", sa.Double),
    sa.Column("failure_reason", sa.Text),
    sa.Column("engine_version", sa.String, nullable=False),
    sa.Column("policy_json", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer),
    sa.Column("host", sa.String),
    sa.Column("heartbeat_at", UtcTime),
)

#: One row per phase of a run. ``id`` is the run's and the phase's number, from 1: ``<run>/1``.
phases = _table(
    "phases",
    sa.Column("id", sa.String, primary_key=True),
    _to("runs", "run_id", "run_id"),
    sa.Column("phase_index", sa.Integer, nullable=False),
    sa.Column("phase_id", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("category", sa.String, nullable=False),
    sa.Column("complexity", sa.String, nullable=False),
    sa.Column("spec_json", sa.Text, nullable=False),
    sa.Column("spec_sha256", sa.String, nullable=False),
    *_word("status", PHASE_STATUSES),
    _count("attempts"),
    _count("tokens_used"),
    sa.Column("summary", sa.Text),
    sa.Column("errors_json", sa.Text, nullable=False, server_default="[]"),
    sa.Column("result_json", sa.Text),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("duration_s", sa.Double),
    sa.UniqueConstraint("run_id", "phase_index"),
)

#: One row per attempt. ``attempt_id`` is the phase's ``id`` and the attempt's index, from 0: ``<run>/1/0``.
attempts = _table(
    "attempts",
    sa.Column("attempt_id", sa.String, primary_key=True),
    _to("phases", "id", "phase_fk"),
    sa.Column("attempt_index", sa.Integer, nullable=False),
    *_word("status", PHASE_STATUSES),
    sa.Column("model", sa.String),
    _count("escalation_level"),
    sa.Column("error_code", sa.String),
    sa.Column("error_category", sa.String),
    sa.Column("errors_json", sa.Text, nullable=False, server_default="[]"),
    sa.Column("feedback_json", sa.Text),
    sa.Column("prompt_sha256", sa.String),
    sa.Column("prompt_text", sa.Text),
    sa.Column("response_text", sa.Text),
    sa.Column("parse_method", sa.String),
    sa.Column("truncated", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    sa.Column("duration_s", sa.Double),
    sa.UniqueConstraint("phase_fk", "attempt_index"),
)

#: One row per call. ``total_tokens`` is always known, guessed when ``estimated``; its parts only when the provider told.
llm_calls = _table(
    "llm_calls",
    sa.Column("id", sa.String, primary_key=True),
    _to("attempts", "attempt_id", "attempt_fk"),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("provider", sa.String),
    sa.Column("model", sa.String),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    sa.Column("total_tokens", sa.Integer, nullable=False),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("cost", sa.Double),
    sa.Column("stop_reason", sa.String),
    sa.Column("latency_ms", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("created_at", UtcTime, nullable=False),
)

#: One row per file of the last set of changes of an attempt.
file_changes = _table(
    "file_changes",
    sa.Column("id", sa.String, primary_key=True),
    _to("attempts", "attempt_id", "attempt_fk"),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("effective_mode", sa.String, nullable=False),
    sa.Column("sha_before", sa.String),
    sa.Column("sha_after", sa.String),
    sa.Column("bytes_before", sa.Integer),
    sa.Column("bytes_after", sa.Integer),
    _count("lines_added"),
    _count("lines_removed"),
    *_word("state", CHANGE_STATES),
    sa.UniqueConstraint("attempt_fk", "path"),
)

#: One row per check, before the first phase or after an attempt.
health_checks = _table(
    "health_checks",
    sa.Column("id", sa.String, primary_key=True),
    _to("runs", "run_id", "run_fk"),
    _to("phases", "id", "phase_fk", nullable=True),
    _to("attempts", "attempt_id", "attempt_fk", nullable=True),
    *_word("moment", MOMENTS),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("critical", sa.Boolean, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("details_json", sa.Text),
)

#: One row per change that a person was asked about. ``change_sha256`` is what the decision is bound to.
approvals = _table(
    "approvals",
    sa.Column("request_id", sa.String, primary_key=True),
    _to("attempts", "attempt_id", "attempt_fk"),
    sa.Column("change_sha256", sa.String, nullable=False),
    sa.Column("risk_score", sa.Integer, nullable=False),
    sa.Column("reasons_json", sa.Text, nullable=False),
    *_word("status", APPROVAL_STATUSES),
    sa.Column("requested_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime),
    sa.Column("responded_at", UtcTime),
    sa.Column("decided_by", sa.String),
    sa.Column("comment", sa.Text),
)

#: What happened, in order; never changed.
events = _table(
    "events",
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    _to("runs", "run_id", "run_fk"),
    _to("phases", "id", "phase_fk", nullable=True),
    _to("attempts", "attempt_id", "attempt_fk", nullable=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("payload_json", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)

#: What the file is: ``schema``, ``version``.
meta = _table(
    "meta",
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

for _column in (phases.c.run_id, llm_calls.c.attempt_fk, health_checks.c.run_fk, events.c.run_fk):
    sa.Index(f"ix_{_column.table.name}_{_column.name}", _column)
