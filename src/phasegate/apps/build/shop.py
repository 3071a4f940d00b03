"""What every build needs of the process it runs in, whoever executes its phases: limits, time, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.apps.build.policy import Policy

EventSink = Callable[[Mapping[str, Any]], object]


@dataclass(slots=True, kw_only=True)
class Shop:
    """``clock`` gives aware times and stands for the machine's; ``tiers`` are the models to climb, the weakest first."""

    policy: Policy
    tiers: tuple[str, ...] = ()
    event_sink: EventSink | None = None
    clock: Callable[[], datetime] | None = None
    _began: dict[tuple[str, int], float] = field(default_factory=dict)

    def seconds(self) -> float:
        """A time in seconds that never goes back, to measure with; a clock that was given is taken as such."""
        return time.monotonic() if self.clock is None else self.clock().timestamp()

    def begin(self, run_id: str, number: int) -> None:
        """A phase (0: the attempt with that id) begins now, or goes on in this process."""
        self._began.setdefault((run_id, number), self.seconds())

    def go_on(self, run_id: str) -> None:
        """The run is worked on from now on: what it waited for a person before is not its own time."""
        self._began[run_id, 0] = self.seconds()

    def lasted(self, run_id: str, number: int) -> float | None:
        """Seconds since a phase began; None when that was in another process."""
        began = self._began.get((run_id, number))
        return None if began is None else max(0.0, self.seconds() - began)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Tell whoever listens; what they make of it, or do with it, never disturbs a run."""
        if self.event_sink is not None:
            with suppress(Exception):
                self.event_sink(deepcopy(event))
