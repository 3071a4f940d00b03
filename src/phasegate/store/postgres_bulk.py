"""Many rows in one statement: ``COPY`` for rows that are appended in numbers, a JSON parameter for all others.

``COPY`` takes the most rows a second, but it needs exchanges of its own, and it can only append. Everything else is one
parameter, the rows as JSON, which the server takes apart (``json_to_recordset``). Measured here, that costs 22 microseconds a
row of seventeen columns at 256 rows, 3 of them in Python; arrays for ``unnest``, which the driver writes in Python, cost 55 and
24, a statement per row 124 and 37. The text of a statement is the same whatever the number of rows, so that it is prepared once
per connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa

from phasegate.errors import InputError
from phasegate.store import tables
from phasegate.store.rows import FACT_COLUMNS, PHASE_COLUMNS

Row = tuple[Any, ...]

#: From this number of rows on ``COPY`` is faster.
COPY_FROM = 24
#: Positions in the log count transactions, and in each of them this many commits of runs.
PER_TRANSACTION = 1 << 20

#: Columns in which somebody's own words stand: PostgreSQL cannot hold the character NUL in them, and nobody misses it.
_FREE = frozenset({"reason", "message", "trace", "comment"})
_TYPES: dict[type[Any], str] = {
    sa.Integer: "int",
    sa.BigInteger: "bigint",
    sa.Boolean: "bool",
    sa.DateTime: "timestamptz",
}
_CHANGES = ("status", "aim", "unchecked", "ending", "reason", "updated_at", "seq", "due_at")
#: The columns of ``rows.run_update``.
UPDATE_COLUMNS = (*_CHANGES, "released", "id", "expected", "epoch")


def copying(table: sa.Table, columns: Sequence[str]) -> str:
    """The statement that takes rows in the order of ``columns``."""
    return f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"


@cache
def inserting(table: sa.Table, columns: tuple[str, ...]) -> str:
    """Insert rows given as JSON."""
    names = ", ".join(columns)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_recordset(table, columns)}"


@cache
def inserting_facts() -> str:
    """Insert rows of ``facts`` given as JSON, their ``position`` being their place in the transaction."""
    names = ", ".join(FACT_COLUMNS)
    return (
        f"INSERT INTO {tables.facts.name} (position, {names})"
        f" SELECT pg_current_xact_id()::text::bigint * {PER_TRANSACTION} + v.position, {names}"
        f" FROM {_recordset(tables.facts, ('position', *FACT_COLUMNS))}"
    )


@cache
def upserting_phases() -> str:
    """Insert rows of ``phase_runs`` given as JSON, or put them in the place of those that are there."""
    table = tables.phase_runs
    key = [column.name for column in table.primary_key]
    fresh = ", ".join(f"{name}=excluded.{name}" for name in PHASE_COLUMNS if name not in key)
    return f"{inserting(table, PHASE_COLUMNS)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {fresh}"


@cache
def updating_runs() -> str:
    """Change runs that are still as they were seen; rows with ``UPDATE_COLUMNS``, given as JSON."""
    table = tables.runs
    kinds = [*(_kind(table, name) for name in _CHANGES), "bool", "text", "int", "int"]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(UPDATE_COLUMNS, kinds, strict=True))
    changes = ", ".join(f"{name}=v.{name}" for name in _CHANGES)
    return (
        f"UPDATE {table.name} AS r SET {changes}, worker=CASE WHEN v.released THEN NULL ELSE worker END"
        f" FROM json_to_recordset(%s::json) AS v({columns})"
        f" WHERE r.id=v.id AND r.seq=v.expected AND r.epoch=v.epoch"
    )


def as_json(columns: tuple[str, ...], rows: Iterable[Row]) -> str:
    """Rows as the JSON that these statements take. Raises ``InputError`` for text that has no JSON form."""
    try:
        return orjson.dumps([dict(zip(columns, row, strict=True)) for row in cleaned(columns, rows)]).decode()
    except TypeError as error:  # halves of characters
        raise InputError(f"not representable as JSON: {error}") from error


def cleaned(columns: tuple[str, ...], rows: Iterable[Row]) -> Iterable[Row]:
    """Rows whose free text can be stored."""
    free = _free_places(columns)
    return rows if not free else (_clean(row, free) for row in rows)


@cache
def _free_places(columns: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(place for place, name in enumerate(columns) if name in _FREE)


def _clean(row: Row, free: Iterable[int]) -> Row:
    for place in free:
        value = row[place]
        if value is not None and "\0" in value:
            row = (*row[:place], value.replace("\0", "\ufffd"), *row[place + 1 :])
    return row


def _recordset(table: sa.Table, columns: Iterable[str]) -> str:
    return f"json_to_recordset(%s::json) AS v({', '.join(f'{name} {_kind(table, name)}' for name in columns)})"


def _kind(table: sa.Table, name: str) -> str:
    kind = table.c[name].type
    return next((word for cls, word in _TYPES.items() if type(kind) is cls), "text")
