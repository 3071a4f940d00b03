"""Phase 6: who goes into the outreach log, each person once per campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phasegate import Context, Skip
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.phases.batch import CompanyRows, Row, for_each_company
from phasegate.apps.outreach.phases.intent import NOT_READY, with_verification
from phasegate.apps.outreach.phases.records import add_event
from phasegate.apps.outreach.rules.promotion import Promotion, evaluate_promotion

#: What is done with a promoted person, by the category of the score.
ACTIONS = {"hot": "sdr_escalate", "warm": "nurture"}
PLATFORMS = ("Instantly", "HeyReach")


def promote(contexts: Sequence[Context]) -> list[Any]:
    """Decide on every scored person of many companies. Skips companies that are not ready."""
    return for_each_company(contexts, ("people", "scores", "verifications", "promotions"), _promote)


def _promote(ctx: Context, rows: CompanyRows) -> Any:
    if not rows.company["outreach_ready"]:
        return Skip(NOT_READY)
    scores = {row["person_unique_id"]: row for row in rows.scores}
    done = {(row["person_unique_id"], row["campaign_id"]) for row in rows.promotions}
    results = []
    for person in rows.people:
        scored = scores.get(person["unique_id"])
        if scored is None:
            continue
        row = {**with_verification(person, rows), "bit_score": scored["score"]}
        decided = evaluate_promotion(row, rows.company, ctx.now(), ctx.deps.campaigns)
        if decided.promoted and decided.key not in done:
            ctx.write(sql.ADD_PROMOTION, _entry(ctx, decided, scored))
        results.append(_result(decided, repeated=decided.key in done))
    promoted = sum(each["status"] == "promoted" for each in results)
    statistics = {"total": len(results), "promoted": promoted, "skipped": len(results) - promoted}
    add_event(ctx, "outreach_promotion", {"company_unique_id": ctx.subject.id, **statistics})
    return {
        "company_unique_id": ctx.subject.id,
        "company_name": rows.company["company_name"],
        "state": rows.company["state"],
        "statistics": statistics,
        "people": results,
    }


def _result(decided: Promotion, *, repeated: bool) -> dict[str, Any]:
    result = decided.to_result()
    if not repeated or decided.campaign is None:
        return result
    head = {name: result[name] for name in ("person_id", "full_name", "company_name")}
    reason = f"already in the outreach log for campaign {decided.campaign.campaign_id}"
    return {**head, "status": "skipped", "reason": reason}


def _entry(ctx: Context, decided: Promotion, scored: Row) -> dict[str, Any]:
    campaign = decided.campaign
    assert campaign is not None, "only promoted people are entered"
    return {
        "tenant": ctx.tenant,
        "person_unique_id": decided.person_id,
        "company_unique_id": ctx.subject.id,
        "campaign_id": campaign.campaign_id,
        "sequence_id": campaign.sequence_id,
        "personalization_template": campaign.personalization_template,
        "send_date": decided.send_date,
        "action_type": ACTIONS.get(str(scored["category"]), "watch"),
        "bit_score": scored["score"],
        "score_tier": scored["category"],
        "trigger_reason": scored["reason"],
        "metadata": {"platforms": list(PLATFORMS)},
        "created_at": ctx.now(),
    }
