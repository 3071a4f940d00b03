"""From an address to a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from phasegate.errors import InputError
from phasegate.store.base import Store


def open_store(address: str, *, clock: Callable[[], datetime] | None = None, busy: float | None = None) -> Store:
    """The store at an address: ``sqlite:///file.db``, ``sqlite://`` (temporary), or the path of a file.

    Raises ``InputError`` for an address of another kind. ``clock`` replaces the machine's time, for tests. ``busy`` is how
    many seconds to wait for another process's transaction.
    """
    from phasegate.store.sqlite import BUSY_SECONDS, SQLiteStore

    busy = BUSY_SECONDS if busy is None else busy

    scheme, separator, rest = address.partition("://")
    if not separator:
        return SQLiteStore(address, clock=clock, busy=busy)
    if scheme == "sqlite":
        return SQLiteStore(rest.removeprefix("/") or None, clock=clock, busy=busy)
    raise InputError(f"cannot open {scheme}:// databases", hint="use sqlite:///phasegate.db")
