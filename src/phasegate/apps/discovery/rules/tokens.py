"""Text in tokens: the pieces of a name, a heading or a value that rules compare whole."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Generic, TypeVar

# A hump is before a capital that follows small letters ("hostName"), and before the last of several capitals that small
# letters follow ("IPAddress"). Neither splits one letter off, so that "vCPU", "iOS", "GHz" and "GiB" stay whole, nor the
# plural of an abbreviation ("CPUs").
_HUMP = re.compile(r"(?<=[A-Za-z][a-z])(?=[A-Z][A-Za-z])|(?<=[A-Z][A-Z])(?=[A-Z][a-z])(?![A-Z]s(?![a-z]))")
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_PLACEHOLDERS = frozenset(
    {"n/a", "na", "none", "null", "nan", "nil", "unknown", "unbekannt", "inconnu", "tbd", "tbc", "undefined"}
)

Meaning = TypeVar("Meaning")


@lru_cache(maxsize=32_768)
def tokens(text: str) -> tuple[str, ...]:
    """The tokens of a text in their order: case-folded, without accents, each either all letters or all digits.

    A text is split at everything that is neither letter nor digit, between letters and digits, and at the humps of
    camelCase: ``"hostName01"`` is ``("host", "name", "01")``, ``"Größe (GB)"`` is ``("grosse", "gb")``. A text without
    letters or digits has none. The same text gives the same tokens wherever and whenever it is asked.
    """
    plain = text if text.isascii() else _plain(text)
    return tuple(_TOKEN.findall(_HUMP.sub(" ", plain).casefold()))


def says_nothing(text: str) -> bool:
    """Whether a text has neither letter nor digit, or is a word for "not given" such as ``N/A``."""
    return text.strip().casefold() in _PLACEHOLDERS or not any(map(str.isalnum, text))


class Phrases(Generic[Meaning]):
    """Known words and phrases with what they mean.

    A phrase is found however it is split: ``FortiOS`` is known as one word and as two. Of two entries for one phrase the
    first counts.
    """

    def __init__(self, entries: Iterable[tuple[str, Meaning]]) -> None:
        self._by_first_word: dict[str, dict[tuple[str, ...], Meaning]] = {}
        for phrase, meaning in entries:
            for words in (tokens(phrase), tokens(phrase.casefold())):
                self._by_first_word.setdefault(words[0], {}).setdefault(words, meaning)
        for word, known in self._by_first_word.items():
            self._by_first_word[word] = dict(sorted(known.items(), key=lambda entry: -len(entry[0])))
        self._words = {word for known in self._by_first_word.values() for phrase in known for word in phrase}

    def found(self, words: tuple[str, ...]) -> Iterator[tuple[Meaning, int]]:
        """What the phrases among the words mean, each with the place after it; the longest at a place is taken."""
        singular = tuple(map(self._singular, words))
        place = 0
        while place < len(singular):
            hit = self._at(singular, place)
            if hit is not None:
                yield hit
            place = hit[1] if hit is not None else place + 1

    def knows(self, word: str) -> bool:
        """Whether the word, or what it is the plural of, is in any phrase."""
        return self._singular(word) in self._words

    def _at(self, words: tuple[str, ...], place: int) -> tuple[Meaning, int] | None:
        # One letter after a number belongs to that number: there is no "F5" in "9f5d".
        if place and len(words[place]) == 1 and words[place - 1].isdigit():
            return None
        for phrase, meaning in self._by_first_word.get(words[place], {}).items():
            end = place + len(phrase)
            if words[place:end] == phrase:
                return meaning, end
        return None

    def _singular(self, word: str) -> str:
        if word in self._words or len(word) < 4:
            return word
        for ending in ("s", "es"):
            stem = word.removesuffix(ending)
            if stem != word and len(stem) > 2 and stem in self._words:
                return stem
        return word


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
