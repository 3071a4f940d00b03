"""What every test shares: how hypothesis searches, and that no database stays behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import postgres

# The same examples on every machine and in every run, and no verdict that depends on how busy the machine is.
settings.register_profile(
    "phasegate",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# New examples each time: `make tests ARGS=--hypothesis-profile=explore`.
settings.register_profile(
    "explore",
    deadline=None,
    max_examples=1_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("phasegate")


@pytest.fixture(autouse=True)
def _databases() -> Iterator[None]:
    """The databases a test has made on PostgreSQL go with it."""
    yield
    postgres.drop_databases()
