"""What the guide's examples import to look into the database: a connection in which the tables stand in their schema."""

import os
import sqlite3
from typing import Any

import psycopg


def get_db_connection() -> Any:
    """A connection to the database in use; SQLite has no schemas, so that the file is attached under the schema's name."""
    address = os.environ["PHASEGATE_DATABASE"]
    if address.startswith("postgresql:"):
        return psycopg.connect(address)
    connection = sqlite3.connect(":memory:")
    connection.execute("ATTACH ? AS marketing", (address.removeprefix("sqlite:///"),))
    return connection
