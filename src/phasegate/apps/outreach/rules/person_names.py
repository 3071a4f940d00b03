"""First and last name as they appear in mail addresses: lower-case ASCII letters, nothing else."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from phasegate.apps.outreach.rules.fields import text

SUFFIXES = frozenset(
    {"jr", "sr", "ii", "iii", "iv", "phd", "md", "mba", "cpa", "cfa", "esq", "jd", "dds", "pe", "phr", "sphr"}
)
HONORIFICS = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "rev", "hon"})
#: Words that belong to the last name that follows them.
PARTICLES = frozenset({"van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "du", "la", "le", "ter"})

# Letters that do not come apart into a base letter and an accent.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ß": "ss", "\u0131": "i", "ħ": "h"}
)
_NOT_LETTER = re.compile(r"[^a-z]")


@dataclass(frozen=True, slots=True)
class PersonName:
    """First and last name in lower-case ASCII letters; a single word is both."""

    first: str
    last: str


def parse_person_name(full_name: object) -> PersonName | None:
    """First and last name of a person, or None when nothing of it can be written in ASCII letters.

    Accents, honorifics, suffixes and everything that is no letter are removed, "Last, First" is turned round, particles
    stay with the last name, middle names are dropped.
    """
    parts = [_words(part) for part in text(full_name).split(",")]
    parts = [part for part in parts if part and not SUFFIXES.issuperset(part)]
    parts = [trimmed for part in parts if (trimmed := _trimmed(part))]
    if not parts:
        return None
    if len(parts) > 1:
        return PersonName(parts[1][0], "".join(parts[0]))
    words = parts[0]
    return PersonName(words[0], "".join(words[_last_name_start(words) :]))


def _words(part: str) -> list[str]:
    lowered = unicodedata.normalize("NFKD", part.casefold().translate(_LETTERS))
    return [word for each in lowered.split() if (word := _NOT_LETTER.sub("", each))]


def _trimmed(words: list[str]) -> list[str]:
    """Without honorifics in front and suffixes behind, but never without its last word."""
    while len(words) > 1 and words[0] in HONORIFICS:
        words = words[1:]
    while len(words) > 1 and words[-1] in SUFFIXES:
        words = words[:-1]
    return words


def _last_name_start(words: list[str]) -> int:
    start = len(words) - 1
    while start > 1 and words[start - 1] in PARTICLES:
        start -= 1
    return start
