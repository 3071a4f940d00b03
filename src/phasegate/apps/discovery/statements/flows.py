"""Flows: where they stand, and what was asked of them."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.discovery.statements.common import of_tenant, text, update, whole
from phasegate.apps.discovery.tables import data_imports, discovery_flows, flow_audit, master_flows

_master, _child, _audit = master_flows.c, discovery_flows.c, flow_audit.c

ADD_MASTER = sa.insert(master_flows)
ADD_CHILD = sa.insert(discovery_flows)
AUDIT = sa.insert(flow_audit)

_BOTH = (
    sa.select(
        discovery_flows, _master.flow_status, _master.flow_type, _master.flow_configuration, _master.run_id,
        _master.deleted_at, data_imports.c.filename, data_imports.c.total_records, data_imports.c.processed_records,
        data_imports.c.failed_records, data_imports.c.status.label("import_status"),
    )
    .join(master_flows, _master.flow_id == _child.flow_id)
    .join(data_imports, data_imports.c.id == _child.data_import_id)
    .where(of_tenant(discovery_flows))
)  # fmt: skip
FLOW = _BOTH.where(_child.flow_id == text("flow_id"))
FLOWS = _BOTH.where(_master.flow_status != "deleted").order_by(_child.created_at.desc()).limit(whole("most"))
#: Flows that have not gone through the inventory yet: they are in the way of another import.
BLOCKING = _BOTH.where(
    _master.flow_status.in_(("initialized", "running", "paused")), _child.asset_inventory_completed.is_(False)
).order_by(_child.created_at)

#: The projection's: nothing of a deleted flow is changed.
MASTER_STANDS = update(
    master_flows, _master.flow_id == text("the_flow"), _master.flow_status != "deleted",
    columns=("flow_status", "updated_at"),
)  # fmt: skip
CHILD_STANDS = update(
    discovery_flows, _child.flow_id == text("the_flow"), _child.status != "deleted",
    columns=(
        "status", "progress_percentage", "current_phase", "data_import_completed", "data_validation_completed",
        "field_mapping_completed", "data_cleansing_completed", "asset_inventory_completed",
        "dependency_analysis_completed", "tech_debt_assessment_completed", "awaiting_user_approval", "phase_state",
        "error_message", "error_phase", "error_details", "updated_at", "completed_at",
    ),
)  # fmt: skip
#: What is known of a flow beside its run: how far its step under way is.
STATE = sa.select(_child.phase_state).where(of_tenant(discovery_flows), _child.flow_id == text("the_flow"))
#: How many flows the tenant has ever begun.
COUNT_FLOWS = sa.select(sa.func.count().label("n")).where(of_tenant(master_flows))
DELETE_MASTER = update(
    master_flows, _master.flow_id == text("the_flow"), columns=("flow_status", "updated_at", "deleted_at")
)
DELETE_CHILD = update(discovery_flows, _child.flow_id == text("the_flow"), columns=("status", "updated_at"))
CONFIGURE = update(master_flows, _master.flow_id == text("the_flow"), columns=("flow_configuration", "updated_at"))

AUDITED = (
    sa.select(flow_audit)
    .where(of_tenant(flow_audit), sa.or_(text("flow_id").is_(None), _audit.flow_id == text("flow_id")))
    .order_by(_audit.id.desc())
    .limit(whole("most"))
)
