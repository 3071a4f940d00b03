"""Phase ids: numbers with at most one decimal, compared as decimals because 1.1 has no exact binary float."""

from __future__ import annotations

import re
from decimal import Decimal

from phasegate.apps.outreach.rules.fields import shown

_TEXT = re.compile(r"[0-9]{1,2}(?:\.([0-9])0{0,20})?")


def parse_phase_id(value: object) -> Decimal:
    """The phase id a value stands for: 1, 1.0, "1" and Decimal("1.00") are the same phase.

    The result lies between 0 and 99.9 and has no needless zeros. Anything else is a ValueError that names the value.
    """
    found = _TEXT.fullmatch(_as_text(value))
    if found is None:
        raise ValueError(f"{shown(value)} is not a phase id: a number from 0 to 99.9 with at most one decimal")
    number = Decimal(found.group())
    return Decimal(int(number)) if number == int(number) else number.quantize(Decimal("0.1"))


def display_phase_id(phase_id: Decimal) -> int | float:
    """The id as result dictionaries carry it: 1 for 1, 1.1 for 1.1."""
    return int(phase_id) if phase_id == int(phase_id) else float(phase_id)


def _as_text(value: object) -> str:
    """The number written out; empty for what cannot be a phase id, before an absurd number is written out at all."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() and 0 <= value < 100 and _short(value) else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value) if 0 <= value < 100 else ""
    return ""


def _short(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -20
