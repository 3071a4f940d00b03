"""What the guide's examples import to look into the database: a connection in which the tables stand in their schema."""

import os
import sqlite3


def get_db_connection() -> sqlite3.Connection:
    """A connection to the database in use; SQLite has no schemas, so that the file is attached under the schema's name."""
    connection = sqlite3.connect(":memory:")
    connection.execute("ATTACH ? AS marketing", (os.environ["PHASEGATE_DATABASE"].removeprefix("sqlite:///"),))
    return connection
