"""Imports, their rows, and what they look like."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from phasegate.apps.discovery.statements.common import of_tenant, text, update, whole
from phasegate.apps.discovery.tables import data_imports, import_profiles, raw_import_records, skipped_records

_imports, _raw, _profiles, _skipped = data_imports.c, raw_import_records.c, import_profiles.c, skipped_records.c

ADD_IMPORT = sa.insert(data_imports)
ADD_RAW = sa.insert(raw_import_records)
ADD_SKIPPED = sa.insert(skipped_records)
ADD_PROFILE = sa.insert(import_profiles)

IMPORT = sa.select(data_imports).where(of_tenant(data_imports), _imports.id == text("import_id"))
IMPORTED = update(
    data_imports, _imports.id == text("import_id"),
    columns=("status", "total_records", "processed_records", "failed_records", "headings", "notes", "updated_at", "completed_at"),
)  # fmt: skip
PROCESSED = update(data_imports, _imports.id == text("import_id"), columns=("processed_records", "updated_at"))
END_IMPORT = update(
    data_imports, _imports.id == text("import_id"), _imports.status.in_(("pending", "processing")),
    columns=("status", "updated_at"),
)  # fmt: skip

PROFILES = (
    sa.select(_profiles.profile, _profiles.findings)
    .where(of_tenant(import_profiles), _profiles.data_import_id == text("import_id"))
    .order_by(_profiles.piece)
)
SKIPPED = (
    sa.select(_skipped.line, _skipped.reason, _skipped.sample)
    .where(of_tenant(skipped_records), _skipped.data_import_id == text("import_id"))
    .order_by(_skipped.place)
    .limit(whole("most"))
)
SKIPPED_REASONS = (
    sa.select(_skipped.reason, sa.func.count().label("n"))
    .where(of_tenant(skipped_records), _skipped.data_import_id == text("import_id"))
    .group_by(_skipped.reason)
    .order_by(sa.desc("n"), _skipped.reason)
)

#: Rows of an import behind one, in their order.
ROWS = (
    sa.select(
        _raw.row_number, _raw.id, _raw.raw_data, _raw.cleansed_data, _raw.validation_errors, _raw.is_valid, _raw.is_processed,
        _raw.asset_id,
    )
    .where(of_tenant(raw_import_records), _raw.data_import_id == text("import_id"), _raw.row_number > whole("after"))
    .order_by(_raw.row_number)
    .limit(whole("most"))
)  # fmt: skip
CLEANSED = sa.text(
    "UPDATE raw_import_records SET cleansed_data = :data, validation_errors = :errors, is_valid = :valid"
    " WHERE data_import_id = :import_id AND row_number = :row"
    " AND client_account_id = :client AND engagement_id = :engagement"
).bindparams(sa.bindparam("valid", type_=sa.Boolean))
MADE = sa.text(
    "UPDATE raw_import_records SET asset_id = :asset, is_processed = :processed"
    " WHERE data_import_id = :import_id AND row_number = :row"
    " AND client_account_id = :client AND engagement_id = :engagement"
).bindparams(sa.bindparam("processed", type_=sa.Boolean))


def _count(*where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.func.count().label("n")).where(
        of_tenant(raw_import_records), _raw.data_import_id == text("import_id"), *where
    )


COUNT_ROWS = _count()
COUNT_CLEANSED = _count(_raw.cleansed_data.is_not(None))
COUNT_MADE = _count(_raw.asset_id.is_not(None))
