"""The kinds of database that processes are killed on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import engines


@pytest.fixture(params=engines.KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of database under test; ``engines.address_in`` gives addresses of it."""
    engines.use(request.param)
    yield str(request.param)
    engines.use("sqlite")
