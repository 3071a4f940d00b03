"""How much memory the process uses, and whether that is too much."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def used_mb() -> float:
    """Megabytes that the process has in memory now; where the system does not tell that, the most it ever had.

    NaN where nothing can be told.
    """
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError):
        return _most_mb()


def _most_mb() -> float:
    try:
        import resource
    except ImportError:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


class Watch:
    """Compares what is used with a limit. Not safe to use from several threads."""

    def __init__(self, limit_mb: float | None, used: Callable[[], float] = used_mb) -> None:
        self._limit, self._used = limit_mb, used
        self._last: float | None = None
        self.alarm, self.alarms = False, 0

    def look(self) -> bool:
        """Look again, and say whether the alarm has begun or ended. What cannot be told is no alarm."""
        if self._limit is None:
            return False
        self._last = self._used()
        before, self.alarm = self.alarm, self._last > self._limit
        self.alarms += self.alarm and not before
        return self.alarm is not before

    def told(self) -> dict[str, Any]:
        """What was found when it was looked at last."""
        known = self._last is not None and self._last == self._last
        return {
            "memory_mb": self._last if known else None, "memory_limit_mb": self._limit,
            "memory_alarm": self.alarm, "memory_alarms": self.alarms,
        }  # fmt: skip
