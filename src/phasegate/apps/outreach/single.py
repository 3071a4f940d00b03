"""One record at a time: the rules on a bare dictionary, and a stored company judged without recording anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from phasegate import Engine
from phasegate.apps.outreach.phases.batch import QUERIES, CompanyRows, Row, read_rows
from phasegate.apps.outreach.phases.gate import judge_slots
from phasegate.apps.outreach.phases.intent import with_verification
from phasegate.apps.outreach.phases.readiness import judge_readiness, readiness_result
from phasegate.apps.outreach.rules.company import validate_company
from phasegate.apps.outreach.rules.intent import check_trigger, score_person
from phasegate.apps.outreach.rules.person import validate_person
from phasegate.apps.outreach.rules.promotion import Campaigns, evaluate_promotion
from phasegate.apps.outreach.rules.slots import SlotGate

# --- bare dictionaries ----------------------------------------------------------------------------------------------


def judge_company(company: Row, slot_rows: Sequence[Row] | None = None) -> dict[str, Any]:
    """Phase 1 on one company: ``valid, reason, severity, missing_fields, failures, slots_checked, slots_present``.

    Without slot rows the slot rule is reported as not checked, by a warning.
    """
    return validate_company(company, slot_rows).to_result()


def judge_person(person: Row, known_companies: Collection[str] | None = None) -> dict[str, Any]:
    """Phase 2 on one person; without known companies there is a warning that the company was not checked."""
    known = None if known_companies is None else frozenset(known_companies)
    return validate_person(person, known).to_result()


def judge_trigger(person: Row, now: datetime) -> dict[str, Any]:
    """Phase 4 on one person: ``person_id, full_name, trigger, signal_type, reason``."""
    return check_trigger(person, now).to_result()


def judge_score(person: Row, company: Row | None, now: datetime) -> dict[str, Any]:
    """Phase 5 on one person: ``person_id, full_name, score, category, reason``."""
    return score_person(person, company or {}, now).to_result()


def judge_promotion(
    person: Row, company: Row | None, now: datetime, campaigns: Campaigns | None = None
) -> dict[str, Any]:
    """Phase 6 on one person: ``person_id, full_name, company_name, status`` and the campaign or the ``reason``."""
    return evaluate_promotion(person, company or {}, now, campaigns).to_result()


# --- stored companies -----------------------------------------------------------------------------------------------


def read_company(engine: Engine, company_id: str, *, tenant: str | None = None) -> CompanyRows | None:
    """Everything the rules read of one company, or None when it does not exist."""
    return read_companies(engine, [company_id], tenant=tenant).get(company_id)


def read_companies(engine: Engine, company_ids: Sequence[str], *, tenant: str | None = None) -> dict[str, CompanyRows]:
    """Everything the rules read of many companies, by id, in the order asked for; unknown ones are left out."""
    return read_rows(engine.read, tenant or engine.tenant, company_ids, QUERIES)


def slot_gates(engine: Engine, company_ids: Sequence[str], *, tenant: str | None = None) -> list[SlotGate]:
    """Phase 2.5 judged on the rows as they are, also for companies that wait."""
    now = engine.store.now()
    return [judge_slots(rows, now) for rows in read_companies(engine, company_ids, tenant=tenant).values()]


def judge_stored_readiness(engine: Engine, company_id: str, *, tenant: str | None = None) -> dict[str, Any] | None:
    """Phase 3 on a stored company; None when it does not exist."""
    rows = read_company(engine, company_id, tenant=tenant)
    return None if rows is None else readiness_result(rows, judge_readiness(rows))


def stored_person(rows: CompanyRows, person_id: str) -> dict[str, Any] | None:
    """A stored person as phases 4 to 6 read one: with the present verification and score; None when unknown."""
    person = next((each for each in rows.people if each["unique_id"] == person_id), None)
    if person is None:
        return None
    scored = next((each["score"] for each in rows.scores if each["person_unique_id"] == person_id), None)
    return {**with_verification(person, rows), "bit_score": scored}
