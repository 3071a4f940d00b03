"""What goes between a worker and a task that executes a phase's function for it: a call one way, messages the other.

The last message is the ending. Each is pickled by itself, so that what cannot be pickled, or not be made again, is noticed
where something can be said about it.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol, cast

from phasegate.core.layered import Layered
from phasegate.errors import Fatal
from phasegate.runtime.context import Context, Services
from phasegate.store.base import Write


class Pickler(Protocol):
    """What turns functions and values into bytes and back."""

    def dumps(self, value: Any) -> bytes:
        """The value as bytes; raises when it has no such form."""

    def loads(self, data: bytes) -> Any:
        """The value of such bytes."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be done: the pickled function, and the contexts it is given without what stays with the worker.

    ``ahead`` is by how much the worker's clock is ahead of that of its machine: tests set it.
    """

    function: bytes
    contexts: tuple[Context, ...]
    batch: bool
    dry_run: bool
    ahead: timedelta


@dataclass(frozen=True, slots=True)
class Began:
    """The task has a process and begins."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The function gave a sign of life, perhaps how far it is."""

    member: int
    progress: tuple[int, int | None] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The function logged something."""

    level: str
    event: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The function ended: what it returned or raised, and what each member wrote, as (statement, parameters)."""

    result: Any
    statements: tuple[bytes | str, ...]
    writes: tuple[tuple[tuple[int, Mapping[str, Any]], ...], ...]


@dataclass(frozen=True, slots=True)
class Thrown:
    """An exception on its way back: itself where pickle can make it again, else its class, its attributes and its message."""

    itself: bytes | None
    parts: bytes | None
    name: str
    message: str
    trace: str | None

    def raised(self, pickler: Pickler) -> BaseException:
        """The exception, with the trace of where it was raised as its cause."""
        error = self._error(pickler)
        if self.trace is None:
            return error
        try:
            raise error from RemoteTrace(self.trace)
        except BaseException as caught:  # it has a traceback now, without which the trace would not be recorded
            return caught

    def _error(self, pickler: Pickler) -> BaseException:
        with suppress(Exception):
            if self.itself is not None:
                error: BaseException = pickler.loads(self.itself)
                return error
        base, attributes = pickler.loads(self.parts) if self.parts is not None else (Exception, {})
        # Without its own constructor, which wants arguments nobody knows; still of its class, for ``retry_on``.
        body = {"__init__": lambda _self: None, "__str__": lambda _self: self.message}
        made: BaseException = type(self.name, (base,), body)()
        vars(made).update(attributes)
        return made


class RemoteTrace(Exception):
    """The trace of an exception that was raised in another process."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def pack(function: Any, contexts: Sequence[Context], *, batch: bool, pickler: Pickler) -> bytes:
    """The call as it is sent. A context leaves the run's other phases and the worker's services at home.

    Raises ``Fatal`` when the function cannot be pickled.
    """
    try:
        pickled = pickler.dumps(function)
    except Exception as error:
        raise Fatal(
            f"the function of phase {contexts[0].phase!r} cannot be sent to where the phase runs ({error}): make it a function "
            "of a module that holds on to nothing but what it is given, or take runs_on off the phase"
        ) from error
    services, nothing = contexts[0].services, cast(Services, None)
    light = tuple(
        replace(c, run=c.run.but(phases=Layered(), tally=None), services=nothing, on_beat=None, on_stop=None)
        for c in contexts
    )
    return pickler.dumps(Call(pickled, light, batch, services.dry_run, services.now() - datetime.now(UTC)))


def unpack(ended: Ended, contexts: Sequence[Context], pickler: Pickler) -> Any:
    """What the function returned; its writes are queued in the contexts. Raises what it raised."""
    statements = [s if isinstance(s, str) else _statement(s, pickler) for s in ended.statements]  # type: ignore[arg-type]
    for context, writes in zip(contexts, ended.writes, strict=False):  # a call that could not be opened has none
        context.writes.extend(Write(statements[index], params) for index, params in writes)
    if isinstance(ended.result, Thrown):
        raise ended.result.raised(pickler)
    if isinstance(ended.result, list):
        return [each.raised(pickler) if isinstance(each, Thrown) else each for each in ended.result]
    return ended.result


@lru_cache(maxsize=256)
def _statement(pickled: bytes, pickler: Pickler) -> Any:
    """One object for the same statement every time: by it the writes of many attempts are joined."""
    return pickler.loads(pickled)


def thrown(error: BaseException, pickler: Pickler) -> Thrown:
    """An exception as it is sent back."""
    # They would end the worker, or the coroutine that awaits the answer.
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError | StopIteration):
        error = RuntimeError(f"the function raised {type(error).__name__}").with_traceback(error.__traceback__)
    itself, parts = _pickled(error, pickler), None
    if itself is None:
        parts = _pickled((type(error), vars(error)), pickler) or _pickled((type(error), {}), pickler)
    return Thrown(itself, parts, *_words(error))


def _pickled(value: Any, pickler: Pickler) -> bytes | None:
    """The value as bytes, unless it has no such form or cannot be made again from it."""
    try:
        data = pickler.dumps(value)
        pickler.loads(data)
    except Exception:
        return None
    return data


def _words(error: BaseException) -> tuple[str, str, str | None]:
    try:
        message = str(error)
    except Exception:
        message = ""
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ else None
    return type(error).__name__, message or type(error).__name__, trace
