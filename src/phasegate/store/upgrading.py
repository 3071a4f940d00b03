"""Brings the schema of a database up to date. Alembic is imported only when there is something to migrate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import sqlalchemy as sa

from phasegate.errors import InputError, SchemaMismatch
from phasegate.store.migrating import configuration, one_at_a_time
from phasegate.store.opening import open_store
from phasegate.store.schema import found_version, mismatch
from phasegate.store.sql import SqlStore
from phasegate.store.version import HEAD


def upgrade(address: str) -> str:
    """Bring the schema at ``address`` to the version this phasegate needs, all or nothing; returns that version.

    An empty database gets its tables; one that is up to date stays as it is. Raises ``StoreError``: ``SchemaMismatch`` when
    the database is newer than this phasegate.
    """
    store = cast(SqlStore, open_store(address))
    try:
        store.check_place()
        with store.open_reading() as connection:
            found = found_version(connection, store.schema)
        if found != HEAD:  # else there is no reason to wait for who is writing
            _bring_up(store)
    finally:
        store.close()
    return HEAD


def downgrade(address: str, version: str) -> None:
    """Take the schema at ``address`` back to an earlier version; ``base`` is the one without tables, and without data.

    All or nothing. Raises ``InputError`` for a version that nothing leads back to, ``StoreError`` as ``upgrade`` does.
    """
    from alembic import command
    from alembic.util import CommandError

    store = cast(SqlStore, open_store(address))
    try:
        store.check_place()
        with store.open_writing() as connection, one_at_a_time:
            store.lock_schema(connection)
            found = found_version(connection, store.schema)
            if found is not None and found > HEAD:
                raise mismatch(found)
            command.downgrade(configuration(connection, store), version)
    except CommandError as error:
        raise InputError(
            f"nothing leads back to schema {version!r}", hint=f"name one before {HEAD}, or base"
        ) from error
    finally:
        store.close()


def current(address: str) -> str | None:
    """The version of the schema at ``address``; None when nobody has created our tables there yet. Changes nothing."""
    with _looking(address) as (store, connection):
        return None if connection is None else found_version(connection, store.schema)


def is_empty(address: str) -> bool:
    """Whether there are no tables of anybody at ``address``, or not even a database. Changes nothing."""
    with _looking(address) as (_, connection):
        return connection is None or not sa.inspect(connection).get_table_names()


@contextmanager
def _looking(address: str) -> Iterator[tuple[SqlStore, sa.Connection | None]]:
    store = cast(SqlStore, open_store(address))
    try:
        if not store.exists():
            yield store, None
            return
        store.check_place()
        with store.open_looking() as connection:
            yield store, connection
    finally:
        store.close()


def _bring_up(store: SqlStore) -> None:
    with store.open_writing() as connection:
        store.lock_schema(connection)
        found = found_version(connection, store.schema)
        if found is not None and found > HEAD:
            raise mismatch(found)
        if found != HEAD:  # another process may have been faster
            _migrate(connection, found, store)


def _migrate(connection: sa.Connection, found: str | None, store: SqlStore) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        with one_at_a_time:
            command.upgrade(configuration(connection, store), HEAD)
    except CommandError as error:
        raise SchemaMismatch(
            f"the database has schema {found}, from which no migration leads to {HEAD}", hint="restore it from a backup"
        ) from error
