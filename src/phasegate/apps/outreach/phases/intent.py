"""Phases 4 and 5: which people of a ready company give a signal, and how strong the case for each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phasegate import Context, Skip
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.phases.batch import CompanyRows, Row, for_each_company
from phasegate.apps.outreach.phases.enrichment import latest_verification
from phasegate.apps.outreach.phases.records import add_event
from phasegate.apps.outreach.rules.intent import IntentScore, Trigger, check_trigger, score_person

NOT_READY = "company is not outreach ready"


def trigger(contexts: Sequence[Context]) -> list[Any]:
    """Phase 4: look at all people of many companies; writes a signal per person, kind and day. Skips what is not ready."""
    return for_each_company(contexts, ("people",), _trigger)


def score(contexts: Sequence[Context]) -> list[Any]:
    """Phase 5: score the people who gave a signal; keeps one score per person. Skips what is not ready."""
    return for_each_company(contexts, ("people", "signals", "verifications"), _score)


def with_verification(person: Row, rows: CompanyRows) -> dict[str, Any]:
    """A person as the scoring and promotion rules read one: the verification is that of the present address."""
    verified = latest_verification(person, rows.verifications)
    return {**person, "email_verified": False, "email_verification": verified}


def _trigger(ctx: Context, rows: CompanyRows) -> Any:
    if not rows.company["outreach_ready"]:
        return Skip(NOT_READY)
    found = [(person, check_trigger(person, ctx.now())) for person in rows.people]
    for person, each in found:
        if each.triggered:
            ctx.write(sql.ADD_SIGNAL, _signal(ctx, person, each))
    triggered = sum(each.triggered for _, each in found)
    statistics = {"total": len(found), "triggered": triggered, "not_triggered": len(found) - triggered}
    add_event(ctx, "bit_trigger_check", {"company_unique_id": ctx.subject.id, **statistics})
    return {**_head(ctx, rows), "statistics": statistics, "people": [each.to_result() for _, each in found]}


def _signal(ctx: Context, person: Row, found: Trigger) -> dict[str, Any]:
    now = ctx.now()
    return {
        "tenant": ctx.tenant,
        "company_unique_id": ctx.subject.id,
        "person_unique_id": person["unique_id"],
        "signal_type": found.signal_type,
        "reason": found.reason,
        "event_payload": {"title": person["title"], "full_name": person["full_name"]},
        "dedup_key": f"{person['unique_id']}:{found.signal_type}:{now.date().isoformat()}",
        "detected_at": now,
        "processed": False,
    }


def _score(ctx: Context, rows: CompanyRows) -> Any:
    if not rows.company["outreach_ready"]:
        return Skip(NOT_READY)
    signalled = {signal["person_unique_id"] for signal in rows.signals}
    people = [with_verification(person, rows) for person in rows.people if person["unique_id"] in signalled]
    scores = [score_person(person, rows.company, ctx.now()) for person in people]
    for each in scores:
        ctx.write(sql.SET_SCORE, _score_row(ctx, each))
    for signal in rows.signals:
        if not signal["processed"]:
            ctx.write(sql.SET_SIGNAL_PROCESSED, {"event": signal["event_id"], "at": ctx.now()})
    statistics = {"total": len(scores)}
    add_event(ctx, "bit_score_calculation", {"company_unique_id": ctx.subject.id, **statistics})
    return {**_head(ctx, rows), "statistics": statistics, "people": [each.to_result() for each in scores]}


def _score_row(ctx: Context, scored: IntentScore) -> dict[str, Any]:
    return {
        "person_unique_id": scored.person_id,
        "tenant": ctx.tenant,
        "company_unique_id": ctx.subject.id,
        "score": scored.score,
        "breakdown": scored.breakdown,
        "category": scored.category,
        "reason": scored.to_result()["reason"],
        "scored_at": ctx.now(),
    }


def _head(ctx: Context, rows: CompanyRows) -> dict[str, Any]:
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": rows.company["company_name"],
        "state": rows.company["state"],
    }
