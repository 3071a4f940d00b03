"""From an address to an engine that knows the discovery flow and has its tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from phasegate import Engine, Registry
from phasegate import database as databases
from phasegate.apps.discovery.agents.pool import AgentPool
from phasegate.apps.discovery.flow import build_registry
from phasegate.apps.discovery.tables import SCHEMA
from phasegate.apps.prepared import prepared

#: What leads a database to the tables of ``tables.py``.
MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(
    database: str | Path | None = None, *, agents: AgentPool | None = None, registry: Registry | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Engine:  # fmt: skip
    """An engine with the discovery flow, on a database in which its tables exist afterwards.

    ``database`` is an address or the path of a file; without it ``PHASEGATE_DATABASE``, else ``sqlite:///phasegate.db``.
    ``registry`` is one of ``build_registry`` with handlers of one's own. Raises ``StoreError`` when the database cannot be used.
    The caller closes it.
    """
    address = databases.address(str(database) if database else None)
    engine = Engine(address, registry or build_registry(agents=agents), clock=clock)
    return prepared(engine, lambda engine: engine.migrate(MIGRATIONS, SCHEMA))


@contextmanager
def working(engine: Engine) -> Iterator[None]:
    """Work in the background as long as the block lasts: flows begin within moments of their creation.

    The thread belongs to the process and to nothing that a request could let go of; at the end of the block it stops, and hands
    back what it has not finished.
    """
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            engine.work(stop=stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="phasegate-discovery")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]
