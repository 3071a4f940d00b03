"""One attempt as a pipeline: bind -> perform -> normalise -> settle. It never raises; every ending becomes one fact."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phasegate.core import facts as f
from phasegate.core.flow import Flow, Phase
from phasegate.core.items import item_keys
from phasegate.errors import Fatal, InputError, Snooze
from phasegate.runtime.context import Ask, Context, Lost, Outcome, Skip, Stopped
from phasegate.store import codec
from phasegate.store.base import Write

#: Characters of an error's message and trace that are kept.
MESSAGE, TRACE = 2_000, 8_000


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: the fact, the output (canonical JSON text and value), the writes that go with it."""

    fact: f.AttemptEnded
    output: tuple[str, Any] | None = None
    writes: tuple[Write, ...] = ()


async def perform(phase: Phase, context: Context, threads: Executor) -> Any:
    """Call the function of a phase: awaited when it is ``async``, in a thread otherwise. Decided here and nowhere else."""
    return await _call(phase, [context], context, threads)


async def perform_batch(phase: Phase, contexts: Sequence[Context], threads: Executor) -> list[Any]:
    """Call a batched function once for many attempts: a result or an exception each, position by position."""
    try:
        results = await _call(phase, contexts, list(contexts), threads)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:  # whatever a function raises fails its attempt, never its worker
        return [error] * len(contexts)
    if not isinstance(results, list | tuple) or len(results) != len(contexts):
        got = f"{len(results)} results" if isinstance(results, list | tuple) else type(results).__name__
        return [Fatal(f"the batch function was given {len(contexts)} contexts and returned {got}")] * len(contexts)
    return list(results)


async def _call(phase: Phase, contexts: Sequence[Context], argument: Any, threads: Executor) -> Any:
    """The one place where sync and async functions meet, and those that are executed elsewhere."""
    if phase.runs_on is not None:
        task = await contexts[0].services.cluster.begin(phase, contexts)
        return await _within(phase, contexts, task.result())
    function: Any = phase.run
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await _within(phase, contexts, function(argument))
    loop, began = asyncio.get_running_loop(), asyncio.Event()

    def plain() -> Any:
        if _limited(phase):
            loop.call_soon_threadsafe(began.set)
        try:
            return function(argument)
        except StopIteration as error:  # cannot be raised into a future: whoever awaits it would wait for ever
            raise RuntimeError("the function raised StopIteration") from error

    future = loop.run_in_executor(threads, plain)
    if _limited(phase):
        await began.wait()  # the time a function waits for a free thread is not its own
    return await _within(phase, contexts, future)


async def _within(phase: Phase, contexts: Sequence[Context], awaitable: Awaitable[Any]) -> Any:
    """Wait at most ``phase.timeout`` seconds, and ``phase.silence`` since the last heartbeat. An async function is cancelled;
    a thread cannot be: it is told by ``ctx.cancelled`` and left alone, and its late answer goes nowhere."""
    if not _limited(phase):
        return await awaitable
    try:
        async with asyncio.timeout(phase.timeout) as limit, asyncio.timeout(phase.silence) as quiet:
            _listen(phase, contexts, quiet)
            return await awaitable
    except TimeoutError:
        if not (limit.expired() or quiet.expired()):
            raise
        for context in contexts:
            context.stop()
        said = (
            f"took longer than {phase.timeout:g}" if limit.expired() else f"gave no sign of life for {phase.silence:g}"
        )
        raise TimedOut(f"{said} seconds") from None


def _limited(phase: Phase) -> bool:
    return phase.timeout is not None or phase.silence is not None


def _listen(phase: Phase, contexts: Sequence[Context], quiet: asyncio.Timeout) -> None:
    """Have every heartbeat put off the end of the function's patience; in a batch one speaks for all."""
    silence = phase.silence
    if silence is None:
        return
    loop = asyncio.get_running_loop()

    def prolong() -> None:
        if not quiet.expired() and quiet.when() is not None:
            with contextlib.suppress(RuntimeError):  # a heartbeat that comes when the function is through
                quiet.reschedule(loop.time() + silence)

    for context in contexts:
        context.on_beat = lambda: _tell(loop, prolong)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits for the function any more
        loop.call_soon_threadsafe(what)


class TimedOut(TimeoutError):
    """The phase took longer than its timeout, or gave no sign of life."""


def settle(flow: Flow, phase: Phase, context: Context, result: Any, now: datetime) -> Ending:
    """The one ending that a result or an exception of a phase function means."""
    try:
        value = normalise(phase, result)
        if isinstance(value, BaseException):
            return Ending(_failure(phase, context, value, now))
        return _success(flow, phase, context, value, now)
    except Exception as error:
        # It has no JSON form, items without distinct ids, an outcome that is no word: the function's fault.
        return Ending(_failure(phase, context, Fatal(_said(error)), now))


def normalise(phase: Phase, result: Any) -> Any:
    """A returned value as it is, except that a mapping which reports a failure is one, if the phase says so."""
    if not phase.reports_failure or not isinstance(result, Mapping):
        return result
    error = result.get("error") or result.get("error_message")
    failed = result.get("status") in ("failed", "error") or result.get("success") is False or bool(result.get("error"))
    return ReportedFailure(str(error or "the phase reported a failure")) if failed else result


class ReportedFailure(Exception):
    """A phase function returned a mapping that says it failed."""


def _success(flow: Flow, phase: Phase, context: Context, value: Any, now: datetime) -> Ending:
    place = (now, phase.name, context.scope, context.attempt)
    writes = tuple(context.writes)
    if isinstance(value, Skip):
        return Ending(f.AttemptSkipped(*place, _clean(str(value.reason))), writes=writes)
    if isinstance(value, Ask):
        return Ending(f.AttemptAsked(*place, codec.load(codec.dump(value.questions))))
    word, value = (_word(value.word), value.value) if isinstance(value, Outcome) else ("done", value)
    items = item_keys(value) if phase.name in flow.repeated_over else None
    if value is None:
        return Ending(f.AttemptSucceeded(*place, word, None, items), writes=writes)
    text, sha256 = codec.canonical(value)
    # Those who need the output get what is stored, whether they read it from memory or, after a restart, from the database.
    return Ending(f.AttemptSucceeded(*place, word, sha256, items), (text, codec.load(text)), writes)


def _word(word: Any) -> str:
    if not isinstance(word, str) or not word:
        raise InputError(f"an outcome is a word, not {word!r}")
    return codec.load(codec.dump(word))  # type: ignore[no-any-return]  # raises when it has characters that have no JSON form


def _failure(phase: Phase, context: Context, error: BaseException, now: datetime) -> f.AttemptEnded:
    place = (now, phase.name, context.scope, context.attempt)
    if isinstance(error, Snooze):
        if error.until.tzinfo is None:
            error = Fatal(f"Snooze needs a time with zone, not {error.until.isoformat()}")
        else:
            return f.AttemptSnoozed(*place, error.until, _clean(error.reason))
    if isinstance(error, Stopped):
        return f.AttemptStopped(*place, "stopped")
    if isinstance(error, Lost):
        return f.AttemptLost(*place, _clean(str(error))[:MESSAGE])
    fatal = (
        isinstance(error, Fatal)
        or not isinstance(error, phase.retry.retry_on)
        or isinstance(error, phase.retry.fatal_on)
    )
    trace = _shortened("".join(traceback.format_exception(error))) if error.__traceback__ else None
    return f.AttemptFailed(*place, type(error).__name__, _said(error)[:MESSAGE], fatal, trace)


def _shortened(trace: str) -> str:
    """The beginning and the end: a long message would push out the lines, many lines the message."""
    trace = _clean(trace)
    return trace if len(trace) <= TRACE else f"{trace[: TRACE // 2]}\n...\n{trace[-TRACE // 2 :]}"


def _said(error: BaseException) -> str:
    """An error's message; its class's name when it has none, or cannot say it."""
    try:
        return _clean(str(error)) or type(error).__name__
    except Exception:
        return type(error).__name__


def _clean(text: str) -> str:
    """Text that can be stored: without halves of characters, which names of files, for one, may have, and without NUL."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()
