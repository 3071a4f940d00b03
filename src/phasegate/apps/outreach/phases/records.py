"""Events, audit entries, failures and outbox rows, as every phase writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from phasegate import Context
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.routing import Payload, Routing, company_payload, person_payload, pipeline_id
from phasegate.apps.outreach.rules import RULE_SET_HASH
from phasegate.apps.outreach.rules.failures import Failure, invalidating
from phasegate.apps.outreach.rules.phase_ids import parse_phase_id

#: What an outbox payload says of a record: its own columns, without what only the pipeline keeps.
COMPANY_COLUMNS = (
    "company_unique_id", "company_name", "website", "employee_count", "industry", "state", "address_city", "address_zip",
    "linkedin_url", "source_system", "source_record_id",
)  # fmt: skip
PERSON_COLUMNS = (
    "unique_id", "full_name", "email", "title", "company_unique_id", "company_name", "linkedin_url", "work_phone_e164",
    "source_system", "source_record_id",
)  # fmt: skip

_MAKERS: dict[str, Callable[..., Payload]] = {"company": company_payload, "person": person_payload}


def phase_number(ctx: Context) -> Decimal:
    """The printed id of the phase."""
    return parse_phase_id(ctx.label)


def add_event(ctx: Context, event_type: str, payload: Mapping[str, Any]) -> None:
    """An event that nobody need process."""
    ctx.write(
        sql.ADD_EVENT,
        {
            "tenant": ctx.tenant,
            "event_type": event_type,
            "phase_id": phase_number(ctx),
            "payload": dict(payload),
            "status": "processed",
            "created_at": ctx.now(),
        },
    )


def add_audit(ctx: Context, component: str, event_type: str, data: Mapping[str, Any]) -> None:
    """An entry of the audit log about the company of the run."""
    ctx.write(
        sql.ADD_AUDIT,
        {
            "tenant": ctx.tenant,
            "component": component,
            "event_type": event_type,
            "event_data": dict(data),
            "barton_id": ctx.subject.id,
            "created_at": ctx.now(),
        },
    )


def replace_failures(
    ctx: Context, kind: str, record_id: str, company_id: str | None, broken: Sequence[Failure]
) -> None:
    """Have ``pipeline_errors`` hold exactly the rules that the record breaks now."""
    ctx.write(sql.CLEAR_FAILURES, {"of_tenant": ctx.tenant, "of_type": kind, "of_id": record_id})
    for failure in broken:
        ctx.write(
            sql.ADD_FAILURE,
            {
                "tenant": ctx.tenant,
                "record_type": kind,
                "record_id": record_id,
                "company_unique_id": company_id,
                "phase_id": phase_number(ctx),
                **failure.to_result(),
                "created_at": ctx.now(),
            },
        )


def add_to_outbox(
    ctx: Context, kind: str, record: Mapping[str, Any], failures: Sequence[Failure], *, state: str | None = None
) -> None:
    """Keep an invalid record for delivery. The same record with the same failures is kept once."""
    columns = COMPANY_COLUMNS if kind == "company" else PERSON_COLUMNS
    routing = Routing(pipeline_id(kind, ctx.now()), ctx.now(), RULE_SET_HASH, _sheet_id(ctx, kind))
    own = {name: record.get(name) for name in columns}
    found = [failure.to_result() for failure in invalidating(failures)]
    payload = _MAKERS[kind](own, found, routing, state=state)
    ctx.write(sql.ADD_TO_OUTBOX, outbox_row(ctx.tenant, payload, ctx.now()))


def outbox_row(tenant: str, payload: Payload, now: Any) -> dict[str, Any]:
    """The row of the outbox for a payload."""
    return {
        "tenant": tenant,
        "dedup_key": payload.dedup_key,
        "payload": payload.to_json(),
        "sheet_tab": payload.sheet_tab,
        "status": "pending",
        "created_at": now,
    }


def _sheet_id(ctx: Context, kind: str) -> str:
    tab = "Invalid_Companies" if kind == "company" else "Invalid_People"
    return str(ctx.deps.sheet_ids.get(tab, "")) if ctx.deps is not None else ""
