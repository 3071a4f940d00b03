"""An engine with the discovery flow on each kind of database, and one tenant's flows on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegate import Engine
from phasegate.apps.discovery import Discovery, Tenant, open_engine
from tests import postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/discovery.db" if request.param == "sqlite" else postgres.database_of(tmp_path)


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    with open_engine(address) as found:
        yield found


@pytest.fixture
def discovery(engine: Engine) -> Discovery:
    return Discovery(engine, Tenant("northwind", "q4", "ann"))
