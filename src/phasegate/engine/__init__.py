"""The façade people use: start runs, ask for phases, answer gates, look at what happened, work, purge.

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
from phasegate.engine.retaining import Retaining
from phasegate.registry import Registry
from phasegate.runtime.worker import Limits
from phasegate.store.opening import open_store


class Engine(Asking, Aiming, Retaining):
    """Runs of flows on one database.

    ``database`` is an address such as ``sqlite:///phasegate.db`` (the default comes from ``PHASEGATE_DATABASE``) or
    ``sqlite://`` for a temporary one, or ``postgresql://user@host/name``. ``ray_address`` is the Ray cluster of the phases
    with ``runs_on="ray"`` (the default comes from ``PHASEGATE_RAY_ADDRESS``); without one a local Ray is started when the first
    of them is ready, and stopped with the worker.

    Raises ``StoreError`` when it cannot be used. Close it, or use it in a ``with`` block.
    """

    def __init__(
        self, database: str | Path | None = None, registry: Registry | None = None, *, tenant: str | None = None,
        clock: Callable[[], datetime] | None = None, limits: Limits | None = None, ray_address: str | None = None,
    ) -> None:  # fmt: skip
        database, tenant, limits, busy, ray = _from_environment(database, tenant, limits)
        registry = registry or Registry()
        store = open_store(str(database), clock=clock, busy=busy, schemas=registry.schemas)
        try:
            store.prepare()
        except BaseException:
            store.close()
            raise
        self._open(store, registry, tenant, limits, dry_run=False, ray_address=ray_address or ray)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _from_environment(
    database: Any, tenant: str | None, limits: Limits | None
) -> tuple[Any, str, Limits, float, str | None]:
    if not any(name.startswith("PHASEGATE_") for name in os.environ):  # nothing to read: spare the import
        return database or "sqlite:///phasegate.db", tenant or "default", limits or Limits(), 30.0, None
    from phasegate.settings import from_environment

    settings = from_environment()
    found = Limits(concurrency=settings.concurrency, threads=settings.threads, lease=settings.lease)
    limits = limits or found
    return database or settings.database, tenant or settings.tenant, limits, settings.busy, settings.ray_address or None
