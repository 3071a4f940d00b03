"""From an address to an engine that knows the outreach flows and has their tables."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from phasegate import database as databases

if TYPE_CHECKING:
    from phasegate import Engine
    from phasegate.apps.outreach.enrichment import Provider, Verifier, VerifierTerms
    from phasegate.apps.outreach.routing import Sink
    from phasegate.apps.outreach.rules.promotion import Campaigns

_used: Engine | None = None
_opened: dict[tuple[int, str], Engine] = {}
_opening = threading.Lock()


def open_engine(
    database: str | Path | None = None, *, sink: Sink | None = None, providers: Sequence[Provider] | None = None,
    campaigns: Campaigns | None = None, sheet_ids: Mapping[str, str] | None = None, verifier: Verifier | None = None,
    verifier_terms: VerifierTerms | None = None, tenant: str | None = None, clock: Callable[[], datetime] | None = None,
) -> Engine:  # fmt: skip
    """An engine with the outreach flows, on a database in which their tables, trigger and views exist afterwards.

    ``database`` is an address or the path of a file; without it ``PHASEGATE_DATABASE``, else ``sqlite:///phasegate.db``.
    The other arguments are those of ``build_registry``. Raises ``StoreError`` when the database cannot be used. The caller
    closes it.
    """
    from phasegate import Engine
    from phasegate.apps.outreach.flow import build_registry
    from phasegate.apps.outreach.schema import create_tables
    from phasegate.apps.prepared import prepared

    registry = build_registry(
        sink=sink, providers=providers, campaigns=campaigns, sheet_ids=sheet_ids, verifier=verifier,
        verifier_terms=verifier_terms,
        commit=lambda writes: engine.write(writes),  # noqa: PLW0108 - the engine comes into being below
    )  # fmt: skip
    engine = Engine(databases.address(str(database) if database else None), registry, tenant=tenant, clock=clock)
    return prepared(engine, create_tables)


def use_engine(engine: Engine | None) -> None:
    """Have the functions of ``compat`` work on this engine from now on; None: on the one of the settings again."""
    global _used  # noqa: PLW0603 - the brief's functions take no engine, so that one has to be kept for them
    _used = engine


def current_engine() -> Engine:
    """The engine that ``use_engine`` named, or the one for ``PHASEGATE_DATABASE``: opened once per address and process."""
    if _used is not None:
        return _used
    key = (os.getpid(), os.path.abspath(str(databases.path(databases.address()) or databases.address())))
    with _opening:
        if key not in _opened:
            _opened[key] = open_engine()
            atexit.register(_opened[key].close)  # so that the file is left in order
        return _opened[key]
