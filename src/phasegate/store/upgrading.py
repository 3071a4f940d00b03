"""Brings the schema of a database up to date. Alembic is imported only when there is something to migrate."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from phasegate.errors import SchemaMismatch
from phasegate.store.opening import open_store
from phasegate.store.schema import found_version, mismatch
from phasegate.store.sql import SqlStore
from phasegate.store.version import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

#: Alembic's ``op`` and ``context`` belong to the whole process: migrating in two threads, one would use the other's connection.
_one_at_a_time = threading.Lock()


def upgrade(address: str) -> str:
    """Bring the schema at ``address`` to the version this phasegate needs, all or nothing; returns that version.

    An empty database gets its tables; one that is up to date stays as it is. Raises ``StoreError``: ``SchemaMismatch`` when
    the database is newer than this phasegate.
    """
    store = cast(SqlStore, open_store(address))
    try:
        store.check_place()
        with store.open_reading() as connection:
            found = found_version(connection)
        if found != HEAD:  # else there is no reason to wait for who is writing
            _bring_up(store)
    finally:
        store.close()
    return HEAD


def current(address: str) -> str | None:
    """The version of the schema at ``address``; None when nobody has created our tables there yet. Creates nothing."""
    store = cast(SqlStore, open_store(address))
    try:
        if not store.exists():
            return None
        with store.open_reading() as connection:
            return found_version(connection)
    finally:
        store.close()


def _bring_up(store: SqlStore) -> None:
    with store.open_writing() as connection:
        found = found_version(connection)
        if found is not None and found > HEAD:
            raise mismatch(found)
        if found != HEAD:  # another process may have been faster
            _migrate(connection, found)


def _migrate(connection: sa.Connection, found: str | None) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        with _one_at_a_time:
            command.upgrade(configuration(connection), HEAD)
    except CommandError as error:
        raise SchemaMismatch(
            f"the database has schema {found}, from which no migration leads to {HEAD}", hint="restore it from a backup"
        ) from error


def configuration(connection: sa.Connection) -> Config:
    """What Alembic's commands need to migrate over ``connection``, in the transaction that is open on it."""
    from alembic.config import Config

    config = Config()
    # Alembic reads options as ConfigParser does, for which a percent sign begins something.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
