"""Looking a heading up in the dictionary: as it is, in other words, without words that add nothing, or rightly spelt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from phasegate.apps.discovery.rules import dictionary as known
from phasegate.apps.discovery.rules.dictionary import Entry
from phasegate.apps.discovery.rules.tokens import tokens
from phasegate.apps.discovery.schema import IDENTIFIERS

#: How sure it is that a heading which is a field's name means that field.
EQUAL = 1.0
# How sure an entry of the dictionary is: by its kind, and by what had to be left out of the heading to find it.
_GRADES = {"equal": EQUAL, "clear": 0.95, "loose": 0.8, "values": 0.45}
_REWORDED, _OWN_LEFT_OUT, _ENDING_LEFT_OUT, _TURN_LEFT_OUT = 0.92, 0.88, 0.82, 0.65
_LOOSE_LEFT_OUT, _LOOSE_IDENTIFIER = 0.68, 0.75
# The most for a guess about an identifier that may be wrong.
_DOUBTFUL = 0.79
_SYMBOLS = (("%", " percent "), ("#", " number "), ("$", " usd "), ("\u20ac", " eur "), ("\u00a3", " gbp "))
# No heading says more after so many characters.
_HEADING_LIMIT = 200
# How long a word is at least that may be misspelt, and how many of one heading may be.
_MISSPELT_AT_LEAST, _MISSPELT_AT_MOST = 5, 3


def by_heading(heading: str) -> Iterator[tuple[Entry, float, str]]:
    """Entries that the heading may be, how sure, and why. A heading whose unit is another one than the field's is not."""
    raw = _raw_words(heading)
    unit = unit_of(heading)
    bare = tuple(word for word in raw if word not in known.UNITS)
    exact = list(_exact(raw))
    yield from exact
    if not bare or (exact and unit is None):
        return
    for entry, confidence, reasoning in (*_exact(bare), *_reworded(bare)) if unit else _reworded(raw):
        if unit is None or known.MEASURES.get(entry.field) == known.UNITS[unit]:
            yield _in_unit(entry, confidence, reasoning, unit)


def unit_of(heading: str) -> str | None:
    """The unit a heading names, in small letters; None without one."""
    return next((word for word in _raw_words(heading) if word in known.UNITS), None)


def plain(heading: str) -> str:
    """The heading without case and separators; the whole heading when it has no letters or digits."""
    return "".join(_raw_words(heading)) or heading.strip().casefold()


def _in_unit(entry: Entry, confidence: float, reasoning: str, unit: str | None) -> tuple[Entry, float, str]:
    if unit is None or unit in known.SCHEMA_UNITS:
        return entry, min(confidence, _GRADES["clear"]), reasoning
    return entry, min(confidence, _DOUBTFUL), f"{reasoning}; the values are in {unit} and must be converted"


def _exact(words: tuple[str, ...]) -> Iterator[tuple[Entry, float, str]]:
    index = _index()
    entries = index.by_plain.get("".join(words), ())
    for entry in entries:
        reason = "the heading is the field's name" if entry.grade == "equal" else f"{entry.variant!r} is known for it"
        yield entry, _graded(entry, _GRADES[entry.grade]), reason
    if not entries:
        for entry in index.by_words.get(_bag(known.canonical(words)), ()):
            yield entry, _graded(entry, _REWORDED), f"the same words as {entry.variant!r}"


def _reworded(words: tuple[str, ...]) -> Iterator[tuple[Entry, float, str]]:
    """What the heading means without words that change nothing, or with a misspelling put right."""
    yield from _left_out(known.canonical(words))
    yield from _turned(words)
    yield from _alike(words)


def _left_out(words: tuple[str, ...]) -> Iterator[tuple[Entry, float, str]]:
    by_words = _index().by_words
    rest, strict = words, True
    while len(rest) > 1 and rest[0] in known.OWN | known.OWN_LOOSELY:
        strict = strict and rest[0] in known.OWN
        half = rest[0] == "virtual"  # a "VM IP" is the asset's own, a "Virtual IP" is not
        rest = rest[1:]
        for entry in () if half else by_words.get(_bag(rest), ()):
            if strict and entry.grade == "loose" and entry.field not in IDENTIFIERS:
                yield entry, _LOOSE_LEFT_OUT, f"{entry.variant!r} of the asset itself"
            elif _is_clear(entry) and (strict or entry.field not in IDENTIFIERS):
                yield entry, _OWN_LEFT_OUT, f"{entry.variant!r} of the asset itself"
    for shorter in (words, rest):
        if len(shorter) > 1 and (shorter[-1] in known.ENDINGS or shorter[-1] == "1"):
            for entry in by_words.get(_bag(shorter[:-1]), ()):
                if _is_clear(entry) and (entry.field not in IDENTIFIERS or shorter[-1] == "1"):
                    yield entry, _ENDING_LEFT_OUT, f"{entry.variant!r} and a word that adds nothing"


def _is_clear(entry: Entry) -> bool:
    """Whether the heading may have another word beside it. "Name" may not: a "System Name" can be another name."""
    return entry.grade in ("equal", "clear") and entry.field != "name"


def _turned(words: tuple[str, ...]) -> Iterator[tuple[Entry, float, str]]:
    """ "OS according to the tools" is an OS, but an "IP of the gateway" is not the asset's."""
    turn = next((place for place, word in enumerate(words) if place and word in known.TURNS), None)
    if turn is None or known.OTHERS.intersection(words[turn:]):
        return
    for entry in _index().by_words.get(_bag(known.canonical(words[:turn])), ()):
        if _is_clear(entry) and entry.field not in IDENTIFIERS:
            yield entry, _TURN_LEFT_OUT, f"begins with {entry.variant!r}"


def _alike(words: tuple[str, ...]) -> Iterator[tuple[Entry, float, str]]:
    """What the heading means when words that nobody knows are misspelt known ones."""
    index = _index()
    canonical = known.canonical(words)
    unknown = [word for word in canonical if word not in index.vocabulary]
    if not 1 <= len(unknown) <= _MISSPELT_AT_MOST:
        return  # another thing, and no misspelling
    put_right = tuple(word if word in index.vocabulary else _nearest(word) or word for word in canonical)
    found = [(entry, "".join(put_right)) for entry in index.by_words.get(_bag(put_right), ())]
    plain, nearest = "".join(words), _nearest_plain("".join(words))
    found += [(entry, nearest) for entry in index.by_plain.get(nearest, ())]
    for entry, meant in found:
        likeness = max(fuzz.ratio("".join(canonical), meant), fuzz.ratio(plain, meant)) / 100
        if likeness > 0.6 and entry.grade != "values":
            yield entry, min(_DOUBTFUL, _graded(entry, _REWORDED) * likeness), f"like {entry.variant!r}"


@lru_cache(maxsize=4_096)
def _nearest(word: str) -> str | None:
    """The known word that this one is a misspelling of: the first letter is right, and few others are wrong."""
    if len(word) < _MISSPELT_AT_LEAST:
        return None
    near = (each for each in _index().vocabulary if each[0] == word[0] and len(each) >= _MISSPELT_AT_LEAST)
    found = process.extractOne(word, sorted(near), scorer=OSA.distance, score_cutoff=2)
    if found is None or found[1] > (1 if min(len(word), len(found[0])) < 8 else 2):
        return None
    return str(found[0])


def _nearest_plain(plain: str) -> str:
    keys = [key for key in _index().long_names if key[0] == plain[:1]]
    found = process.extractOne(plain, keys, scorer=OSA.normalized_similarity, score_cutoff=0.85)
    return str(found[0]) if found else ""


def _graded(entry: Entry, confidence: float) -> float:
    """The confidence, no more than the entry's grade allows."""
    if entry.grade == "loose" and entry.field in IDENTIFIERS:
        return min(confidence, _LOOSE_IDENTIFIER)
    return min(confidence, _GRADES[entry.grade])


def _raw_words(heading: str) -> tuple[str, ...]:
    text = heading[:_HEADING_LIMIT]
    for symbol, word in _SYMBOLS:
        text = text.replace(symbol, word)
    return tokens(text)


def _bag(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words)))


@dataclass(frozen=True, slots=True)
class _Index:
    """The dictionary by the letters of each variant and by its words, and every word that is known."""

    by_plain: Mapping[str, Sequence[Entry]]
    by_words: Mapping[tuple[str, ...], Sequence[Entry]]
    vocabulary: frozenset[str]
    long_names: tuple[str, ...]


@lru_cache(maxsize=1)
def _index() -> _Index:
    by_plain: defaultdict[str, list[Entry]] = defaultdict(list)
    by_words: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in known.entries():
        words = tokens(entry.variant)
        by_plain["".join(words)].append(entry)
        by_words[_bag(known.canonical(words))].append(entry)
    others = {*known.OTHERS, *known.OWN, *known.OWN_LOOSELY, *known.ENDINGS, *known.WORDS, *known.WORDS.values()}
    vocabulary = known.FILLERS.union(known.UNITS, known.canonical(others), *by_words)
    long_names = tuple(plain for plain in by_plain if len(plain) > _MISSPELT_AT_LEAST)
    return _Index(dict(by_plain), dict(by_words), frozenset(vocabulary), long_names)
