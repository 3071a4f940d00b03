"""The waterfall: tier by tier, provider by provider, until what is wanted has been found.

No waiting between calls and no memory between entities: an attempt that failed altogether is repeated by the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from phasegate.apps.outreach.enrichment.records import (
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
)

Clock = Callable[[], datetime]

_REPEATABLE = frozenset((AttemptOutcome.TIMED_OUT, AttemptOutcome.FAILED))
_MESSAGE_LENGTH = 200


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def run_waterfall(
    entity: Entity,
    tiers: Sequence[Tier],
    *,
    wanted: Sequence[str] = (),
    dry_run: bool = False,
    clock: Clock = _utc_now,
) -> WaterfallResult:
    """Ask the providers of each tier in order and merge what they find.

    With ``wanted`` fields it stops as soon as each of them has a value, from the entity itself or from a provider, and
    succeeds only then; without, the first provider that finds anything ends it. Of two values for one field the first
    that is not empty wins, and what the entity already says is never replaced. Each call that found something costs the
    price of its tier, also when others had to be asked as well; no other call costs anything. A call that is not
    answered within the tier's timeout, or that raises, is repeated as often as the tier allows; "not found" and
    ``ProviderRefused`` are not. Nothing a provider raises leaves this function.

    A dry run calls no provider: it succeeds only when the entity already has everything that is wanted.
    """
    started = clock()
    search = _Search(entity, tuple(wanted))
    results: list[TierResult] = []
    for tier in () if dry_run else tiers:
        if search.satisfied:
            break
        results.append(await _ask_tier(tier, search, clock))
    succeeded = [result.tier for result in results if result.success]
    finished = clock()
    return WaterfallResult(
        entity_id=entity.entity_id,
        entity_type=entity.entity_type,
        final_tier=succeeded[-1] if succeeded else None,
        success=search.satisfied,
        enriched_data=search.enriched(),
        total_duration_seconds=_seconds(started, finished),
        tier_results=tuple(results),
        timestamp=finished,
        sources=search.sources,
        manual_review=not search.satisfied and not dry_run,
        dry_run=dry_run,
    )


@dataclass(slots=True)
class _Search:
    """What is looked for, and what has been found so far."""

    entity: Entity
    wanted: tuple[str, ...]
    found: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    derived: set[str] = field(default_factory=set)

    @property
    def satisfied(self) -> bool:
        if not self.wanted:
            return bool(self.found)
        return all(name in self.found or not _empty(self.entity.fields.get(name)) for name in self.wanted)

    def add(self, provider: str, result: ProviderResult) -> None:
        for name, value in _values(result).items():
            if name not in self.found and _empty(self.entity.fields.get(name)):
                self.found[name] = value
                self.sources[name] = provider
                if name in result.derived:
                    self.derived.add(name)

    def enriched(self) -> dict[str, Any]:
        return {**self.found, **{f"{name}_confidence": "derived" for name in sorted(self.derived)}}


async def _ask_tier(tier: Tier, search: _Search, clock: Clock) -> TierResult:
    attempts: list[ProviderAttempt] = []
    for provider in tier.providers:
        if search.satisfied:
            break
        for number in range(1, tier.terms.retries + 2):
            attempt, result = await _call(provider, number, tier.terms, search.entity, clock)
            attempts.append(attempt)
            search.add(provider.name, result)
            if attempt.outcome not in _REPEATABLE:
                break
    return TierResult(tier.terms.number, tuple(attempts))


async def _call(
    provider: Provider, number: int, terms: TierTerms, entity: Entity, clock: Clock
) -> tuple[ProviderAttempt, ProviderResult]:
    """One call, as a record of how it ended; only the cancellation of the caller gets out."""
    started = clock()
    result, message = ProviderResult(), None
    try:
        async with asyncio.timeout(terms.timeout_seconds):
            result = await provider.lookup(entity)
        found = tuple(_values(result))
        outcome = AttemptOutcome.FOUND if found else AttemptOutcome.NOT_FOUND
    except TimeoutError:
        found, outcome, message = (), AttemptOutcome.TIMED_OUT, f"no answer within {terms.timeout_seconds:g} seconds"
    except ProviderRefused as error:
        found, outcome, message = (), AttemptOutcome.REFUSED, _message(error)
    except Exception as error:  # whatever a provider does wrong, the next one may do right
        found, outcome, message = (), AttemptOutcome.FAILED, _message(error)
    cost = terms.price if outcome is AttemptOutcome.FOUND else Decimal(0)
    duration = _seconds(started, clock())
    return ProviderAttempt(provider.name, number, outcome, cost, duration, found, message), result


def _values(result: ProviderResult) -> Mapping[str, Any]:
    return {name: value for name, value in result.data.items() if not _empty(value)}


def _empty(value: object) -> bool:
    """Nothing, blank text or an empty collection; zero and false are values."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | tuple | dict | set | frozenset) and not value)


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]


def _seconds(started: datetime, finished: datetime) -> float:
    """Never negative, even when the wall clock was set back in between."""
    return max(0.0, (finished - started).total_seconds())
