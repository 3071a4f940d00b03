"""The far end of a phase that runs elsewhere: executes its function in a task's process and tells the worker about it.

Nothing here knows who carries the messages: ``runtime/ray.py`` does. The function runs in a thread of its own, as in the
worker, so that the task can pass on its signs of life meanwhile, and be interrupted.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from phasegate.errors import Fatal
from phasegate.runtime.calls import Beat, Began, Call, Ended, Line, Pickler, thrown
from phasegate.runtime.context import Context

#: Seconds between two signs of life that are passed on: a function may give them as often as it likes.
BEAT = 0.1
#: Seconds after which a task that waits for its function looks whether it was interrupted.
LOOK = 0.1

_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def converse(call: bytes, deps: Callable[[], Any], pickler: Pickler) -> Iterator[bytes]:
    """Execute a call; its messages, as they come. Ends the function as far as possible when it is interrupted."""
    _be_interruptible()
    yield pickler.dumps(Began())
    work = _Work(deps, pickler)
    thread = threading.Thread(target=work.perform, args=(call,), name="phasegate-phase", daemon=True)
    thread.start()
    try:
        yield from work.messages()
    finally:
        # Until the function has ended this process is not free for another task. Whoever cancels waits only so long.
        work.stop()
        thread.join()


def _be_interruptible() -> None:
    """Have an interruption of this process's main thread raise ``KeyboardInterrupt``, as it does in Python by default.

    What is started in the background, such as a cluster with ``&`` in a script, inherits that SIGINT is ignored; Python then
    ignores interruptions by a program, too, and a task that is cancelled would never hear of it.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Work:
    """One call being executed, and what it has to say."""

    def __init__(self, deps: Callable[[], Any], pickler: Pickler) -> None:
        self._deps, self._pickler = deps, pickler
        self._said: SimpleQueue[bytes | None] = SimpleQueue()
        self._contexts: tuple[Context, ...] = ()
        self._stopped = False
        self._cancel: Callable[[], object] | None = None
        self._beaten = 0.0

    def messages(self) -> Iterator[bytes]:
        while True:
            try:
                message = self._said.get(timeout=LOOK)
            except Empty:  # an interruption of the main thread is only seen when a wait ends
                continue
            if message is None:
                return
            yield message

    def stop(self) -> None:
        self._stopped = True
        for context in self._contexts:
            context.stop()
        if self._cancel is not None:
            with suppress(RuntimeError):  # the function, and its loop with it, has just ended
                self._cancel()

    def perform(self, call: bytes) -> None:
        try:
            result = self._call(self._pickler.loads(call))
        except BaseException as error:  # whatever a function raises fails its attempt, never its task
            result = thrown(error, self._pickler)
        self._said.put(self._ended(result))
        self._said.put(None)

    def _call(self, call: Call) -> Any:
        self._contexts = tuple(self._bound(call, number) for number in range(len(call.contexts)))
        if self._stopped:
            self.stop()
        function = self._pickler.loads(call.function)
        result = function(list(self._contexts) if call.batch else self._contexts[0])
        if inspect.iscoroutine(result):
            result = asyncio.run(self._awaited(result))
        if call.batch and isinstance(result, list | tuple):
            return [thrown(each, self._pickler) if isinstance(each, BaseException) else each for each in result]
        return result

    async def _awaited(self, coroutine: Any) -> Any:
        task = asyncio.ensure_future(coroutine)
        loop = asyncio.get_running_loop()
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        if self._stopped:
            task.cancel()
        return await task

    def _bound(self, call: Call, number: int) -> Context:
        """A context with its services here: what is said is passed on, what needs the worker's database is refused."""

        def announce(_kind: str, *, done: int, total: int | None, **_where: Any) -> None:
            self._beat(Beat(number, (done, total)), last=done == total)

        services: Any = _Services(call, self._deps, self._line, announce)
        return replace(call.contexts[number], services=services, on_beat=lambda: self._beat(Beat(number)))

    def _beat(self, beat: Beat, *, last: bool = False) -> None:
        now = monotonic()
        if last or now - self._beaten >= BEAT:
            self._beaten = now
            self._said.put(self._pickler.dumps(beat))

    def _line(self, line: Line) -> None:
        self._said.put(self._pickler.dumps(line))

    def _ended(self, result: Any) -> bytes:
        try:
            return self._pickler.dumps(Ended(result, *self._written()))
        except Exception as error:
            refused = Fatal(f"what the function returned or wrote cannot be sent back to the worker: {error}")
            nothing = tuple(() for _ in self._contexts)
            return self._pickler.dumps(Ended(thrown(refused, self._pickler), (), nothing))

    def _written(self) -> tuple[tuple[bytes | str, ...], tuple[tuple[tuple[int, Mapping[str, Any]], ...], ...]]:
        """The writes of every context; a statement that many share is sent once."""
        known: dict[Any, tuple[int, bytes | str]] = {}

        def index(statement: Any) -> int:
            key = statement if isinstance(statement, str) else id(statement)
            if key not in known:
                known[key] = (len(known), statement if isinstance(statement, str) else self._pickler.dumps(statement))
            return known[key][0]

        writes = tuple(tuple((index(w.statement), w.params) for w in context.writes) for context in self._contexts)
        return tuple(each for _, each in known.values()), writes


class _Services:
    """What a context needs of the process around it, in a process without the database."""

    def __init__(
        self, call: Call, deps: Callable[[], Any], say: Callable[[Line], None], announce: Callable[..., None]
    ) -> None:
        self._ahead, self._deps = call.ahead, deps
        self.dry_run, self.announce = call.dry_run, announce
        self.log = _Log(say, {})

    @property
    def deps(self) -> Any:
        return self._deps()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def read(self, _statement: Any, _params: Any = None) -> Any:
        raise Fatal(
            "ctx.read needs the worker's database: read in a phase before, and let this one find it in ctx.inputs"
        )


class _Log:
    """A logger whose lines are written by the worker."""

    def __init__(self, say: Callable[[Line], None], bound: Mapping[str, Any]) -> None:
        self._say, self._bound = say, bound

    def bind(self, **more: Any) -> _Log:
        return _Log(self._say, {**self._bound, **more})

    def __getattr__(self, level: str) -> Any:
        if level not in _LEVELS:
            raise AttributeError(f"a phase that runs elsewhere logs by {', '.join(_LEVELS)}, not by {level!r}")

        def said(event: str, **values: Any) -> None:
            plain = {name: v if isinstance(v, str | int | float | None) else repr(v) for name, v in values.items()}
            if level == "exception":  # the worker has none that it could add
                plain["exception"] = traceback.format_exc()
            self._say(Line("error" if level == "exception" else level, str(event), {**self._bound, **plain}))

        return said
