"""The database under test: tests that ask here for engines and addresses run once on every kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phasegate import Engine, Flow, testing
from tests import postgres

KINDS = ("sqlite", "postgresql")
_kind = "sqlite"


def use(kind: str) -> None:
    """From now on."""
    global _kind  # noqa: PLW0603 - set by a fixture before each test
    _kind = kind


def address_in(folder: Path) -> str:
    """The database that belongs to a folder: the same address every time, also for other processes."""
    return postgres.database_of(folder) if _kind == "postgresql" else f"sqlite:///{folder / 'runs.db'}"


@contextmanager
def temporary_engine(*flows: Flow, **options: Any) -> Iterator[Engine]:
    """As ``phasegate.testing.temporary_engine``, on the database under test."""
    database = postgres.new_prepared_database() if _kind == "postgresql" else "sqlite://"
    with testing.temporary_engine(*flows, database=database, **options) as engine:
        yield engine
