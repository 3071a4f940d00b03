"""Intent of a company over time: every signal weighs by its source and fades with its age.

Score = sum of weight x confidence of the source x decay, capped by day and in total. One acts only when the tier rises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

#: Highest age -> factor, youngest first; anything older has the last factor.
DECAY = (
    (timedelta(days=7), 1.0),
    (timedelta(days=30), 0.85),
    (timedelta(days=90), 0.65),
    (timedelta(days=180), 0.4),
    (timedelta(days=365), 0.2),
)
OLDEST_DECAY = 0.05
#: Tier -> lowest score, in rising order.
TIERS = {"cold": 0, "warm": 50, "engaged": 100, "hot": 200, "burning": 300}
#: A company never scores more than this, and never gains more than this from the signals of one day.
TOTAL_CAP = 1000.0
DAILY_CAP = 300.0
#: A signal of the same kind within this time of a counted one is the same news.
SAME_NEWS = timedelta(hours=72)
#: What the overview of events looks back on.
OVERVIEW_WINDOW = timedelta(days=90)
#: Weights that may be used where no rule table is loaded.
EXAMPLE_WEIGHTS = {
    "contract_renewal_120_days": 50,
    "contract_renewal_90_days": 60,
    "contract_renewal_60_days": 70,
    "contract_renewal_30_days": 80,
    "executive_movement": 40,
    "funding_round": 60,
}

_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Signal:
    """One event: its kind, its weight in points, how far its source is trusted (0 to 1), when it happened (aware UTC)."""

    kind: str
    weight: float
    confidence: float
    at: datetime
    processed: bool = True


def kind_of(signal_type: str) -> str:
    """The kind under which a signal type has its weight: "Funding Round" is ``funding_round``."""
    return _NO_WORD.sub("_", signal_type.casefold()).strip("_")


def decay(age: timedelta) -> float:
    """The factor for a signal of this age; a limit belongs to the younger side."""
    return next((factor for limit, factor in DECAY if age <= limit), OLDEST_DECAY)


def company_score(signals: Iterable[Signal], now: datetime) -> float:
    """The faded, capped score at ``now``; signals after ``now`` and repeated news do not count."""
    by_day: dict[date, float] = {}
    for signal in distinct(each for each in signals if each.at <= now):
        points = signal.weight * signal.confidence * decay(now - signal.at)
        by_day[signal.at.date()] = by_day.get(signal.at.date(), 0.0) + points
    return max(0.0, min(TOTAL_CAP, sum(min(DAILY_CAP, points) for points in by_day.values())))


def distinct(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """The signals in order of time without those of a kind that was counted less than 72 hours before.

    Of simultaneous ones the heavier counts, so that the order of the rows does not matter.
    """
    counted: list[Signal] = []
    latest: dict[str, datetime] = {}
    for signal in sorted(signals, key=lambda each: (each.at, -each.weight * each.confidence)):
        before = latest.get(signal.kind)
        if before is None or signal.at - before >= SAME_NEWS:
            latest[signal.kind] = signal.at
            counted.append(signal)
    return tuple(counted)


def tier(score: float) -> str:
    """cold below 50, warm below 100, engaged below 200, hot below 300, otherwise burning."""
    return next((name for name, lowest in reversed(TIERS.items()) if score >= lowest), "cold")


def tier_raised(before: float, after: float) -> bool:
    """Whether a score has reached a higher tier; only then does anybody act."""
    names = list(TIERS)
    return names.index(tier(after)) > names.index(tier(before))


def overview_category(signals: Iterable[Signal], now: datetime) -> str:
    """hot from 50, warm from 25, cold above 0, otherwise unscored.

    The plain sum of weights of the processed signals of the last 90 days, as the overview of events shows it.
    """
    window = (each for each in signals if each.processed and timedelta() <= now - each.at <= OVERVIEW_WINDOW)
    total = sum(each.weight for each in window)
    if total >= 50:
        return "hot"
    if total >= 25:
        return "warm"
    return "cold" if total > 0 else "unscored"
