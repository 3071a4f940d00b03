"""Joins ready attempts of one phase, across runs, into one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from phasegate.runtime.held import Attempt, Held

Member = tuple[Held, Attempt]
Key = tuple[str, int, str]  # flow, version, phase


class Collector:
    """Collects members of batches; ``fire`` is called with those of one phase when the batch is full, when its time has
    passed, or when somebody says that no more will come."""

    def __init__(self, fire: Callable[[Sequence[Member]], None]) -> None:
        self._fire = fire
        self._waiting: dict[Key, list[Member]] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return sum(len(members) for members in self._waiting.values())

    def add(self, held: Held, attempt: Attempt) -> None:
        """Put an attempt into the batch of its phase."""
        batch = attempt.phase.batch
        assert batch is not None
        key = (held.flow.name, held.flow.version, attempt.phase.name)
        members = self._waiting.setdefault(key, [])
        members.append((held, attempt))
        if len(members) >= batch.size:
            self._go(key)
        elif key not in self._timers:
            self._timers[key] = asyncio.get_running_loop().call_later(batch.within, self._go, key)

    def flush(self) -> None:
        """Fire everything that waits: no more members are to be expected."""
        for key in list(self._waiting):
            self._go(key)

    def _go(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        # A member may have been given up while it waited.
        members = [each for each in self._waiting.pop(key, []) if not each[1].context.cancelled]
        if members:
            self._fire(members)
