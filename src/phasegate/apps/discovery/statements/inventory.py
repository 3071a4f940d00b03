"""Assets, conflicts, dependencies and debts."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.discovery.statements.common import of_tenant, text, update, whole
from phasegate.apps.discovery.tables import KEYS, asset_conflict_resolutions, asset_debts, asset_dependencies, assets

_assets, _conflicts = assets.c, asset_conflict_resolutions.c

LIVE = _assets.deleted_at.is_(None)
ASSETS = (
    sa.select(assets)
    .where(of_tenant(assets), LIVE, sa.or_(text("asset_type").is_(None), _assets.asset_type == text("asset_type")))
    .order_by(_assets.name, _assets.id)
    .limit(whole("most"))
    .offset(whole("skip"))
)
ASSET = sa.select(assets).where(of_tenant(assets), LIVE, _assets.id == text("asset_id"))
ADD_ASSET = sa.insert(assets)
#: What the database raises at a row that it cannot take; a lost connection or a lock is no fault of the row.
REFUSED = (sa.exc.IntegrityError, sa.exc.DataError)
ASSETS_OF_FLOW = (
    sa.select(assets).where(of_tenant(assets), LIVE, _assets.master_flow_id == text("flow_id")).order_by(_assets.id)
)
BY_TYPE = (
    sa.select(_assets.asset_type, sa.func.count().label("n"))
    .where(of_tenant(assets), LIVE)
    .group_by(_assets.asset_type)
    .order_by(_assets.asset_type)
)
#: The assets that have one of many keys in a column.
ASSETS_LIKE = {
    column: sa.select(assets).where(of_tenant(assets), LIVE, key.in_(sa.bindparam("keys", expanding=True)))
    for column, key in KEYS.items()
}


def change_asset(columns: tuple[str, ...]) -> sa.Update:
    """Set these columns of one asset that is not deleted; the new values are the parameters that ``news`` makes."""
    return update(assets, _assets.id == text("asset_id"), LIVE, columns=columns)


ADD_CONFLICT = sa.insert(asset_conflict_resolutions)
CONFLICTS = (
    sa.select(asset_conflict_resolutions)
    .where(of_tenant(asset_conflict_resolutions), _conflicts.discovery_flow_id == text("flow_id"))
    .order_by(_conflicts.row_number)
)
RESOLVE = update(
    asset_conflict_resolutions, _conflicts.id == text("conflict_id"), _conflicts.applied.is_(False),
    columns=("resolution_status", "resolution_action", "merge_field_selections", "dependency", "resolved_by", "resolved_at"),
)  # fmt: skip
APPLIED = update(asset_conflict_resolutions, _conflicts.id == text("conflict_id"), columns=("applied",))
COUNT_PENDING = sa.select(sa.func.count().label("n")).where(
    of_tenant(asset_conflict_resolutions), _conflicts.discovery_flow_id == text("flow_id"),
    _conflicts.resolution_status == "pending",
)  # fmt: skip

FORGET_DEPENDENCIES = sa.delete(asset_dependencies).where(
    of_tenant(asset_dependencies),
    asset_dependencies.c.master_flow_id == text("flow_id"),
    asset_dependencies.c.chosen.is_(False),
)
ADD_DEPENDENCY = sa.text(
    "INSERT INTO asset_dependencies (client_account_id, engagement_id, source_id, target_id, dependency_type, confidence,"
    " description, chosen, master_flow_id) VALUES (:client_account_id, :engagement_id, :source_id, :target_id,"
    " :dependency_type, :confidence, :description, :chosen, :master_flow_id)"
    " ON CONFLICT (source_id, target_id, dependency_type) DO UPDATE SET confidence = excluded.confidence,"
    " description = excluded.description WHERE NOT asset_dependencies.chosen"
).bindparams(sa.bindparam("chosen", type_=sa.Boolean))
DEPENDENCIES = sa.select(asset_dependencies).where(of_tenant(asset_dependencies))
FORGET_DEBTS = sa.delete(asset_debts).where(of_tenant(asset_debts), asset_debts.c.master_flow_id == text("flow_id"))
ADD_DEBT = sa.text(
    "INSERT INTO asset_debts (client_account_id, engagement_id, asset_id, kind, severity, message, remediation,"
    " master_flow_id) VALUES (:client_account_id, :engagement_id, :asset_id, :kind, :severity, :message, :remediation,"
    " :master_flow_id) ON CONFLICT (asset_id, kind) DO UPDATE SET severity = excluded.severity,"
    " message = excluded.message, remediation = excluded.remediation, master_flow_id = excluded.master_flow_id"
)
DEBTS = sa.select(asset_debts).where(of_tenant(asset_debts)).order_by(asset_debts.c.asset_id, asset_debts.c.kind)
