"""What in the rows of an import is personal, and what is malicious: over all rows, piece by piece, as a profile is measured.

Personal data is a warning, with samples that are masked. A malicious value puts its row into quarantine. A word alone is never
malicious: a description may say "update", "select" or "script".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any

from phasegate.apps.discovery.errors import ValidationFailed
from phasegate.apps.discovery.rules.profile import Column, add, columns_of, first_different, sample_of

PERSONAL_SAMPLES = 3


class Personal(StrEnum):
    """What kind of personal data it is."""

    SSN = "ssn"
    EMAIL = "email"
    PHONE = "phone"
    CREDIT_CARD = "credit_card"
    BIRTH = "birth"


class Reason(StrEnum):
    """Why a row is in quarantine."""

    SCRIPT_TAG = "script tag"
    SCRIPT_ADDRESS = "script address"
    EVENT_HANDLER = "event handler in a tag"
    SCRIPT_CALL = "script call"
    SQL = "SQL injection"


@dataclass(frozen=True, slots=True)
class PersonalField:
    """A field with personal data: how many of its values are, how many of each kind, and masked samples."""

    affected: int
    kinds: Mapping[str, int]
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Malicious:
    """A value whose row belongs in quarantine. The value itself is not repeated here."""

    row: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in so many rows. ``formulas`` counts values by field that a spreadsheet would calculate: only a note."""

    rows: int = 0
    personal: Mapping[str, PersonalField] = field(default_factory=dict)
    malicious: tuple[Malicious, ...] = ()
    formulas: Mapping[str, int] = field(default_factory=dict)

    @property
    def quarantined(self) -> frozenset[int]:
        """The numbers of the rows that belong in quarantine."""
        return frozenset(each.row for each in self.malicious)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and for people to read: rows, personal and malicious (lists of objects), formulas."""
        return {
            "rows": self.rows,
            "personal": [{"field": name} | asdict(each) for name, each in self.personal.items()],
            "malicious": [asdict(each) for each in self.malicious],
            "formulas": dict(self.formulas),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Findings:
        """The findings that ``to_dict`` was called on, also when the dict has been JSON in between."""
        personal = {
            each["field"]: PersonalField(each["affected"], dict(each["kinds"]), tuple(each["samples"]))
            for each in stored["personal"]
        }
        malicious = tuple(Malicious(**each) for each in stored["malicious"])
        return cls(stored["rows"], personal, malicious, dict(stored["formulas"]))


def scan(rows: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> Findings:
    """What there is in rows as they are read; ``numbers`` are what the rows are called by, one for each.

    Raises ValidationFailed when there are more rows than numbers, or fewer.
    """
    if len(rows) != len(numbers):
        raise ValidationFailed([f"there are {len(rows)} rows and {len(numbers)} row numbers: give each row its number"])
    return scan_columns(columns_of(rows), numbers)


def scan_columns(columns: Mapping[str, Column], numbers: Sequence[int]) -> Findings:
    """``scan`` for rows whose columns are made already, for somebody else too."""
    personal, malicious, formulas = {}, [], {}
    for name, column in columns.items():
        joined = _joined(column.counts)
        if found := _personal(name, column.counts, joined):
            personal[name] = found
        if reasons := _malice(column.counts, joined):
            cells = zip(numbers, column.texts, strict=True)
            malicious += [Malicious(number, name, reasons[text]) for number, text in cells if text in reasons]
        if count := _formulas(column.counts, joined):
            formulas[name] = count
    return Findings(len(numbers), personal, tuple(sorted(malicious)), formulas)


def merge(first: Findings, second: Findings) -> Findings:
    """What was found in the rows of both; the samples are those of the first, filled up with those of the second."""
    personal = {
        name: _merge_personal([each.personal[name] for each in (first, second) if name in each.personal])
        for name in dict.fromkeys(chain(first.personal, second.personal))
    }
    malicious = tuple(sorted(first.malicious + second.malicious))
    return Findings(first.rows + second.rows, personal, malicious, add(first.formulas, second.formulas))


def is_sensitive(field_name: str) -> bool:
    """Whether a field of this name is for personal data."""
    return _kind_of_name(field_name) is not None


def looks_personal(text: str) -> bool:
    """Whether there is an e-mail address, a card number or a social security number in the text."""
    return any(check(text) for _, _, check in _PERSONAL)


def mask(text: str) -> str:
    """The text with a star for each letter and digit but the first and the last of it; short ones have stars only.

    Of a long text it is the beginning, as it is of every sample.
    """
    shown = sample_of(text)
    stars = "".join("*" if each.isalnum() else each for each in shown)
    return stars if len(shown) < 5 else shown[0] + stars[1:-1] + shown[-1]


# ---------------------------------------------------------------- a column as a whole

# Stands between the values of a column; no reader leaves it in a value, and one that does costs a closer look only.
_BETWEEN = "\x1f"
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
# Browsers leave these out of an address.
_LEFT_OUT = "\t\r\n\0"
_COMPACT = str.maketrans("", "", _LEFT_OUT)


@dataclass(frozen=True, slots=True)
class _Joined:
    """All values of a column at once, so that looking for a few bytes says that a column needs no look at each value."""

    small: bytes  # small letters
    digits: bytes  # the same with 0 for every digit
    cards: bytes  # the same without what stands between groups of digits
    compact: bytes  # small letters without what browsers leave out


def _joined(texts: Iterable[str]) -> _Joined:
    small = (_BETWEEN + _BETWEEN.join(texts)).encode("utf-8", "surrogatepass").lower()
    digits = small.translate(_ZEROS)
    return _Joined(small, digits, digits.translate(None, b" -"), small.translate(None, _LEFT_OUT.encode()))


# ---------------------------------------------------------------- personal data

_WORD_EDGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")
_NAMES = (
    (Personal.SSN, re.compile(r"\bssns?\b|\bsocial (?:security|insurance)")),
    (Personal.EMAIL, re.compile(r"\be ?mail")),
    (Personal.PHONE, re.compile(r"phone")),
    (Personal.CREDIT_CARD, re.compile(r"\bcredit ?card")),
    (Personal.BIRTH, re.compile(r"birth|\bdob\b")),
)

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,63}(?!\w)")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])", re.ASCII)
_CARD = re.compile(
    r"""(?<![\w.])(?<!\d-)(?:
          (?: 4\d\d\d | 5[1-5]\d\d | 2[2-7]\d\d | 6011 | 64[4-9]\d | 65\d\d | 35[2-8]\d ) (?: [ -]?\d{4} ){3}
        | 3[47]\d\d [ -]? \d{6} [ -]? \d{5}
        | 3(?: 0[0-5] | [68]\d )\d [ -]? \d{6} [ -]? \d{4}
    )(?!\w|-\d|\.\d)""",
    re.VERBOSE | re.ASCII,
)


def _has_card(text: str) -> bool:
    return any(_luhn([int(each) for each in found if each.isdigit()]) for found in _CARD.findall(text))


def _luhn(digits: Sequence[int]) -> bool:
    """Whether the check digit at the end is the right one."""
    doubled = (2 * each - 9 * (each > 4) for each in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


#: A kind, whether a column may have values of it, and whether a value is one.
_PERSONAL: tuple[Any, ...] = (
    (Personal.EMAIL, lambda column: b"@" in column.small, _EMAIL.search),
    (Personal.SSN, lambda column: b"000-00-0000" in column.digits, _SSN.search),
    (Personal.CREDIT_CARD, lambda column: b"0" * 14 in column.cards, _has_card),
)


def _kind_of_name(name: str) -> Personal | None:
    words = _WORD_EDGE.sub(" ", name).lower()
    return next((kind for kind, pattern in _NAMES if pattern.search(words)), None)


def _personal(name: str, counts: Mapping[str, int], joined: _Joined) -> PersonalField | None:
    if not counts:
        return None
    if kind := _kind_of_name(name):
        return _personal_field(counts, {kind: list(counts)})
    kinds = {kind: [text for text in counts if check(text)] for kind, possible, check in _PERSONAL if possible(joined)}
    return _personal_field(counts, kinds) if any(kinds.values()) else None


def _personal_field(counts: Mapping[str, int], kinds: Mapping[Personal, Sequence[str]]) -> PersonalField:
    affected = set(chain.from_iterable(kinds.values()))
    return PersonalField(
        sum(map(counts.__getitem__, affected)),
        {kind.value: sum(map(counts.__getitem__, texts)) for kind, texts in kinds.items() if texts},
        _masked_samples(text for text in counts if text in affected),
    )


def _masked_samples(texts: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in texts:
        found[mask(text)] = None
        if len(found) == PERSONAL_SAMPLES:
            break
    return tuple(found)


def _merge_personal(fields: Sequence[PersonalField]) -> PersonalField:
    kinds: dict[str, int] = {}
    for each in fields:
        kinds = add(kinds, each.kinds)
    samples = first_different(PERSONAL_SAMPLES, *(each.samples for each in fields))
    return PersonalField(sum(each.affected for each in fields), kinds, samples)


# ---------------------------------------------------------------- malicious content

_STATEMENT = r"""(?:
      drop\s+(?:table|database|schema|index|view|user|role|column|procedure|function|trigger)\b
    | truncate\s+table\b | delete\s+from\s+[\w."]+\s*(?:where\b|;|--|$) | insert\s+into\s+[\w."]+\s*(?:\(|values\b|select\b)
    | update\s+[\w."]+\s+set\b | alter\s+(?:table|user|role|database|login)\b
    | create\s+(?:table|user|role|database|login)\b | exec(?:ute)?\b\s*(?:\(|xp_|sp_|master\b|immediate\b)
    | shutdown\s*(?:;|--|$|with\b) | waitfor\s+delay\b | declare\s+@ | select\s{1,9}(?:\*|pg_sleep\b|[\w.,\s]{1,80}\sfrom\b)
    )"""

#: A reason, what a column has when a value of it may be malicious, and what is malicious, in small letters. What may follow
#: one another in many ways is limited, because a value made for it would take hours otherwise.
_MALICE: tuple[tuple[Reason, tuple[bytes, ...], re.Pattern[str]], ...] = tuple(
    (reason, needles, re.compile(pattern, re.VERBOSE))
    for reason, needles, pattern in (
        (Reason.SCRIPT_TAG, (b"<", b"script"), r"< \s* /? \s* script \b"),
        # Code follows at once, or the address stands where addresses do. "Languages: Java, JavaScript: yes" is neither.
        (
            Reason.SCRIPT_ADDRESS,
            (b"script:",),
            r"""(?: ^ | ["'=] | url\( ) \s* (?:java|vb)script:\S
              | (?:java|vb)script: \s* (?: [\w.$]{1,99}[(=\[`] | // | void\b | [!%'"({~+-] )""",
        ),
        # An attribute "online" or "onprem" of some XML is no handler.
        (
            Reason.EVENT_HANDLER,
            (b"<", b"on", b"="),
            r"""< [a-z] [^<>]* [\s/"'] on (?: abort|after|animation|auxclick|before|begin|blur|cancel|canplay|change|click|close
              |context|copy|cut|dblclick|drag|drop|end|error|finish|focus|form|hash|input|invalid|key|load|message|mouse|page
              |paste|pause|play|pointer|pop|progress|repeat|reset|resize|scroll|search|seek|select|show|start|storage|submit
              |suspend|time|toggle|touch|transition|unhandled|unload|volume|waiting|wheel )[a-z]* \s* =""",
        ),
        (
            Reason.SCRIPT_CALL,
            (b"eval", b"("),
            r"""(?<![\w.-]) eval \s* \( \s* (?: ["'`$] | \w{1,99} (?: \.\w{1,99} ){0,9} \s? \(
              | (?: document|window|location|globalthis|this|self|top )\b )
              | ^eval\( .* \) \s* ;? $""",
        ),
        (Reason.SQL, (b"union", b"select"), r"\bunion (?: \s | /\*.{0,50}?\*/ )+ (?: (?:all|distinct) \s+ )? select\b"),
        (Reason.SQL, (b";",), rf"(?: ['\"] | ^\d+ ) [\s)]* ; \s* {_STATEMENT}"),
        (Reason.SQL, (b";", b"--"), rf"; \s* {_STATEMENT} [^'\"]{{0,200}}? --"),
        (
            Reason.SQL,
            (b"=",),
            r"""['"] [\s)]* \b (?:or|and) \b \s{0,9} ['"(]{0,3} (\w{0,99}) ['"]{0,3} \s{0,9} (?: = | \blike\b )
              \s{0,9} ['"]{0,3} \1 (?!\w)""",
        ),
        (Reason.SQL, (b"or", b"="), r"\bor \s+ (\d{1,99}) \s* = \s* \1 \s* (?: -- | \# | /\* | ; | $ )"),
        (Reason.SQL, (b"or",), r"""['"] [\s)]* or \s+ (?: true | not \s+ false ) \s* (?: -- | \# | /\* | ; | $ )"""),
        (Reason.SQL, (b"'", b"--"), r"[a-z]' [\s)]* -- \s* $"),
    )
)


def _malice(counts: Mapping[str, int], joined: _Joined) -> dict[str, str]:
    """The malicious ones of the texts, each with the first reason."""
    found: dict[str, str] = {}
    for reason, needles, pattern in _MALICE:
        if all(needle in joined.compact for needle in needles):
            for text in counts:
                if text not in found and pattern.search(_as_read(reason, text)):
                    found[text] = reason.value
    return found


def _as_read(reason: Reason, text: str) -> str:
    """The text in small letters, as the program would read it that it is meant for."""
    return (text.translate(_COMPACT) if reason is Reason.SCRIPT_ADDRESS else text).lower()


# ---------------------------------------------------------------- formulas

# Numbers, telephone numbers and dashes for "nothing" are no formulas.
_FORMULA = re.compile(r"[=@](?![=@\s-]*$)|[+-](?![\d\s.,:()/%e+-]*$)")
_STARTS = tuple((_BETWEEN + sign).encode() for sign in "=+-@")


def _formulas(counts: Mapping[str, int], joined: _Joined) -> int:
    if not any(start in joined.small for start in _STARTS):
        return 0
    return sum(count for text, count in counts.items() if _FORMULA.match(text))
