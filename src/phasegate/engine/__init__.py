"""The façade people use: start runs, ask for phases, answer gates, look at what happened, work.

Synchronous and thread-safe. Nothing here plans or writes by itself: a request is checked by ``core.commands``, what follows
from it by ``core.planner``, and the journal commits the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from phasegate.engine.aiming import Aiming
from phasegate.engine.asking import Asking
from phasegate.registry import Registry
from phasegate.runtime.worker import Limits
from phasegate.store.opening import open_store


class Engine(Asking, Aiming):
    """Runs of flows on one database.

    ``database`` is an address such as ``sqlite:///phasegate.db`` (the default comes from ``PHASEGATE_DATABASE``) or
    ``sqlite://`` for a temporary one, or ``postgresql://user@host/name``.

    Raises ``StoreError`` when it cannot be used. Close it, or use it in a ``with`` block.
    """

    def __init__(
        self, database: str | Path | None = None, registry: Registry | None = None, *, tenant: str | None = None,
        clock: Callable[[], datetime] | None = None, limits: Limits | None = None,
    ) -> None:  # fmt: skip
        database, tenant, limits, busy = _from_environment(database, tenant, limits)
        registry = registry or Registry()
        store = open_store(str(database), clock=clock, busy=busy, schemas=registry.schemas)
        try:
            store.prepare()
        except BaseException:
            store.close()
            raise
        self._open(store, registry, tenant, limits, dry_run=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _from_environment(database: Any, tenant: str | None, limits: Limits | None) -> tuple[Any, str, Limits, float]:
    if not any(name.startswith("PHASEGATE_") for name in os.environ):  # nothing to read: spare the import
        return database or "sqlite:///phasegate.db", tenant or "default", limits or Limits(), 30.0
    from phasegate.settings import from_environment

    settings = from_environment()
    found = Limits(concurrency=settings.concurrency, threads=settings.threads, lease=settings.lease)
    return database or settings.database, tenant or settings.tenant, limits or found, settings.busy
