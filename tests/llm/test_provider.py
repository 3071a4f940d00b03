"""Providers over real HTTP: what is sent, what comes back, and that it is one call each time."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from phasegate.llm import ProviderClient, Request, Response
from tests.llm.server import KEY, Answer, FakeProvider, Hang

OPENAI, ANTHROPIC = "openai:gpt-4o-mini", "anthropic:claude-test"
MODELS = pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


def generate(client: ProviderClient, request: Request) -> Response:
    return asyncio.run(client.generate(request))


@MODELS
@STREAM
def test_an_answer_with_its_exact_tokens(server: FakeProvider, model: str, stream: bool) -> None:
    server.script(
        Answer("Grüße, 世界\r\n", prompt_tokens=1203, completion_tokens=77, cached_tokens=1024, model="real-name")
    )
    found = generate(ProviderClient(model, stream=stream), Request("Be brief.", "Say hello.", max_output_tokens=500))
    assert found.seconds is not None
    assert found == Response(
        "Grüße, 世界\r\n", 1203, 77, 1280, 1024, "real-name", "complete", estimated=False, seconds=found.seconds
    )
    [seen] = server.seen
    assert (seen.system, seen.user, seen.stream, seen.key) == ("Be brief.", "Say hello.", stream, KEY)
    assert seen.model == model.partition(":")[2]


@MODELS
def test_what_the_request_sets_is_sent(server: FakeProvider, model: str) -> None:
    server.script("ok")
    request = Request("", "hi", max_output_tokens=321, temperature=0.25, timeout=60, metadata={"run": "r1"})
    generate(ProviderClient(model), request)
    [seen] = server.seen
    assert seen.body["temperature"] == 0.25
    assert seen.body.get("max_tokens", seen.body.get("max_completion_tokens")) == 321
    assert seen.system == ""
    assert "r1" not in json.dumps(seen.body)


@MODELS
@STREAM
@pytest.mark.parametrize(
    ("stop", "found"),
    [("max_tokens", "max_tokens"), ("content_filter", "content_filter"), (None, "complete")],
)
def test_reasons_to_stop(server: FakeProvider, model: str, stream: bool, stop: str | None, found: str) -> None:
    words = {"max_tokens": "length", "content_filter": "content_filter"} if model == OPENAI else {
        "max_tokens": "max_tokens", "content_filter": "refusal",
    }  # fmt: skip
    server.script(Answer("half an ans", stop=words.get(stop or "")))
    response = generate(ProviderClient(model, stream=stream), Request("", "hi", max_output_tokens=5))
    assert (response.text, response.stop_reason) == ("half an ans", found)


@STREAM
def test_a_refusal_is_shown_as_filtered_content(server: FakeProvider, stream: bool) -> None:
    server.script(Answer("", refusal="I will not do that."))
    response = generate(ProviderClient(OPENAI, stream=stream), Request("", "hi"))
    assert response.stop_reason == "content_filter"
    assert response.text in ("I will not do that.", "")


@STREAM
def test_tokens_that_are_not_told_are_estimated(server: FakeProvider, stream: bool) -> None:
    server.script(Answer("123456789", usage=None))
    response = generate(ProviderClient(OPENAI, stream=stream), Request("1234", "56789"))
    assert response.estimated
    assert (response.prompt_tokens, response.completion_tokens, response.total_tokens) == (3, 3, 6)


@STREAM
@pytest.mark.parametrize(
    ("usage", "total", "estimated"),
    [
        ({"total_tokens": 30}, 30, False),
        ({}, 2, True),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, 2, True),
        ({"prompt_tokens": "many", "completion_tokens": -1}, 2, True),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 2, True),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the library's own, of "many"
def test_tokens_that_make_no_sense_do_not_cost_the_answer(
    server: FakeProvider, stream: bool, usage: dict, total: int, estimated: bool
) -> None:
    server.script(Answer("fine", usage=usage))
    response = generate(ProviderClient(OPENAI, stream=stream), Request("", "hi"))
    assert (response.text, response.total_tokens, response.estimated) == ("fine", total, estimated)
    assert estimated or (response.prompt_tokens, response.completion_tokens) == (None, None)


@STREAM
def test_a_reason_to_stop_that_is_not_told_is_not_made_up(server: FakeProvider, stream: bool) -> None:
    server.script(Answer("half an ans", stop=""))
    response = generate(ProviderClient(OPENAI, stream=stream), Request("", "hi"))
    assert (response.text, response.stop_reason) == ("half an ans", "unknown")


@MODELS
def test_a_schema_is_asked_for(server: FakeProvider, model: str) -> None:
    server.script('{"answer": "yes"}')
    response = generate(ProviderClient(model), Request("Be brief.", "Well?", schema=SCHEMA))
    [seen] = server.seen
    assert response.text == '{"answer": "yes"}'
    assert seen.system.startswith("Be brief.\n\nAnswer with one JSON value only")
    assert '"answer":{"type":"string"}' in seen.system
    assert seen.body.get("response_format") == ({"type": "json_object"} if model == OPENAI else None)


def test_json_mode_is_for_objects_only(server: FakeProvider) -> None:
    server.script("[]")
    generate(ProviderClient(OPENAI), Request("", "Well?", schema={"type": "array"}))
    assert "response_format" not in server.seen[0].body
    assert '{"type":"array"}' in server.seen[0].system


def test_the_request_may_name_another_model(server: FakeProvider) -> None:
    client = ProviderClient(OPENAI)
    server.respond = lambda seen: "ok"
    for name in ("gpt-4o", ANTHROPIC, "llama3:8b", OPENAI):
        generate(client, Request("", "hi", model=name))
    assert [(seen.anthropic, seen.model) for seen in server.seen] == [
        (False, "gpt-4o"), (True, "claude-test"), (False, "llama3:8b"), (False, "gpt-4o-mini"),
    ]  # fmt: skip


def test_one_client_serves_many_requests_at_once(server: FakeProvider) -> None:
    server.respond = lambda seen: f"answer to {seen.user}"
    client = ProviderClient(OPENAI)

    async def all_of_them() -> list[Response]:
        return await asyncio.gather(*(client.generate(Request("", str(number))) for number in range(20)))

    assert [each.text for each in asyncio.run(all_of_them())] == [f"answer to {number}" for number in range(20)]
    assert len(server.seen) == 20


def test_a_connection_is_used_again_while_the_loop_runs(server: FakeProvider) -> None:
    server.respond = lambda seen: "ok"
    client = ProviderClient(OPENAI)

    async def one_after_the_other() -> None:
        for _ in range(5):
            await client.generate(Request("", "hi"))

    asyncio.run(one_after_the_other())
    assert server.connections == 1
    asyncio.run(one_after_the_other())
    assert server.connections == 2


def test_a_connection_that_is_not_used_is_closed(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phasegate.llm.provider.LINGER", 0.01)
    server.respond = lambda seen: "ok"
    client = ProviderClient(OPENAI)

    async def with_a_pause() -> None:
        await client.generate(Request("", "hi"))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(others) == 1
        await asyncio.gather(*others)
        await client.generate(Request("", "hi"))

    asyncio.run(with_a_pause())
    assert server.connections == 2


def test_one_client_serves_several_threads_and_loops(server: FakeProvider) -> None:
    server.respond = lambda seen: f"answer to {seen.user}"
    client, answers = ProviderClient(OPENAI), {}

    def work(name: str) -> None:
        answers[name] = [generate(client, Request("", f"{name}{number}")).text for number in range(3)]

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {name: [f"answer to {name}{number}" for number in range(3)] for name in "abc"}


def test_a_local_server_needs_no_key(server: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    server.script("ok")
    assert generate(ProviderClient(OPENAI), Request("", "hi")).text == "ok"


def test_cancelling_the_task_cancels_the_call(server: FakeProvider) -> None:
    server.script(Hang())

    async def give_up() -> None:
        task = asyncio.create_task(ProviderClient(OPENAI).generate(Request("", "hi")))
        await asyncio.to_thread(server.hanging.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert len(server.seen) == 1


def test_the_prompts_may_hold_anything(server: FakeProvider) -> None:
    text = 'quotes " and \\ and \u2028 and <|endoftext|> and \x00 and </system>'
    server.script("ok")
    generate(ProviderClient(OPENAI), Request(text, text))
    assert (server.seen[0].system, server.seen[0].user) == (text, text)
