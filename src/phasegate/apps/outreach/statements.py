"""The statements of the phases, each built once: the engine joins the writes of many companies by the statement object.

Every query takes ``tenant`` and, save where it says otherwise, ``ids``: the companies it is about, at most one batch of
them. Every insert of something that may be found twice is an upsert, so that a phase that is run again leaves the same
rows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # writes the same ON CONFLICT for SQLite

from phasegate.apps.outreach import tables as t

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_TENANT: sa.BindParameter[Any] = sa.bindparam("tenant")


def _of_companies(table: sa.Table, *names: str) -> Any:
    """The named columns, without those that no phase reads: converting them would cost more than finding the rows."""
    mine = table.c.tenant == _TENANT, table.c.company_unique_id.in_(_IDS)
    return sa.select(*(table.c[name] for name in ("company_unique_id", *names))).where(*mine)


def _excluded(statement: Any, *names: str) -> dict[str, Any]:
    return {name: statement.excluded[name] for name in names}


# --- queries --------------------------------------------------------------------------------------------------------

_PERSON = (
    "unique_id", "company_unique_id", "company_name", "first_name", "last_name", "full_name", "title", "email",
    "email_verification", "email_class", "email_verified", "work_phone_e164", "linkedin_url", "source_system",
    "source_record_id", "validation_status", "validated_at", "updated_at",
)  # fmt: skip

COMPANIES = _of_companies(
    t.company_master, "company_name", "website", "domain", "industry", "employee_count", "state", "address_city",
    "address_zip", "linkedin_url", "source_system", "source_record_id", "validation_status", "outreach_ready",
)  # fmt: skip
SLOTS = _of_companies(
    t.company_slot, "company_slot_unique_id", "person_unique_id", "slot_type", "is_filled", "confidence_score"
)
PEOPLE = _of_companies(t.people_master, *(name for name in _PERSON if name != "company_unique_id"))
ENRICHMENTS = _of_companies(
    t.contact_enrichment, "company_slot_unique_id", "person_unique_id", "email", "enrichment_status", "enriched_at"
)
SIGNALS = _of_companies(t.bit_events, "event_id", "person_unique_id", "processed")
SCORES = _of_companies(t.company_scores, "person_unique_id", "score", "category", "reason")
PROMOTIONS = _of_companies(t.outreach_log, "person_unique_id", "campaign_id")
VERIFICATIONS = (
    sa.select(
        t.email_verification.c.person_unique_id,
        t.email_verification.c.email,
        t.email_verification.c.service,
        t.email_verification.c.verification_status,
        t.email_verification.c.verified_at,
        t.people_master.c.company_unique_id,
    )
    .join(t.people_master, t.people_master.c.unique_id == t.email_verification.c.person_unique_id)
    .where(t.people_master.c.tenant == _TENANT, t.people_master.c.company_unique_id.in_(_IDS))
    .order_by(t.email_verification.c.id)
)
#: The verifications with the words in which they were given.
ANSWERS = VERIFICATIONS.add_columns(t.email_verification.c.result)

_known = sa.select(t.company_master.c.company_unique_id).where(
    t.company_master.c.company_unique_id == t.people_master.c.company_unique_id
)
#: People whose company does not exist; takes the tenant only.
ORPHANS = (
    sa.select(*(t.people_master.c[name] for name in _PERSON))
    .where(t.people_master.c.tenant == _TENANT, ~_known.exists())
    .order_by(sa.func.length(t.people_master.c.unique_id), t.people_master.c.unique_id)
)

#: People of companies that wait for validation.
PENDING_PEOPLE = (
    sa.select(t.people_master.c.unique_id, t.people_master.c.company_unique_id)
    .where(
        t.people_master.c.tenant == _TENANT,
        t.people_master.c.company_unique_id.in_(_IDS),
        t.people_master.c.validation_status == "pending",
    )
    .order_by(sa.func.length(t.people_master.c.unique_id), t.people_master.c.unique_id)
)
#: How the people ``ids`` were judged.
PEOPLE_STATUSES = sa.select(
    t.people_master.c.unique_id, t.people_master.c.full_name, t.people_master.c.validation_status
).where(t.people_master.c.tenant == _TENANT, t.people_master.c.unique_id.in_(_IDS))

#: The rules that the people ``ids`` break now.
FAILURES_OF_PEOPLE = (
    sa.select(t.pipeline_errors.c.record_id, t.pipeline_errors.c.field, t.pipeline_errors.c.message)
    .where(
        t.pipeline_errors.c.tenant == _TENANT,
        t.pipeline_errors.c.record_type == "person",
        t.pipeline_errors.c.record_id.in_(_IDS),
    )
    .order_by(t.pipeline_errors.c.id)
)
#: What the outbox holds and nobody has taken; takes the tenant only.
UNDELIVERED = sa.select(t.failure_outbox.c.dedup_key, t.failure_outbox.c.sheet_tab).where(
    t.failure_outbox.c.tenant == _TENANT, t.failure_outbox.c.status != "delivered"
)

#: Names, places and ids of the companies that are loaded; takes the tenant only.
KNOWN_COMPANIES = sa.select(
    t.company_master.c.company_unique_id,
    t.company_master.c.company_name,
    t.company_master.c.name_key,
    t.company_master.c.domain,
    t.company_master.c.address_city,
    t.company_master.c.source_record_id,
).where(t.company_master.c.tenant == _TENANT)
_loaded = sa.select(t.company_master.c.company_unique_id).where(
    t.company_master.c.company_unique_id == t.company_raw_intake.c.company_unique_id
)
#: Companies that a file has brought and no phase has loaded yet; takes the tenant only.
COMPANIES_UNDER_WAY = sa.select(t.company_raw_intake.c.company_unique_id, t.company_raw_intake.c.record).where(
    t.company_raw_intake.c.tenant == _TENANT, t.company_raw_intake.c.verdict == "valid", ~_loaded.exists()
)
#: The valid rows of one import, in the order of the file; takes ``import_id``.
IMPORTED_COMPANIES = (
    sa.select(t.company_raw_intake.c.company_unique_id, t.company_raw_intake.c.record)
    .where(
        t.company_raw_intake.c.tenant == _TENANT,
        t.company_raw_intake.c.import_id == sa.bindparam("import_id"),
        t.company_raw_intake.c.verdict == "valid",
    )
    .order_by(t.company_raw_intake.c.line)
)
#: How many companies of one import are loaded; takes ``import_id``.
LOADED_OF_IMPORT = (
    sa.select(sa.func.count().label("loaded"))
    .select_from(t.company_master)
    .where(t.company_master.c.tenant == _TENANT, t.company_master.c.import_batch_id == sa.bindparam("import_id"))
)
#: Keys and ids of the people that are loaded; takes the tenant only.
KNOWN_PEOPLE = sa.select(t.people_master.c.unique_id, t.people_master.c.record_key).where(
    t.people_master.c.tenant == _TENANT
)
#: People whose company does not exist, with what they say of it; takes the tenant only.
UNRESOLVED_PEOPLE = sa.select(
    t.people_master.c.unique_id,
    t.people_master.c.company_unique_id,
    t.people_master.c.company_name,
    t.people_master.c.email,
    t.people_master.c.city,
    t.people_master.c.record_key,
).where(t.people_master.c.tenant == _TENANT, ~_known.exists())

#: The last running number of one kind.
COUNTER = sa.select(t.id_counter.c.last).where(t.id_counter.c.kind == sa.bindparam("kind"))

# --- writes ---------------------------------------------------------------------------------------------------------

ADD_COMPANY = insert(t.company_master).on_conflict_do_nothing(index_elements=["company_unique_id"])
ADD_SLOT = insert(t.company_slot).on_conflict_do_nothing()
ADD_PERSON = insert(t.people_master).on_conflict_do_nothing(index_elements=["unique_id"])
ADD_RAW_COMPANY = t.company_raw_intake.insert()
ADD_RAW_PERSON = t.people_raw_intake.insert()
ADD_EVENT = t.pipeline_events.insert()
ADD_AUDIT = t.audit_log.insert()
ADD_ERROR = t.error_master.insert()
ADD_TO_OUTBOX = insert(t.failure_outbox).on_conflict_do_nothing(index_elements=["dedup_key"])

CLEAR_FAILURES = t.pipeline_errors.delete().where(
    t.pipeline_errors.c.tenant == sa.bindparam("of_tenant"),
    t.pipeline_errors.c.record_type == sa.bindparam("of_type"),
    t.pipeline_errors.c.record_id == sa.bindparam("of_id"),
)
ADD_FAILURE = t.pipeline_errors.insert()

_counter = insert(t.id_counter)
SET_COUNTER = _counter.on_conflict_do_update(index_elements=["kind"], set_=_excluded(_counter, "last"))

_this_company = t.company_master.c.company_unique_id == sa.bindparam("company")
_this_person = t.people_master.c.unique_id == sa.bindparam("person")
SET_COMPANY_VALIDITY = (
    t.company_master.update()
    .where(_this_company)
    .values(validation_status=sa.bindparam("status"), validated_at=sa.bindparam("at"))
)
SET_PERSON_VALIDITY = (
    t.people_master.update()
    .where(_this_person)
    .values(validation_status=sa.bindparam("status"), validated_at=sa.bindparam("at"))
)
SET_READINESS = (
    t.company_master.update()
    .where(_this_company)
    .values(outreach_ready=sa.bindparam("ready"), readiness_checked_at=sa.bindparam("at"))
)
SET_PATTERN = (
    t.company_master.update()
    .where(_this_company)
    .values(email_pattern=sa.bindparam("pattern"), pattern_confidence=sa.bindparam("confidence"))
)
#: What a file says goes before what a provider concluded.
SET_SITE = (
    t.company_master.update()
    .where(_this_company)
    .values(
        website=sa.func.coalesce(sa.func.nullif(t.company_master.c.website, ""), sa.bindparam("site")),
        domain=sa.func.coalesce(sa.func.nullif(t.company_master.c.domain, ""), sa.bindparam("site_domain")),
    )
)
SET_EMAIL = (
    t.people_master.update()
    .where(_this_person, sa.func.coalesce(t.people_master.c.email, "") == "")
    .values(email=sa.bindparam("address"), email_class=sa.bindparam("origin"))
)
#: An address that a verifier confirmed, with its verification: one that came meanwhile must not be taken for verified.
SET_PROVEN_EMAIL = (
    t.people_master.update()
    .where(_this_person, sa.func.coalesce(t.people_master.c.email, "") == "")
    .values(
        email=sa.bindparam("address"),
        email_class=sa.bindparam("origin"),
        email_verified=sa.bindparam("verified"),
        last_verified_at=sa.bindparam("at"),
    )
)
SET_VERIFIED = (
    t.people_master.update()
    .where(_this_person)
    .values(email_verified=sa.bindparam("verified"), last_verified_at=sa.bindparam("at"))
)
SET_COMPANY_OF_PERSON = t.people_master.update().where(_this_person).values(company_unique_id=sa.bindparam("company"))
#: How sure it is which company a person belongs to, kept with the row of the file.
SET_MATCH = (
    t.people_raw_intake.update()
    .where(
        t.people_raw_intake.c.tenant == sa.bindparam("of_tenant"),
        t.people_raw_intake.c.record_key == sa.bindparam("of_record"),
        # Written out, since an index of valid rows does not serve a value that is bound.
        t.people_raw_intake.c.verdict == sa.literal_column("'valid'"),
    )
    .values(match_score=sa.bindparam("score"), hold_reason=sa.bindparam("reason"))
)
SET_CHAIR = t.people_master.update().where(_this_person).values(company_slot_unique_id=sa.bindparam("slot"))
SET_SLOT = (
    t.company_slot.update()
    .where(t.company_slot.c.company_slot_unique_id == sa.bindparam("slot"))
    .values(
        person_unique_id=sa.bindparam("person"),
        is_filled=sa.bindparam("filled"),
        confidence_score=sa.bindparam("confidence"),
        filled_at=sa.bindparam("at"),
        filled_by=sa.bindparam("by"),
        last_refreshed_at=sa.bindparam("refreshed"),
    )
)

_enrichment = insert(t.contact_enrichment)
SET_ENRICHMENT = _enrichment.on_conflict_do_update(
    index_elements=["id"],
    set_=_excluded(
        _enrichment, "company_slot_unique_id", "company_unique_id", "linkedin_url", "full_name", "email", "phone",
        "enrichment_status", "enrichment_source", "enrichment_data", "cost", "enriched_at",
    ),
)  # fmt: skip
_verification = insert(t.email_verification)
#: The time of a verification stays as long as its answer does.
SET_VERIFICATION = _verification.on_conflict_do_update(
    index_elements=["person_unique_id", "email", "service"],
    set_=_excluded(_verification, "verification_status", "result", "verified_at", "enrichment_id"),
    where=t.email_verification.c.verification_status != _verification.excluded.verification_status,
)
ADD_SIGNAL = insert(t.bit_events).on_conflict_do_nothing(index_elements=["dedup_key"])
SET_SIGNAL_PROCESSED = (
    t.bit_events.update()
    .where(t.bit_events.c.event_id == sa.bindparam("event"))
    .values(processed=True, processed_at=sa.bindparam("at"))
)
_score = insert(t.company_scores)
SET_SCORE = _score.on_conflict_do_update(
    index_elements=["person_unique_id"],
    set_=_excluded(_score, "company_unique_id", "score", "breakdown", "category", "reason", "scored_at"),
)
ADD_PROMOTION = insert(t.outreach_log).on_conflict_do_nothing(index_elements=["person_unique_id", "campaign_id"])
