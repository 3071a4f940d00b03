"""What the command line writes: JSON for programs, tables for people, messages for both.

Everything for standard output goes through ``write`` and ``write_json``, so that a reader who has gone away, an encoding
that lacks a letter, and control characters in somebody's data are dealt with once.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any, TextIO

from phasegate.core.run import PhaseStatus, RunStatus, Subject

#: Wide enough that no table is wrapped when nobody looks at it: one row stays one line for grep.
UNLIMITED = 100_000

_COLOURS = {
    "succeeded": "green", "running": "cyan", "ready": "cyan", "waiting": "yellow", "paused": "yellow", "failed": "red",
    "cancelled": "red",
}  # fmt: skip


class ReaderGone(Exception):
    """Whoever read our output has closed it, as ``head`` does."""


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows for people. Cells may be anything ``words`` knows how to say."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    title: str = ""


# --- for programs ---------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as what JSON has: records become objects, times ISO text in UTC, subjects ``kind:id``, sets sorted lists.

    Never raises: what has no JSON form becomes its text.
    """
    if value is None or (isinstance(value, bool | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Subject):
        return str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime | date):
        return moment(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _compound(value)


def _compound(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(each) for name, each in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=str)
    return str(value) if isinstance(value, str | PurePath) else repr(value)


def _number(value: float | Decimal) -> int | float | str | None:
    """JSON has no word for infinity or for "not a number"; a decimal that no float comes near to stays text."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if not value.is_finite():
        return None
    if value.adjusted() < 30 and value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if isfinite(near) else str(value)


def moment(value: datetime | date) -> str:
    """A time as ISO text, in UTC written with a Z."""
    return value.isoformat().replace("+00:00", "Z")


def write_json(value: Any) -> None:
    """Write one JSON document to standard output. What could control a terminal stands in it as an escape."""
    # Escapes instead of letters where the stream has no letters for them.
    narrow = not (sys.stdout.encoding or "").lower().startswith("utf")
    _put(sys.stdout, _escaped(json.dumps(plain(value), indent=2, ensure_ascii=narrow)) + "\n")


def _escaped(document: str) -> str:
    """The document with every character that is not printable written out: such ones stand in its texts only, where JSON lets
    them be as they are, all but the first 32."""
    if document.replace("\n", "").isprintable():
        return document
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in document)


# --- for people -----------------------------------------------------------------------------------------------------


def write(*parts: str | Table) -> None:
    """Write lines and tables to standard output: fitted to the terminal, or one row per line when there is none."""
    _put(sys.stdout, "".join(_drawn(part) if isinstance(part, Table) else visible(part) + "\n" for part in parts))


def complain(*lines: str) -> None:
    """Write lines to standard error."""
    _put(sys.stderr, "".join(visible(line) + "\n" for line in lines))


def words(value: Any) -> str:
    """A value in a table: nothing for None, times to the second, structures as JSON on one line."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value.replace(microsecond=0))
    if isinstance(value, str) and not isinstance(value, Enum):
        return value
    said = plain(value)
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def visible(text: str) -> str:
    """The text with control characters written out, so that data cannot move the cursor or change colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """The text as one line."""
    return visible(" ".join(text.split()))


def _drawn(table: Table) -> str:
    # Imported here: programs that read JSON do not wait for it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    looking = sys.stdout.isatty()
    drawing = Drawing(
        *table.columns, title=table.title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD,
        show_edge=False, pad_edge=False,
    )  # fmt: skip
    for row in table.rows:
        drawing.add_row(*(Text(one_line(words(cell)), style=_colour(cell), overflow="fold") for cell in row))
    console = Console(file=sys.stdout, width=None if looking else UNLIMITED, highlight=False)
    with console.capture() as captured:
        console.print(drawing)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _colour(cell: Any) -> str:
    return _COLOURS.get(cell.value, "") if isinstance(cell, RunStatus | PhaseStatus) else ""


def _put(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise ReaderGone from None
