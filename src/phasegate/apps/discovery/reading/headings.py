"""The names of columns: none empty, none twice, and not the numbers of a table that has lost its header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from phasegate.apps.discovery.errors import InventoryError
from phasegate.apps.discovery.reading.records import COLUMN_LIMIT

#: Characters of a heading: databases keep headings in indexes, whose entries are short.
LONGEST_HEADING = 255
_NUMERIC = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def unique_headings(names: Sequence[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The names stripped, and cut at ``LONGEST_HEADING``; a repeated one becomes "Name (2)", an empty one "Column 4" after its
    place from 1.

    Names in ``taken`` count as seen before.
    """
    stripped = [_short(name) for name in names]
    # A name that stands in the header keeps its spelling; one that is made up here has to give way to it.
    written, seen = set(stripped), set(taken)
    headings: list[str] = []
    repeats: dict[str, int] = {}
    for place, name in enumerate(stripped, 1):
        wanted = name or f"Column {place}"
        chosen, again = wanted, repeats.get(wanted, 1)
        while chosen in seen or (chosen != name and chosen in written):
            again += 1
            chosen = f"{wanted} ({again})"
        repeats[wanted] = again
        seen.add(chosen)
        headings.append(chosen)
    return tuple(headings)


def heading_notes(names: Sequence[str]) -> list[str]:
    """What is odd about a header, as sentences."""
    stripped = [name.strip() for name in names]
    empty = [place for place, name in enumerate(stripped, 1) if not name]
    repeated = sorted({name for name in stripped if name and stripped.count(name) > 1}) if _repeats(stripped) else []
    notes = []
    long = sum(1 for name in stripped if len(name) > LONGEST_HEADING)
    if long:
        notes.append(f"The header has {long} headings that were cut at {LONGEST_HEADING} characters.")
    if empty:
        notes.append(
            f"The header has {len(empty)} empty headings; each is called Column with its number: {_some(empty)}."
        )
    if repeated:
        notes.append(f"The header has headings more than once, which are numbered: {_some(repeated)}.")
    return notes


def check_headings(path: Path, names: Sequence[str]) -> None:
    """Raise InventoryError for a header that is none: no names, too many, or mostly numbers."""
    if not any(name.strip() for name in names):
        raise InventoryError(f"{path} names no columns: put the column names in the first line")
    if len(names) > COLUMN_LIMIT:
        raise InventoryError(f"{path} has {len(names):,} columns, more than {COLUMN_LIMIT:,}: export fewer of them")
    numeric = sum(1 for name in names if _NUMERIC.fullmatch(name.strip()))
    if numeric * 2 > len(names):
        raise InventoryError(
            f"{path} looks corrupted: {numeric} of its {len(names)} headings are mere numbers; "
            f"export it again with the column names in the first line"
        )


def _short(name: str) -> str:
    return name.strip()[:LONGEST_HEADING].rstrip()


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


def _some(items: Sequence[object]) -> str:
    shown = ", ".join(str(item)[:60] for item in items[:5])
    return shown if len(items) <= 5 else f"{shown} and {len(items) - 5} more"
