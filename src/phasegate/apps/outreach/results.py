"""What a batch of companies comes to, in the shape its users know: one function per phase of the flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate.apps.outreach import statistics as count
from phasegate.apps.outreach.entries import PhaseEntry
from phasegate.apps.outreach.rules.slots import SlotGate

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Came:
    """What came of asking for a phase: the results of the companies that completed it, and what became of the others."""

    times: count.Times
    results: Sequence[Result] = ()
    blocked: int = 0
    #: Company -> why it failed.
    failed: Mapping[str, str] = field(default_factory=dict)
    #: Company -> why the phase had nothing to do for it.
    skipped: Mapping[str, str] = field(default_factory=dict)
    #: Company -> what it waits for.
    waiting: Mapping[str, str] = field(default_factory=dict)
    gates: Sequence[SlotGate] = ()
    #: The people whose company does not exist, as phase 1.1 judged them; None when they were not asked about.
    orphans: Result | None = None
    deliveries: count.Deliveries = count.NO_DELIVERIES


def batch_result(entry: PhaseEntry, came: Came, *, state: str | None, dry_run: bool) -> dict[str, Any]:
    """``phase_id, phase_name, state, dry_run, statistics`` and the lists of the phase."""
    shape = _SHAPES[entry.flow_phase or ""](came)
    statistics = {
        **shape.pop("statistics"),
        "skipped_unmet_dependencies": came.blocked,
        "skipped": len(came.skipped),
        "waiting": len(came.waiting),
        "errors": len(came.failed),
    } | ({"skipped": shape.pop("skipped_people")} if "skipped_people" in shape else {})
    head = {"phase_id": entry.number, "phase_name": entry.phase_name, "state": state, "dry_run": dry_run}
    failed = [{"company_unique_id": each, "error": reason} for each, reason in came.failed.items()]
    return {**head, "statistics": statistics, **shape, **({"failed_companies": failed} if failed else {})}


def _companies(came: Came) -> dict[str, Any]:
    return {
        "statistics": count.company_statistics(came.results, came.times, came.deliveries),
        "invalid_companies": count.invalid_companies(came.results),
    }


def _people(came: Came) -> dict[str, Any]:
    orphans = came.orphans["invalid_people"] if came.orphans else []
    return {
        "statistics": {
            **count.people_statistics(came.results, came.times, came.deliveries),
            "orphans": len(orphans),
        },
        "invalid_people": count.invalid_people(came.results),
        "orphan_people": list(orphans),
    }


def _enrichment(came: Came) -> dict[str, Any]:
    return {"statistics": count.enrichment_statistics(came.results)}


def _gate(came: Came) -> dict[str, Any]:
    return {
        "statistics": count.gate_statistics(came.gates),
        "waiting_companies": [{"company_unique_id": each, "reason": reason} for each, reason in came.waiting.items()],
    }


def _readiness(came: Came) -> dict[str, Any]:
    wanted = ("company_unique_id", "company_name", "reason")
    return {
        "statistics": count.readiness_statistics(came.results, came.times),
        "ready_companies": [{name: r[name] for name in wanted} for r in came.results if r["outreach_ready"]],
        "not_ready_companies": [{name: r[name] for name in wanted} for r in came.results if not r["outreach_ready"]],
    }


def _trigger(came: Came) -> dict[str, Any]:
    return {
        "statistics": count.trigger_statistics(came.results),
        "triggered_people": count.triggered_people(came.results),
    }


def _score(came: Came) -> dict[str, Any]:
    return {"statistics": count.score_statistics(came.results), "scored_people": count.scored_people(came.results)}


def _promotion(came: Came) -> dict[str, Any]:
    statistics = count.promotion_statistics(came.results)
    return {
        "statistics": {**statistics, "skipped_companies": len(came.skipped)},
        "skipped_people": statistics["skipped"],
        "promoted_contacts": count.promoted_contacts(came.results),
        "skipped_contacts": count.skipped_contacts(came.results),
    }


_SHAPES: dict[str, Callable[[Came], dict[str, Any]]] = {
    "company_validation": _companies,
    "people_validation": _people,
    "enrichment": _enrichment,
    "slot_gate": _gate,
    "readiness": _readiness,
    "trigger": _trigger,
    "score": _score,
    "promotion": _promotion,
}
