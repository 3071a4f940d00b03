"""The tables of the discovery application.

Every row carries its tenant, a client account and an engagement, and every statement filters by both. There is one id of a flow:
``master_flows.flow_id``, to which everything else refers. On PostgreSQL the tables lie in the schema ``discovery``.

``master_flows`` and ``discovery_flows`` tell where a flow stands. They are kept by a projection of the engine's facts, in the
commit that records those; nobody else writes their status, progress and flags.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from phasegate.apps.discovery.schema import ASSET_FIELDS, AssetField, Kind
from phasegate.sqltypes import UtcTime

SCHEMA = "discovery"

#: What a lifecycle record may say, and what the record of its progress may say.
MASTER_STATUSES = ("initialized", "running", "paused", "completed", "failed", "cancelled", "deleted")
CHILD_STATUSES = (
    "active", "processing", "waiting_for_approval", "paused", "completed", "failed", "cancelled", "deleted",
)  # fmt: skip
IMPORT_STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
MAPPING_STATUSES = ("suggested", "approved", "rejected")
CONFLICT_STATUSES = ("pending", "resolved")

metadata = sa.MetaData()


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(
        name, metadata,
        *columns,
        info={"schema": SCHEMA},
    )  # fmt: skip


def _tenant() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False) for name in ("client_account_id", "engagement_id")]


def _word(name: str, words: tuple[str, ...]) -> list[Any]:
    listed = ", ".join(f"'{word}'" for word in words)
    return [sa.Column(name, sa.String, nullable=False), sa.CheckConstraint(f"{name} IN ({listed})")]


def _flow(name: str = "flow_id", **options: Any) -> sa.Column[str]:
    key = sa.ForeignKey("master_flows.flow_id", ondelete="CASCADE")
    return sa.Column(name, sa.String, key, **{"nullable": False} | options)


def _import(**options: Any) -> sa.Column[str]:
    key = sa.ForeignKey("data_imports.id", ondelete="CASCADE")
    return sa.Column("data_import_id", sa.String, key, **{"nullable": False} | options)


def _json(name: str) -> sa.Column[str]:
    """JSON as text: written and read by one serialiser, and as quick on both kinds of database."""
    return sa.Column(name, sa.Text)


def _whole(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=str(default))


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, UtcTime, nullable=name not in ("created_at", "updated_at")) for name in names]


#: What is common to flows of every type.
master_flows = _table(
    "master_flows",
    sa.Column("flow_id", sa.String, primary_key=True),
    *_tenant(),
    sa.Column("user_id", sa.String, nullable=False),
    sa.Column("flow_type", sa.String, nullable=False),
    sa.Column("flow_name", sa.String, nullable=False),
    *_word("flow_status", MASTER_STATUSES),
    _json("flow_configuration"),
    sa.Column("run_id", sa.String, unique=True),
    *_times("created_at", "updated_at", "deleted_at"),
)
sa.Index("ix_master_flows_tenant", master_flows.c.client_account_id, master_flows.c.engagement_id)

#: One file, or list of records, that was brought in. ``inventory`` says how its file is read, ``notes`` what was odd.
data_imports = _table(
    "data_imports",
    sa.Column("id", sa.String, primary_key=True),
    *_tenant(),
    _flow("master_flow_id", unique=True, nullable=True),
    sa.Column("import_name", sa.String, nullable=False),
    sa.Column("import_category", sa.String, nullable=False),
    sa.Column("filename", sa.String),
    sa.Column("file_size", sa.BigInteger),
    sa.Column("file_sha256", sa.String),
    sa.Column("imported_by", sa.String, nullable=False),
    *_word("status", IMPORT_STATUSES),
    _whole("total_records"),
    _whole("processed_records"),
    _whole("failed_records"),
    _json("inventory"),
    _json("headings"),
    _json("notes"),
    *_times("created_at", "updated_at", "completed_at"),
)
sa.Index("ix_data_imports_tenant", data_imports.c.client_account_id, data_imports.c.engagement_id)

#: Where a discovery flow stands. ``phase_state`` says what is waited for.
discovery_flows = _table(
    "discovery_flows",
    _flow(primary_key=True),
    _flow("master_flow_id", unique=True),
    *_tenant(),
    sa.Column("user_id", sa.String, nullable=False),
    _import(unique=True),
    sa.Column("flow_name", sa.String, nullable=False),
    *_word("status", CHILD_STATUSES),
    sa.Column("progress_percentage", sa.Double, nullable=False, server_default="0"),
    sa.Column("current_phase", sa.String),
    _flag("data_import_completed"),
    _flag("data_validation_completed"),
    _flag("field_mapping_completed"),
    _flag("data_cleansing_completed"),
    _flag("asset_inventory_completed"),
    _flag("dependency_analysis_completed"),
    _flag("tech_debt_assessment_completed"),
    _flag("awaiting_user_approval"),
    _json("phase_state"),
    sa.Column("error_message", sa.String(1_000)),
    sa.Column("error_phase", sa.String),
    _json("error_details"),
    *_times("created_at", "updated_at", "completed_at"),
)
sa.Index("ix_discovery_flows_tenant", discovery_flows.c.client_account_id, discovery_flows.c.engagement_id)

#: The rows as they came, and as they were cleansed. ``id`` is made of the import's id and the row's number.
raw_import_records = _table(
    "raw_import_records",
    _import(primary_key=True),
    sa.Column("row_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String, nullable=False),
    *_tenant(),
    sa.Column("raw_data", sa.Text, nullable=False),
    _json("cleansed_data"),
    _json("validation_errors"),
    _flag("is_processed"),
    sa.Column("is_valid", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("asset_id", sa.String),
)

#: Records of a file that could not be brought in, each with the reason.
skipped_records = _table(
    "skipped_records",
    _import(primary_key=True),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    *_tenant(),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("sample", sa.Text, nullable=False),
)

#: What one piece of an import looks like; the profile of the import is all of them together.
import_profiles = _table(
    "import_profiles",
    _import(primary_key=True),
    sa.Column("piece", sa.Integer, primary_key=True, autoincrement=False),
    *_tenant(),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("findings", sa.Text, nullable=False),
)

#: One row per column of an import: which field of an asset it is for.
import_field_mappings = _table(
    "import_field_mappings",
    sa.Column("id", sa.String, primary_key=True),
    _import(),
    *_tenant(),
    _flow("master_flow_id"),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("source_field", sa.Text, nullable=False),
    sa.Column("target_field", sa.String(255), nullable=False),
    sa.Column("match_type", sa.String, nullable=False),
    sa.Column("confidence_score", sa.Double, nullable=False),
    *_word("status", MAPPING_STATUSES),
    sa.Column("suggested_by", sa.String, nullable=False),
    sa.Column("suggested_target", sa.String(255), nullable=False),
    sa.Column("field_type", sa.String, nullable=False),
    sa.Column("agent_reasoning", sa.Text, nullable=False),
    _json("alternatives"),
    sa.Column("approved_by", sa.String),
    sa.Column("approval_note", sa.Text),
    *_times("approved_at", "created_at", "updated_at"),
    sa.UniqueConstraint("data_import_id", "source_field"),
)

#: What a tenant's people decided about headings: what later suggestions begin with.
learned_mappings = _table(
    "learned_mappings",
    sa.Column("client_account_id", sa.String, primary_key=True),
    sa.Column("engagement_id", sa.String, primary_key=True),
    sa.Column("source_field", sa.String, primary_key=True),
    sa.Column("target_field", sa.String, primary_key=True),
    sa.Column("approved", sa.Boolean, primary_key=True),
    _whole("times", 1),
    *_times("updated_at"),
)


def _asset_column(field: AssetField) -> sa.Column[Any]:
    match field.kind:
        case Kind.WHOLE:
            return sa.Column(field.name, sa.BigInteger)
        case Kind.NUMBER:
            return sa.Column(field.name, sa.Double)
        case Kind.FLAG:
            return sa.Column(field.name, sa.Boolean)
        case Kind.TAGS:
            return _json(field.name)
        case _:
            return sa.Column(field.name, sa.String(field.limit), nullable=field.name not in ("name", "asset_type"))


#: The inventory. A deleted asset keeps its row, and its name becomes free.
assets = _table(
    "assets",
    sa.Column("id", sa.String, primary_key=True),
    *_tenant(),
    *(_asset_column(field) for field in ASSET_FIELDS),
    _json("custom_attributes"),
    _json("raw_data"),
    sa.Column("normalised_name", sa.Text, nullable=False),
    sa.Column("classification_confidence", sa.Double),
    sa.Column("classification_rule", sa.String),
    sa.Column("discovery_source", sa.String),
    _flow("master_flow_id", nullable=True),
    sa.Column("raw_import_records_id", sa.String),
    sa.Column("created_by", sa.String),
    *_times("created_at", "updated_at", "deleted_at"),
    sa.Column("deleted_by", sa.String),
)
_LIVE = assets.c.deleted_at.is_(None)
#: By what an asset is found: the names of machines whatever their upper and lower case.
KEYS: dict[str, Any] = {
    "normalised_name": assets.c.normalised_name,
    "hostname": sa.func.lower(assets.c.hostname),
    "fqdn": sa.func.lower(assets.c.fqdn),
    "ip_address": assets.c.ip_address,
    "external_id": assets.c.external_id,
}
for _name, _key in KEYS.items():
    sa.Index(
        f"ix_assets_{_name}", assets.c.client_account_id, assets.c.engagement_id, _key,
        unique=_name == "normalised_name", sqlite_where=_LIVE, postgresql_where=_LIVE,
    )  # fmt: skip

#: A row of an import that meets an asset, and what a person decided about the two.
asset_conflict_resolutions = _table(
    "asset_conflict_resolutions",
    sa.Column("id", sa.String, primary_key=True),
    *_tenant(),
    _import(),
    _flow("discovery_flow_id"),
    sa.Column("row_number", sa.BigInteger, nullable=False),
    sa.Column("conflict_type", sa.String, nullable=False),
    sa.Column("conflict_key", sa.String, nullable=False),
    sa.Column("existing_asset_id", sa.String, sa.ForeignKey("assets.id"), nullable=False),
    _json("existing_asset_snapshot"),
    _json("new_asset_data"),
    *_word("resolution_status", CONFLICT_STATUSES),
    sa.Column("resolution_action", sa.String),
    _json("merge_field_selections"),
    _json("dependency"),
    sa.Column("resolved_by", sa.String),
    _flag("applied"),
    *_times("resolved_at", "created_at"),
    sa.UniqueConstraint("data_import_id", "row_number"),
)
sa.Index("ix_asset_conflicts_flow", asset_conflict_resolutions.c.discovery_flow_id)

#: What depends on what. Connections that a person has chosen are no analysis's to forget.
asset_dependencies = _table(
    "asset_dependencies",
    *_tenant(),
    sa.Column("source_id", sa.String, sa.ForeignKey("assets.id"), primary_key=True),
    sa.Column("target_id", sa.String, sa.ForeignKey("assets.id"), primary_key=True),
    sa.Column("dependency_type", sa.String, primary_key=True),
    sa.Column("confidence", sa.Double, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    _flag("chosen"),
    _flow("master_flow_id", nullable=True),
)

#: Technical debt of assets, as it was found last.
asset_debts = _table(
    "asset_debts",
    *_tenant(),
    sa.Column("asset_id", sa.String, sa.ForeignKey("assets.id"), primary_key=True),
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("remediation", sa.Text, nullable=False),
    _flow("master_flow_id", nullable=True),
)

#: Every operation that somebody asked for, also those that were refused.
flow_audit = _table(
    "flow_audit",
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    *_tenant(),
    sa.Column("user_id", sa.String, nullable=False),
    sa.Column("flow_id", sa.String),
    sa.Column("operation", sa.String, nullable=False),
    sa.Column("success", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text),
    _json("details"),
    *_times("created_at"),
)
sa.Index("ix_flow_audit_tenant", flow_audit.c.client_account_id, flow_audit.c.engagement_id, flow_audit.c.flow_id)
