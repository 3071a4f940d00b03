"""What goes wrong at providers, over real HTTP: the kind, whether to try again, one call, and no secret anywhere."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback

import pytest

from phasegate.llm import LLMError, ProviderClient, Request
from phasegate.llm.failures import as_llm_error
from tests.llm.server import KEY, Cut, Failure, FakeProvider, Hang, Raw

OPENAI, ANTHROPIC = "openai:gpt-4o-mini", "anthropic:claude-test"
MODELS = pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def failing(client: ProviderClient, request: Request | None = None) -> LLMError:
    """The error of a request, of which nothing must show a secret."""
    with pytest.raises(LLMError) as caught:
        asyncio.run(client.generate(request or Request("", "hi")))
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.hint)
    assert KEY not in shown
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


@MODELS
@STREAM
@pytest.mark.parametrize(
    ("failure", "kind", "retryable"),
    [
        (Failure(429, "slow down", "rate_limit_error"), "rate_limited", True),
        (Failure(500, "oops", "api_error"), "server", True),
        (Failure(502, "bad gateway", "api_error"), "server", True),
        (Failure(503, "try later", "api_error"), "server", True),
        (Failure(529, "Overloaded", "overloaded_error"), "server", True),
        (Failure(408, "too slow", "timeout_error"), "timeout", True),
        (Failure(401, f"the key {KEY} is wrong", "authentication_error"), "auth", False),
        (Failure(403, "not for you", "permission_error"), "auth", False),
        (Failure(402, "pay first", "billing_error"), "credit_exhausted", False),
        (Failure(400, "temperature: too hot"), "bad_request", False),
        (Failure(404, "no such model", "not_found_error"), "bad_request", False),
        (Failure(413, "too large", "request_too_large"), "prompt_too_long", False),
        (Failure(422, "what is this"), "bad_request", False),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Failure) else None,
)
def test_http_errors(
    server: FakeProvider, model: str, stream: bool, failure: Failure, kind: str, retryable: bool
) -> None:
    server.script(failure)
    error = failing(ProviderClient(model, stream=stream))
    assert (error.kind, error.retryable, error.retry_after, error.calls) == (kind, retryable, None, 1)
    assert str(error).startswith(model)
    assert f"HTTP {failure.status}" in str(error)
    assert error.hint
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("model", "failure", "kind"),
    [
        (OPENAI, Failure(429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota"), "credit_exhausted"),
        (OPENAI, Failure(400, "the maximum context length is 8192", code="context_length_exceeded"), "prompt_too_long"),
        (OPENAI, Failure(400, "the request exceeds the available context size of 4096 tokens"), "prompt_too_long"),
        (OPENAI, Failure(400, "refused by our content policy", code="content_policy_violation"), "content"),
        (ANTHROPIC, Failure(400, "prompt is too long: 200001 tokens > 200000 maximum"), "prompt_too_long"),
        (ANTHROPIC, Failure(400, "Your credit balance is too low to access the API"), "credit_exhausted"),
    ],
)  # fmt: skip
def test_what_only_the_words_tell(server: FakeProvider, model: str, failure: Failure, kind: str) -> None:
    server.script(failure)
    error = failing(ProviderClient(model))
    assert (error.kind, error.retryable) == (kind, False)
    assert len(server.seen) == 1


@MODELS
@pytest.mark.parametrize(("headers", "seconds"), [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "1500"}, 1.5)])
def test_the_time_a_provider_asks_for(server: FakeProvider, model: str, headers: dict, seconds: float) -> None:
    server.script(Failure(429, headers=headers))
    assert failing(ProviderClient(model)).retry_after == seconds


@MODELS
@STREAM
def test_an_answer_that_does_not_come_in_time(server: FakeProvider, model: str, stream: bool) -> None:
    server.script(Hang())
    error = failing(ProviderClient(model, stream=stream, timeout=30), Request("", "hi", timeout=0.2))
    assert (error.kind, error.retryable) == ("timeout", True)
    assert "timeout" in str(error.hint)
    assert len(server.seen) == 1


@MODELS
@STREAM
@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_a_connection_that_is_cut(server: FakeProvider, model: str, stream: bool, late: bool) -> None:
    server.script(Cut(late=late))
    error = failing(ProviderClient(model, stream=stream))
    assert (error.kind, error.retryable) == ("connection", True)
    assert len(server.seen) == 1


@MODELS
def test_nobody_listens(server: FakeProvider, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    error = failing(ProviderClient(model))
    assert (error.kind, error.retryable) == ("connection", True)


@MODELS
@pytest.mark.parametrize(
    "reply",
    [
        Raw(b"<html>proxy login</html>", content_type="text/html"),
        Raw(b'{"id": "x", "cho'),
        Raw(b"{}"),
        Raw(b"[1, 2]"),
        Raw(b"null"),
        Raw(b""),
    ],
    ids=lambda reply: reply.body.decode() or "empty",
)
def test_an_answer_that_is_none(server: FakeProvider, model: str, reply: Raw) -> None:
    server.script(reply)
    error = failing(ProviderClient(model))
    assert error.kind == "server"
    assert len(server.seen) == 1


@MODELS
def test_a_missing_key_is_named(server: FakeProvider, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in server.environment:
        monkeypatch.delenv(name)
    error = failing(ProviderClient(model))
    variable = "OPENAI_API_KEY" if model == OPENAI else "ANTHROPIC_API_KEY"
    assert (error.kind, error.retryable, error.calls) == ("auth", False, 0)
    assert error.hint == f"set the environment variable {variable}"


def test_a_wrong_key_is_named(server: FakeProvider) -> None:
    server.script(Failure(401, "no"))
    assert "OPENAI_API_KEY" in str(failing(ProviderClient(OPENAI)).hint)


@pytest.mark.parametrize("model", ["gpt-4o", "nobody:gpt-4o", ""])
def test_a_provider_that_does_not_exist(server: FakeProvider, model: str) -> None:
    error = failing(ProviderClient(model))
    assert (error.kind, error.calls) == ("bad_request", 0)
    assert "openai:NAME" in str(error.hint)


def test_a_missing_package_is_named(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai.models", None)
    error = failing(ProviderClient(OPENAI))
    assert error.kind == "bad_request"
    assert "phasegate[llm]" in str(error.hint)


def test_the_packages_of_other_providers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "groq", None)
    error = failing(ProviderClient("groq:some-model"))
    assert (error.kind, error.hint) == (
        "bad_request", "install what it needs: pip install 'phasegate[llm]' 'pydantic-ai-slim[groq]'",
    )  # fmt: skip


def test_settings_of_other_providers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_BASE_URL", raising=False)
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    assert failing(ProviderClient("ollama:m")).hint == "set the environment variable OLLAMA_BASE_URL"
    error = failing(ProviderClient("deepseek:m"))
    assert (error.kind, error.hint) == ("auth", "set the environment variable DEEPSEEK_API_KEY")


@MODELS
@STREAM
def test_no_key_is_logged(server: FakeProvider, model: str, stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(Failure(500), Failure(401, f"the key {KEY[:20]} is wrong"), "fine")
    client = ProviderClient(model, stream=stream)
    failing(client)
    failing(client)
    asyncio.run(client.generate(Request("", "hi")))
    assert caplog.records
    assert KEY not in caplog.text
    assert KEY not in "".join(map(repr, (vars(record) for record in caplog.records)))


class Reply:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code, self.headers = status, headers


class StatusError(Exception):
    """As the libraries of providers have it."""

    def __init__(self, response: Reply) -> None:
        super().__init__("said the provider")
        self.response = response


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StatusError(Reply(429)), "rate_limited"),
        (StatusError(Reply(503)), "server"),
        (StatusError(Reply(418)), "bad_request"),
        (StatusError(Reply(302)), None),
        (ConnectionResetError(), "connection"),
        (TimeoutError(), "timeout"),
        (ValueError("a defect"), None),
    ],
)
def test_errors_of_other_libraries(error: Exception, kind: str | None) -> None:
    found = as_llm_error(error, "mine")
    assert (found.kind if found else None) == kind


def test_the_time_is_read_from_the_response_of_other_libraries() -> None:
    found = as_llm_error(StatusError(Reply(429, **{"retry-after": "3.5"})), "mine")
    assert found is not None
    assert found.retry_after == 3.5
    nonsense = as_llm_error(StatusError(Reply(429, **{"retry-after": "soon"})), "mine")
    assert nonsense is not None
    assert nonsense.retry_after is None
