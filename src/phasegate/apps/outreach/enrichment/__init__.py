"""Buying missing data from the cheapest provider that has it: the waterfall, its prices, an offline provider set; and
verifying addresses, at what price, and an offline verifier."""

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
from phasegate.apps.outreach.enrichment.verifying import (
    IMPORTED,
    KnownAnswers,
    Verifier,
    VerifierAnswer,
    VerifierTerms,
    ask_verifier,
    kept_status,
    verification_price,
)
from phasegate.apps.outreach.enrichment.waterfall import run_waterfall

__all__ = [
    "IMPORTED",
    "STANDARD_TERMS",
    "AttemptOutcome",
    "Entity",
    "KnownAnswers",
    "OfflineProvider",
    "Provider",
    "ProviderAttempt",
    "ProviderRefused",
    "ProviderResult",
    "Tier",
    "TierResult",
    "TierTerms",
    "Verifier",
    "VerifierAnswer",
    "VerifierTerms",
    "WaterfallResult",
    "arrange_tiers",
    "ask_verifier",
    "cost_summary",
    "kept_status",
    "offline_tiers",
    "run_waterfall",
    "verification_price",
]
