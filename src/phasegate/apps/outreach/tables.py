"""The tables of the outreach application, under the names its users query them by.

One definition for every database: on SQLite the names stand alone, on PostgreSQL each table belongs to the schema that
``SCHEMAS`` gives. Every row carries its tenant, save the id counters, because an id is unique in the whole database. What
SQL of a user may leave out when it inserts a row has a default in the database.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles

from phasegate.sqltypes import UtcTime

#: The schema of each table on PostgreSQL.
SCHEMAS: dict[str, str] = {
    "company_master": "marketing",
    "people_master": "marketing",
    "company_slot": "marketing",
    "phase_completion_log": "marketing",
    "phase_execution": "marketing",
    "pipeline_events": "marketing",
    "pipeline_errors": "marketing",
    "contact_enrichment": "marketing",
    "email_verification": "marketing",
    "outreach_log": "marketing",
    "validation_rules": "marketing",
    "failure_outbox": "marketing",
    "company_raw_intake": "intake",
    "people_raw_intake": "intake",
    "audit_log": "shq",
    "error_master": "shq",
    "id_counter": "shq",
    "bit_events": "bit",
    "company_scores": "bit",
}

VALIDATION_STATUSES = ("pending", "valid", "invalid")
LOG_STATUSES = ("complete", "failed", "skipped", "running")
OUTBOX_STATUSES = ("pending", "delivered", "failed")


class _PhaseNumber(sa.types.TypeDecorator[Decimal]):
    """A phase id where decimals are floats. The column keeps its numeric affinity, so that ``= 1.1`` finds 1.1 and 3 is
    printed as 3."""

    impl = sa.Numeric(3, 1, asdecimal=False)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> float | None:
        """A Decimal, int or float as a float."""
        return None if value is None else float(value)

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:
        """What was stored as a Decimal with one place."""
        return None if value is None else Decimal(str(float(value)))


#: A phase id, read back as Decimal.
PhaseNumber = sa.Numeric(3, 1).with_variant(_PhaseNumber(), "sqlite")
#: JSON; None is NULL.
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
#: Seconds with two places, read back as float.
Seconds = sa.Numeric(10, 2, asdecimal=False)

metadata = sa.MetaData()


class utc_now(sa.sql.expression.FunctionElement[Any]):  # noqa: N801 - it reads as the SQL function it stands for
    """The database's time, as a default of a column."""

    type = UtcTime
    inherit_cache = True


@compiles(utc_now)
def _now(element: Any, compiler: Any, **options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(utc_now, "sqlite")
def _now_as_text(element: Any, compiler: Any, **options: Any) -> str:
    # SQLite has milliseconds; the zeros make the text as wide as every other time, so that they sort together.
    return "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00'"


def _table(name: str, *columns: Any) -> sa.Table:
    tenant = sa.Column("tenant", sa.String, nullable=False, server_default="default")
    return sa.Table(name, metadata, columns[0], tenant, *columns[1:], info={"schema": SCHEMAS[name]})


def _counted(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text) for name in names]


def _at(name: str) -> sa.Column[Any]:
    """When the row came into being; now, unless it is said."""
    return sa.Column(name, UtcTime, nullable=False, server_default=utc_now())


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _word(name: str, words: tuple[str, ...], default: str | None = None) -> list[Any]:
    """A column that holds one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    column = sa.Column(name, sa.String, nullable=False, server_default=default)
    return [column, sa.CheckConstraint(f"{name} IN ({listed})")]


def _of_company(**options: Any) -> sa.Column[str]:
    key = sa.ForeignKey("company_master.company_unique_id", ondelete="CASCADE")
    return sa.Column("company_unique_id", sa.String, key, **{"nullable": False} | options)


def _of_person(**options: Any) -> sa.Column[str]:
    key = sa.ForeignKey("people_master.unique_id", ondelete="CASCADE")
    return sa.Column("person_unique_id", sa.String, key, **{"nullable": False} | options)


company_master = _table(
    "company_master",
    sa.Column("company_unique_id", sa.String, primary_key=True),
    sa.Column("company_name", sa.Text, nullable=False),
    #: The name in lower case: what tells companies apart when a file has no ids.
    sa.Column("name_key", sa.Text),
    *_text("website", "domain", "industry"),
    sa.Column("employee_count", sa.BigInteger),
    *_text("company_phone", "address_street", "address_city", "state", "address_zip", "address_country"),
    *_text("linkedin_url", "facebook_url", "twitter_url", "sic_codes"),
    sa.Column("founded_year", sa.Integer),
    sa.Column("keywords", Json),
    *_text("description", "contact_name", "contact_email", "contact_title"),
    sa.Column("extras", Json),
    sa.Column("source_system", sa.Text, nullable=False, server_default="unknown"),
    *_text("source_record_id", "record_key", "import_batch_id"),
    sa.Column("promoted_from_intake_at", UtcTime),
    sa.Column("promotion_audit_log_id", sa.BigInteger),
    *_word("validation_status", VALIDATION_STATUSES, "pending"),
    sa.Column("validated_at", UtcTime),
    _flag("outreach_ready"),
    sa.Column("readiness_checked_at", UtcTime),
    sa.Column("email_pattern", sa.Text),
    sa.Column("pattern_confidence", sa.Numeric(3, 2, asdecimal=False)),
    sa.Column("current_phase", PhaseNumber, server_default="0"),
    sa.Column("last_phase_completed_at", UtcTime),
    _at("created_at"),
    _at("updated_at"),
    sa.CheckConstraint("employee_count >= 0"),
    sa.CheckConstraint("founded_year >= 1700"),
)
sa.Index("idx_company_current_phase", company_master.c.current_phase)
sa.Index("idx_company_state", company_master.c.tenant, company_master.c.state)
sa.Index("idx_company_name_key", company_master.c.tenant, company_master.c.name_key)
sa.Index("idx_company_domain", company_master.c.tenant, company_master.c.domain)

people_master = _table(
    "people_master",
    sa.Column("unique_id", sa.String, primary_key=True),
    #: What the file says, without a foreign key: a person of an unknown company is kept and reported.
    sa.Column("company_unique_id", sa.String),
    sa.Column("company_slot_unique_id", sa.String),
    sa.Column("first_name", sa.Text, nullable=False, server_default=""),
    sa.Column("last_name", sa.Text, nullable=False, server_default=""),
    *_text("full_name", "company_name", "city", "title", "seniority", "department", "email"),
    #: What the file's verifier said of the address, and where the address comes from: given or derived.
    *_text("email_verification", "email_class"),
    _flag("email_verified"),
    *_text("work_phone_e164", "personal_phone_e164", "linkedin_url", "twitter_url", "facebook_url", "bio"),
    sa.Column("skills", Json),
    sa.Column("education", Json),
    sa.Column("certifications", Json),
    sa.Column("extras", Json),
    sa.Column("source_system", sa.Text, nullable=False, server_default="unknown"),
    *_text("source_record_id", "record_key", "import_batch_id"),
    *_word("validation_status", VALIDATION_STATUSES, "pending"),
    sa.Column("validated_at", UtcTime),
    sa.Column("last_verified_at", UtcTime),
    _at("created_at"),
    #: When the person's data last changed at its source; validating does not touch it, so that its rule stays honest.
    sa.Column("updated_at", UtcTime),
)
sa.Index("idx_people_company", people_master.c.company_unique_id)
sa.Index("idx_people_record_key", people_master.c.tenant, people_master.c.record_key)

company_slot = _table(
    "company_slot",
    sa.Column("company_slot_unique_id", sa.String, primary_key=True),
    _of_company(),
    sa.Column("person_unique_id", sa.String, sa.ForeignKey("people_master.unique_id", ondelete="SET NULL")),
    *_word("slot_type", ("CEO", "CFO", "HR")),
    _flag("is_filled"),
    sa.Column("confidence_score", sa.Numeric(3, 2, asdecimal=False)),
    _at("created_at"),
    sa.Column("filled_at", UtcTime),
    sa.Column("last_refreshed_at", UtcTime),
    *_text("filled_by", "source_system"),
    sa.UniqueConstraint("company_unique_id", "slot_type"),
    sa.CheckConstraint("NOT is_filled OR person_unique_id IS NOT NULL"),
)
sa.Index("idx_slot_person", company_slot.c.person_unique_id)

phase_execution = _table(
    "phase_execution",
    sa.Column("execution_id", sa.String, primary_key=True),
    sa.Column("phase_id", PhaseNumber),
    #: The ids that were asked for, in order; one for a single phase.
    sa.Column("phase_ids", Json, nullable=False),
    sa.Column("phase_name", sa.Text),
    sa.Column("context", Json),
    _flag("dry_run"),
    *_word("status", ("running", "complete", "failed")),
    sa.Column("counts", Json),
    *_text("error_message", "retry_of"),
    _at("started_at"),
    sa.Column("completed_at", UtcTime),
    sa.Column("duration_seconds", Seconds),
)
sa.Index("idx_execution_started_at", phase_execution.c.started_at)

phase_completion_log = _table(
    "phase_completion_log",
    _counted("log_id"),
    _of_company(),
    sa.Column("phase_id", PhaseNumber, nullable=False),
    sa.Column("phase_name", sa.Text, nullable=False),
    *_word("status", LOG_STATUSES),
    _at("started_at"),
    sa.Column("completed_at", UtcTime),
    sa.Column("duration_seconds", Seconds),
    sa.Column("error_message", sa.Text),
    sa.Column("result_summary", Json),
    #: Which attempt of the engine the row is about; empty in rows of other origin.
    sa.Column("run_id", sa.String),
    sa.Column("attempt", sa.Integer),
    sa.Column("execution_id", sa.String, sa.ForeignKey(phase_execution.c.execution_id, ondelete="SET NULL")),
    _at("created_at"),
    _at("updated_at"),
    # Rows without a run do not collide: NULLs are distinct here.
    sa.UniqueConstraint("run_id", "phase_id", "attempt"),
    sa.CheckConstraint("status = 'running' OR completed_at IS NOT NULL"),
)
sa.Index("idx_phase_log_company", phase_completion_log.c.company_unique_id)
sa.Index("idx_phase_log_phase_id", phase_completion_log.c.phase_id)
sa.Index("idx_phase_log_status", phase_completion_log.c.status)
sa.Index("idx_phase_log_company_phase", phase_completion_log.c.company_unique_id, phase_completion_log.c.phase_id)
sa.Index("idx_phase_log_completed_at", phase_completion_log.c.completed_at.desc())

pipeline_events = _table(
    "pipeline_events",
    _counted("id"),
    sa.Column("event_type", sa.String, nullable=False),
    sa.Column("phase_id", PhaseNumber),
    sa.Column("payload", Json, nullable=False),
    *_word("status", ("pending", "processing", "processed", "failed"), "pending"),
    sa.Column("error_message", sa.Text),
    sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
    _at("created_at"),
    sa.Column("processed_at", UtcTime),
)
sa.Index("idx_events_type", pipeline_events.c.event_type, pipeline_events.c.created_at)

#: One row per failed rule of a record.
pipeline_errors = _table(
    "pipeline_errors",
    _counted("id"),
    sa.Column("record_type", sa.String, nullable=False),
    sa.Column("record_id", sa.String, nullable=False),
    sa.Column("company_unique_id", sa.String),
    sa.Column("phase_id", PhaseNumber),
    *_text("field", "rule", "message", "severity"),
    sa.Column("current_value", Json),
    sa.Column("pipeline_id", sa.String),
    _at("created_at"),
)
sa.Index("idx_errors_record", pipeline_errors.c.record_type, pipeline_errors.c.record_id)

audit_log = _table(
    "audit_log",
    _counted("id"),
    sa.Column("component", sa.String, nullable=False),
    sa.Column("event_type", sa.String, nullable=False),
    sa.Column("event_data", Json),
    sa.Column("user_id", sa.String),
    sa.Column("barton_id", sa.String),
    _at("created_at"),
)
sa.Index("idx_audit_component", audit_log.c.component, audit_log.c.created_at)

error_master = _table(
    "error_master",
    _counted("id"),
    sa.Column("error_code", sa.String, nullable=False),
    sa.Column("error_message", sa.Text, nullable=False),
    *_word("severity", ("CRITICAL", "ERROR", "WARNING", "INFO"), "ERROR"),
    sa.Column("component", sa.String, nullable=False),
    sa.Column("phase_id", PhaseNumber),
    sa.Column("context", Json),
    sa.Column("barton_id", sa.String),
    _at("created_at"),
)
sa.Index("idx_error_phase", error_master.c.phase_id, error_master.c.created_at)

contact_enrichment = _table(
    "contact_enrichment",
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("company_slot_unique_id", sa.String),
    sa.Column("company_unique_id", sa.String),
    _of_person(),
    *_text("linkedin_url", "full_name", "email", "phone"),
    *_word("enrichment_status", ("pending", "processing", "completed", "failed"), "pending"),
    sa.Column("enrichment_source", sa.Text),
    sa.Column("enrichment_data", Json),
    sa.Column("cost", sa.Numeric(10, 2, asdecimal=False)),
    _at("created_at"),
    sa.Column("enriched_at", UtcTime),
)
sa.Index("idx_enrichment_person", contact_enrichment.c.person_unique_id)
sa.Index("idx_enrichment_company", contact_enrichment.c.company_unique_id)

email_verification = _table(
    "email_verification",
    _counted("id"),
    sa.Column("enrichment_id", sa.String, sa.ForeignKey(contact_enrichment.c.id, ondelete="CASCADE")),
    _of_person(),
    sa.Column("email", sa.Text, nullable=False),
    *_word("verification_status", ("pending", "valid", "invalid", "risky", "unknown"), "pending"),
    sa.Column("service", sa.Text),
    sa.Column("result", Json),
    sa.Column("verified_at", UtcTime),
    sa.UniqueConstraint("person_unique_id", "email", "service"),
)

bit_events = _table(
    "bit_events",
    _counted("event_id"),
    _of_company(),
    _of_person(nullable=True),
    sa.Column("signal_type", sa.String, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("event_payload", Json),
    #: What a repeated detection of the same signal has in common with the first.
    sa.Column("dedup_key", sa.String, unique=True),
    _at("detected_at"),
    _flag("processed"),
    sa.Column("processed_at", UtcTime),
)
sa.Index("idx_bit_events_company", bit_events.c.company_unique_id)
sa.Index("idx_bit_events_person", bit_events.c.person_unique_id)

#: The latest score of each person.
company_scores = _table(
    "company_scores",
    _of_person(primary_key=True),
    _of_company(),
    sa.Column("score", sa.Integer, nullable=False),
    sa.Column("breakdown", Json),
    *_word("category", ("hot", "warm", "cold", "unscored")),
    sa.Column("reason", sa.Text),
    _at("scored_at"),
    sa.CheckConstraint("score BETWEEN 0 AND 100"),
)
sa.Index("idx_scores_company", company_scores.c.company_unique_id)

outreach_log = _table(
    "outreach_log",
    _counted("outreach_id"),
    _of_person(),
    _of_company(),
    sa.Column("campaign_id", sa.String, nullable=False),
    *_text("sequence_id", "personalization_template"),
    sa.Column("send_date", sa.Date),
    *_word("action_type", ("nurture", "sdr_escalate", "auto_meeting", "watch"), "nurture"),
    sa.Column("bit_score", sa.Integer),
    *_text("score_tier", "trigger_reason"),
    sa.Column("metadata", Json),
    _at("created_at"),
    _flag("processed"),
    sa.Column("processed_at", UtcTime),
    sa.UniqueConstraint("person_unique_id", "campaign_id"),
)
sa.Index("idx_outreach_company", outreach_log.c.company_unique_id)


def _raw(name: str, id_name: str, *more: sa.Column[Any]) -> sa.Table:
    """One row per row of a file, whatever became of it; a record counts as valid once, in whatever file it stands."""
    table = _table(
        name,
        _counted("id"),
        sa.Column("import_id", sa.String, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("record_key", sa.String, nullable=False),
        *_word("verdict", ("valid", "invalid", "duplicate")),
        sa.Column("errors", Json),
        sa.Column("warnings", Json),
        sa.Column("duplicate_of", Json),
        sa.Column("record", Json, nullable=False),
        sa.Column(id_name, sa.String),
        *more,
        _at("created_at"),
        sa.UniqueConstraint("tenant", "import_id", "line"),
    )
    valid = table.c.verdict == sa.literal_column("'valid'")
    sa.Index(
        f"ux_{name}_record", table.c.tenant, table.c.record_key, unique=True, sqlite_where=valid, postgresql_where=valid
    )
    return table


company_raw_intake = _raw("company_raw_intake", "company_unique_id")
people_raw_intake = _raw(
    "people_raw_intake",
    "person_unique_id",
    #: How certain the most likely company is, and why it is not certain enough; empty when the file names a known one.
    sa.Column("match_score", sa.Numeric(5, 4, asdecimal=False)),
    sa.Column("hold_reason", sa.String),
)

#: The last running number given out, by kind of id.
id_counter = sa.Table(
    "id_counter",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False, server_default="0"),
    info={"schema": SCHEMAS["id_counter"]},
)

#: The columns ``rules.declarative.compile_rule`` reads, and the table whose records the rule is for.
validation_rules = _table(
    "validation_rules",
    sa.Column("rule_id", sa.String, primary_key=True),
    sa.Column("table_name", sa.String, nullable=False),
    *_word("rule_type", ("field_required", "field_format", "field_range")),
    sa.Column("field_name", sa.String, nullable=False),
    *_text("pattern", "min_value", "max_value"),
    *_word("severity", ("CRITICAL", "ERROR", "WARNING", "INFO"), "ERROR"),
    sa.Column("error_message", sa.Text),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
)

#: Invalid records that are to reach a sink. ``payload`` is ``routing.Payload.to_json()``.
failure_outbox = _table(
    "failure_outbox",
    _counted("id"),
    sa.Column("dedup_key", sa.String, nullable=False, unique=True),
    sa.Column("payload", Json, nullable=False),
    sa.Column("sheet_tab", sa.String, nullable=False),
    *_word("status", OUTBOX_STATUSES, "pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    _at("created_at"),
    sa.Column("delivered_at", UtcTime),
)
sa.Index("idx_outbox_status", failure_outbox.c.status, failure_outbox.c.id)
