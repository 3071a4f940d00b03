"""From a file to an engine that has the tables of the build application."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from phasegate import Engine, Registry
from phasegate import database as databases
from phasegate.apps.build import statements as q
from phasegate.apps.build.projection import project
from phasegate.apps.build.tables import SCHEMA
from phasegate.apps.prepared import prepared
from phasegate.errors import NotADatabase, StoreError

#: What the table ``meta`` says when the tables are those of ``tables.py``.
SCHEMA_IS = {"schema": "build", "version": "1"}
#: What leads a database to them.
MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(database: Path, registry: Registry, *, clock: Callable[[], datetime] | None = None) -> Engine:
    """An engine on a SQLite file in which the tables exist afterwards. Raises ``StoreError``, also for the database of something
    else, which stays as it is; the caller closes the engine."""
    address = f"sqlite:///{database}"
    # One whose process died at its very beginning is no empty file, and yet a new one.
    if database.is_file() and databases.current(address) is None and not databases.is_empty(address):
        raise NotADatabase(f"{database.name} is not a database of phasegate", hint="name another file for the history")
    registry.projection(project)
    return prepared(Engine(address, registry, clock=clock), lambda engine: engine.migrate(MIGRATIONS, SCHEMA))


def history_problem(engine: Engine, database: Path, *, whole: bool = True) -> str | None:
    """What is wrong with the database, if anything is. With ``whole`` all of it is read, which takes the longer the more history
    there is; otherwise only what the tables are."""
    if not database.is_file():
        return "the database is not there"
    try:
        said = str(next(iter(engine.read("PRAGMA quick_check(1)")[0].values()))) if whole else "ok"
        found = {row["key"]: row["value"] for row in engine.read(q.META)}
    except StoreError as error:
        return f"the database cannot be read: {error}"
    if said != "ok":
        return f"the database is damaged: {said}"
    return None if found == SCHEMA_IS else "the tables are of another version of phasegate"
