"""Person validation: seven rules in a fixed order; warnings never make a person invalid."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from phasegate.apps.outreach.rules.failures import Failure, RuleBook, Severity, invalidating, sentence
from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, is_present, text
from phasegate.apps.outreach.rules.titles import classify_title

#: What a person's LinkedIn address contains, in any case.
LINKEDIN_PERSON = "linkedin.com/in/"
#: The shape of a mail address. Matched over the whole value; every part is one character class, so the time is linear.
EMAIL_SHAPE = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"

#: Every person rule with its severity.
RULES = RuleBook(
    {
        "person_id_required": Severity.CRITICAL,
        "full_name_required": Severity.CRITICAL,
        "full_name_two_parts": Severity.ERROR,
        "email_required": Severity.ERROR,
        "email_format": Severity.ERROR,
        "title_required": Severity.ERROR,
        "title_slot": Severity.ERROR,
        "linkedin_url_required": Severity.ERROR,
        "linkedin_url_format": Severity.ERROR,
        "timestamp_last_updated_required": Severity.WARNING,
        "company_unique_id_required": Severity.CRITICAL,
        "company_unique_id_known": Severity.CRITICAL,
        "company_unique_id_not_checked": Severity.WARNING,
    }
)

_EMAIL = re.compile(EMAIL_SHAPE)


@dataclass(frozen=True, slots=True)
class PersonValidation:
    """What the rules say of one person; failures stand in the order of the rules, warnings among them."""

    person: Row
    failures: tuple[Failure, ...]

    @property
    def valid(self) -> bool:
        """True when nothing CRITICAL and no ERROR was found."""
        return not invalidating(self.failures)

    @property
    def reason(self) -> str | None:
        """Every CRITICAL and ERROR failure as ``field: message`` joined by ``; ``, or None."""
        return sentence(invalidating(self.failures)) or None

    def to_result(self) -> dict[str, object]:
        """``valid, reason, failures, person_id, company_unique_id, full_name, email, title, linkedin_url,
        validation_status``; each failure carries ``field, rule, message, severity, current_value``.
        """
        row = self.person
        return {
            "valid": self.valid,
            "reason": self.reason,
            "failures": [failure.to_result() for failure in self.failures],
            "person_id": first_present(row, "person_id", "unique_id"),
            "company_unique_id": row.get("company_unique_id"),
            "full_name": row.get("full_name"),
            "email": row.get("email"),
            "title": row.get("title"),
            "linkedin_url": row.get("linkedin_url"),
            "validation_status": "valid" if self.valid else "invalid",
        }


def validate_person(person: object, known_companies: Container[str] | None = None) -> PersonValidation:
    """Judge one person; never raises, whatever the values are.

    The company id must always be present. Whether it exists is checked against ``known_companies``; without that set
    the result carries a warning that it was not checked.
    """
    row = as_row(person)
    checks = (
        _person_id(row),
        _full_name(row),
        _email_address(row),
        _title(row),
        _linkedin_url(row),
        _last_updated(row),
        _company(row, known_companies),
    )
    return PersonValidation(row, tuple(failure for failure in checks if failure is not None))


def is_email(value: object) -> bool:
    """Whether a value is text in the shape of a mail address, without anything around it."""
    return isinstance(value, str) and _EMAIL.fullmatch(value) is not None


def is_person_profile(value: object) -> bool:
    """Whether a value is the address of a person's page on LinkedIn."""
    return LINKEDIN_PERSON in text(value).casefold()


def _person_id(row: Row) -> Failure | None:
    if first_present(row, "person_id", "unique_id") is None:
        return RULES.broken("person_id_required", "person_id", "person id is missing")
    return None


def _full_name(row: Row) -> Failure | None:
    value = row.get("full_name")
    if not text(value):
        message = "full name must be text" if is_present(value) else "full name is missing"
        return RULES.broken("full_name_required", "full_name", message, value)
    if len(text(value).split()) < 2:
        message = "full name must have a first and a last name"
        return RULES.broken("full_name_two_parts", "full_name", message, value)
    return None


def _email_address(row: Row) -> Failure | None:
    value = row.get("email")
    if not is_present(value):
        return RULES.broken("email_required", "email", "email is missing", value)
    if not is_email(value):
        return RULES.broken("email_format", "email", "email is not an address", value)
    return None


def _title(row: Row) -> Failure | None:
    value = row.get("title")
    if not is_present(value):
        return RULES.broken("title_required", "title", "title is missing", value)
    if classify_title(value) is None:
        return RULES.broken("title_slot", "title", "title does not name a CEO, CFO or HR role", value)
    return None


def _linkedin_url(row: Row) -> Failure | None:
    value = row.get("linkedin_url")
    if not is_present(value):
        return RULES.broken("linkedin_url_required", "linkedin_url", "LinkedIn URL is missing", value)
    if not is_person_profile(value):
        message = f"LinkedIn URL must contain {LINKEDIN_PERSON}"
        return RULES.broken("linkedin_url_format", "linkedin_url", message, value)
    return None


def _last_updated(row: Row) -> Failure | None:
    if first_present(row, "timestamp_last_updated", "updated_at") is None:
        message = "time of the last update is missing"
        return RULES.broken("timestamp_last_updated_required", "timestamp_last_updated", message)
    return None


def _company(row: Row, known: Container[str] | None) -> Failure | None:
    field, value = "company_unique_id", row.get("company_unique_id")
    if not is_present(value):
        return RULES.broken("company_unique_id_required", field, "company id is missing", value)
    if known is None:
        message = "company was not checked: the known companies were not supplied"
        return RULES.broken("company_unique_id_not_checked", field, message, value)
    if not isinstance(value, str) or value not in known:
        return RULES.broken("company_unique_id_known", field, "company does not exist", value)
    return None
