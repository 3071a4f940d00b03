"""An event loop without clock, threads and network: time jumps to whatever is due next, and what would run in a thread runs
between two rounds of the loop, late and with an answer that is later still."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2030, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.BaseEventLoop):
    """The same chance gives the same order of events."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._elapsed = 0.0
        self._selector = self
        self._clock_resolution = 1e-6
        self.set_exception_handler(self._fail)
        self.failed: list[BaseException] = []

    def now(self) -> datetime:
        """The time of this world."""
        return START + timedelta(seconds=self._elapsed)

    def time(self) -> float:
        return self._elapsed

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop does when it has nothing to do now."""
        assert timeout is not None, "nothing will ever happen any more"
        self._elapsed += timeout
        return []

    def _process_events(self, _events: list[Any]) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: there is one thread."""

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failed.append(context.get("exception") or AssertionError(context["message"]))

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """As in a thread: some time passes until it is done, and some more until the answer is heard."""
        future = self.create_future()
        self.call_later(self._chance.uniform(0, 0.02), self._perform, future, func, args)
        return future

    def _perform(self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            result, error = func(*args), None
        except Exception as raised:
            result, error = None, raised
        self.call_later(self._chance.uniform(0, 0.02), _answer, future, result, error)


def _answer(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return  # whoever asked has gone
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
