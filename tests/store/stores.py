"""The stores under test. Another one is one more entry; every test of this folder then runs on it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from phasegate.store.base import Store
from phasegate.store.opening import open_store
from tests import postgres

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Backend:
    """How to open a store in a folder of its own; whether what is in it outlives closing it."""

    address: Callable[[Path], str]
    lasting: bool

    def open(self, folder: Path, clock: Clock | None = None, busy: float = 30.0) -> Store:
        store = open_store(self.address(folder), clock=clock, busy=busy)
        store.prepare()
        return store


BACKENDS = {
    "sqlite file": Backend(lambda folder: f"sqlite:///{folder / 'runs.db'}", lasting=True),
    "sqlite temporary": Backend(lambda _folder: "sqlite://", lasting=False),
    "postgresql": Backend(postgres.database_of, lasting=True),
}
