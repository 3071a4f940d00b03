"""Doubts about a record that the rules would let pass: placeholders, gaps and contradictions.

Every doubt is a warning and invalidates nothing; it decides which bay a record is sent to for mending: ``bay_a`` when
something is missing, ``bay_b`` when everything is there and does not fit together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from phasegate.apps.outreach.rules.canonical import content_digest
from phasegate.apps.outreach.rules.domains import is_free_mail, mail_domain, same_organisation, site_domain
from phasegate.apps.outreach.rules.failures import Failure, Severity
from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, is_present, text, whole_number
from phasegate.apps.outreach.rules.identifiers import IdKind, parse_id
from phasegate.apps.outreach.rules.titles import Slot, classify_title
from phasegate.errors import InputError

#: Columns that change without the content changing; a digest over them could never find a record unchanged.
VOLATILE = frozenset(
    {"created_at", "updated_at", "timestamp", "timestamp_last_updated", "validated_at", "last_verified_at", "last_hash"}
)
#: Where a doubtful record is sent: something is missing, or everything is there and does not fit together.
BAYS = ("bay_a", "bay_b")
#: From this enrichment attempt on, a record that still fails is chronic.
CHRONIC_FROM = 2

_NO_SOURCES: Mapping[str, str] = MappingProxyType({})
_PLACEHOLDER_WORDS = frozenset({"n/a", "na", "none", "null", "nil", "unknown", "tbd", "pending", "-", "--", "?"})
_PLACEHOLDER_START = re.compile(r"(?:test|testing|example|placeholder)(?![a-z])")
_HEAD_COUNT_RANGE = re.compile(r"([0-9]{1,9})\s*(?:-|\u2013|to)\s*([0-9]{1,9})|[0-9]{1,9}\s*\+")
_COMMERCIAL = re.compile(
    r"\b(?:technology|software|manufacturing|retail|retailing|wholesalers?|financials?|finance|banking|energy|media|"
    r"industrials|chemicals|apparel|transportation|telecommunications|construction|automotive|consulting)\b"
)
_PUBLIC_ENDINGS = frozenset({"edu", "org", "gov"})
_PUBLIC_NAMES = re.compile(r"\b(?:school|schools|university|college|academy|church|ministry|ministries|parish)\b")
_CORPORATE_LABELS = frozenset({"corporate", "corp", "investor", "investors", "ir"})
_JUNIOR = frozenset({"entry", "junior", "intern", "trainee"})
_DEPARTMENTS = {
    Slot.CFO: frozenset({"finance", "accounting", "treasury"}),
    Slot.HR: frozenset({"hr", "human resources", "people", "talent"}),
}


@dataclass(frozen=True, slots=True)
class Plausibility:
    """The doubts about one record, and a digest of its content that does not depend on when it was looked at."""

    missing: tuple[Failure, ...]
    contradictions: tuple[Failure, ...]
    content_hash: str
    attempt: int

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Every doubt, gaps first."""
        return self.missing + self.contradictions

    @property
    def garage_bay(self) -> str | None:
        """``bay_a`` when something is missing, else ``bay_b`` for contradictions, else None."""
        if self.missing:
            return "bay_a"
        return "bay_b" if self.contradictions else None

    @property
    def is_chronic(self) -> bool:
        """Whether doubts remain at the second enrichment attempt or later."""
        return bool(self.failures) and self.attempt >= CHRONIC_FROM

    def to_result(self) -> dict[str, object]:
        """``validation_status`` (passed, failed), ``garage_bay, reasons, last_hash, is_chronic``."""
        return {
            "validation_status": "failed" if self.failures else "passed",
            "garage_bay": self.garage_bay,
            "reasons": [f"{failure.field}: {failure.message}" for failure in self.failures],
            "last_hash": self.content_hash,
            "is_chronic": self.is_chronic,
        }


def check_company_plausibility(
    company: object, attempt: int = 0, source_ids: Mapping[str, str] = _NO_SOURCES
) -> Plausibility:
    """Doubts about a company; never raises.

    ``attempt`` counts the enrichment attempts so far. ``source_ids`` maps a source system to the column that rows from
    it must fill.
    """
    row = as_row(company)
    return _plausibility(row, attempt, _company_gaps(row, source_ids), _company_contradictions(row))


def check_person_plausibility(person: object, company: object = None, attempt: int = 0) -> Plausibility:
    """Doubts about a person, seen beside the company when it is given; never raises."""
    row = as_row(person)
    fields = ("full_name", "title", "email", "linkedin_url", "company_unique_id")
    gaps = (_gap(field, row.get(field)) for field in fields)
    return _plausibility(row, attempt, gaps, _person_contradictions(row, as_row(company)))


def is_placeholder(value: object) -> bool:
    """Whether text stands for nothing: "n/a", "unknown", "TBD", "test 1", "Example Company"."""
    words = text(value).casefold()
    return words in _PLACEHOLDER_WORDS or _PLACEHOLDER_START.match(words) is not None


def record_hash(record: object) -> str:
    """The sha256 over a record without its times, the same for the same content at any time."""
    return content_digest({name: value for name, value in as_row(record).items() if name not in VOLATILE})


def _plausibility(
    row: Row, attempt: int, gaps: Iterable[Failure | None], contradictions: Iterable[Failure | None]
) -> Plausibility:
    return Plausibility(
        missing=tuple(gap for gap in gaps if gap is not None),
        contradictions=tuple(each for each in contradictions if each is not None),
        content_hash=record_hash(row),
        attempt=attempt,
    )


def _gap(field: str, value: object, shortest: int = 1) -> Failure | None:
    if not is_present(value):
        return _doubt(field, "missing", "is missing", value)
    if is_placeholder(value):
        return _doubt(field, "placeholder", "is a placeholder", value)
    if isinstance(value, str) and len(value.strip()) < shortest:
        return _doubt(field, "too_short", f"has fewer than {shortest} characters", value)
    return None


def _doubt(field: str, kind: str, message: str, value: object = None) -> Failure:
    return Failure(field, f"{field}_{kind}", message, Severity.WARNING, value)


def _company_gaps(row: Row, source_ids: Mapping[str, str]) -> Iterable[Failure | None]:
    yield _gap("company_name", row.get("company_name"), shortest=2)
    yield _domain_gap(first_present(row, "domain", "website", "website_url"))
    yield _head_count_gap(row.get("employee_count"))
    yield _gap("industry", row.get("industry"), shortest=3)
    yield _gap("location", first_present(row, "location", "address_city", "city", "address_state", "state"), shortest=2)
    id_field = source_ids.get(text(row.get("source_system")))
    if id_field is not None:
        yield _gap(id_field, row.get(id_field))


def _domain_gap(value: object) -> Failure | None:
    gap = _gap("domain", value)
    if gap is None and site_domain(value) is None:
        return _doubt("domain", "without_ending", "has no top-level domain", value)
    return gap


def _head_count_gap(value: object) -> Failure | None:
    gap = _gap("employee_count", value)
    if gap is not None:
        return gap
    count = whole_number(value)
    if count is not None and count >= 0:
        return None
    span = _HEAD_COUNT_RANGE.fullmatch(text(value))
    if span is None or (span.group(1) and int(span.group(1)) > int(span.group(2))):
        return _doubt("employee_count", "not_a_count", "is neither a count nor a range", value)
    return None


def _company_contradictions(row: Row) -> Iterable[Failure | None]:
    domain = site_domain(first_present(row, "domain", "website", "website_url")) or ""
    industry, name = text(row.get("industry")).casefold(), text(row.get("company_name")).casefold()
    commercial = _COMMERCIAL.search(industry) is not None
    labels = domain.split(".")
    if commercial and labels[-1] in _PUBLIC_ENDINGS:
        yield _doubt("industry", "contradicts_domain", f"is commercial, the domain ends in .{labels[-1]}", industry)
    if commercial and _PUBLIC_NAMES.search(name):
        yield _doubt("industry", "contradicts_name", "is commercial, the name is of a school or church", industry)
    count = whole_number(row.get("employee_count"))
    if count is not None and 0 <= count < 10 and _CORPORATE_LABELS.intersection(labels[:-1]):
        yield _doubt("employee_count", "contradicts_domain", "is below 10 on the site of a corporation", count)


def _person_contradictions(row: Row, company: Row) -> Iterable[Failure | None]:
    mail = mail_domain(row.get("email"))
    home = site_domain(first_present(company, "domain", "website", "website_url"))
    if mail and home and not is_free_mail(mail) and not same_organisation(mail, home):
        yield _doubt("email", "contradicts_company", f"is at {mail}, the company at {home}", mail)
    match = classify_title(row.get("title"))
    if match is not None:
        yield _seniority_contradiction(row)
        yield _department_contradiction(row, match.slot)
    company_id = row.get("company_unique_id")
    if is_present(company_id) and not _names_company(company_id):
        yield _doubt("company_unique_id", "of_other_kind", "is not the id of a company", company_id)


def _seniority_contradiction(row: Row) -> Failure | None:
    declared = text(row.get("seniority")).casefold()
    if _JUNIOR.intersection(re.findall(r"[a-z]+", declared)):
        return _doubt("seniority", "contradicts_title", "is junior, the title is executive", declared)
    return None


def _department_contradiction(row: Row, slot: Slot) -> Failure | None:
    declared = text(row.get("department")).casefold()
    owner = next((each for each, names in _DEPARTMENTS.items() if declared in names), None)
    # A CEO may head any department, so only finance and human resources can contradict each other.
    if owner is None or slot is Slot.CEO or owner is slot:
        return None
    return _doubt("department", "contradicts_title", f"belongs to {owner}, the title to {slot}", declared)


def _names_company(value: object) -> bool:
    try:
        parse_id(value, IdKind.COMPANY)
    except InputError:
        return False
    return True
