"""Buying missing data from the cheapest provider that has it: the waterfall, its prices, an offline provider set."""

from __future__ import annotations

from phasegate.apps.outreach.enrichment.offline import OfflineProvider, offline_tiers
from phasegate.apps.outreach.enrichment.records import (
    STANDARD_TERMS,
    AttemptOutcome,
    Entity,
    Provider,
    ProviderAttempt,
    ProviderRefused,
    ProviderResult,
    Tier,
    TierResult,
    TierTerms,
    WaterfallResult,
    arrange_tiers,
)
from phasegate.apps.outreach.enrichment.summary import cost_summary
from phasegate.apps.outreach.enrichment.waterfall import run_waterfall

__all__ = [
    "STANDARD_TERMS",
    "AttemptOutcome",
    "Entity",
    "OfflineProvider",
    "Provider",
    "ProviderAttempt",
    "ProviderRefused",
    "ProviderResult",
    "Tier",
    "TierResult",
    "TierTerms",
    "WaterfallResult",
    "arrange_tiers",
    "cost_summary",
    "offline_tiers",
    "run_waterfall",
]
