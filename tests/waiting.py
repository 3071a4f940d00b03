"""Waiting for what another thread or process does: by looking often, and giving up loudly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str = "", *, within: float = 30.0) -> T:
    """What ``condition()`` gives once it is true. Raises ``AssertionError`` when it never is."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} seconds for {what or condition}")
        time.sleep(0.005)
