"""Which known company a person's company is: by domain, by name, by likeness, or on hold when it is not certain."""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from rapidfuzz import fuzz, process

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
# Scores are rounded to four places, so that a little less than the figure still comes to it.
_LEAST = LIKE_IN_CITY - 0.0001
_APART = 1 - _LEAST
#: What part of the longer of two similar names the shorter one is at least.
_SHORTER = (1 - _APART) / (1 + _APART)
_PIECE = 3


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
    """Find the company a row means among known ones; for many rows and the same companies see ``CompanyIndex``.

    Both sides are read by ``company_name``, ``domain`` or ``website``, and ``city`` or ``address_city``. An equal domain
    scores 1.0, an equal name 0.95, a similar name its likeness. A likeness of 0.92 is accepted, one of 0.85 only in the
    same city; two candidates within 0.03 of each other are a collision.
    """
    return CompanyIndex(companies).match(wanted)


class CompanyIndex:
    """Known companies, arranged so that finding one compares a few names and not all of them."""

    def __init__(self, companies: Iterable[object]) -> None:
        self._by_domain: defaultdict[str, list[_Identity]] = defaultdict(list)
        self._by_words: defaultdict[str, list[_Identity]] = defaultdict(list)
        for known in (_Identity.of(as_row(each)) for each in companies):
            if known.id and known.domain is not None:
                self._by_domain[known.domain].append(known)
            if known.id and known.words:
                self._by_words[known.words].append(known)
        #: The names a piece is in, the shortest first.
        self._by_piece: defaultdict[str, list[str]] = defaultdict(list)
        for words in sorted(self._by_words, key=len):
            for piece in set(_pieces(words)):
                self._by_piece[piece].append(words)

    def match(self, wanted: object) -> CompanyMatch:
        """What ``match_company`` says of the wanted row and these companies."""
        seeker = _Identity.of(as_row(wanted))
        if not seeker.words and seeker.domain is None:
            return CompanyMatch(None, 0.0, HoldReason.MISSING_DATA)
        scored = self._candidates(seeker)
        if not scored:
            return CompanyMatch(None, 0.0, HoldReason.NO_MATCH)
        best, company = scored[0]
        if len(scored) > 1 and round(best - scored[1][0], 4) <= COLLISION:
            return CompanyMatch(None, best, HoldReason.COLLISION)
        if best < LIKE_ANYWHERE and not (seeker.city and seeker.city == company.city):
            return CompanyMatch(None, best, HoldReason.LOW_CONFIDENCE)
        return CompanyMatch(company.id, best, None)

    def _candidates(self, seeker: _Identity) -> list[tuple[float, _Identity]]:
        """The companies that come into question, best first."""
        at_domain = self._by_domain.get(seeker.domain or "")
        if at_domain:  # no name scores so high that it could collide with a domain
            return [(DOMAIN_SCORE, each) for each in at_domain]
        return sorted(self._alike(seeker.words), key=lambda pair: -pair[0])

    def _alike(self, words: str) -> Iterator[tuple[float, _Identity]]:
        names = self._perhaps_alike(words)
        found = process.extract(words, names, scorer=fuzz.ratio, score_cutoff=_LEAST * 100, limit=None)
        for name, ratio, _ in found:
            # A similar name is never more certain than the same name.
            score = min(EXACT_SCORE, round(ratio / 100, 4))
            if score >= LIKE_IN_CITY:
                yield from ((score, each) for each in self._by_words[name])

    def _perhaps_alike(self, words: str) -> set[str]:
        """The names that may be similar: those of a fitting length that share one of the rarer pieces with this one.

        Two names of n and m letters whose likeness is 1 - d / (n + m) have (n + m - d) / 2 letters in common and d without
        a partner. The common ones would make two pieces more than they are, and each of the others breaks at most two of
        those. When d is at most a (n + m), and the other name as short as that allows, n (1 - a) / (1 + a), there remain
        n (1 - 5 a) / (1 + a) + 2. All but so many, and one, are enough to meet one of them; the most frequent stay out.
        """
        shared = ceil(len(words) * (1 - 5 * _APART) / (1 + _APART)) + 2
        shortest, longest = len(words) * _SHORTER, len(words) / _SHORTER
        places = sorted((self._by_piece.get(piece, []) for piece in _pieces(words)), key=len)
        rare = places[: len(places) - shared + 1]
        return set().union(
            *(each[bisect_left(each, shortest, key=len) : bisect_right(each, longest, key=len)] for each in rare)
        )


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
    #: The words of the normal name in order of the alphabet: names are compared whatever the order of their words.
    words: str
    domain: str | None
    city: str

    @classmethod
    def of(cls, row: Row) -> _Identity:
        domain = site_domain(first_present(row, "domain", "website", "website_url"))
        return cls(
            id=text(row.get("company_unique_id")),
            words=" ".join(sorted(normal_company_name(row.get("company_name")).split())),
            domain=None if domain is None or is_free_mail(domain) else domain,
            city=text(first_present(row, "city", "address_city")).casefold(),
        )


def _pieces(words: str) -> list[str]:
    """Every three letters in a row, with the edges."""
    edge = " " * (_PIECE - 1)
    framed = f"{edge}{words}{edge}"
    return [framed[place : place + _PIECE] for place in range(len(framed) - _PIECE + 1)]
