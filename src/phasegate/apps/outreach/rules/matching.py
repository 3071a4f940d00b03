"""Which known company a person's company is: by domain, by name, by likeness, or on hold when it is not certain."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rapidfuzz import fuzz

from phasegate.apps.outreach.rules.domains import is_free_mail, site_domain
from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, text

DOMAIN_SCORE = 1.0
EXACT_SCORE = 0.95
#: A likeness from here is accepted anywhere, from the second figure only in the same city.
LIKE_ANYWHERE = 0.92
LIKE_IN_CITY = 0.85
#: Two candidates this close together are a collision.
COLLISION = 0.03

_NOT_WORD = re.compile(r"[^a-z0-9]+")
_LEGAL_FORMS = frozenset(
    {"inc", "incorporated", "llc", "ltd", "limited", "corp", "corporation", "co", "company", "plc", "gmbh", "lp"}
)


class HoldReason(StrEnum):
    """Why a match waits for a person's decision."""

    NO_MATCH = "no_match"
    LOW_CONFIDENCE = "low_confidence"
    COLLISION = "collision"
    MISSING_DATA = "missing_data"


@dataclass(frozen=True, slots=True)
class CompanyMatch:
    """The outcome: a company, or the reason for a hold. ``score`` is the best candidate's, 0.0 without one."""

    company_unique_id: str | None
    score: float
    hold_reason: HoldReason | None

    def to_result(self) -> dict[str, object]:
        """``company_unique_id, match_score, status`` (matched, hold) and ``hold_reason``."""
        return {
            "company_unique_id": self.company_unique_id,
            "match_score": self.score,
            "status": "hold" if self.hold_reason else "matched",
            "hold_reason": self.hold_reason.value if self.hold_reason else None,
        }


def match_company(wanted: object, companies: Iterable[object]) -> CompanyMatch:
    """Find the company a row means among known ones.

    Both sides are read by ``company_name``, ``domain`` or ``website``, and ``city`` or ``address_city``. An equal domain
    scores 1.0, an equal name 0.95, a similar name its likeness. A likeness of 0.92 is accepted, one of 0.85 only in the
    same city; two candidates within 0.03 of each other are a collision.
    """
    seeker = _Identity.of(as_row(wanted))
    if not seeker.name and seeker.domain is None:
        return CompanyMatch(None, 0.0, HoldReason.MISSING_DATA)
    known = (_Identity.of(as_row(each)) for each in companies)
    # Sorting is stable: among equals the earlier row stays first.
    scored = sorted(((_score(seeker, each), each) for each in known if each.id), key=lambda pair: -pair[0])
    scored = [pair for pair in scored if pair[0] >= LIKE_IN_CITY]
    if not scored:
        return CompanyMatch(None, 0.0, HoldReason.NO_MATCH)
    best, company = scored[0]
    if len(scored) > 1 and round(best - scored[1][0], 4) <= COLLISION:
        return CompanyMatch(None, best, HoldReason.COLLISION)
    if best < LIKE_ANYWHERE and not (seeker.city and seeker.city == company.city):
        return CompanyMatch(None, best, HoldReason.LOW_CONFIDENCE)
    return CompanyMatch(company.id, best, None)


def normal_company_name(name: object) -> str:
    """A company name for comparison: lower-case words without accents, punctuation and the legal form."""
    plain = unicodedata.normalize("NFKD", html.unescape(text(name)).casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = _NOT_WORD.sub(" ", plain.replace("'", "").replace("\u2019", "").replace("&", " and ")).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


@dataclass(frozen=True, slots=True)
class _Identity:
    id: str
    name: str
    domain: str | None
    city: str

    @classmethod
    def of(cls, row: Row) -> _Identity:
        domain = site_domain(first_present(row, "domain", "website", "website_url"))
        return cls(
            id=text(row.get("company_unique_id")),
            name=normal_company_name(row.get("company_name")),
            domain=None if domain is None or is_free_mail(domain) else domain,
            city=text(first_present(row, "city", "address_city")).casefold(),
        )


def _score(seeker: _Identity, known: _Identity) -> float:
    if seeker.domain is not None and seeker.domain == known.domain:
        return DOMAIN_SCORE
    if not seeker.name or not known.name:
        return 0.0
    if seeker.name == known.name:
        return EXACT_SCORE
    # A similar name is never more certain than the same name.
    return min(EXACT_SCORE, round(fuzz.token_sort_ratio(seeker.name, known.name) / 100, 4))
