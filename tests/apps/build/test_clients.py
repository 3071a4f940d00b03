"""Whatever can answer may be the model: in each of its forms, with or without a running event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from phasegate.apps.build import PhaseExecutor, PhaseOrchestrator
from phasegate.errors import InputError, PhasegateError
from phasegate.llm import Request, open_client
from tests.apps.build.ledger import check_books, rows
from tests.apps.build.models import files, phase

Make = Callable[..., PhaseExecutor]
TEXT = json.dumps(files(("create", "x.txt", "x\n")))
USAGE = {"prompt_tokens": 70, "completion_tokens": 7}


class Generates:
    def generate(self, request: Request) -> str:
        assert request.system
        assert request.user
        return TEXT


class GeneratesLater:
    async def generate(self, request: Request) -> Mapping[str, Any]:
        return {"text": TEXT, "usage": USAGE, "model": "later", "stop_reason": "end_turn"}


class Completes:
    def complete(self, system_prompt: str, user_prompt: str, *, max_tokens: int) -> Any:
        assert "The form of your answer" in system_prompt
        assert max_tokens > 0
        return SimpleNamespace(content=TEXT, usage=SimpleNamespace(**USAGE), model="completes", stop_reason="stop")


class CompletesLater:
    async def complete(self, system_prompt: str, user_prompt: str, **options: Any) -> str:
        assert options["max_tokens"] > 0
        return TEXT


class Chats:
    def chat(self, messages: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
        assert [each["role"] for each in messages] == ["system", "user"]
        return {"content": TEXT, "usage": {"total_tokens": 77}}


class Promises:
    def generate(self, request: Request) -> Awaitable[str]:
        async def answer() -> str:
            return TEXT

        return answer()


class All(Completes, Chats, Generates):
    """Has every form; the first in the order is asked."""

    def complete(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    def chat(self, *_: Any, **__: Any) -> Any:
        raise AssertionError


def function(prompt: str) -> str:
    assert "The form of your answer" in prompt
    return TEXT


async def coroutine(prompt: str) -> str:
    return TEXT


FORMS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "generate": (Generates, (None, None, True)),
    "async-generate": (GeneratesLater, (70, 7, False)),
    "complete": (Completes, (70, 7, False)),
    "async-complete": (CompletesLater, (None, None, True)),
    "chat": (Chats, (None, None, False)),
    "promise": (Promises, (None, None, True)),
    "all": (All, (None, None, True)),
    "function": (lambda: function, (None, None, True)),
    "coroutine": (lambda: coroutine, (None, None, True)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_client_does(form: str, executor: Make, repo: Path) -> None:
    client, (prompt, completion, estimated) = FORMS[form]
    made = executor(client())
    result = made.execute_phase(phase(deliverables=["x.txt"]), [])
    assert result["errors"] == []
    assert (repo / "x.txt").read_text() == "x\n"
    (call,) = rows(made, "llm_calls")
    if not estimated:
        assert (call["prompt_tokens"], call["completion_tokens"]) == (prompt, completion)
        assert call["total_tokens"] == 77
    assert (bool(call["estimated"]), call["total_tokens"] > 0) == (estimated, True)
    check_books(made, result)


@pytest.mark.parametrize("form", ["generate", "async-complete"])
def test_clients_are_asked_inside_of_a_running_event_loop(form: str, executor: Make) -> None:
    made = executor(FORMS[form][0]())

    async def main() -> Any:
        return made.execute_phase(phase(deliverables=["x.txt"]), [])

    assert asyncio.run(main())["errors"] == []


class Odd:
    """Answers with what is no answer."""

    def __init__(self, answer: object) -> None:
        self.answer, self.calls = answer, 0

    def generate(self, request: Request) -> object:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize(
    "answer", [MagicMock(), Mock(), None, 5, b"{}", [TEXT], {"answer": TEXT}, {"text": 5}, SimpleNamespace(content=[TEXT])],
    ids=["magicmock", "mock", "none", "number", "bytes", "list", "no-text", "number-text", "list-content"],
)  # fmt: skip
def test_what_is_no_answer_is_not_trusted_and_not_asked_for_again(answer: object, executor: Make, repo: Path) -> None:
    client = Odd(answer)
    made = executor(client, sleep=lambda seconds: pytest.fail("it waits"))
    result = made.run_plan([phase(deliverables=["x.txt"])], health_checks=False)
    (told,) = result["phase_results"]
    assert [(each["code"], each["category"], each["retryable"]) for each in told["error_details"]] == [
        ("E_LLM_RESPONSE_TYPE", "fatal", False)
    ]
    assert client.calls == 1
    assert not (repo / "x.txt").exists()
    check_books(made, result)


@pytest.mark.parametrize("mock", [MagicMock, Mock, AsyncMock])
def test_a_mock_that_answers_everything_is_no_model(mock: Any, executor: Make) -> None:
    client = mock()
    told = executor(client).execute_phase(phase(deliverables=["x.txt"]), [])
    assert [each["code"] for each in told["error_details"]] == ["E_LLM_RESPONSE_TYPE"]
    assert client.generate.call_count == 1
    assert not client.complete.called


def test_a_mock_that_gives_text_is_one(executor: Make) -> None:
    client = MagicMock()
    client.generate.return_value = TEXT
    assert executor(client).execute_phase(phase(deliverables=["x.txt"]), [])["errors"] == []


@pytest.mark.parametrize(
    "client", [None, 5, "openai", object(), Generates], ids=["none", "5", "text", "object", "class"]
)
def test_what_cannot_be_asked_is_refused_at_once(client: object, repo: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError if client is None else PhasegateError):
        PhaseExecutor(client, repo, tmp_path / "other.db")


def test_a_missing_key_is_among_the_checks_before_the_first_phase(executor: Make, monkeypatch: Any) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    made = executor(open_client("anthropic:some-model"))
    told = PhaseOrchestrator(made).run_phases([phase(deliverables=["x.txt"])])
    assert [each["code"] for each in told["phase_results"][0]["error_details"]] == ["E_LLM_AUTH"]
    (found,) = (each for each in rows(made, "health_checks") if each["name"] == "credentials")
    assert (found["moment"], found["status"], found["critical"]) == ("baseline", "warn", 0)
    assert found["message"].endswith("set the environment variable ANTHROPIC_API_KEY")


def test_a_call_that_takes_too_long_is_given_up_whoever_makes_it(executor: Make, monkeypatch: Any) -> None:
    from tests.apps.build.models import Scripted

    class Hangs(Scripted):
        async def generate(self, request: Request) -> Any:
            self.requests.append(request)
            await asyncio.Event().wait()

    client = Hangs()
    made = executor(client, timeout_s=0.01, sleep=lambda seconds: None)
    told = made.execute_phase(phase(deliverables=["x.txt"]), [])
    assert [each["code"] for each in told["error_details"]] == ["E_LLM_TIMEOUT"]
    assert len(client.requests) == 6
    check_books(made, told)
