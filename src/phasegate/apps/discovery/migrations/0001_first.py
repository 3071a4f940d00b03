"""The first tables of the discovery application.

Written out in full and never changed: what a table looks like today stands in ``tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
_TABLES = (
    "flow_audit",
    "learned_mappings",
    "master_flows",
    "assets",
    "data_imports",
    "asset_conflict_resolutions",
    "asset_debts",
    "asset_dependencies",
    "discovery_flows",
    "import_field_mappings",
    "import_profiles",
    "raw_import_records",
    "skipped_records",
)


def upgrade() -> None:
    _flow_audit()
    _learned_mappings()
    _master_flows()
    _assets()
    _data_imports()
    _asset_conflict_resolutions()
    _asset_debts()
    _asset_dependencies()
    _discovery_flows()
    _import_field_mappings()
    _import_profiles()
    _raw_import_records()
    _skipped_records()
    _asset_indexes()


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _flow_audit() -> None:
    op.create_table(
        "flow_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("flow_id", sa.String(), nullable=True),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_flow_audit_tenant", "flow_audit", ["client_account_id", "engagement_id", "flow_id"], unique=False
    )


def _learned_mappings() -> None:
    op.create_table(
        "learned_mappings",
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("source_field", sa.String(), nullable=False),
        sa.Column("target_field", sa.String(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("times", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("client_account_id", "engagement_id", "source_field", "target_field", "approved"),
    )


def _master_flows() -> None:
    op.create_table(
        "master_flows",
        sa.Column("flow_id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("flow_type", sa.String(), nullable=False),
        sa.Column("flow_name", sa.String(), nullable=False),
        sa.Column("flow_status", sa.String(), nullable=False),
        sa.Column("flow_configuration", sa.Text(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "flow_status IN ('initialized', 'running', 'paused', 'completed', 'failed', 'cancelled', 'deleted')"
        ),
        sa.PrimaryKeyConstraint("flow_id"),
        sa.UniqueConstraint("run_id"),
    )
    op.create_index("ix_master_flows_tenant", "master_flows", ["client_account_id", "engagement_id"], unique=False)


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("asset_name", sa.String(length=255), nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=True),
        sa.Column("asset_type", sa.String(length=50), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=4000), nullable=True),
        sa.Column("fqdn", sa.String(length=255), nullable=True),
        sa.Column("ip_address", sa.String(length=45), nullable=True),
        sa.Column("mac_address", sa.String(length=17), nullable=True),
        sa.Column("security_zone", sa.String(length=100), nullable=True),
        sa.Column("operating_system", sa.String(length=100), nullable=True),
        sa.Column("os_version", sa.String(length=50), nullable=True),
        sa.Column("cpu_cores", sa.BigInteger(), nullable=True),
        sa.Column("memory_gb", sa.Double(), nullable=True),
        sa.Column("storage_gb", sa.Double(), nullable=True),
        sa.Column("virtualization_type", sa.String(length=50), nullable=True),
        sa.Column("serial_number", sa.String(length=100), nullable=True),
        sa.Column("manufacturer", sa.String(length=100), nullable=True),
        sa.Column("model", sa.String(length=100), nullable=True),
        sa.Column("server_role", sa.String(length=100), nullable=True),
        sa.Column("environment", sa.String(length=50), nullable=True),
        sa.Column("location", sa.String(length=100), nullable=True),
        sa.Column("datacenter", sa.String(length=100), nullable=True),
        sa.Column("rack_location", sa.String(length=50), nullable=True),
        sa.Column("availability_zone", sa.String(length=50), nullable=True),
        sa.Column("business_owner", sa.String(length=255), nullable=True),
        sa.Column("technical_owner", sa.String(length=255), nullable=True),
        sa.Column("department", sa.String(length=100), nullable=True),
        sa.Column("business_unit", sa.String(length=100), nullable=True),
        sa.Column("vendor", sa.String(length=100), nullable=True),
        sa.Column("cost_center", sa.String(length=50), nullable=True),
        sa.Column("application_name", sa.String(length=255), nullable=True),
        sa.Column("technology_stack", sa.String(length=255), nullable=True),
        sa.Column("criticality", sa.String(length=50), nullable=True),
        sa.Column("business_criticality", sa.String(length=50), nullable=True),
        sa.Column("status", sa.String(length=50), nullable=True),
        sa.Column("operational_status", sa.String(length=50), nullable=True),
        sa.Column("support_group", sa.String(length=100), nullable=True),
        sa.Column("application_type", sa.String(length=50), nullable=True),
        sa.Column("lifecycle", sa.String(length=50), nullable=True),
        sa.Column("hosting_model", sa.String(length=50), nullable=True),
        sa.Column("database_type", sa.String(length=100), nullable=True),
        sa.Column("database_version", sa.String(length=50), nullable=True),
        sa.Column("database_size_gb", sa.Double(), nullable=True),
        sa.Column("pii_flag", sa.Boolean(), nullable=True),
        sa.Column("data_classification", sa.String(length=50), nullable=True),
        sa.Column("compliance_requirements", sa.String(length=255), nullable=True),
        sa.Column("backup_schedule", sa.String(length=100), nullable=True),
        sa.Column("maintenance_window", sa.String(length=100), nullable=True),
        sa.Column("risk_level", sa.String(length=20), nullable=True),
        sa.Column("asset_tags", sa.Text(), nullable=True),
        sa.Column("six_r_strategy", sa.String(length=50), nullable=True),
        sa.Column("migration_priority", sa.BigInteger(), nullable=True),
        sa.Column("migration_complexity", sa.String(length=20), nullable=True),
        sa.Column("migration_wave", sa.BigInteger(), nullable=True),
        sa.Column("cpu_utilization_percent", sa.Double(), nullable=True),
        sa.Column("memory_utilization_percent", sa.Double(), nullable=True),
        sa.Column("disk_iops", sa.Double(), nullable=True),
        sa.Column("network_throughput_mbps", sa.Double(), nullable=True),
        sa.Column("current_monthly_cost", sa.Double(), nullable=True),
        sa.Column("estimated_cloud_cost", sa.Double(), nullable=True),
        sa.Column("purchase_date", sa.String(length=255), nullable=True),
        sa.Column("warranty_end", sa.String(length=255), nullable=True),
        sa.Column("last_seen", sa.String(length=255), nullable=True),
        sa.Column("depends_on", sa.String(length=1000), nullable=True),
        sa.Column("custom_attributes", sa.Text(), nullable=True),
        sa.Column("raw_data", sa.Text(), nullable=True),
        sa.Column("normalised_name", sa.Text(), nullable=False),
        sa.Column("classification_confidence", sa.Double(), nullable=True),
        sa.Column("classification_rule", sa.String(), nullable=True),
        sa.Column("discovery_source", sa.String(), nullable=True),
        sa.Column("master_flow_id", sa.String(), nullable=True),
        sa.Column("raw_import_records_id", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
        sa.Column("deleted_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_assets_external_id",
        "assets",
        ["client_account_id", "engagement_id", "external_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_assets_ip_address",
        "assets",
        ["client_account_id", "engagement_id", "ip_address"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_assets_normalised_name",
        "assets",
        ["client_account_id", "engagement_id", "normalised_name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _data_imports() -> None:
    op.create_table(
        "data_imports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("master_flow_id", sa.String(), nullable=True),
        sa.Column("import_name", sa.String(), nullable=False),
        sa.Column("import_category", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=True),
        sa.Column("file_size", sa.BigInteger(), nullable=True),
        sa.Column("file_sha256", sa.String(), nullable=True),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("total_records", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("processed_records", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed_records", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("inventory", sa.Text(), nullable=True),
        sa.Column("headings", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("completed_at", _TIME, nullable=True),
        sa.CheckConstraint("status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')"),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("master_flow_id"),
    )
    op.create_index("ix_data_imports_tenant", "data_imports", ["client_account_id", "engagement_id"], unique=False)


def _asset_conflict_resolutions() -> None:
    op.create_table(
        "asset_conflict_resolutions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("discovery_flow_id", sa.String(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("conflict_type", sa.String(), nullable=False),
        sa.Column("conflict_key", sa.String(), nullable=False),
        sa.Column("existing_asset_id", sa.String(), nullable=False),
        sa.Column("existing_asset_snapshot", sa.Text(), nullable=True),
        sa.Column("new_asset_data", sa.Text(), nullable=True),
        sa.Column("resolution_status", sa.String(), nullable=False),
        sa.Column("resolution_action", sa.String(), nullable=True),
        sa.Column("merge_field_selections", sa.Text(), nullable=True),
        sa.Column("dependency", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.Column("applied", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("resolved_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("resolution_status IN ('pending', 'resolved')"),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["discovery_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["existing_asset_id"],
            ["assets.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("data_import_id", "row_number"),
    )
    op.create_index("ix_asset_conflicts_flow", "asset_conflict_resolutions", ["discovery_flow_id"], unique=False)


def _asset_debts() -> None:
    op.create_table(
        "asset_debts",
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("remediation", sa.Text(), nullable=False),
        sa.Column("master_flow_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["assets.id"],
        ),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", "kind"),
    )


def _asset_dependencies() -> None:
    op.create_table(
        "asset_dependencies",
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("dependency_type", sa.String(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("master_flow_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["assets.id"],
        ),
        sa.ForeignKeyConstraint(
            ["target_id"],
            ["assets.id"],
        ),
        sa.PrimaryKeyConstraint("source_id", "target_id", "dependency_type"),
    )


def _discovery_flows() -> None:
    op.create_table(
        "discovery_flows",
        sa.Column("flow_id", sa.String(), nullable=False),
        sa.Column("master_flow_id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("flow_name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("progress_percentage", sa.Double(), server_default="0", nullable=False),
        sa.Column("current_phase", sa.String(), nullable=True),
        sa.Column("data_import_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("data_validation_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("field_mapping_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("data_cleansing_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("asset_inventory_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("dependency_analysis_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("tech_debt_assessment_completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("awaiting_user_approval", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("phase_state", sa.Text(), nullable=True),
        sa.Column("error_message", sa.String(length=1000), nullable=True),
        sa.Column("error_phase", sa.String(), nullable=True),
        sa.Column("error_details", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("completed_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "status IN ('active', 'processing', 'waiting_for_approval', 'paused', 'completed', 'failed', 'cancelled', 'deleted')"
        ),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("flow_id"),
        sa.UniqueConstraint("data_import_id"),
        sa.UniqueConstraint("master_flow_id"),
    )
    op.create_index(
        "ix_discovery_flows_tenant", "discovery_flows", ["client_account_id", "engagement_id"], unique=False
    )


def _import_field_mappings() -> None:
    op.create_table(
        "import_field_mappings",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("master_flow_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("source_field", sa.Text(), nullable=False),
        sa.Column("target_field", sa.String(length=255), nullable=False),
        sa.Column("match_type", sa.String(), nullable=False),
        sa.Column("confidence_score", sa.Double(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("suggested_by", sa.String(), nullable=False),
        sa.Column("suggested_target", sa.String(length=255), nullable=False),
        sa.Column("field_type", sa.String(), nullable=False),
        sa.Column("agent_reasoning", sa.Text(), nullable=False),
        sa.Column("alternatives", sa.Text(), nullable=True),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approval_note", sa.Text(), nullable=True),
        sa.Column("approved_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('suggested', 'approved', 'rejected')"),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["master_flow_id"], ["master_flows.flow_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("data_import_id", "source_field"),
    )


def _import_profiles() -> None:
    op.create_table(
        "import_profiles",
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("piece", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("data_import_id", "piece"),
    )


def _raw_import_records() -> None:
    op.create_table(
        "raw_import_records",
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("raw_data", sa.Text(), nullable=False),
        sa.Column("cleansed_data", sa.Text(), nullable=True),
        sa.Column("validation_errors", sa.Text(), nullable=True),
        sa.Column("is_processed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("asset_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("data_import_id", "row_number"),
    )


def _skipped_records() -> None:
    op.create_table(
        "skipped_records",
        sa.Column("data_import_id", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("client_account_id", sa.String(), nullable=False),
        sa.Column("engagement_id", sa.String(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["data_import_id"], ["data_imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("data_import_id", "place"),
    )


def _asset_indexes() -> None:
    live = sa.text("deleted_at IS NULL")
    for name in ("hostname", "fqdn"):
        op.create_index(
            f"ix_assets_{name}",
            "assets",
            ["client_account_id", "engagement_id", sa.text(f"lower({name})")],
            sqlite_where=live,
            postgresql_where=live,
        )
