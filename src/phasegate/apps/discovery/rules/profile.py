"""What stands in the fields of an inventory, measured over all rows, piece by piece. What is good or bad is not decided here.

Every figure of a profile of pieces is that of all rows at once, so that rows can be measured while they are read and the work
taken up again after a crash: keep ``to_dict()`` of each piece and merge them in the order of the rows.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from heapq import nsmallest
from itertools import chain, islice
from operator import itemgetter
from string import ascii_lowercase, ascii_uppercase
from typing import Any, TypeVar

from phasegate.apps.discovery.schema import ASSET_FIELDS

#: The lengths that targets allow: for each of these the values that are longer are counted.
LIMITS: tuple[int, ...] = tuple(sorted({each.limit for each in ASSET_FIELDS}))
#: What may stand between the parts of a list, the likeliest first, and from how many parts on it is one.
DELIMITERS = ",;|"
LIST_PARTS = 3
#: Different values are counted up to here.
UNIQUE_CAP = 1_000
LIST_SAMPLES = 10
LONG_SAMPLES = 3
SAMPLE_LENGTH = 80

_T = TypeVar("_T", str, int)
_KEY_BYTES = 6
_KEY_LENGTH = 8  # of six bytes in base64


class Look(StrEnum):
    """How a value looks, whatever it means."""

    FLAG = "flag"
    WHOLE = "whole"
    NUMBER = "number"
    DATE = "date"
    IP = "ip"
    TEXT = "text"


# Values of most columns differ in their digits only: what is looked at is the shape, with 0 for every digit and small letters.
# Bytes, because Python translates text that is not plain ASCII twenty times slower.
_SHAPE = bytes.maketrans(b"123456789" + ascii_uppercase.encode(), b"0" * 9 + ascii_lowercase.encode())
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_LOOKS = re.compile(
    rf"""
      (?P<flag> true | false | yes | no | on | off | [yntf] )
    | (?P<whole> [+-]? (?: 0{{1,3}} (?: ,000 )+ | 0+ ) )
    | (?P<number> [+-]? (?: 0+ (?: ,000 )* \.0* | \.0+ | 0+ (?: \.000 )* ,0+ | 0+ (?= e ) ) (?: e[+-]?0+ )? )
    | (?P<date> (?: 0000 (?P<dash> [-/.] ) 00? (?P=dash) 00?
                  | 00? (?P<slash> [-/.] ) 00? (?P=slash) (?: 0000 | 00 )
                  | 00? [ -] {_MONTH} [ -] (?: 0000 | 00 )
                  | {_MONTH} [ ] 00? ,? [ ] 0000 )
                (?: [ t] 00? :00 (?: :00 (?: [.,]0+ )? )? (?: [ ] [ap]m )? [ ]? (?: z | utc | [+-]00:?00 )? )? )
    | (?P<ip> 0{{1,3}} (?: \.0{{1,3}} ){{3}} (?: /00? )?
            | (?= [0a-f:]*:: | (?: [0a-f]+: ){{7}} ) [0a-f]{{0,4}} (?: :[0a-f]{{0,4}} ){{2,8}} (?: /0{{1,3}} )? )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a piece of rows: its texts in the order of the rows ("" where nothing stands), and how often each occurs.

    ``counts`` is without the empty text and in the order in which its texts first occur.
    """

    texts: Sequence[str]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """What stands in one field. Lengths are characters, without the space around a value; 0 when nothing stands anywhere.

    ``unique`` has a short key for each different value, or is None when there are more than ``UNIQUE_CAP``; ``looks`` and
    ``over`` count values by how they look and by the limits they are longer than, ``lists`` those that are lists by delimiter.
    Samples are at most ``SAMPLE_LENGTH`` characters; long ones are of the longest values and begin with the length.
    """

    nulls: int = 0
    values: int = 0
    shortest: int = 0
    longest: int = 0
    total_length: int = 0
    unique: frozenset[str] | None = frozenset()
    looks: Mapping[str, int] = field(default_factory=dict)
    over: Mapping[int, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    list_samples: tuple[str, ...] = ()
    long_samples: tuple[tuple[int, str], ...] = ()

    @property
    def mean_length(self) -> float:
        """Characters; 0.0 when nothing stands anywhere."""
        return self.total_length / self.values if self.values else 0.0

    @property
    def unique_count(self) -> int:
        """How many different values there are; ``UNIQUE_CAP`` when there are more than that."""
        return UNIQUE_CAP if self.unique is None else len(self.unique)

    @property
    def list_count(self) -> int:
        """How many values are lists."""
        return sum(self.lists.values())

    @property
    def alike(self) -> int:
        """How many values look like most of the field. Whole numbers are numbers here."""
        numbers = self.looks.get(Look.WHOLE, 0) + self.looks.get(Look.NUMBER, 0)
        return max(numbers, *self.looks.values(), 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """The fields in the order in which they first occur, and how many rows there are."""

    fields: Mapping[str, FieldProfile] = field(default_factory=dict)
    rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON. The fields are a list, because not every database keeps the order of an object's keys."""
        return {"rows": self.rows, "fields": [_to_dict(name, each) for name, each in self.fields.items()]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Profile:
        """The profile that ``to_dict`` was called on, also when the dict has been JSON in between."""
        return cls(dict(_from_dict(each) for each in stored["fields"]), stored["rows"])


def measure(rows: Sequence[Mapping[str, Any]]) -> Profile:
    """The profile of some rows as they are read: heading to text, number, flag or None. A missing key is as None is."""
    return measure_columns(columns_of(rows), len(rows))


def measure_columns(columns: Mapping[str, Column], rows: int) -> Profile:
    """``measure`` for rows whose columns are made already, for somebody else too."""
    return Profile({name: _measure(column) for name, column in columns.items()}, rows)


def merge(first: Profile, second: Profile) -> Profile:
    """The profile of the rows of both. A field that one lacks is null in each of its rows."""
    missing = FieldProfile(nulls=first.rows), FieldProfile(nulls=second.rows)
    names = dict.fromkeys(chain(first.fields, second.fields))
    fields = {name: _merge(first.fields.get(name, missing[0]), second.fields.get(name, missing[1])) for name in names}
    return Profile(fields, first.rows + second.rows)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """The columns of the rows, by heading, in the order in which the headings first occur."""
    return {name: _column(_cells(rows, name)) for name in dict.fromkeys(chain.from_iterable(rows))}


def sample_of(text: str) -> str:
    """The beginning of a text, in characters that can be shown and stored anywhere."""
    start = text[:SAMPLE_LENGTH]
    return start if start.isprintable() else "".join(each if each.isprintable() else " " for each in start)


def _cells(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def _column(cells: list[Any]) -> Column:
    types = set(map(type, cells))
    if types == {str}:
        texts = list(map(str.strip, cells))
    elif types == {str, type(None)}:
        texts = [cell.strip() if cell else "" for cell in cells]
    else:
        texts = list(map(_text, cells))
    counts = Counter(texts)
    del counts[""]
    return Column(texts, counts)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    try:
        return str(cell).strip()
    except ValueError:  # Python refuses to write whole numbers of thousands of digits in decimal
        return hex(cell)


def _measure(column: Column) -> FieldProfile:
    counts = column.counts
    lengths = Counter(map(len, column.texts))
    nulls = lengths.pop(0, 0)
    if not lengths:
        return FieldProfile(nulls=nulls)
    longest = max(lengths)
    lists, list_samples = _lists(counts)
    return FieldProfile(
        nulls=nulls,
        values=len(column.texts) - nulls,
        shortest=min(lengths),
        longest=longest,
        total_length=sum(length * count for length, count in lengths.items()),
        unique=None if len(counts) > UNIQUE_CAP else frozenset(map(_key, counts)),
        looks=_looks(counts),
        over={limit: _over(limit, lengths) for limit in LIMITS if limit < longest},
        lists=lists,
        list_samples=list_samples,
        long_samples=_long_samples(counts, lengths),
    )


def _over(limit: int, lengths: Mapping[int, int]) -> int:
    return sum(count for length, count in lengths.items() if length > limit)


def _key(text: str) -> str:
    """Stands for the text among others: the text itself when it is shorter than every digest is."""
    if len(text) < _KEY_LENGTH and text.isprintable():
        return text
    return b64encode(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()).decode()


def _looks(counts: Mapping[str, int]) -> dict[str, int]:
    shapes: dict[str, int] = {}
    for shape, count in zip(_shapes(counts), counts.values(), strict=True):
        shapes[shape] = shapes.get(shape, 0) + count
    found: dict[str, int] = {}
    for shape, count in shapes.items():
        match = _LOOKS.fullmatch(shape)
        look = (match.lastgroup if match else None) or Look.TEXT.value
        found[look] = found.get(look, 0) + count
    return found


def _shapes(texts: Collection[str]) -> list[str]:
    shapes = _shape("\n".join(texts)).split("\n")
    return (
        shapes if len(shapes) == len(texts) else list(map(_shape, texts))
    )  # otherwise there are texts of several lines


def _shape(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").translate(_SHAPE).decode("utf-8", "surrogatepass")


def _lists(counts: Mapping[str, int]) -> tuple[dict[str, int], tuple[str, ...]]:
    """How many values are lists by delimiter, and the first different samples of them."""
    joined = "\n".join(counts)
    present = [each for each in DELIMITERS if each in joined]
    found: dict[str, int] = {}
    samples: dict[str, None] = {}
    for text in counts if present else ():
        delimiter = _delimiter_of(text, present)
        if delimiter:
            found[delimiter] = found.get(delimiter, 0) + counts[text]
            if len(samples) < LIST_SAMPLES:
                samples[sample_of(text)] = None
    return found, tuple(samples)


def _delimiter_of(text: str, candidates: Iterable[str]) -> str | None:
    for each in candidates:
        if text.count(each) >= LIST_PARTS - 1 and sum(map(bool, map(str.strip, text.split(each)))) >= LIST_PARTS:
            return each
    return None


def _long_samples(counts: Mapping[str, int], lengths: Mapping[int, int]) -> tuple[tuple[int, str], ...]:
    """Samples of the longest values, when they are too long for any target at all."""
    found: list[tuple[int, str]] = []
    for length in sorted((each for each in lengths if each > LIMITS[0]), reverse=True):
        alike = {sample_of(text) for text in counts if len(text) == length}
        found += [(length, sample) for sample in nsmallest(LONG_SAMPLES, alike)]
        if len(found) >= LONG_SAMPLES:
            break
    return tuple(found[:LONG_SAMPLES])


def _merge(first: FieldProfile, second: FieldProfile) -> FieldProfile:
    if not second.values:
        return replace(first, nulls=first.nulls + second.nulls)
    if not first.values:
        return replace(second, nulls=first.nulls + second.nulls)
    return FieldProfile(
        nulls=first.nulls + second.nulls,
        values=first.values + second.values,
        shortest=min(first.shortest, second.shortest),
        longest=max(first.longest, second.longest),
        total_length=first.total_length + second.total_length,
        unique=_united(first.unique, second.unique),
        looks=add(first.looks, second.looks),
        over=add(first.over, second.over),
        lists=add(first.lists, second.lists),
        list_samples=first_different(LIST_SAMPLES, first.list_samples, second.list_samples),
        long_samples=_longest({*first.long_samples, *second.long_samples}),
    )


def add(first: Mapping[_T, int], second: Mapping[_T, int]) -> dict[_T, int]:
    """The sums of two counts by what they count."""
    return {key: first.get(key, 0) + second.get(key, 0) for key in dict.fromkeys(chain(first, second))}


def first_different(most: int, *texts: Iterable[str]) -> tuple[str, ...]:
    """The first different ones of all the texts."""
    return tuple(islice(dict.fromkeys(chain.from_iterable(texts)), most))


def _united(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    if first is None or second is None:
        return None
    both = first | second
    return None if len(both) > UNIQUE_CAP else both


def _longest(samples: set[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    return tuple(sorted(samples, key=lambda each: (-each[0], each[1]))[:LONG_SAMPLES])


def _to_dict(name: str, profile: FieldProfile) -> dict[str, Any]:
    over = {str(limit): count for limit, count in profile.over.items()}
    unique = None if profile.unique is None else sorted(profile.unique)
    return {"name": name} | asdict(profile) | {"over": over, "unique": unique}


def _from_dict(stored: Mapping[str, Any]) -> tuple[str, FieldProfile]:
    values = dict(stored)
    name = values.pop("name")
    unique = values["unique"]
    values["unique"] = None if unique is None else frozenset(unique)
    values["over"] = {int(limit): count for limit, count in values["over"].items()}
    values["list_samples"] = tuple(values["list_samples"])
    values["long_samples"] = tuple((length, text) for length, text in values["long_samples"])
    return name, FieldProfile(**values)
