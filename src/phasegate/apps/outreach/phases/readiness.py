"""Phase 3: may the company be written to. Judged anew each time, so that readiness is also taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phasegate import Context
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.phases.batch import CompanyRows, for_each_company
from phasegate.apps.outreach.phases.records import add_audit, add_event
from phasegate.apps.outreach.rules.readiness import Readiness, evaluate_readiness

COMPONENT = "outreach_readiness_evaluator"

TABLES = ("slots", "people", "enrichments", "verifications")


def evaluate(contexts: Sequence[Context]) -> list[Any]:
    """Judge many companies; sets ``outreach_ready``, in either direction, and records an event."""
    return for_each_company(contexts, TABLES, _evaluate)


def judge_readiness(rows: CompanyRows) -> Readiness:
    """The readiness of one company from its rows."""
    return evaluate_readiness(rows.company, rows.slots, rows.people, rows.enrichments, rows.verifications)


def readiness_result(rows: CompanyRows, judged: Readiness) -> dict[str, Any]:
    """The result of one company, and what it was before: ``already_ready`` and ``validation_status``."""
    return {
        **judged.to_result(),
        "already_ready": bool(rows.company["outreach_ready"]),
        "validation_status": rows.company["validation_status"],
    }


def _evaluate(ctx: Context, rows: CompanyRows) -> dict[str, Any]:
    judged = judge_readiness(rows)
    result, before, after = readiness_result(rows, judged), bool(rows.company["outreach_ready"]), judged.outreach_ready
    ctx.write(sql.SET_READINESS, {"company": ctx.subject.id, "ready": after, "at": ctx.now()})
    said = {
        "company_unique_id": ctx.subject.id,
        "outreach_ready": after,
        "was_ready": before,
        "reason": judged.reason,
        "passed_checks": result["passed_checks"],
    }
    add_event(ctx, "outreach_readiness_check", said)
    if before and not after:
        add_event(ctx, "outreach_readiness_revoked", said)
    add_audit(ctx, COMPONENT, "outreach_readiness_evaluation", {"outreach_ready": after, "reason": judged.reason})
    return result
