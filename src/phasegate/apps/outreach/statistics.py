"""The statistics users read, one function per phase, from the results of single companies. All of them are zero for none.

``results`` are what the phases returned; None, which a skipped or waiting company has, counts for nothing. ``deliveries``
says what became of the records in the outbox, since a phase only puts them there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phasegate.apps.outreach.rules.intent import CATEGORIES, SIGNAL_TYPES
from phasegate.apps.outreach.rules.readiness import BUCKETS
from phasegate.apps.outreach.rules.slots import SlotGate, slot_gate_statistics

Result = Mapping[str, Any]
Results = Iterable[Result | None]


@dataclass(frozen=True, slots=True)
class Times:
    """When a batch began and ended (aware UTC), and how many seconds it took."""

    started_at: datetime
    completed_at: datetime

    @property
    def seconds(self) -> float:
        """Never negative, even when the clock was set back in between."""
        return max(0.0, round((self.completed_at - self.started_at).total_seconds(), 3))


@dataclass(frozen=True, slots=True)
class Deliveries:
    """How the attempts to deliver invalid records ended."""

    success: int = 0
    failed: int = 0


NO_DELIVERIES = Deliveries()


def company_statistics(results: Results, times: Times, deliveries: Deliveries = NO_DELIVERIES) -> dict[str, Any]:
    """Phase 1: ``total, valid, invalid, routed_to_sheets, webhook_success, webhook_failed, started_at, completed_at,
    duration_seconds``.
    """
    found = _present(results)
    valid = sum(bool(each["valid"]) for each in found)
    return _validation(len(found), valid, times, deliveries)


def invalid_companies(results: Results) -> list[dict[str, Any]]:
    """Phase 1: ``company_unique_id, company_name, reason, severity, missing_fields, failures`` of every invalid company."""
    names = ("company_unique_id", "company_name", "reason", "severity", "missing_fields", "failures")
    return [{name: each[name] for name in names} for each in _present(results) if not each["valid"]]


def people_statistics(results: Results, times: Times, deliveries: Deliveries = NO_DELIVERIES) -> dict[str, Any]:
    """Phase 1.1: the keys of ``company_statistics``, counting people."""
    counts = _summed(results, "total", "valid")
    return _validation(counts["total"], counts["valid"], times, deliveries)


def invalid_people(results: Results) -> list[dict[str, Any]]:
    """Phase 1.1: ``person_id, full_name, reason, failures_count, failures`` of every invalid person."""
    return _joined(results, "invalid_people")


def enrichment_statistics(results: Results) -> dict[str, Any]:
    """Phase 1.5: the cost summary over all companies, with ``already_complete, derived_by_pattern, verified_by_search,
    failed_verifications``.
    """
    found = [each["statistics"] for each in _present(results)]
    names = (
        "total_entities", "successful", "failed", "manual_review", "already_complete", "derived_by_pattern",
        "verified_by_search", "verifications", "failed_verifications",
    )  # fmt: skip
    counts = {name: sum(each[name] for each in found) for name in names}
    # One verification costs less than a cent.
    total_cost, verification_cost = (
        round(sum(each[name] for each in found), 6) for name in ("total_cost", "verification_cost")
    )
    cost = round(total_cost - verification_cost, 6)
    total, successful = counts["total_entities"], counts["successful"]
    return {
        **counts,
        "success_rate": successful / total if total else 0.0,
        "verification_cost": verification_cost,
        "total_cost": total_cost,
        "average_cost": cost / total if total else 0.0,
        "average_cost_per_success": cost / successful if successful else 0.0,
        "total_duration_seconds": sum(each["total_duration_seconds"] for each in found),
        "by_tier": _tiers([each["by_tier"] for each in found]),
    }


def gate_statistics(gates: Iterable[SlotGate]) -> dict[str, Any]:
    """Phase 2.5: ``total_checked, passed, waiting, errors, slots_breakdown``.

    From the gates themselves, because a company that waits has no result; see ``single.slot_gates``.
    """
    return slot_gate_statistics(gates)


def readiness_statistics(results: Results, times: Times) -> dict[str, Any]:
    """Phase 3: ``total_evaluated, outreach_ready, ready, not_ready, already_ready, invalid, failures{bucket: n},
    duration_seconds, timestamp``. ``already_ready`` were ready before and still are; ``invalid`` are not valid companies.
    """
    found = _present(results)
    ready = sum(bool(each["outreach_ready"]) for each in found)
    buckets = Counter(bucket for each in found for slot in each["slot_results"] for bucket in slot["failures"])
    return {
        "total_evaluated": len(found),
        "outreach_ready": ready,
        "ready": ready,
        "not_ready": len(found) - ready,
        "already_ready": sum(bool(each["outreach_ready"] and each["already_ready"]) for each in found),
        "invalid": sum(each["validation_status"] != "valid" for each in found),
        "failures": {bucket: buckets[bucket] for bucket in BUCKETS.values()},
        "duration_seconds": times.seconds,
        "timestamp": times.completed_at.isoformat(),
    }


def trigger_statistics(results: Results) -> dict[str, Any]:
    """Phase 4: ``total, triggered, not_triggered, signal_types{type: n}``."""
    people = _joined(results, "people")
    signals = Counter(each["signal_type"] for each in people if each["trigger"])
    return {
        "total": len(people),
        "triggered": signals.total(),
        "not_triggered": len(people) - signals.total(),
        "signal_types": {kind: signals[kind] for kind in SIGNAL_TYPES},
    }


def triggered_people(results: Results) -> list[dict[str, Any]]:
    """Phase 4: the people who raised a signal."""
    return [each for each in _joined(results, "people") if each["trigger"]]


def score_statistics(results: Results) -> dict[str, Any]:
    """Phase 5: ``total, hot, warm, cold, unscored, avg_score (1 decimal), max_score, min_score``."""
    people = _joined(results, "people")
    points = [each["score"] for each in people]
    categories = Counter(each["category"] for each in people)
    return {
        "total": len(people),
        **{name: categories[name] for name in (*CATEGORIES, "unscored")},
        "avg_score": round(sum(points) / len(points), 1) if points else 0.0,
        "max_score": max(points, default=0),
        "min_score": min(points, default=0),
    }


def scored_people(results: Results) -> list[dict[str, Any]]:
    """Phase 5: every scored person."""
    return _joined(results, "people")


def promotion_statistics(results: Results) -> dict[str, Any]:
    """Phase 6: ``total, promoted, skipped, campaigns{id: n}``."""
    people = _joined(results, "people")
    promoted = [each for each in people if each["status"] == "promoted"]
    campaigns = Counter(each["campaign_id"] for each in promoted)
    return {
        "total": len(people),
        "promoted": len(promoted),
        "skipped": len(people) - len(promoted),
        "campaigns": dict(sorted(campaigns.items())),
    }


def promoted_contacts(results: Results) -> list[dict[str, Any]]:
    """Phase 6: the people who were promoted."""
    return [each for each in _joined(results, "people") if each["status"] == "promoted"]


def skipped_contacts(results: Results) -> list[dict[str, Any]]:
    """Phase 6: the people who were not promoted, with the reason."""
    return [each for each in _joined(results, "people") if each["status"] != "promoted"]


# --- helpers --------------------------------------------------------------------------------------------------------


def _present(results: Results) -> list[Result]:
    return [each for each in results if each is not None]


def _joined(results: Results, name: str) -> list[dict[str, Any]]:
    return [dict(one) for each in _present(results) for one in each[name]]


def _summed(results: Results, *names: str) -> dict[str, int]:
    found = [each["statistics"] for each in _present(results)]
    return {name: sum(each[name] for each in found) for name in names}


def _validation(total: int, valid: int, times: Times, deliveries: Deliveries) -> dict[str, Any]:
    return {
        "total": total,
        "valid": valid,
        "invalid": total - valid,
        "routed_to_sheets": deliveries.success,
        "webhook_success": deliveries.success,
        "webhook_failed": deliveries.failed,
        "started_at": times.started_at.isoformat(),
        "completed_at": times.completed_at.isoformat(),
        "duration_seconds": times.seconds,
    }


def _tiers(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The counts of each tier over all companies, tiers in order."""
    numbers = sorted({number for each in found for number in each}, key=int)
    names = ("calls", "found", "final_for", "cost")
    return {
        number: {name: sum(each[number][name] for each in found if number in each) for name in names}
        for number in numbers
    }
