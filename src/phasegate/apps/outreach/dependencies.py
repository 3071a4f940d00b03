"""What the phases of the outreach application are given besides their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phasegate.apps.outreach.enrichment import Tier, Verifier, VerifierTerms, offline_tiers
from phasegate.apps.outreach.rules.promotion import Campaigns

if TYPE_CHECKING:
    from phasegate.apps.outreach.routing import Sink


Commit = Callable[[Sequence[tuple[Any, Mapping[str, Any]]]], None]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Where invalid records go, who enriches, which campaign people are promoted to, which sheet has which tab, who verifies
    guessed addresses and on which terms.

    ``commit`` puts rows into the database at once, for what must not be lost with the phase it was bought by.
    """

    sink: Sink | None = None
    tiers: tuple[Tier, ...] = field(default_factory=offline_tiers)
    campaigns: Campaigns = field(default_factory=Campaigns)
    sheet_ids: Mapping[str, str] = field(default_factory=dict)
    verifier: Verifier | None = None
    verifier_terms: VerifierTerms = field(default_factory=VerifierTerms)
    commit: Commit | None = None
