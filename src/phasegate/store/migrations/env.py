"""What Alembic executes: the migrations run on the connection that ``upgrading`` has opened, in its transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    version_table_schema=context.config.attributes["schema"],
)
context.run_migrations()
