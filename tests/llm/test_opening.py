"""The package as its users see it: its names, what importing it costs, and one client for everything."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import phasegate.llm
from phasegate.errors import InputError
from phasegate.llm import LLMError, Request, Response, open_client
from tests.llm.server import KEY, Answer, Failure, FakeProvider

OPENAI, ANTHROPIC = "openai:gpt-4o-mini", "anthropic:claude-test"
REQUEST = Request("Be brief.", "Say hello.")


def generate(client: phasegate.llm.Client, request: Request = REQUEST) -> Response:
    return asyncio.run(client.generate(request))


def test_every_public_name_is_there_and_described() -> None:
    assert phasegate.llm.__all__ == sorted(phasegate.llm.__all__)
    for name in phasegate.llm.__all__:
        found = getattr(phasegate.llm, name)
        assert name in ("Kind", "StopReason") or found.__doc__  # a choice of words cannot have one


def test_importing_loads_no_library() -> None:
    code = "import sys, phasegate.llm; phasegate.llm.open_client('openai:x'); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    roots = {name.partition(".")[0] for name in said}
    assert roots & {"pydantic_ai", "pydantic", "openai", "anthropic", "httpx", "httpx2", "sqlalchemy"} == set()


def test_recorded_and_replayed_without_a_provider(server: FakeProvider, tmp_path: Path) -> None:
    server.script(Answer("hello", model="real-name"))
    recorded = generate(open_client(OPENAI, record=tmp_path))
    assert generate(open_client(OPENAI, replay=tmp_path)) == recorded
    assert len(server.seen) == 1
    [path] = tmp_path.iterdir()
    assert KEY not in path.read_text()
    assert json.loads(path.read_text())["request"]["user"] == "Say hello."


def test_the_second_model_answers_when_the_first_has_no_key(
    server: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    server.script("hello")
    found = generate(open_client([ANTHROPIC, OPENAI], stream=True, timeout=30))
    assert (found.model, found.calls, server.seen[0].stream) == ("gpt-4o-mini", 1, True)


def test_a_missing_key_is_known_without_a_call(
    server: FakeProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_client([OPENAI, ANTHROPIC], record=tmp_path).ready()
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    open_client([ANTHROPIC, OPENAI]).ready()  # one is enough
    with pytest.raises(LLMError) as found:
        open_client(ANTHROPIC, record=tmp_path).ready()
    assert (found.value.kind, found.value.hint) == ("auth", "set the environment variable ANTHROPIC_API_KEY")
    with pytest.raises(LLMError, match=r"anthropic.*nobody"):
        open_client([ANTHROPIC, "nobody:x"]).ready()
    open_client(OPENAI, replay=tmp_path).ready()
    with pytest.raises(LLMError, match="there is no folder gone"):
        open_client(OPENAI, replay=tmp_path / "gone").ready()
    assert server.seen == []


def test_attempts_are_calls(server: FakeProvider) -> None:
    server.script(Failure(500))
    with pytest.raises(LLMError) as caught:
        generate(open_client(OPENAI, attempts=1))
    assert (caught.value.kind, len(server.seen)) == ("server", 1)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        open_client([])
    with pytest.raises(InputError):
        open_client(OPENAI, record=tmp_path, replay=tmp_path)
