"""The one table from job title to slot, shared by person validation, readiness, trigger, score and slot mapping.

A title is read as words, never as a run of letters: "Throughput Lead" and "Chromatography Specialist" hold no HR,
"Salespeople Coach" no people. Words such as "of" do not count, so "Director of Finance" is a finance director. Clauses
that speak of somebody else ("Assistant to the CEO") or of the past ("Former CFO") name no slot.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache


class Slot(StrEnum):
    """The three seats of a company, in the order in which they are always listed, tried and enriched."""

    CEO = "CEO"
    CFO = "CFO"
    HR = "HR"


#: Every slot in its fixed order.
SLOTS: tuple[Slot, ...] = tuple(Slot)


@dataclass(frozen=True, slots=True)
class TitlePattern:
    """One line of the table.

    ``phrase``: the words stand together in this order; otherwise each stands somewhere in the clause. ``standing``
    decides between slots when a title fits several: 0 an office ("CFO"), 1 a role, 2 a role that is often only a rank
    ("Managing Director, Human Resources"). ``closing``: nothing may follow in the same part, so that "Principal" counts
    and "Principal Engineer" does not. ``not_after``: a word directly before that makes it another job.
    ``without_vice``: no vice presidency in the same clause.
    """

    text: str
    phrase: bool = True
    standing: int = 1
    closing: bool = False
    not_after: frozenset[str] = frozenset()
    without_vice: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the pattern in order."""
        return tuple(self.text.split())


_VICE = frozenset({"vice"})
_OWNED_WORK = frozenset(
    {"product", "process", "service", "system", "data", "platform", "project", "application", "risk", "control"}
)

#: The patterns of each slot, most telling first; the position sets the confidence.
TABLE: dict[Slot, tuple[TitlePattern, ...]] = {
    Slot.CEO: (
        TitlePattern("ceo", standing=0, not_after=_VICE),
        TitlePattern("chief executive", standing=0, not_after=_VICE),
        TitlePattern("president", not_after=_VICE),
        TitlePattern("owner", not_after=_OWNED_WORK, without_vice=True),
        TitlePattern("founder", without_vice=True),
        TitlePattern("managing director", standing=2, not_after=_VICE, without_vice=True),
        TitlePattern("general manager", standing=2, not_after=_VICE, without_vice=True),
        TitlePattern("principal", standing=2, closing=True, not_after=_VICE, without_vice=True),
    ),
    Slot.CFO: (
        TitlePattern("cfo", standing=0),
        TitlePattern("chief financial", standing=0),
        TitlePattern("finance director", phrase=False),
        TitlePattern("controller"),
        TitlePattern("treasurer"),
        TitlePattern("vp finance", phrase=False),
        TitlePattern("vice president finance", phrase=False),
    ),
    Slot.HR: (
        TitlePattern("chro", standing=0),
        TitlePattern("chief people", standing=0),
        TitlePattern("chief human", standing=0),
        TitlePattern("hr director", phrase=False),
        TitlePattern("hr manager", phrase=False),
        TitlePattern("human resources"),
        TitlePattern("people operations"),
        TitlePattern("talent"),
        TitlePattern("recruiting"),
        TitlePattern("benefits"),
        TitlePattern("hr"),
        TitlePattern("people"),
    ),
}

#: Words that make a clause somebody other than the holder of the office.
STOP_WORDS = frozenset({"assistant", "deputy", "emeritus", "retired", "intern", "aspiring"})
#: Words after which a clause speaks of the past.
PAST_WORDS = frozenset({"former", "formerly", "ex", "past", "previous", "previously"})

_PART = "|"
_FILLERS = frozenset({"of", "the", "a", "an"})
_SAME_WORD = {"svp": "vp", "evp": "vp", "resource": "resources", "comptroller": "controller"}
_CLAUSE = re.compile(r"[;|()\[\]\n]|\b(?:now|current|currently)\b")
_INITIALS = re.compile(r"\b(?:[a-z]\.){2,}(?:[a-z]\b)?")
_WORD = re.compile(r"[a-z0-9]+|[,&/+]")


@dataclass(frozen=True, slots=True)
class TitleMatch:
    """The slot a title belongs to, the pattern that says so, and a confidence from 0.5 to 1.0."""

    slot: Slot
    pattern: str
    confidence: float


def classify_title(title: object) -> TitleMatch | None:
    """The slot a title belongs to, or None; any value may be asked about.

    When several slots fit, an explicit office wins over a role ("Founder and CFO" is a CFO), then the order CEO, CFO,
    HR. Confidence is 1.0 minus 0.1 per position of the pattern in its slot's list, never below 0.5.
    """
    fitting = list(_fitting(title))
    if not fitting:
        return None
    return min(fitting, key=lambda found: found[0])[1]


def title_match(title: object, slot: Slot) -> TitleMatch | None:
    """How a title fits one slot, also when another slot would suit it better, or None."""
    return next((match for _, match in _fitting(title) if match.slot is slot), None)


def title_fits(title: object, slot: Slot) -> bool:
    """Whether a title fits one slot: "President & CFO" fits both CEO and CFO."""
    return title_match(title, slot) is not None


def parse_slot(value: object) -> Slot | None:
    """The slot a slot-type text names, in any case and with blanks around it, or None."""
    name = value.strip().upper() if isinstance(value, str) else ""
    return Slot(name) if name in Slot.__members__ else None


def describe() -> dict[str, object]:
    """The table and the word lists as plain values; equal exactly when every title is classified by the same data."""
    return {
        "table": {slot.value: [asdict(pattern) for pattern in patterns] for slot, patterns in TABLE.items()},
        "stop_words": STOP_WORDS,
        "past_words": PAST_WORDS,
        "fillers": _FILLERS,
        "same_word": _SAME_WORD,
    }


def _fitting(title: object) -> tuple[tuple[int, TitleMatch], ...]:
    """For each slot that fits, in slot order: the standing of the deciding pattern and the match."""
    return _fitting_text(title) if isinstance(title, str) else ()


@lru_cache(maxsize=4096)  # the same few titles come again and again, in four phases
def _fitting_text(title: str) -> tuple[tuple[int, TitleMatch], ...]:
    return tuple(_search(_clauses(title)))


def _search(clauses: list[list[str]]) -> Iterator[tuple[int, TitleMatch]]:
    for slot in SLOTS:
        for position, pattern in enumerate(TABLE[slot]):
            if any(_matches(pattern, clause) for clause in clauses):
                confidence = max(0.5, round(1.0 - 0.1 * position, 1))
                yield pattern.standing, TitleMatch(slot, pattern.text, confidence)
                break


def _clauses(title: str) -> list[list[str]]:
    """The clauses that speak of the holder's present job, as words with a mark between parts."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", title) if not unicodedata.combining(letter))
    # A possessive is somebody else's office ("CEO's Office"): without the apostrophe it is simply another word.
    plain = plain.casefold().replace("'", "").replace("\u2019", "")
    plain = _INITIALS.sub(lambda found: found.group().replace(".", ""), plain)
    clauses = (_own_words(_WORD.findall(part)) for part in _CLAUSE.split(plain))
    return [clause for clause in clauses if clause and not STOP_WORDS.intersection(clause)]


def _own_words(tokens: list[str]) -> list[str]:
    """The words up to the point where the clause turns to the past or to another person's office."""
    kept: list[str] = []
    for position, token in enumerate(tokens):
        if token in PAST_WORDS or token == "to" or tokens[position : position + 2] == ["office", "of"]:
            break
        if token in _FILLERS:
            continue
        kept.append(_PART if token in ",&/+" or token == "and" else _SAME_WORD.get(token, token))
    return kept


def _matches(pattern: TitlePattern, clause: list[str]) -> bool:
    if pattern.without_vice and ("vice" in clause or "vp" in clause):
        return False
    if not pattern.phrase:
        return set(pattern.words) <= set(clause)
    size = len(pattern.words)
    return any(
        tuple(clause[start : start + size]) == pattern.words and _stands_free(pattern, clause, start, start + size)
        for start in range(len(clause) - size + 1)
    )


def _stands_free(pattern: TitlePattern, clause: list[str], start: int, end: int) -> bool:
    if start and clause[start - 1] in pattern.not_after:
        return False
    return not pattern.closing or end == len(clause) or clause[end] == _PART
