"""Every test of this folder runs on every kind of database."""

from __future__ import annotations

import pytest

from tests import engines


@pytest.fixture(params=engines.KINDS, autouse=True)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database under test."""
    engines.use(request.param)
    return str(request.param)
