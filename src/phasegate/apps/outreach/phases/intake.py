"""Phase 0: the record a run was started with becomes a company with its three slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasegate import Context, Fatal, InputError
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.phases.batch import read_companies
from phasegate.apps.outreach.rules.identifiers import IdKind, format_id, parse_id
from phasegate.apps.outreach.rules.titles import SLOTS, Slot

#: Field of the record -> column of the table, where the two differ.
_COLUMNS = {
    "website": "website", "domain": "domain", "industry": "industry", "employee_count": "employee_count",
    "phone": "company_phone", "city": "address_city", "state": "state", "postal_code": "address_zip",
    "linkedin_url": "linkedin_url", "contact_name": "contact_name", "contact_email": "contact_email",
    "contact_title": "contact_title", "extras": "extras", "source_record_id": "source_record_id",
    "record_key": "record_key", "import_batch_id": "import_batch_id",
}  # fmt: skip


def load_companies(contexts: Sequence[Context]) -> list[Any]:
    """Write the company rows of many runs.

    The run's input is a record as intake makes it; its id is the run's subject. A company that is there already stays as
    it is. A run without a record for a company that does not exist is ``Fatal``.
    """
    present = read_companies(contexts, ())
    return [_load(ctx, (ctx.tenant, ctx.subject.id) in present) for ctx in contexts]


def slot_id(company_id: str, slot: Slot) -> str:
    """The id of a slot: it follows from the company's, so that loading a company twice gives the same ids."""
    place = SLOTS.index(slot) + 1
    try:
        company = parse_id(company_id)
        return format_id(IdKind.SLOT, (company.number - 1) * len(SLOTS) + place, company.family)
    except InputError:  # a company that was named in another way
        return f"{company_id}.{slot.value}"


def _load(ctx: Context, present: bool) -> Any:
    record = ctx.input
    if not isinstance(record, Mapping) or not record.get("company_name"):
        if not present:
            return Fatal(f"company {ctx.subject.id} does not exist, and its run was started without a record of it")
        return {"company_unique_id": ctx.subject.id, "company_name": None, "inserted": False}
    if not present:
        ctx.write(sql.ADD_COMPANY, _company(ctx, record))
    for slot in SLOTS:
        ctx.write(sql.ADD_SLOT, _slot(ctx, slot, record))
    return {"company_unique_id": ctx.subject.id, "company_name": record["company_name"], "inserted": not present}


def _company(ctx: Context, record: Mapping[str, Any]) -> dict[str, Any]:
    name = str(record["company_name"])
    now = ctx.now()
    return {
        "company_unique_id": ctx.subject.id,
        "tenant": ctx.tenant,
        "company_name": name,
        "name_key": name.lower(),
        "source_system": record.get("source") or "unknown",
        "promoted_from_intake_at": now,
        "created_at": now,
        "updated_at": now,
        **{column: record.get(field) for field, column in _COLUMNS.items()},
    }


def _slot(ctx: Context, slot: Slot, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "company_slot_unique_id": slot_id(ctx.subject.id, slot),
        "tenant": ctx.tenant,
        "company_unique_id": ctx.subject.id,
        "slot_type": slot.value,
        "is_filled": False,
        "source_system": record.get("source") or "unknown",
        "created_at": ctx.now(),
    }
