"""What the phases of the outreach application are given besides their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phasegate.apps.outreach.enrichment import Tier, offline_tiers
from phasegate.apps.outreach.rules.promotion import Campaigns

if TYPE_CHECKING:
    from phasegate.apps.outreach.routing import Sink


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Where invalid records go, who enriches, which campaign people are promoted to, which sheet has which tab."""

    sink: Sink | None = None
    tiers: tuple[Tier, ...] = field(default_factory=offline_tiers)
    campaigns: Campaigns = field(default_factory=Campaigns)
    sheet_ids: Mapping[str, str] = field(default_factory=dict)
