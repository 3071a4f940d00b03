"""Field mappings, and what was learned from decisions about them."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.apps.discovery.statements.common import of_tenant, text, update
from phasegate.apps.discovery.tables import import_field_mappings, learned_mappings

_mappings, _learned = import_field_mappings.c, learned_mappings.c

ADD_MAPPING = sa.insert(import_field_mappings)
MAPPINGS = (
    sa.select(import_field_mappings)
    .where(of_tenant(import_field_mappings), _mappings.data_import_id == text("import_id"))
    .order_by(_mappings.place)
)
#: What people have decided stays when suggestions are made again.
FORGET_SUGGESTIONS = sa.delete(import_field_mappings).where(
    of_tenant(import_field_mappings), _mappings.data_import_id == text("import_id"), _mappings.status == "suggested"
)
DECIDE_MAPPING = update(
    import_field_mappings, _mappings.id == text("mapping_id"),
    columns=(
        "target_field", "match_type", "agent_reasoning", "status", "approved_by", "approved_at", "approval_note",
        "updated_at",
    ),
)  # fmt: skip

LEARNED = sa.select(_learned.source_field, _learned.target_field, _learned.approved, _learned.times).where(
    of_tenant(learned_mappings)
)
LEARN = sa.text(
    "INSERT INTO learned_mappings (client_account_id, engagement_id, source_field, target_field, approved, times, updated_at)"
    " VALUES (:client_account_id, :engagement_id, :source_field, :target_field, :approved, 1, :updated_at)"
    " ON CONFLICT (client_account_id, engagement_id, source_field, target_field, approved)"
    " DO UPDATE SET times = learned_mappings.times + 1, updated_at = excluded.updated_at"
).bindparams(
    sa.bindparam("approved", type_=_learned.approved.type), sa.bindparam("updated_at", type_=_learned.updated_at.type)
)
