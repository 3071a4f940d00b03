"""Buyer intent of one person: whether a recent executive validation is a signal, and how strong the case is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, flag, moment, text, whole_number
from phasegate.apps.outreach.rules.person import is_person_profile
from phasegate.apps.outreach.rules.titles import Slot, classify_title

#: A validation counts as recent up to and including this age.
RECENT = timedelta(days=90)
#: The kinds of signal; the titles raise the first and the last, the others come from outside.
SIGNAL_TYPES = (
    "Executive Movement",
    "Funding Round",
    "Hiring Spree",
    "Tech Stack Change",
    "Leadership Change",
)
#: Slot of the title -> points.
TITLE_POINTS = {Slot.CEO: 40, Slot.CFO: 35, Slot.HR: 25}
#: Points for a LinkedIn page, for a company above the head count, for a recent validation, for a verified address.
LINKEDIN_POINTS = 30
SIZE_POINTS = 30
RECENT_POINTS = 20
VERIFIED_EMAIL_POINTS = 15
EMPLOYEES_ABOVE = 50
#: Category -> lowest score, best first; a score below the last is unscored.
CATEGORIES = {"hot": 75, "warm": 50, "cold": 25}

_SIGNALS = {Slot.CEO: "Executive Movement", Slot.CFO: "Executive Movement", Slot.HR: "Leadership Change"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """Whether a person raises a signal; ``signal_type`` is None when not."""

    person_id: object
    full_name: object
    signal_type: str | None
    reason: str

    @property
    def triggered(self) -> bool:
        """Whether a signal was raised."""
        return self.signal_type is not None

    def to_result(self) -> dict[str, object]:
        """``person_id, full_name, trigger, signal_type, reason``."""
        return {
            "person_id": self.person_id,
            "full_name": self.full_name,
            "trigger": self.triggered,
            "signal_type": self.signal_type,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One reason for points."""

    name: str
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class IntentScore:
    """The score of a person, from 0 to 100, with its parts; the parts may add up to more than the score."""

    person_id: object
    full_name: object
    parts: tuple[ScorePart, ...]

    @property
    def score(self) -> int:
        """The sum of the parts, clamped to 0 to 100."""
        return max(0, min(100, sum(part.points for part in self.parts)))

    @property
    def category(self) -> str:
        """hot, warm, cold or unscored."""
        return score_category(self.score)

    @property
    def breakdown(self) -> dict[str, int]:
        """Name of each part -> its points, for storage."""
        return {part.name: part.points for part in self.parts}

    def to_result(self) -> dict[str, object]:
        """``person_id, full_name, score, category, reason``; the reason joins the parts with plus signs."""
        return {
            "person_id": self.person_id,
            "full_name": self.full_name,
            "score": self.score,
            "category": self.category,
            "reason": " + ".join(f"{part.text} ({part.points})" for part in self.parts) or "No points",
        }


def check_trigger(person: object, now: datetime) -> Trigger:
    """Whether a person holds an executive title and was validated within 90 days before ``now`` (aware UTC)."""
    row = as_row(person)
    identity = first_present(row, "person_id", "unique_id"), row.get("full_name")
    match = classify_title(row.get("title"))
    if match is None:
        return Trigger(*identity, None, "Title is not executive")
    if text(row.get("validation_status")).casefold() == "invalid":
        return Trigger(*identity, None, "Person is not valid")
    validated = _validated_at(row)
    if validated is None:
        return Trigger(*identity, None, "No validation is on record")
    if now - validated > RECENT:
        return Trigger(*identity, None, f"Last validation is older than {RECENT.days} days")
    return Trigger(*identity, _SIGNALS[match.slot], f"{match.slot} title, validated within {RECENT.days} days")


def score_person(person: object, company: object, now: datetime) -> IntentScore:
    """Score one person of a company at ``now`` (aware UTC); what is unknown gives no points."""
    row = as_row(person)
    parts = (
        _title_part(row),
        _linkedin_part(row),
        _size_part(as_row(company)),
        _recent_part(row, now),
        _email_part(row),
    )
    return IntentScore(
        person_id=first_present(row, "person_id", "unique_id"),
        full_name=row.get("full_name"),
        parts=tuple(part for part in parts if part is not None),
    )


def score_category(score: float) -> str:
    """hot from 75, warm from 50, cold from 25, otherwise unscored."""
    return next((name for name, lowest in CATEGORIES.items() if score >= lowest), "unscored")


def score_statistics(scores: Iterable[IntentScore]) -> dict[str, int | float]:
    """``total, hot, warm, cold, unscored, avg_score, max_score, min_score``; all zero for nothing."""
    found = tuple(scores)
    points = [each.score for each in found]
    counts = {name: sum(each.category == name for each in found) for name in (*CATEGORIES, "unscored")}
    return {
        "total": len(found),
        **counts,
        "avg_score": round(sum(points) / len(points), 1) if points else 0.0,
        "max_score": max(points, default=0),
        "min_score": min(points, default=0),
    }


def has_verified_email(person: Row) -> bool:
    """Whether a person's address is verified: a flag, or a verification status that says ``valid``."""
    status = text(first_present(person, "email_verification", "email_status", "verification_status"))
    return flag(person.get("email_verified")) or status.casefold() == "valid"


def _validated_at(row: Row) -> datetime | None:
    # The time of the last change of the row says nothing about a validation, so it is not read here.
    return moment(first_present(row, "validated_at", "last_verified_at"))


def _title_part(row: Row) -> ScorePart | None:
    match = classify_title(row.get("title"))
    if match is None:
        return None
    return ScorePart("title", TITLE_POINTS[match.slot], f"{match.slot} title")


def _linkedin_part(row: Row) -> ScorePart | None:
    return ScorePart("linkedin", LINKEDIN_POINTS, "LinkedIn") if is_person_profile(row.get("linkedin_url")) else None


def _size_part(company: Row) -> ScorePart | None:
    count = whole_number(company.get("employee_count"))
    if count is None or count <= EMPLOYEES_ABOVE:
        return None
    return ScorePart("company_size", SIZE_POINTS, f"{count} employees")


def _recent_part(row: Row, now: datetime) -> ScorePart | None:
    validated = _validated_at(row)
    invalid = text(row.get("validation_status")).casefold() == "invalid"
    if validated is None or invalid or now - validated > RECENT:
        return None
    return ScorePart("recent_validation", RECENT_POINTS, "recent validation")


def _email_part(row: Row) -> ScorePart | None:
    return ScorePart("verified_email", VERIFIED_EMAIL_POINTS, "verified email") if has_verified_email(row) else None
