"""What tells how well a tenant's flows are."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.discovery.statements.common import of_tenant
from phasegate.apps.discovery.tables import discovery_flows, master_flows

_master, _child = master_flows.c, discovery_flows.c

#: Every flow of the tenant that was not deleted, latest first.
ALL_FLOWS = (
    sa.select(discovery_flows, _master.flow_status, _master.run_id)
    .join(master_flows, _master.flow_id == _child.flow_id)
    .where(of_tenant(discovery_flows), _master.flow_status != "deleted")
    .order_by(_child.created_at.desc(), _child.flow_id)
)
#: Every run of which there is a row, also of flows that were deleted.
RUNS = sa.select(_master.run_id).where(of_tenant(master_flows))
