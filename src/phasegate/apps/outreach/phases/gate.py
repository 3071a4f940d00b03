"""Phase 2.5: a company passes when CEO, CFO and HR are all filled, and waits otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from phasegate import Context, Snooze
from phasegate.apps.outreach.phases.batch import CompanyRows, for_each_company
from phasegate.apps.outreach.phases.enrichment import latest_verification
from phasegate.apps.outreach.phases.records import add_event
from phasegate.apps.outreach.rules.slots import SlotGate, evaluate_slot_gate
from phasegate.apps.outreach.rules.titles import SLOTS

#: How long a company waits until its slots are looked at again.
LOOK_AGAIN = timedelta(days=1)

TABLES = ("slots", "people", "enrichments", "verifications")


def check_slots(contexts: Sequence[Context]) -> list[Any]:
    """Judge many companies; one that waits is looked at again after a day, and its run says for whom it waits."""
    return for_each_company(contexts, TABLES, _check)


def judge_slots(rows: CompanyRows, now: Any) -> SlotGate:
    """The gate for one company from its rows."""
    enriched = {row["person_unique_id"]: row["enriched_at"] for row in rows.enrichments}
    slots = [{**slot, "last_enriched_at": enriched.get(slot["person_unique_id"])} for slot in rows.slots]
    sitting = {slot["person_unique_id"] for slot in rows.slots}
    people = [
        {**person, "email_verified": False, "email_verification": latest_verification(person, rows.verifications)}
        for person in rows.people
        if person["unique_id"] in sitting
    ]
    return evaluate_slot_gate(rows.company, slots, people, now)


def waiting_for(gate: SlotGate) -> str:
    """The reason a company waits, as people read it."""
    missing = ", ".join(slot.value for slot in gate.missing_slots)
    return f"waiting for {missing} ({gate.slots_filled} of {len(SLOTS)} slots filled)"


def _check(ctx: Context, rows: CompanyRows) -> Any:
    gate = judge_slots(rows, ctx.now())
    if not gate.passed:
        return Snooze(ctx.now() + LOOK_AGAIN, reason=waiting_for(gate))
    add_event(ctx, "slot_gate_check", {"company_unique_id": ctx.subject.id, "status": gate.status})
    return {"company_unique_id": ctx.subject.id, **gate.to_result()}
