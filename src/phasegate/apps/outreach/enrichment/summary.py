"""What a batch of waterfalls cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from phasegate.apps.outreach.enrichment.records import AttemptOutcome, WaterfallResult


def cost_summary(
    results: Iterable[WaterfallResult], *, verifications: int = 0, price: Decimal = Decimal(0)
) -> dict[str, Any]:
    """Counts, rates between 0 and 1, and dollars over a batch, as plain JSON values; all zero for an empty batch.

    ``by_tier`` holds, for every tier that was asked, the calls that were made, those that found something, the entities
    it was the last to find something for, and its cost. ``verifications`` were bought for ``price`` each; ``total_cost``
    has them in it, the averages are of the waterfall alone.
    """
    batch = list(results)
    total, verified = sum((result.total_cost for result in batch), Decimal(0)), verifications * price
    successes = sum(result.success for result in batch)
    return {
        "total_entities": len(batch),
        "successful": successes,
        "failed": len(batch) - successes,
        "manual_review": sum(result.manual_review for result in batch),
        "success_rate": successes / len(batch) if batch else 0.0,
        "verifications": verifications,
        "verification_cost": float(verified),
        "total_cost": float(total + verified),
        "average_cost": float(total / len(batch)) if batch else 0.0,
        "average_cost_per_success": float(total / successes) if successes else 0.0,
        "total_duration_seconds": sum(result.total_duration_seconds for result in batch),
        "by_tier": _by_tier(batch),
    }


def _by_tier(batch: list[WaterfallResult]) -> dict[str, dict[str, Any]]:
    calls: Counter[int] = Counter()
    found: Counter[int] = Counter()
    cost: defaultdict[int, Decimal] = defaultdict(Decimal)
    for tier in (tier for result in batch for tier in result.tier_results):
        calls[tier.tier] += len(tier.attempts)
        found[tier.tier] += sum(attempt.outcome is AttemptOutcome.FOUND for attempt in tier.attempts)
        cost[tier.tier] += tier.cost
    final = Counter(result.final_tier for result in batch)
    return {
        str(tier): {"calls": calls[tier], "found": found[tier], "final_for": final[tier], "cost": float(cost[tier])}
        for tier in sorted(calls)
    }
