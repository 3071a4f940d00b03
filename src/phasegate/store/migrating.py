"""Running Alembic's migrations in a transaction of a store: the engine's own, and those of applications.

Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from phasegate.errors import SchemaMismatch
from phasegate.store.version import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

    from phasegate.store.sql import SqlStore

#: Alembic's ``op`` and ``context`` belong to the whole process: migrating in two threads, one would use the other's connection.
one_at_a_time = threading.Lock()


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
        with one_at_a_time:
            command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaMismatch(
            f"the database has tables of {version_table.removesuffix('_version')} that this version does not know",
            hint="install the phasegate version that made them, or a newer one",
        ) from error
