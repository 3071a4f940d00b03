"""The queries of those who look at the records themselves, whatever their phase.

Every query takes ``tenant``. Those that list ids or companies take ``state`` as well, that of the companies, None for all;
the others take ``ids``, at most one batch of them.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from phasegate.apps.outreach import tables as t

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_TENANT: sa.BindParameter[Any] = sa.bindparam("tenant")
_STATE: sa.BindParameter[Any] = sa.bindparam("state", type_=sa.String)
_company, _person, _log, _event = t.company_master.c, t.people_master.c, t.phase_completion_log.c, t.bit_events.c


def _among(key: sa.Column[Any], columns: Collection[Any]) -> Any:
    """The columns of the rows that are about one of the ids."""
    return sa.select(*columns).where(key.table.c.tenant == _TENANT, key.in_(_IDS))


# --- content --------------------------------------------------------------------------------------------------------

#: What phases and loads note about a record. With it no digest over the record would ever be found again.
_BOOKKEEPING = {
    "tenant", "name_key", "record_key", "import_batch_id", "promoted_from_intake_at", "promotion_audit_log_id",
    "company_slot_unique_id", "validation_status", "validated_at", "outreach_ready", "readiness_checked_at",
    "email_pattern", "pattern_confidence", "email_class", "email_verified", "last_verified_at", "current_phase",
    "last_phase_completed_at", "created_at", "updated_at",
}  # fmt: skip


def _content(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.c if column.name not in _BOOKKEEPING]


#: What a source says of the companies ``ids``, of the people of these companies, and of the people ``ids``.
CONTENT_OF_COMPANIES = _among(_company.company_unique_id, _content(t.company_master))
CONTENT_OF_PEOPLE = _among(_person.company_unique_id, _content(t.people_master))
CONTENT_OF_PERSONS = _among(_person.unique_id, _content(t.people_master))
#: How often the enrichment of a company came to an end, well or not.
ENRICHMENT_ATTEMPTS = (
    _among(_log.company_unique_id, (_log.company_unique_id, sa.func.count().label("attempts")))
    .where(_log.phase_id == Decimal("1.5"), _log.status.in_(("complete", "failed")))
    .group_by(_log.company_unique_id)
)

# --- whole records --------------------------------------------------------------------------------------------------

_in_state = sa.and_(
    _company.tenant == _TENANT,
    sa.or_(_STATE.is_(None), sa.func.upper(_company.state) == sa.func.upper(sa.func.trim(_STATE))),
)
_home = sa.exists().where(_company.company_unique_id == _person.company_unique_id, _in_state)


def _ids_in_order(key: sa.Column[Any], *where: sa.ColumnElement[bool]) -> Any:
    return sa.select(key.label("id")).where(*where).order_by(sa.func.length(key), key)


#: The ids of the records of a table, in order; without a state also of people without a company.
RECORD_IDS = {
    "company_master": _ids_in_order(_company.company_unique_id, _in_state),
    "people_master": _ids_in_order(_person.unique_id, _person.tenant == _TENANT, sa.or_(_STATE.is_(None), _home)),
}
#: The records ``ids`` of a table with all their columns.
RECORDS = {
    "company_master": _among(_company.company_unique_id, list(_company)),
    "people_master": _among(_person.unique_id, list(_person)),
}

# --- signals --------------------------------------------------------------------------------------------------------

_signal = sa.exists().where(_event.company_unique_id == _company.company_unique_id, _event.tenant == _TENANT)
#: The companies that gave a signal.
SIGNALLING_COMPANIES = sa.select(_company.company_unique_id, _company.company_name).where(_in_state, _signal)
SIGNALS = _among(
    _event.company_unique_id,
    (_event.company_unique_id, _event.event_id, _event.signal_type, _event.detected_at, _event.processed),
)
