"""What every test shares: how hypothesis searches."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

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
