"""Phases 1 and 1.1: are the company and its people what the pipeline can work with, and who sits in the slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from phasegate import Context
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.phases.batch import CompanyRows, for_each_company
from phasegate.apps.outreach.phases.records import add_audit, add_event, add_to_outbox, replace_failures
from phasegate.apps.outreach.rules.company import validate_company_record
from phasegate.apps.outreach.rules.failures import invalidating
from phasegate.apps.outreach.rules.person import PersonValidation, validate_person
from phasegate.apps.outreach.rules.seats import rows_by_slot
from phasegate.apps.outreach.rules.slots import SlotChoice, choose_slots

PEOPLE_COMPONENT = "phase1b_people_validator"
COMPANY_COMPONENT = "phase1_company_validator"

_CHANGES = ("fill", "replace", "vacate")


def validate_companies(contexts: Sequence[Context]) -> list[Any]:
    """Phase 1: the company rules for many companies; sets ``validation_status`` and ``validated_at``."""
    return for_each_company(contexts, ("slots",), _validate_company)


def validate_people(contexts: Sequence[Context]) -> list[Any]:
    """Phase 1.1: the person rules for all people of many companies, then the slots from those that are valid."""
    return for_each_company(contexts, ("slots", "people"), _validate_people)


def validate_orphans(contexts: Sequence[Context]) -> list[Any]:
    """Phase 1.1 for the people whose company does not exist; each is reported as such and routed."""
    return [_validate_orphans(ctx) for ctx in contexts]


# --- companies ------------------------------------------------------------------------------------------------------


def _validate_company(ctx: Context, rows: CompanyRows) -> dict[str, Any]:
    company, now = rows.company, ctx.now()
    checked = validate_company_record(company, rows.slots)
    status = "valid" if checked.valid else "invalid"
    ctx.write(sql.SET_COMPANY_VALIDITY, {"company": ctx.subject.id, "status": status, "at": now})
    replace_failures(ctx, "company", ctx.subject.id, ctx.subject.id, invalidating(checked.failures))
    if not checked.valid:
        add_to_outbox(ctx, "company", company, checked.failures)
    judged = checked.to_result()
    add_event(
        ctx,
        "validation_check",
        {
            "record_type": "company",
            "record_id": ctx.subject.id,
            "passed": checked.valid,
            "reason": judged["reason"],
            "failures_count": len(invalidating(checked.failures)),
        },
    )
    add_audit(ctx, COMPANY_COMPONENT, "validation_complete", {"valid": checked.valid, "severity": judged["severity"]})
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": company["company_name"],
        "state": company["state"],
        **judged,
    }


# --- people ---------------------------------------------------------------------------------------------------------


def _validate_people(ctx: Context, rows: CompanyRows) -> dict[str, Any]:
    company, known = rows.company, frozenset((ctx.subject.id,))
    checked = [validate_person(person, known) for person in rows.people]
    for each in checked:
        _record_person(ctx, each, company["state"])
    choices = choose_slots([each.person for each in checked if each.valid], rows.slots)
    _seat(ctx, rows, choices)
    result = people_result(checked)
    add_audit(ctx, PEOPLE_COMPONENT, "validation_complete", result["statistics"])
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": company["company_name"],
        "state": company["state"],
        **result,
        "slots": [choice.to_result() for choice in choices],
    }


def _validate_orphans(ctx: Context) -> dict[str, Any]:
    people = ctx.read(sql.ORPHANS, {"tenant": ctx.tenant})
    checked = [validate_person(person, frozenset()) for person in people]
    for each in checked:
        _record_person(ctx, each, None)
    result = people_result(checked)
    add_audit(ctx, PEOPLE_COMPONENT, "validation_complete", {**result["statistics"], "orphans": len(people)})
    return {"company_unique_id": None, "company_name": None, "state": None, **result, "slots": []}


def people_result(checked: Sequence[PersonValidation]) -> dict[str, Any]:
    """``statistics{total, valid, invalid, failures}`` and ``invalid_people[]`` of some validations.

    ``failures`` counts the broken rules by id. Each invalid person has ``person_id, full_name, reason, failures_count``
    and ``failures[{field, rule, message, severity}]``.
    """
    invalid = [each for each in checked if not each.valid]
    broken = Counter(failure.rule for each in invalid for failure in invalidating(each.failures))
    return {
        "statistics": {
            "total": len(checked),
            "valid": len(checked) - len(invalid),
            "invalid": len(invalid),
            "failures": dict(sorted(broken.items())),
        },
        "invalid_people": [_invalid_person(each) for each in invalid],
    }


def _invalid_person(checked: PersonValidation) -> dict[str, Any]:
    broken = invalidating(checked.failures)
    return {
        "person_id": checked.person["unique_id"],
        "full_name": checked.person["full_name"],
        "reason": checked.reason,
        "failures_count": len(broken),
        "failures": [
            {"field": each.field, "rule": each.rule, "message": each.message, "severity": each.severity.value}
            for each in broken
        ],
    }


def _record_person(ctx: Context, checked: PersonValidation, state: str | None) -> None:
    person = checked.person
    identity, company_id = str(person["unique_id"]), person["company_unique_id"]
    status = "valid" if checked.valid else "invalid"
    broken = invalidating(checked.failures)
    ctx.write(sql.SET_PERSON_VALIDITY, {"person": identity, "status": status, "at": ctx.now()})
    replace_failures(ctx, "person", identity, None if company_id is None else str(company_id), broken)
    if not checked.valid:
        add_to_outbox(ctx, "person", person, checked.failures, state=state)
    add_event(
        ctx,
        "person_validation_check",
        {
            "person_id": identity,
            "valid": checked.valid,
            "reason": checked.reason,
            "failures_count": len(broken),
            "phase_id": float(ctx.label),
        },
    )


# --- slots ----------------------------------------------------------------------------------------------------------


def _seat(ctx: Context, rows: CompanyRows, choices: Sequence[SlotChoice]) -> None:
    """Swap in one commit what was computed in full before."""
    slots = rows_by_slot(rows.slots)
    changes = [each for each in choices if each.action in _CHANGES and each.slot in slots]
    # Everybody gets up before anybody sits down: one person may change from one chair to another.
    for choice in changes:
        if choice.previous_person_id is not None:
            ctx.write(sql.SET_CHAIR, {"person": choice.previous_person_id, "slot": None})
    for choice in changes:
        _swap(ctx, str(slots[choice.slot]["company_slot_unique_id"]), choice)


def _swap(ctx: Context, slot_id: str, choice: SlotChoice) -> None:
    now, filled = ctx.now(), choice.person_id is not None
    ctx.write(
        sql.SET_SLOT,
        {
            "slot": slot_id,
            "person": choice.person_id,
            "filled": filled,
            "confidence": choice.confidence,
            "at": now if filled else None,
            "by": PEOPLE_COMPONENT if filled else None,
            "refreshed": now,
        },
    )
    if filled:
        ctx.write(sql.SET_CHAIR, {"person": choice.person_id, "slot": slot_id})
