"""Dotted ids of six groups: four doctrine groups of two digits, a type number of five, a running number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from phasegate.apps.outreach.rules.fields import shown
from phasegate.errors import InputError

#: The doctrine groups new ids are made with.
FAMILY = "04.04.02.04"


class IdKind(StrEnum):
    """What an id names. SLOT also covers tools, which share its type number."""

    SLOT = "slot"
    ENRICHMENT = "enrichment"
    PERSON = "person"
    SLOT_GATE = "slot_gate"
    COMPANY = "company"
    RAW_PERSON = "raw_person"
    PIPELINE_RUN = "pipeline_run"
    INTENT = "intent"
    UNKNOWN = "unknown"


TYPE_NUMBERS: dict[IdKind, str] = {
    IdKind.SLOT: "10000",
    IdKind.ENRICHMENT: "15000",
    IdKind.PERSON: "20000",
    IdKind.SLOT_GATE: "25000",
    IdKind.COMPANY: "30000",
    IdKind.RAW_PERSON: "40000",
    IdKind.PIPELINE_RUN: "50000",
    IdKind.INTENT: "70000",
}

_KINDS = {number: kind for kind, number in TYPE_NUMBERS.items()}
_GROUPS = re.compile(r"([0-9]{2}(?:\.[0-9]{2}){3})\.([0-9]{5})\.([0-9]{3,18})")
_FAMILY_GROUPS = re.compile(r"[0-9]{2}(?:\.[0-9]{2}){3}")
_LARGEST = 10**18


@dataclass(frozen=True, slots=True)
class BartonId:
    """One parsed id; ``str()`` gives back exactly the text it was parsed from."""

    family: str
    type_number: str
    serial: str

    @property
    def kind(self) -> IdKind:
        """What the id names, by its type number; UNKNOWN for a number nobody has assigned."""
        return _KINDS.get(self.type_number, IdKind.UNKNOWN)

    @property
    def number(self) -> int:
        """The running number."""
        return int(self.serial)

    def __str__(self) -> str:
        return f"{self.family}.{self.type_number}.{self.serial}"


def parse_id(value: object, kind: IdKind | None = None) -> BartonId:
    """Read an id of any family; the last group has at least three digits.

    With ``kind`` the type number must be that kind's. InputError says what is wrong with the value.
    """
    found = _GROUPS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InputError(
            f"{shown(value)} is not an id",
            hint=f"an id looks like {FAMILY}.30000.001: groups of 2, 2, 2, 2, 5 and at least 3 digits",
        )
    parsed = BartonId(*found.groups())
    if kind is not None and parsed.kind is not kind:
        raise InputError(f"{shown(value)} names a {parsed.kind.value}, not a {kind.value}")
    return parsed


def is_id(value: object, kind: IdKind) -> bool:
    """Whether the value is an id of this kind, of any family."""
    try:
        return parse_id(value).kind is kind
    except InputError:
        return False


def format_id(kind: IdKind, number: int, family: str = FAMILY) -> str:
    """The id for a counter value: at least three digits, more when the number needs them.

    InputError for a kind without a type number, a number below 1 and a family that is not four groups of two digits.
    """
    if kind not in TYPE_NUMBERS:
        raise InputError(f"no type number belongs to the kind {kind.value!r}")
    if isinstance(number, bool) or not 1 <= number < _LARGEST:
        raise InputError(f"the running number of an id must be 1 or more, not {shown(number)}")
    if not _FAMILY_GROUPS.fullmatch(family):
        raise InputError(f"{shown(family)} is not a family of ids", hint=f"a family looks like {FAMILY}")
    return f"{family}.{TYPE_NUMBERS[kind]}.{number:03d}"
