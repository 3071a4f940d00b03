"""Reading damaged fields: the few questions every rule asks of a value whose type nobody promised.

Rows come from files, databases and callers. A value may be missing, blank, of another type or absurdly large; nothing
here raises for any of that, so that a rule can answer with a failure in place of a traceback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

#: One record as it enters: column name to value.
Row = Mapping[str, object]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LARGEST = 10**18
_TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1"})
_SHOWN_LENGTH = 80


def as_row(value: object) -> Row:
    """The value when it is a mapping, otherwise an empty row."""
    return value if isinstance(value, Mapping) else {}


def is_present(value: object) -> bool:
    """False for null, blank text, not-a-number and empty containers; zero and False are present."""
    if value is None:
        return False
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, float):
        return not math.isnan(value)
    return not (isinstance(value, (Mapping, list, tuple, set, frozenset)) and not value)


def first_present(row: Row, *names: str) -> object:
    """The first present value among several spellings of one column, or None."""
    return next((row[name] for name in names if is_present(row.get(name))), None)


def text(value: object) -> str:
    """The trimmed text; empty when the value is not text."""
    return value.strip() if isinstance(value, str) else ""


def whole_number(value: object) -> int | None:
    """The integer a value stands for, or None.

    Integers, numbers without a fraction and digit strings count. Ranges, decimals in text, thousands separators,
    booleans and anything beyond eighteen digits do not.
    """
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or number(value) is None:
        return None
    return int(value) if value == int(value) else None


def number(value: object) -> float | None:
    """The finite number a value of a numeric type stands for, below eighteen digits, or None; text does not count."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    finite = value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or math.isfinite(value)
    return float(value) if finite and -_LARGEST < value < _LARGEST else None


def flag(value: object) -> bool:
    """True for True, 1 and the usual words for yes; everything else, null included, is False."""
    if isinstance(value, str):
        return text(value).casefold() in _TRUE_WORDS
    return isinstance(value, (bool, int)) and value == 1


def moment(value: object) -> datetime | None:
    """The aware UTC time a value stands for, or None.

    Datetimes, dates and ISO 8601 text count; a time without a zone is taken as UTC.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None


def shown(value: object) -> str:
    """A short text for messages: never the whole of a long value, never the code of a foreign type."""
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_LENGTH else value[:_SHOWN_LENGTH] + "...")
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "a number of more than eighteen digits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, Decimal):
        return str(value)[:_SHOWN_LENGTH]
    return f"a value of type {type(value).__name__}"


def plain(value: object) -> object:
    """The value when JSON can carry it as one scalar, otherwise the short text for messages."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else shown(value)
    return value if isinstance(value, int) and abs(value) < _LARGEST else shown(value)
