"""What Alembic executes: the migrations run on the connection that ``upgrading`` has opened, in its transaction."""

from __future__ import annotations

from alembic import context

from phasegate.store.version import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=context.config.attributes["schema"],
)
context.run_migrations()
