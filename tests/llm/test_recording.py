"""Recordings: exact, without secrets, and the same after a restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.errors import InputError
from phasegate.llm import Client, LLMError, Recorder, Replay, Request, Response, as_client, request_key
from tests.llm.server import KEY

REQUEST = Request("You are terse.", "Hello?")


class Giving(Client):
    """Gives one answer after the other."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)

    async def generate(self, request: Request) -> Response:
        return self.answers.pop(0)


def generate(client: Client, request: Request = REQUEST) -> Response:
    return asyncio.run(client.generate(request))


def nth(number: int, request: Request = REQUEST) -> Request:
    return replace(request, metadata={"occurrence": number})


def missing(folder: Path, request: Request = REQUEST) -> LLMError:
    with pytest.raises(LLMError) as caught:
        generate(Replay(folder), request)
    assert (caught.value.kind, caught.value.retryable) == ("no_recording", False)
    return caught.value


def test_what_was_recorded_is_replayed_exactly(tmp_path: Path) -> None:
    text = "Grüße\r\n\t世界 \ud800 \x00 \u2028 </s>"
    given = Response(text, 1, 2, 3, 1, "m", "max_tokens", True, 0.1 + 0.2, 4)
    assert generate(Recorder(Giving(given), tmp_path / "new")) == given
    assert generate(Replay(tmp_path / "new")) == given
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"{request_key(REQUEST)}.json"]


def test_equal_requests_have_each_their_answer(tmp_path: Path) -> None:
    recorder = Recorder(Giving(*(Response(str(number)) for number in range(3))), tmp_path)
    for number in range(3):
        generate(recorder, nth(number))
    # Each from a client of its own, in any order, as after restarts.
    assert [generate(Replay(tmp_path), nth(number)).text for number in (2, 0, 1, 0, 2, 3, 99)] == list("2010222")
    assert generate(Replay(tmp_path)).text == "0"


def test_a_gap_is_not_filled_from_behind(tmp_path: Path) -> None:
    generate(Recorder(Giving(Response("late")), tmp_path), nth(2))
    assert generate(Replay(tmp_path), nth(2)).text == "late"
    assert "occurrence 1" in str(missing(tmp_path, nth(1)))


def test_recording_again_replaces_the_answer(tmp_path: Path) -> None:
    recorder = Recorder(Giving(Response("old"), Response("new")), tmp_path)
    generate(recorder)
    generate(recorder)
    assert generate(Replay(tmp_path)).text == "new"


def test_requests_at_once_lose_nothing(tmp_path: Path) -> None:
    recorder = Recorder(as_client(lambda prompt: prompt), tmp_path)

    async def many() -> None:
        await asyncio.gather(*(recorder.generate(nth(number)) for number in range(30)))

    asyncio.run(many())
    [path] = tmp_path.iterdir()
    assert len(json.loads(path.read_bytes())["responses"]) == 30
    assert None not in json.loads(path.read_bytes())["responses"]


def test_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", KEY)
    monkeypatch.setenv("OTHER_TOKEN", "plain words as a token")
    request = Request(
        f"use {KEY}", "say plain words as a token", {"const": KEY}, model=f"m-{KEY}", metadata={"authorization": KEY}
    )
    generate(Recorder(Giving(Response("ok")), tmp_path), request)
    [path] = tmp_path.iterdir()
    written = path.read_text()
    assert KEY not in written
    assert "plain words as a token" not in written
    assert generate(Replay(tmp_path), request).text == "ok"


def test_a_failure_is_not_recorded(tmp_path: Path) -> None:
    async def fail(prompt: str) -> str:
        raise TimeoutError

    with pytest.raises(LLMError):
        generate(Recorder(as_client(fail), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_request_tells_what_differs(tmp_path: Path) -> None:
    assert f"the folder {tmp_path.name} has no recording" in str(missing(tmp_path))
    generate(Recorder(Giving(Response("ok")), tmp_path))
    generate(Recorder(Giving(Response("ok")), tmp_path), Request("Something else entirely", "x", temperature=0.5))
    error = missing(tmp_path, Request("You are terse.", "Hello!", model="big"))
    assert str(error).endswith(f"the closest, {request_key(REQUEST)[:12]}, differs in user (from character 5), model")
    assert "record" in str(error.hint)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"request": {}, "responses": 5}', b'{"request": {}, "responses": [{"text": 5}]}',
     b'{"request": {}, "responses": [{"text": "a", "more": 1}]}', b'{"request": {}, "responses": ["a"]}',
     b'{"request": {}, "responses": [{"text": "a", "stop_reason": "tired"}]}', b"\xff\xfe"],
)  # fmt: skip
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{request_key(REQUEST)}.json").write_bytes(content)
    error = missing(tmp_path)
    assert request_key(REQUEST) in str(error)
    assert missing(tmp_path, Request("", "other")).kind == "no_recording"


def test_a_write_that_fails_leaves_the_old_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(Recorder(Giving(Response("old")), tmp_path))

    def full(*paths: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("phasegate.llm.recording.os.replace", full)
        with pytest.raises(LLMError, match="the answer cannot be recorded in"):
            generate(Recorder(Giving(Response("new")), tmp_path))
    assert generate(Replay(tmp_path)).text == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [-1, True, "1", 1.0, None])
def test_an_occurrence_is_a_number(tmp_path: Path, number: Any) -> None:
    with pytest.raises(InputError, match="occurrence"):
        generate(Replay(tmp_path), nth(number))


def test_the_key_is_of_what_decides_the_answer() -> None:
    same = [replace(REQUEST, timeout=5.0), replace(REQUEST, metadata={"run": "r1"}), replace(REQUEST)]
    assert {request_key(each) for each in same} == {request_key(REQUEST)}
    others: list[dict[str, Any]] = [
        {"system": "a"}, {"user": "a"}, {"schema": {}}, {"model": "m"}, {"max_output_tokens": 5}, {"temperature": 0.0},
    ]  # fmt: skip
    assert len({request_key(replace(REQUEST, **each)) for each in [{}, *others]}) == 7
    assert request_key(replace(REQUEST, temperature=1)) == request_key(replace(REQUEST, temperature=1.0))
    assert request_key(replace(REQUEST, schema={"a": 1, "b": 2})) == request_key(
        replace(REQUEST, schema={"b": 2, "a": 1})
    )


def test_the_key_never_changes() -> None:
    """Recordings of earlier releases must still be found."""
    request = Request("s", "ü", {"type": "object"}, "m", 100, 0.5)
    assert request_key(request) == "dec944d4ed41676f629339b7a41c1001616b7fc9ed2a36beb2502a7bc2b62a59"


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"temperature": -1}, {"temperature": float("nan")}, {"max_output_tokens": 0}]
)
def test_numbers_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        replace(REQUEST, **wrong)


def test_a_schema_that_is_not_json() -> None:
    with pytest.raises(InputError, match="JSON"):
        request_key(Request("", "", {"a": object()}))


@given(st.text(), st.text(), st.text())
def test_any_text_is_replayed(tmp_path_factory: pytest.TempPathFactory, system: str, user: str, text: str) -> None:
    folder, request = tmp_path_factory.getbasetemp() / "texts", Request(system, user)
    generate(Recorder(Giving(Response(text)), folder), request)
    assert generate(Replay(folder), request) == Response(text)
