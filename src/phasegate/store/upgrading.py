"""Brings the schema of a database up to date. Alembic is imported only when there is something to migrate."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from phasegate.errors import InputError, SchemaMismatch
from phasegate.store.opening import open_store
from phasegate.store.schema import found_version, mismatch
from phasegate.store.sql import SqlStore
from phasegate.store.version import HEAD, VERSION_TABLE

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
        with store.open_writing() as connection, _one_at_a_time:
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
    store = cast(SqlStore, open_store(address))
    try:
        if not store.exists():
            return None
        store.check_place()
        with store.open_looking() as connection:
            return found_version(connection, store.schema)
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
        with _one_at_a_time:
            command.upgrade(configuration(connection, store), HEAD)
    except CommandError as error:
        raise SchemaMismatch(
            f"the database has schema {found}, from which no migration leads to {HEAD}", hint="restore it from a backup"
        ) from error


def configuration(connection: sa.Connection, store: SqlStore) -> Config:
    """What Alembic's commands need to migrate over ``connection``, in the transaction of ``store`` that is open on it."""
    from alembic.config import Config

    config = Config()
    # Alembic reads options as ConfigParser does, for which a percent sign begins something.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(
        connection=connection, schema=store.schema, dialect=store.dialect, version_table=VERSION_TABLE
    )
    return config


def migrate(store: SqlStore, migrations: Path, schema: str) -> None:
    """Bring the tables of an application to the last of its migrations, all or nothing. ``schema`` is where they lie in databases
    that have schemas; the version stands beside them, in ``<schema>_version``.

    Raises ``SchemaMismatch`` when the database has a version that no migration leads from.
    """
    head = max(path.name.partition("_")[0] for path in migrations.glob("[0-9]*_*.py"))
    version_table = f"{schema}_version"
    with store.reading() as connection:
        if _version_of(store, connection, version_table) == head:
            return  # and nobody who writes has been waited for
    with store.writing() as connection:
        store.enter_schema(connection, schema)
        found = _version_of(store, connection, version_table)
        if found != head:
            _migrate_application(connection, store, migrations, version_table)
        store.leave_schema(connection)


def _version_of(store: SqlStore, connection: sa.Connection, table: str) -> str | None:
    if not store.has_tables(connection, [table]):
        return None
    return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(table))).scalar()


def _migrate_application(connection: sa.Connection, store: SqlStore, migrations: Path, version_table: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    config = configuration(connection, store)
    config.set_main_option("version_locations", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder's name may have any other character
    config.attributes.update(schema=None, version_table=version_table)
    try:
        with _one_at_a_time:
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaMismatch(
            f"the database has tables of {version_table.removesuffix('_version')} that this version does not know",
            hint="install the phasegate version that made them, or a newer one",
        ) from error
