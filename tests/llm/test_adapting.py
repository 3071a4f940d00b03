"""Anything as a client: which way is taken, what counts as an answer, and that nothing else gets through."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import threading
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.llm import LLMError, ProviderClient, Request, Response, as_client

REQUEST = Request("You are terse.", "Hello?")


def short(value: object) -> str:
    """A name for a case that is the same in every process: some of these have their address in their text."""
    return type(value).__name__


def generate(anything: object, request: Request = REQUEST) -> Response:
    return asyncio.run(as_client(anything).generate(request))


def refused(anything: object, request: Request = REQUEST) -> LLMError:
    with pytest.raises(LLMError) as caught:
        generate(anything, request)
    return caught.value


class Everything:
    """Answers in all four ways."""

    def generate(self, request: Request) -> str:
        return f"generate {request.user}"

    def complete(self, system_prompt: str, user_prompt: str) -> str:
        return f"complete {system_prompt}|{user_prompt}"

    def chat(self, messages: list[dict]) -> str:
        return "chat " + "|".join(f"{each['role']}:{each['content']}" for each in messages)

    def __call__(self, prompt: str) -> str:
        return f"call {prompt}"


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        ((), "generate Hello?"),
        (("generate",), "complete You are terse.|Hello?"),
        (("generate", "complete"), "chat system:You are terse.|user:Hello?"),
        (("generate", "complete", "chat"), "call You are terse.\n\nHello?"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_ways_in_their_order(hidden: tuple[str, ...], said: str, asynchronous: bool) -> None:
    def later(method: Any) -> Any:
        async def wrapped(self: Any, *args: Any, **named: Any) -> Any:
            return method(self, *args, **named)

        return wrapped

    ways: dict[str, Any] = {name: getattr(Everything, name) for name in ("generate", "complete", "chat", "__call__")}
    kept = {name: later(way) if asynchronous else way for name, way in ways.items() if name not in hidden}
    assert generate(type("Given", (), kept)()).text == said


@pytest.mark.parametrize(
    "result",
    [
        "hello",
        {"text": "hello"},
        {"content": "hello"},
        {"text": None, "content": "hello"},
        SimpleNamespace(text="hello"),
        SimpleNamespace(content="hello"),
        Response("hello"),
        Mock(text="hello"),
        type("Text", (str,), {"__str__": lambda self: "lie"})("hello"),
    ],
    ids=short,
)
def test_what_counts_as_an_answer(result: object) -> None:
    assert generate(lambda prompt: result).text == "hello"

    async def promise() -> object:
        return result

    assert generate(lambda prompt: promise()).text == "hello"


async def pieces() -> AsyncIterator[str]:
    yield "hello"


@pytest.mark.parametrize(
    "result",
    [None, 5, True, b"hello", ["hello"], {"answer": "hello"}, {"text": 5}, {"content": [{"text": "hello"}]}, object(), Mock(),
     MagicMock(), Mock(spec=str), Mock(spec=dict), pieces(), iter(["hello"]), Response],
    ids=lambda result: type(result).__name__,
)  # fmt: skip
def test_what_does_not(result: object) -> None:
    error = refused(lambda prompt: result)
    assert (error.kind, error.retryable) == ("response_type", False)
    assert "phasegate.llm.Response" in str(error.hint)


def test_a_promise_without_end_is_no_answer() -> None:
    class Never:
        def __await__(self) -> Any:
            return self
            yield

    assert refused(lambda prompt: Never()).kind == "response_type"


@pytest.mark.parametrize("given", [None, 5, "text", object(), Everything, [print]], ids=short)
def test_what_cannot_be_asked(given: object) -> None:
    with pytest.raises(LLMError) as caught:
        as_client(given)
    assert caught.value.kind == "response_type"


def test_mocks_are_resolved_by_the_order_and_checked_by_type() -> None:
    mock = Mock()
    mock.complete.return_value = "never asked"
    assert refused(mock).kind == "response_type"
    mock.generate.assert_called_once_with(REQUEST)
    mock.complete.assert_not_called()
    for kind in (Mock, MagicMock, AsyncMock):
        assert generate(kind(**{"generate.return_value": "hello"})).text == "hello"
        assert generate(kind(spec=["complete"], **{"complete.return_value": {"text": "hello"}})).text == "hello"
        assert refused(kind()).kind == "response_type"


def test_a_mock_that_has_no_more_answers_does_not_hang() -> None:
    mock = Mock(**{"generate.side_effect": ["one"]})
    assert generate(mock).text == "one"
    with pytest.raises(RuntimeError, match="no more answers"):
        generate(mock)


@pytest.mark.parametrize(
    ("usage", "numbers"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 9}, (5, 3, 9, None, False)),
        ({"prompt_tokens": 5, "completion_tokens": 3}, (5, 3, 8, None, False)),
        ({"input_tokens": 5, "output_tokens": 0}, (5, 0, 5, None, False)),
        ({"total_tokens": 9}, (None, None, 9, None, False)),
        ({"prompt_tokens": 5, "total_tokens": 9}, (5, None, 9, None, False)),
        ({"prompt_tokens": 5}, (5, 2, 7, None, True)),
        ({"prompt_tokens": 50, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 40}}, (50, 3, 53, 40, False)),
        ({"input_tokens": 50, "output_tokens": 3, "cache_read_input_tokens": 40}, (50, 3, 53, 40, False)),
        ({}, (5, 2, 7, None, True)),
        (None, (5, 2, 7, None, True)),
        ("many", (5, 2, 7, None, True)),
        ({"prompt_tokens": True, "completion_tokens": -1, "total_tokens": 2.5}, (5, 2, 7, None, True)),
        (Mock(), (5, 2, 7, None, True)),
    ],
)  # fmt: skip
def test_tokens(usage: Any, numbers: tuple[Any, ...]) -> None:
    results: list[Any] = [{"text": "12345", "usage": usage}, SimpleNamespace(text="12345", usage=usage)]
    if isinstance(usage, dict):
        results += [SimpleNamespace(text="12345", usage=SimpleNamespace(**usage)), {"text": "12345", **usage}]
    for result in results:
        found = generate(lambda prompt, result=result: result)
        told = (found.prompt_tokens, found.completion_tokens, found.total_tokens, found.cached_tokens, found.estimated)
        assert told == numbers


class Stop(enum.Enum):
    LENGTH = "length"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"stop_reason": "end_turn"}, "complete"),
        ({"finish_reason": "stop"}, "complete"),
        ({"finish_reason": "LENGTH"}, "max_tokens"),
        ({"finish_reason": Stop.LENGTH}, "max_tokens"),
        ({"stop_reason": "max_tokens", "finish_reason": "stop"}, "max_tokens"),
        ({"stop_reason": "refusal"}, "content_filter"),
        ({"stop_reason": "tool_use"}, "unknown"),
        ({"stop_reason": 5}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_reasons_to_stop(given: dict, found: str) -> None:
    assert generate(lambda prompt: {"text": "", **given}).stop_reason == found


def test_options_go_to_whoever_takes_them() -> None:
    request = Request("s", "u", None, "big", 100, 0.5, 60.0, {"step": "draft"})

    class Open:
        def complete(self, system_prompt: str, user_prompt: str, **options: Any) -> str:
            return repr((system_prompt, user_prompt, sorted(options.items())))

    class Some:
        def complete(self, *, system_prompt: str, user_prompt: str, max_output_tokens: int, metadata: dict) -> str:
            return repr((system_prompt, user_prompt, max_output_tokens, metadata))

    class Chat:
        def chat(self, messages: list[dict], temperature: float = 1.0) -> str:
            return repr((len(messages), temperature))

    everything = [("max_tokens", 100), ("model", "big"), ("temperature", 0.5), ("timeout", 60.0)]
    assert generate(Open(), request).text == repr(("s", "u", everything))
    assert generate(Open()).text == repr(("You are terse.", "Hello?", []))
    assert generate(Some(), request).text == repr(("s", "u", 100, {"step": "draft"}))
    assert generate(Chat(), request).text == repr((2, 0.5))


def test_a_schema_is_told_in_the_system_prompt_except_to_generate() -> None:
    request = Request("s", "u", schema={"type": "array"})
    assert generate(Everything(), request).text == "generate u"
    assert generate(lambda prompt: prompt, request).text.endswith('JSON Schema:\n{"type":"array"}\n\nu')


def test_sync_code_runs_in_a_thread_and_async_code_in_the_loop() -> None:
    here = threading.get_ident()

    async def inside(prompt: str) -> str:
        return str(threading.get_ident())

    assert generate(lambda prompt: str(threading.get_ident())).text != str(here)
    assert generate(inside).text == str(here)
    assert generate(partial(inside)).text == str(here)


def test_failures_of_transport_are_ours_and_defects_are_not() -> None:
    def fail(error: BaseException) -> Any:
        def ask(prompt: str) -> str:
            raise error

        return ask

    assert refused(fail(ConnectionResetError("gone"))).kind == "connection"
    assert refused(fail(TimeoutError())).kind == "timeout"
    assert refused(fail(concurrent.futures.CancelledError())).kind == "cancelled"
    assert refused(fail(asyncio.CancelledError())).kind == "cancelled"
    mine = LLMError("credit_exhausted", "no money")
    assert refused(fail(mine)) is mine
    with pytest.raises(ZeroDivisionError):
        generate(fail(ZeroDivisionError()))


def test_a_timeout_is_kept() -> None:
    async def forever(prompt: str) -> str:
        await asyncio.Event().wait()
        return ""

    assert refused(forever, Request("", "", timeout=0.01)).kind == "timeout"


def test_cancelling_is_not_an_error_of_the_client() -> None:
    async def cancel() -> None:
        started = asyncio.Event()

        async def forever(prompt: str) -> str:
            started.set()
            await asyncio.Event().wait()
            return ""

        task = asyncio.create_task(as_client(forever).generate(REQUEST))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_clients_of_this_package_stay_what_they_are() -> None:
    client = ProviderClient("openai:gpt-4o")
    assert as_client(client) is client
    adapted = as_client(Everything())
    assert as_client(adapted) is adapted


class Hostile:
    """Raises whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=3)
usages = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "prompt_tokens_details"]),
    numbers,
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object) | st.builds(Mock)
    | st.builds(Hostile) | usages,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["text", "content", "usage", "stop_reason", "finish_reason", "model", "seconds", "calls"]) | st.text(),
        inner,
        max_size=6,
    ),
    max_leaves=8,
)  # fmt: skip


@given(values, st.booleans())
def test_whatever_comes_back_is_an_answer_or_a_typed_error(result: Any, as_object: bool) -> None:
    async def ask(prompt: str) -> object:
        names = isinstance(result, dict) and all(isinstance(name, str) and name.isidentifier() for name in result)
        return SimpleNamespace(**result) if as_object and names else result

    found = answer_or_error(ask)
    if isinstance(found, LLMError):
        assert found.kind == "response_type"
    else:
        assert type(found.text) is str
        assert found.total_tokens is not None
        assert found.total_tokens >= 0
        assert found.calls >= 1
        for number in (found.prompt_tokens, found.completion_tokens, found.cached_tokens):
            assert number is None or (type(number) is int and number >= 0)


def answer_or_error(ask: Any) -> Response | LLMError:
    try:
        return generate(ask)
    except LLMError as error:
        return error
