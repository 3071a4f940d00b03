"""Finding rows by what they are about: slot rows by slot, people by id. The first row of each wins."""

from __future__ import annotations

from collections.abc import Iterable

from phasegate.apps.outreach.rules.fields import Row, as_row, first_present, text
from phasegate.apps.outreach.rules.titles import Slot, parse_slot


def person_id_of(person: Row) -> str:
    """The id of a person row, ``unique_id`` or ``person_id``; empty when it has none."""
    return text(first_present(person, "unique_id", "person_id"))


def occupant_of(row: Row) -> str:
    """The id of the person a slot, enrichment or verification row names; empty when it names none."""
    return text(first_present(row, "person_unique_id", "person_id"))


def rows_by_slot(rows: Iterable[object]) -> dict[Slot, Row]:
    """The slot rows by slot; rows of an unknown slot type are left out."""
    found: dict[Slot, Row] = {}
    for row in map(as_row, rows):
        slot = parse_slot(row.get("slot_type"))
        if slot is not None:
            found.setdefault(slot, row)
    return found


def rows_by_person(rows: Iterable[object]) -> dict[str, Row]:
    """The people by id, in the order of the rows; rows without an id are left out."""
    found: dict[str, Row] = {}
    for row in map(as_row, rows):
        person_id = person_id_of(row)
        if person_id:
            found.setdefault(person_id, row)
    return found
