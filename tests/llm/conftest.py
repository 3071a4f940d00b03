"""The fake provider, found by clients through the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llm.server import FakeProvider


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
