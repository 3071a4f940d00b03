"""Which version of the schema a database has, and what to say when it is not ours."""

from __future__ import annotations

import sqlalchemy as sa

from phasegate.errors import SchemaMismatch
from phasegate.store.tables import PREFIX
from phasegate.store.version import HEAD, VERSION_TABLE

#: As Alembic would create it.
CREATE_VERSION = (
    f"CREATE TABLE {VERSION_TABLE} "
    f"(version_num VARCHAR(32) NOT NULL, CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
)


def found_version(connection: sa.Connection, schema: str | None) -> str | None:
    """The version of the engine's tables; None when the database has none. ``schema`` is where they would be.

    Raises ``SchemaMismatch`` when it has tables of ours and does not say which version they are.
    """
    tables = sa.inspect(connection).get_table_names(schema)
    version = None
    if VERSION_TABLE in tables:
        version = connection.execute(
            sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE, schema=schema))
        ).scalar()
    if version is None and any(name.startswith(PREFIX) and name != VERSION_TABLE for name in tables):
        raise SchemaMismatch("the database has tables of phasegate without a version", hint="restore it from a backup")
    return None if version is None else str(version)


def mismatch(found: str) -> SchemaMismatch:
    """The error for a schema that is not ``HEAD``."""
    if found < HEAD:
        return SchemaMismatch(
            f"the database has the older schema {found}, this phasegate needs {HEAD}", hint="run: phasegate db upgrade"
        )
    return SchemaMismatch(
        f"the database has schema {found}, this phasegate knows {HEAD} and nothing newer",
        hint="install the phasegate version that made it, or a newer one",
    )
