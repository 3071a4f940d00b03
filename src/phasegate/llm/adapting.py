"""Anything that can answer, as a ``Client``: for fakes, for models of one's own, for libraries phasegate does not know."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import GeneratorType
from typing import Any, TypeGuard

from phasegate.llm.answers import as_response
from phasegate.llm.errors import LLMError
from phasegate.llm.failures import as_llm_error
from phasegate.llm.request import Client, Request, Response, system_text

#: An answer may be promised this many times over before it counts as none.
PROMISES = 10
Ask = Callable[[Request], object]


def as_client(anything: object) -> Client:
    """A client out of whatever was given.

    Tried in this order: ``generate(request)``; ``complete(system_prompt, user_prompt, **options)``; ``chat(messages=[...])``; a
    plain function of the prompt. Each may be sync, and then runs in a thread, or async. Accepted answers are a string, a
    mapping or an object with ``text`` or ``content`` (and perhaps ``usage``), and awaitables of these; anything else is an
    ``LLMError`` of kind ``response_type``. Options are passed to whoever has parameters for them.

    Failures of transport become ``LLMError``; any other exception of the given code is raised as it is. A client of this
    package is returned unchanged. Raises ``LLMError`` of kind ``response_type`` for what cannot be asked at all.
    """
    if Client in type(anything).__mro__:
        return anything  # type: ignore[return-value]  # it says so itself
    return Adapted(anything, way_to_ask(anything))


class Adapted(Client):
    """A client around something else; made by ``as_client``."""

    def __init__(self, inner: object, ask: Ask) -> None:
        self._name, self._ask = type(inner).__name__, ask

    async def generate(self, request: Request) -> Response:
        """The answer of whatever is inside."""
        began = time.perf_counter()
        failure: LLMError | None
        try:
            async with asyncio.timeout(request.timeout):
                result = await kept(self._ask, request)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure = as_llm_error(error, self._name)
        except Exception as error:
            failure = as_llm_error(error, self._name)
            if failure is None or failure is error:
                raise
        else:
            response = as_response(result, request)
            return response if response.seconds is not None else replace(response, seconds=time.perf_counter() - began)
        # Outside of the handler, so that the provider's error and what it holds is not chained.
        assert failure is not None
        raise failure


def way_to_ask(inner: Any) -> Ask:
    """How to put a request to it."""
    if not isinstance(inner, type):
        if generate := method(inner, "generate"):
            return partial(invoke, generate)
        if found := method(inner, "complete"):
            return partial(complete, found)
        if found := method(inner, "chat"):
            return partial(chat, found)
        if callable(inner):
            return lambda request: invoke(inner, prompt(request))
    what = f"the class {inner.__name__}" if isinstance(inner, type) else f"a {type(inner).__name__}"
    raise LLMError(
        "response_type",
        f"{what} is not a client",
        hint="give an object with generate, complete or chat, or a function of the prompt",
        calls=0,
    )


def method(inner: object, name: str) -> Callable[..., object] | None:
    """The method of that name, if there is one."""
    found = getattr(inner, name, None)
    return found if callable(found) else None


def complete(function: Callable[..., object], request: Request) -> object:
    """Call ``complete``, whose two prompts come by position unless it takes them by name only."""
    texts = {"system_prompt": system_text(request), "user_prompt": request.user}
    found = parameters(function)
    if any(name in found and found[name].kind is inspect.Parameter.KEYWORD_ONLY for name in texts):
        return invoke(function, **texts, **options(function, request))
    return invoke(function, *texts.values(), **options(function, request))


def chat(function: Callable[..., object], request: Request) -> object:
    """Call ``chat``."""
    return invoke(function, messages=messages(request), **options(function, request))


def options(function: Callable[..., object], request: Request) -> dict[str, object]:
    """The options of the request that the function has parameters for; all that are common if it takes any."""
    given: dict[str, object] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "timeout": request.timeout,
    }
    rare: dict[str, object] = {
        "max_output_tokens": request.max_output_tokens,
        "metadata": dict(request.metadata),
        "schema": request.schema,
    }
    found = parameters(function)
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in found.values())
    wanted = {name: value for name, value in given.items() if open_ended or name in found}
    wanted |= {name: value for name, value in rare.items() if name in found}
    return {name: value for name, value in wanted.items() if value is not None}


def parameters(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a callable by name; none when it does not tell."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C, or a callable that hides it
        return {}


def messages(request: Request) -> list[dict[str, str]]:
    """The request as a chat."""
    system = system_text(request)
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": request.user}]


def prompt(request: Request) -> str:
    """The request as one text."""
    return "\n\n".join(part for part in (system_text(request), request.user) if part)


async def kept(ask: Ask, request: Request) -> object:
    """What was promised: the result, with every awaitable awaited."""
    result = ask(request)
    for _ in range(PROMISES):
        if not promised(result):
            return result
        result = await result
    raise LLMError("response_type", f"the client returned a promise of a promise, {PROMISES} times over")


def promised(result: object) -> TypeGuard[Awaitable[object]]:
    """Whether a result can be awaited, and does not only claim so as a mock does."""
    return issubclass(type(result), Awaitable) or (isinstance(result, GeneratorType) and inspect.isawaitable(result))


def invoke(function: Callable[..., object], *args: object, **named: object) -> object:
    """Call an async function here and a sync one in a thread, so that it holds nobody up."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return function(*args, **named)
    return asyncio.to_thread(finished, function, *args, **named)


def finished(function: Callable[..., object], *args: object, **named: object) -> object:
    """The result of a function, for a thread to hand over."""
    try:
        return function(*args, **named)
    except StopIteration as error:
        # A future cannot carry it: whoever waits would wait for ever.
        raise RuntimeError(f"{function!r} has no more answers") from error
