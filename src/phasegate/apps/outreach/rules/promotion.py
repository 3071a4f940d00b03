"""Promotion of a person to the outreach log: four rules decide, the campaign of the company's state is attached."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType

from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, flag, number, text
from phasegate.apps.outreach.rules.intent import has_verified_email
from phasegate.apps.outreach.rules.person import is_person_profile

#: The lowest score that is promoted.
LOWEST_SCORE = 50

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a sending platform needs to know."""

    campaign_id: str
    sequence_id: str
    personalization_template: str


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The campaign of each state, by its upper-case code, and the one for every other."""

    default: Campaign = Campaign("outreach-general", "outreach-general-1", "executive_introduction")
    by_state: Mapping[str, Campaign] = field(default_factory=lambda: MappingProxyType({}))

    def for_state(self, state: object) -> Campaign:
        """The campaign for a state in any case; the default when the state is unknown or missing."""
        return self.by_state.get(text(state).upper(), self.default)


@dataclass(frozen=True, slots=True)
class Promotion:
    """The decision on one person; promoted exactly when there is a campaign."""

    person_id: object
    full_name: object
    company_name: object
    campaign: Campaign | None
    reasons: tuple[str, ...]
    decided_at: datetime
    send_date: date

    @property
    def promoted(self) -> bool:
        """Whether the person is promoted."""
        return self.campaign is not None

    @property
    def key(self) -> tuple[object, str] | None:
        """Person and campaign, which together are promoted at most once; None when skipped."""
        return None if self.campaign is None else (self.person_id, self.campaign.campaign_id)

    def to_result(self) -> dict[str, object]:
        """``person_id, full_name, company_name, status`` and either the campaign metadata or the ``reason``.

        Promoted: ``campaign_id, sequence_id, personalization_template, send_date, timestamp``.
        """
        head: dict[str, object] = {
            "person_id": self.person_id,
            "full_name": self.full_name,
            "company_name": self.company_name,
            "status": "promoted" if self.promoted else "skipped",
        }
        if self.campaign is None:
            return {**head, "reason": "; ".join(self.reasons)}
        return {
            **head,
            "campaign_id": self.campaign.campaign_id,
            "sequence_id": self.campaign.sequence_id,
            "personalization_template": self.campaign.personalization_template,
            "send_date": self.send_date.isoformat(),
            "timestamp": self.decided_at.isoformat(),
        }


def evaluate_promotion(
    person: object,
    company: object,
    now: datetime,
    campaigns: Campaigns | None = None,
    holidays: Container[date] = frozenset(),
) -> Promotion:
    """Decide on one person; all four rules are judged and every unmet one is named.

    The score is read from ``bit_score`` or ``score`` of the person. ``now`` is aware; its date is today.
    """
    row, home = as_row(person), as_row(company)
    reasons = _unmet(row, home)
    state = first_present(home, "state", "address_state")
    return Promotion(
        person_id=first_present(row, "person_id", "unique_id"),
        full_name=row.get("full_name"),
        company_name=first_present(home, "company_name") or row.get("company_name"),
        campaign=None if reasons else (campaigns or Campaigns()).for_state(state),
        reasons=reasons,
        decided_at=now,
        send_date=next_working_day(now.date(), holidays),
    )


def next_working_day(today: date, holidays: Container[date] = frozenset()) -> date:
    """The first day after ``today`` that is neither Saturday nor Sunday nor a holiday."""
    day = today + timedelta(days=1)
    while day.weekday() >= _SATURDAY or day in holidays:
        day += timedelta(days=1)
    return day


def _unmet(person: Row, company: Row) -> tuple[str, ...]:
    score = _score(person)
    rules = (
        (score is not None and score >= LOWEST_SCORE, _score_reason(score)),
        (has_verified_email(person), "email is not verified"),
        (is_person_profile(person.get("linkedin_url")), "LinkedIn URL is missing"),
        (flag(company.get("outreach_ready")), "company is not outreach ready"),
    )
    return tuple(reason for met, reason in rules if not met)


def _score(person: Row) -> float | None:
    return number(first_present(person, "bit_score", "score"))


def _score_reason(score: float | None) -> str:
    return "score is missing" if score is None else f"score {score:g} is below {LOWEST_SCORE}"
