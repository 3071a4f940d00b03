"""Days, however they are written: the year first or last, with months by number or by name, or as spreadsheets count them."""

from __future__ import annotations

import re
from datetime import date, timedelta

#: Characters that a day has at most.
_LONGEST = 100
_TIME = re.compile(r"[T ,]+[0-9]{1,2}[:.][0-9]{2}(?:[^0-9].*)?$")
_YEAR_FIRST = re.compile(r"([0-9]{4})(?:([-/.])([0-9]{1,2})\2([0-9]{1,2})|([0-9]{2})([0-9]{2}))")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})")
_DAY_MONTH = re.compile(r"([0-9]{1,2})[-/. ]+([^\W\d_]{3,})[-/., ]+([0-9]{4}|[0-9]{2})")
_MONTH_DAY = re.compile(r"([^\W\d_]{3,})[. ]+([0-9]{1,2})(?:st|nd|rd|th)?[, ]+([0-9]{4})")
_SERIAL = re.compile(r"([0-9]{5})(?:\.[0-9]*)?")
_MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10}
_MONTHS |= {"nov": 11, "dec": 12, "m\u00e4r": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12}
#: Day 0 of the days that spreadsheets count.
_DAY_ZERO = date(1899, 12, 30)
#: Dates outside of these years stand for "never" and "unknown".
YEARS = range(1950, 2150)


def day_of(text: str) -> tuple[date | None, str]:
    """The day that a text names, a time after it aside, and what is doubtful about it; None when it names none.

    Raises ``ValueError`` or ``OverflowError`` for a day that there is not, such as 31 June.
    """
    day, doubt = _day(_TIME.sub("", text) if len(text) <= _LONGEST else "")
    return (day, doubt) if day is None or day.year in YEARS else (None, "")


def _day(text: str) -> tuple[date | None, str]:
    if match := _YEAR_FIRST.fullmatch(text):
        return date(int(match[1]), int(match[3] or match[5]), int(match[4] or match[6])), ""
    if match := _YEAR_LAST.fullmatch(text):
        return _day_or_month_first(match)
    if match := _DAY_MONTH.fullmatch(text):
        return date(_year(match[3]), _MONTHS.get(match[2][:3].lower(), 0), int(match[1])), ""
    if match := _MONTH_DAY.fullmatch(text):
        return date(int(match[3]), _MONTHS.get(match[1][:3].lower(), 0), int(match[2])), ""
    if match := _SERIAL.fullmatch(text):
        return _DAY_ZERO + timedelta(days=int(match[1])), ""
    return None, ""


def _day_or_month_first(match: re.Match[str]) -> tuple[date, str]:
    """With full stops the day is first. With others the month is, unless it cannot be; that is doubtful up to 12."""
    first, second, year = int(match[1]), int(match[3]), _year(match[4])
    if match[2] == "." or first > 12:
        return date(year, second, first), ""
    day = date(year, first, second)
    doubtful = second <= 12 and first != second
    return day, f"{match[0]!r} may have its day or its month first: read as {day.isoformat()}" if doubtful else ""


def _year(digits: str) -> int:
    return int(digits) if len(digits) == 4 else int(digits) + (1900 if int(digits) >= 70 else 2000)
