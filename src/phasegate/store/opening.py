"""From an address to a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from phasegate.errors import InputError
from phasegate.store.base import Store


def open_store(
    address: str, *, clock: Callable[[], datetime] | None = None, busy: float = 30.0, schemas: Sequence[str] = ()
) -> Store:
    """The store at an address: ``sqlite:///file.db``, ``sqlite://`` (temporary), the path of a file, or
    ``postgresql://user:password@host:5432/name``.

    Raises ``InputError`` for an address of another kind. ``clock`` replaces the database's time, for tests. ``busy`` is how
    many seconds to wait for another process's transaction. ``schemas`` are those of the applications' tables, where the
    database has schemas.
    """
    scheme, separator, rest = address.partition("://")
    if scheme.partition("+")[0] in {"postgresql", "postgres"} and separator:
        return _open_postgres(f"postgresql://{rest}", clock, busy, schemas)
    from phasegate.store.sqlite import SQLiteStore

    if not separator:
        return SQLiteStore(address, clock=clock, busy=busy)
    if scheme == "sqlite":
        return SQLiteStore(rest.removeprefix("/") or None, clock=clock, busy=busy)
    raise InputError(
        f"cannot open {scheme}:// databases", hint="use sqlite:///phasegate.db or postgresql://user@host/name"
    )


def _open_postgres(address: str, clock: Callable[[], datetime] | None, busy: float, schemas: Sequence[str]) -> Store:
    try:
        from phasegate.store.postgres import open_postgres
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise InputError(
            "PostgreSQL needs a driver that is not installed", hint='install it: pip install "phasegate[postgres]"'
        ) from None
    return open_postgres(address, clock=clock, busy=busy, schemas=schemas)
