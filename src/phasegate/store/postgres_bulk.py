"""Many rows in one statement: ``COPY`` for rows that are appended in numbers, ``unnest`` for the rest.

``COPY`` takes 150,000 to 280,000 rows a second, ``unnest`` a third of that; but ``COPY`` needs two more exchanges with the
server, so that a few rows are sooner inserted from arrays. Either way a statement has the same text whatever the number of
rows, and is therefore prepared once per connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from phasegate.store import tables
from phasegate.store.rows import PHASE_COLUMNS

Row = tuple[Any, ...]

#: From this number of rows on ``COPY`` is faster.
COPY_FROM = 24

#: Columns in which somebody's own words stand: PostgreSQL cannot hold the character NUL in them, and nobody misses it.
_FREE = frozenset({"reason", "message", "trace", "comment"})
_TYPES: dict[type[Any], str] = {
    sa.Integer: "int",
    sa.BigInteger: "bigint",
    sa.Boolean: "bool",
    sa.DateTime: "timestamptz",
}

_CHANGES = ("status", "aim", "unchecked", "ending", "reason", "updated_at", "seq", "due_at")


def copying(table: sa.Table, columns: Sequence[str]) -> str:
    """The statement that takes rows in the order of ``columns``."""
    return f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"


@cache
def inserting(table: sa.Table, columns: tuple[str, ...]) -> str:
    """Insert rows given as one array per column."""
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({_arrays(table, columns)})"


@cache
def upserting_phases() -> str:
    """Insert rows of ``phase_runs`` given as arrays, or put them in the place of those that are there."""
    table = tables.phase_runs
    key = [column.name for column in table.primary_key]
    fresh = ", ".join(f"{name}=excluded.{name}" for name in PHASE_COLUMNS if name not in key)
    return f"{inserting(table, PHASE_COLUMNS)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {fresh}"


@cache
def updating_runs() -> str:
    """Change runs that are still as they were seen; columns as ``rows.run_update`` gives them."""
    table = tables.runs
    names = (*_CHANGES, "released", "id", "expected", "epoch")
    kinds = [_kind(table, name) for name in _CHANGES]
    arrays = ", ".join(f"%s::{kind}[]" for kind in (*kinds, "bool", "text", "int", "int"))
    changes = ", ".join(f"{name}=v.{name}" for name in _CHANGES)
    return (
        f"UPDATE {table.name} AS r SET {changes}, worker=CASE WHEN v.released THEN NULL ELSE worker END"
        f" FROM unnest({arrays}) AS v({', '.join(names)})"
        f" WHERE r.id=v.id AND r.seq=v.expected AND r.epoch=v.epoch"
    )


def columns_of(rows: Sequence[Row], free: Sequence[int] = ()) -> list[list[Any]]:
    """The arrays of some rows; ``free`` are the places of free text."""
    arrays = [list(column) for column in zip(*rows, strict=True)]
    for place in free:
        arrays[place] = [_clean(value) for value in arrays[place]]
    return arrays


@cache
def free_places(columns: tuple[str, ...]) -> tuple[int, ...]:
    """Where among ``columns`` free text stands."""
    return tuple(place for place, name in enumerate(columns) if name in _FREE)


def cleaned(rows: Iterable[Row], free: Sequence[int]) -> Iterable[Row]:
    """Rows whose free text can be stored."""
    for row in rows:
        for place in free:
            value = row[place]
            if value is not None and "\0" in value:
                row = (*row[:place], _clean(value), *row[place + 1 :])  # noqa: PLW2901 - one after the other
        yield row


#: Where free text stands in the rows of ``updating_runs``.
UPDATE_FREE = free_places(_CHANGES)


def _clean(value: str | None) -> str | None:
    return value if value is None or "\0" not in value else value.replace("\0", "\ufffd")


def _arrays(table: sa.Table, columns: Iterable[str]) -> str:
    return ", ".join(f"%s::{_kind(table, name)}[]" for name in columns)


def _kind(table: sa.Table, name: str) -> str:
    kind = table.c[name].type
    return next((word for cls, word in _TYPES.items() if type(kind) is cls), "text")
