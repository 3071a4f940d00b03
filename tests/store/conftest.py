"""Fixtures over every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phasegate.store.base import Store
from phasegate.testing import FakeClock
from tests.store.stores import BACKENDS, Backend


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture
def store(backend: Backend, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """An empty store whose time is the fixture ``clock``."""
    opened = backend.open(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture(params=[name for name, backend in BACKENDS.items() if backend.lasting])
def lasting(request: pytest.FixtureRequest) -> Backend:
    """The stores that can be opened again, and by several processes."""
    return BACKENDS[request.param]
