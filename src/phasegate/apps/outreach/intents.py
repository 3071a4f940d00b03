"""The intent of companies, from the signals that are on record.

Looking only: the score of phase 5 is another one, of a person, and stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from phasegate import UnknownName
from phasegate.apps.outreach import queries
from phasegate.apps.outreach.phases.batch import Row, Rows, group_rows, parts_of, read_many
from phasegate.apps.outreach.rules.intent_model import (
    EXAMPLE_WEIGHTS,
    TIERS,
    Signal,
    company_score,
    kind_of,
    overview_category,
)
from phasegate.apps.outreach.rules.intent_model import tier as tier_of

if TYPE_CHECKING:
    from phasegate import Engine

#: How far a signal is trusted: the table does not say from which source one is, so all of them alike.
_CONFIDENCE = 1.0


@dataclass(frozen=True, slots=True)
class CompanyIntent:
    """What the signals of one company say. ``signals`` counts all on record, ``unweighted`` those of a type without a
    weight, which add nothing to the score."""

    company_unique_id: str
    company_name: str
    score: float
    tier: str
    signals: int
    unweighted: int
    latest_signal: str
    latest_at: datetime
    overview: str

    def to_result(self) -> dict[str, Any]:
        """The intent as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class IntentReport:
    """The companies, highest score first, those of one score in the order of their ids. ``tiers`` counts all companies that
    gave a signal, also those that are not listed; ``more`` says that a limit left some out."""

    companies: tuple[CompanyIntent, ...]
    more: bool
    tiers: Mapping[str, int]


def find_intent(
    engine: Engine, *, state: str | None = None, tier: str | None = None, limit: int | None = None,
    weights: Mapping[str, float] = EXAMPLE_WEIGHTS,
) -> IntentReport:  # fmt: skip
    """The intent, now, of the companies of a state (None: of all) that gave a signal.

    ``tier`` lists one tier only, ``limit`` at most so many companies. ``weights`` maps kinds of signal, as ``kind_of``
    names them, to points. Raises ``UnknownName`` for another tier.
    """
    if tier is not None and tier not in TIERS:
        raise UnknownName("tier", tier, TIERS)
    found = sorted(_intents(engine, state, weights), key=_strongest_first)
    counted = Counter(each.tier for each in found)
    listed = [each for each in found if tier in (None, each.tier)]
    cut = len(listed) if limit is None else limit
    return IntentReport(tuple(listed[:cut]), len(listed) > cut, {name: counted[name] for name in TIERS})


def _intents(engine: Engine, state: str | None, weights: Mapping[str, float]) -> Iterator[CompanyIntent]:
    """One per company; the signals of some hundred companies are in memory at a time."""
    now = engine.store.now()
    rows = engine.read(queries.SIGNALLING_COMPANIES, {"tenant": engine.tenant, "state": state})
    companies = {row["company_unique_id"]: row for row in rows}
    for ids in parts_of(list(companies)):
        events = group_rows(read_many(engine.read, queries.SIGNALS, engine.tenant, ids))
        yield from (
            _intent(companies[identity], events[identity], weights, now) for identity in ids if identity in events
        )


def _intent(company: Row, events: Rows, weights: Mapping[str, float], now: datetime) -> CompanyIntent:
    kinds = [kind_of(event["signal_type"]) for event in events]
    signals = [
        Signal(kind, weights.get(kind, 0), _CONFIDENCE, event["detected_at"], event["processed"])
        for kind, event in zip(kinds, events, strict=True)
    ]
    score = round(company_score(signals, now), 2)
    latest = max(events, key=lambda event: (event["detected_at"], event["event_id"]))
    return CompanyIntent(
        company_unique_id=company["company_unique_id"],
        company_name=company["company_name"],
        score=score,
        tier=tier_of(score),
        signals=len(events),
        unweighted=sum(kind not in weights for kind in kinds),
        latest_signal=latest["signal_type"],
        latest_at=latest["detected_at"],
        overview=overview_category(signals, now),
    )


def _strongest_first(each: CompanyIntent) -> tuple[float, int, str]:
    return -each.score, len(each.company_unique_id), each.company_unique_id
