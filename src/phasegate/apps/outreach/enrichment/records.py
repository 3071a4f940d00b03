"""What travels through the waterfall: entities, tiers and their terms, and the results in the shape users read.

Money is Decimal in dollars everywhere but in ``to_result()``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from phasegate.errors import InputError


@dataclass(frozen=True, slots=True)
class Entity:
    """Who is looked up: its id, ``company`` or ``person``, and what is known already."""

    entity_id: str
    entity_type: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """What one call found; no data at all means "not found", which costs nothing.

    ``derived`` names the fields that were concluded and not observed, such as an e-mail address made from a pattern.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()


class ProviderRefused(Exception):
    """Raise in a provider: asking again is of no use, for instance because the key is not accepted."""


class Provider(Protocol):
    """A source of data. ``lookup`` returns what it found, or raises; whatever it raises is counted as a failed call."""

    @property
    def name(self) -> str:
        """Unique among the providers of a waterfall."""

    @property
    def tier(self) -> int:
        """The number of the tier whose terms apply."""

    async def lookup(self, entity: Entity) -> ProviderResult:
        """Ask once. Cancelled when the tier's timeout is over."""


@dataclass(frozen=True, slots=True)
class TierTerms:
    """What a tier costs and how patient it is.

    ``price`` in dollars per successful call; ``retries`` counts the calls after a failed first one, per provider.
    """

    number: int
    price: Decimal
    timeout_seconds: float
    retries: int


#: The terms of the three tiers: cheap, middling, expensive.
STANDARD_TERMS: tuple[TierTerms, ...] = (
    TierTerms(1, Decimal("0.20"), timeout_seconds=30.0, retries=2),
    TierTerms(2, Decimal("1.50"), timeout_seconds=45.0, retries=2),
    TierTerms(3, Decimal("3.00"), timeout_seconds=60.0, retries=3),
)


@dataclass(frozen=True, slots=True)
class Tier:
    """Terms and the providers they apply to, in the order in which these are asked."""

    terms: TierTerms
    providers: tuple[Provider, ...]


def arrange_tiers(providers: Iterable[Provider], terms: Sequence[TierTerms] = STANDARD_TERMS) -> tuple[Tier, ...]:
    """The providers in their tiers, cheapest tier first; tiers without providers are left out.

    Raises InputError for a provider of a tier that has no terms, and for two providers of one name.
    """
    by_number: dict[int, list[Provider]] = {each.number: [] for each in terms}
    names: set[str] = set()
    for provider in providers:
        if provider.tier not in by_number:
            raise InputError(f"provider {provider.name!r} is of tier {provider.tier}, known: {sorted(by_number)}")
        if provider.name in names:
            raise InputError(f"two providers are named {provider.name!r}: rename one of them")
        names.add(provider.name)
        by_number[provider.tier].append(provider)
    ordered = sorted(terms, key=lambda each: each.number)
    return tuple(Tier(each, tuple(by_number[each.number])) for each in ordered if by_number[each.number])


class AttemptOutcome(StrEnum):
    """How one call ended."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ProviderAttempt:
    """One call of one provider. ``found`` names the fields it returned; ``cost`` is zero unless it found something."""

    provider: str
    number: int
    outcome: AttemptOutcome
    cost: Decimal
    duration_seconds: float
    found: tuple[str, ...] = ()
    message: str | None = None

    def to_result(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "provider": self.provider,
            "attempt": self.number,
            "outcome": self.outcome.value,
            "cost": float(self.cost),
            "duration_seconds": self.duration_seconds,
            "found": list(self.found),
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class TierResult:
    """Every call made in one tier; ``success`` when one of them found something."""

    tier: int
    attempts: tuple[ProviderAttempt, ...]

    @property
    def success(self) -> bool:
        """Whether a provider of the tier found something."""
        return any(attempt.outcome is AttemptOutcome.FOUND for attempt in self.attempts)

    @property
    def cost(self) -> Decimal:
        """Dollars charged in this tier."""
        return sum((attempt.cost for attempt in self.attempts), Decimal(0))

    def to_result(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "tier": self.tier,
            "success": self.success,
            "cost": float(self.cost),
            "duration_seconds": sum(attempt.duration_seconds for attempt in self.attempts),
            "attempts": [attempt.to_result() for attempt in self.attempts],
        }


@dataclass(frozen=True, slots=True)
class WaterfallResult:
    """What the waterfall found for one entity, and what it cost.

    ``enriched_data`` holds only what was not known before; each derived field ``x`` in it is accompanied by
    ``x_confidence: "derived"``. ``sources`` says which provider each field came from. ``final_tier`` is the last tier
    that found something, None when none did. ``manual_review`` is true when every tier was asked and did not suffice.
    """

    entity_id: str
    entity_type: str
    final_tier: int | None
    success: bool
    enriched_data: Mapping[str, Any]
    total_duration_seconds: float
    tier_results: tuple[TierResult, ...]
    timestamp: datetime
    sources: Mapping[str, str] = field(default_factory=dict)
    manual_review: bool = False
    dry_run: bool = False

    @property
    def total_cost(self) -> Decimal:
        """Dollars charged over all tiers."""
        return sum((tier.cost for tier in self.tier_results), Decimal(0))

    def to_result(self) -> dict[str, Any]:
        """The nine keys users read, as plain JSON values; the timestamp in ISO 8601, money as a float of dollars."""
        return {
            "entity_id": self.entity_id,
            "entity_type": self.entity_type,
            "final_tier": self.final_tier,
            "success": self.success,
            "enriched_data": dict(self.enriched_data),
            "total_cost": float(self.total_cost),
            "total_duration_seconds": self.total_duration_seconds,
            "tier_results": [tier.to_result() for tier in self.tier_results],
            "timestamp": self.timestamp.isoformat(),
        }
