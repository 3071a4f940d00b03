"""Agents: what they are asked, what counts as an answer, and where they stop. Models answer over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.agents.llm_agents import LlmAgent, Spent, system_prompt
from phasegate.apps.discovery.agents.parsing import AnswerReader, UnusableAnswer
from phasegate.apps.discovery.agents.protocol import (
    AGENT_TYPES,
    AgentAnswer,
    AgentTask,
    Limits,
    agent_config,
    payload_json,
)
from phasegate.apps.discovery.errors import AgentError
from phasegate.llm import Client, LLMError, Prices, ProviderClient, Request, Response, Retrying, request_key
from tests.llm.server import KEY, Answer, Cut, Failure, FakeProvider, Hang

OPENAI, ANTHROPIC = "openai:gpt-4o-mini", "anthropic:claude-test"
MODELS = pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mappings": {"type": "array", "items": {"type": "string"}}},
    "required": ["mappings"],
    "additionalProperties": False,
}
TASK = AgentTask(
    "field_mapper", "Map each column.", {"columns": ["Host Name", "RAM"], "rows": [["web-1", "8"]]}, SCHEMA
)
GOOD = '{"mappings": ["hostname", "memory_gb"]}'
DATA = {"mappings": ["hostname", "memory_gb"]}
#: One request of an agent in these tests is reckoned at fewer tokens than this.
ROOM = 1_000
PRICES = Prices({"gpt-4o-mini": {"input": 1_000, "output": 1_000}})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


def agent(model: str = OPENAI, prices: Prices | None = None, **limits: Any) -> LlmAgent:
    return LlmAgent(agent_config("field_mapper"), ProviderClient(model), Limits(**limits), prices)


def run(asked: LlmAgent, task: AgentTask = TASK) -> AgentAnswer:
    return asyncio.run(asked.run(task))


@MODELS
def test_a_good_answer_takes_one_request(server: FakeProvider, model: str) -> None:
    server.script(Answer(GOOD, prompt_tokens=100, completion_tokens=20))
    found = run(agent(model))
    assert (found.data, found.mode, found.model) == (DATA, "agent", model.partition(":")[2])
    assert (found.requests, found.tokens, found.cost) == (1, 120, None)
    [seen] = server.seen
    assert agent_config("field_mapper").background in seen.system
    assert '"additionalProperties"' in seen.system
    assert "Map each column." in seen.user
    assert json.loads(seen.user.partition("as JSON:\n")[2]) == TASK.payload


@MODELS
def test_a_fenced_answer_is_taken_out_of_its_fence(server: FakeProvider, model: str) -> None:
    server.script(f"```json\n{GOOD}\n```\n")
    assert run(agent(model)).data == DATA


@MODELS
def test_after_prose_the_model_is_asked_again_and_told_why(server: FakeProvider, model: str) -> None:
    server.script("Sure! I would map the first column to the host name.", GOOD)
    found = run(agent(model))
    assert (found.data, found.requests, found.tokens) == (DATA, 2, 36)
    first, second = server.seen
    assert second.user.startswith(first.user)
    assert "not JSON from beginning to end" in second.user


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Answer(GOOD, stop="length"), "reached the most tokens"),
        (Answer(GOOD[:-9]), "cut short"),
        (Answer(f"```json\n{GOOD[:-9]}"), "cut short"),
        (Answer(""), "empty"),
        (Answer("```json\n```"), "empty"),
        (Answer("null"), "does not follow the schema"),
        (Answer("{}"), "'mappings' is a required property"),
        (Answer('{"mappings": [1]}'), "$.mappings[0]: 1 is not of type 'string'"),
        (Answer(f"Here it is:\n```json\n{GOOD}\n```"), "not JSON from beginning to end"),
        (Answer(f"{GOOD}\n{GOOD}"), "not JSON from beginning to end"),
    ],
    ids=["limit", "cut", "cut fence", "empty", "empty fence", "null", "lacking", "wrong", "fence in prose", "two"],
)
def test_an_answer_that_cannot_be_used_is_asked_for_again(server: FakeProvider, bad: Answer, why: str) -> None:
    server.script(bad, GOOD)
    found = run(agent())
    assert (found.data, found.requests) == (DATA, 2)
    assert why in server.seen[1].user


def test_three_bad_answers_are_an_error_that_names_the_last_problem(server: FakeProvider) -> None:
    server.script("no", "still no", '{"mappings": 3}')
    with pytest.raises(AgentError, match=r"after 3 requests.*3 is not of type 'array'"):
        run(agent(max_requests=3))
    assert len(server.seen) == 3


def test_requests_of_one_task_are_never_equal() -> None:
    asked: list[Request] = []

    class Stubborn(Client):
        async def generate(self, request: Request) -> Response:
            asked.append(request)
            return Response("no")

    with pytest.raises(AgentError):
        run(LlmAgent(agent_config("field_mapper"), Stubborn(), Limits()))
    assert len({request_key(each) for each in asked}) == 5


def test_a_model_that_never_answers_is_given_up(server: FakeProvider) -> None:
    server.script(Hang())
    with pytest.raises(AgentError, match="no answer within 1 seconds"):
        run(agent(timeout=1))


def test_the_timeout_is_for_all_requests_of_a_task_together() -> None:
    class Endless(Client):
        async def generate(self, request: Request) -> Response:
            if "request 3" in request.user:
                await asyncio.Event().wait()
            return Response("no")

    with pytest.raises(AgentError, match="no answer within"):
        run(LlmAgent(agent_config("field_mapper"), Endless(), Limits(timeout=0.05)))


@pytest.mark.parametrize("failure", [Failure(429), Failure(503), Cut()], ids=["429", "503", "cut"])
def test_a_failure_that_may_pass_is_left_to_the_caller(server: FakeProvider, failure: Failure | Cut) -> None:
    asked = agent()
    server.script(failure, GOOD)
    with pytest.raises(LLMError) as caught:
        run(asked)
    assert caught.value.retryable
    assert run(asked).data == DATA


def test_a_client_that_tries_again_has_its_calls_counted(server: FakeProvider) -> None:
    server.script(Failure(429), GOOD)

    async def at_once(seconds: float) -> None:
        return None

    client = Retrying(ProviderClient(OPENAI), sleep=at_once)
    found = run(LlmAgent(agent_config("field_mapper"), client, Limits()))
    assert (found.data, found.requests) == (DATA, 2)


@MODELS
def test_a_refused_key_is_an_error_without_the_key(server: FakeProvider, model: str) -> None:
    server.script(Failure(401, f"Incorrect API key provided: {KEY}"))
    with pytest.raises(AgentError) as caught:
        run(agent(model))
    assert KEY not in f"{caught.value!r}{caught.value.hint}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_key_in_a_bad_answer_is_not_in_the_error(server: FakeProvider) -> None:
    server.script(json.dumps({"mappings": KEY}))
    with pytest.raises(AgentError, match="is not of type 'array'") as caught:
        run(agent(max_requests=1))
    assert KEY not in str(caught.value)


def test_an_answer_the_provider_forbids_is_not_asked_for_again(server: FakeProvider) -> None:
    server.script(Answer("", stop="content_filter"))
    with pytest.raises(AgentError, match="content rules"):
        run(agent())


def test_no_request_is_made_that_the_tokens_leave_no_room_for(server: FakeProvider) -> None:
    server.script(Answer("no", prompt_tokens=ROOM, completion_tokens=ROOM))
    with pytest.raises(AgentError, match=r"more than the limit of 2,000 tokens.*not JSON"):
        run(agent(max_tokens=2 * ROOM))
    assert len(server.seen) == 1
    with pytest.raises(AgentError, match="limit of 50 tokens"):
        run(agent(max_tokens=50))
    assert len(server.seen) == 1


def test_an_answer_may_be_no_longer_than_the_tokens_that_are_left(server: FakeProvider) -> None:
    server.script(GOOD)
    assert run(agent(max_tokens=2 * ROOM)).tokens == 18
    most = server.seen[0].body.get("max_completion_tokens", server.seen[0].body.get("max_tokens"))
    assert 0 < most < 2 * ROOM


def test_costs_are_told_and_limited(server: FakeProvider) -> None:
    server.script(Answer(GOOD, prompt_tokens=600, completion_tokens=400))
    assert run(agent(prices=PRICES, max_cost=2)).cost == pytest.approx(1.0)
    server.script(Answer("no", prompt_tokens=600, completion_tokens=400))
    with pytest.raises(AgentError, match=r"cost more than the limit of 1\.1 USD"):
        run(agent(prices=PRICES, max_cost=1.1))
    assert len(server.seen) == 2


def test_a_limit_of_money_needs_to_know_prices(server: FakeProvider) -> None:
    with pytest.raises(AgentError, match="needs prices"):
        agent(max_cost=1)
    server.script(Answer(GOOD, model="another"))
    with pytest.raises(AgentError, match="cost of the model another is not known"):
        run(agent(prices=PRICES, max_cost=1))


def test_unknown_tokens_break_a_limit_of_tokens_only() -> None:
    for limits in (Limits(), Limits(max_tokens=10)):
        spent = Spent(limits)
        if limits.max_tokens is None:
            spent.add(Response("x"))
            assert (spent.requests, spent.tokens) == (1, None)
        else:
            with pytest.raises(AgentError, match="tells no tokens"):
                spent.add(Response("x", prompt_tokens=3))


@pytest.mark.parametrize(
    "payload",
    [{}, {"rows": []}, {"rows": [{"name": " ", "host": None}], "columns": [""]}],
    ids=["nothing", "no rows", "blank rows"],
)
def test_nothing_is_asked_about_an_empty_input(server: FakeProvider, payload: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="no input"):
        run(agent(), AgentTask("field_mapper", "Map.", payload, SCHEMA))
    assert server.seen == []


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (AgentTask("field_mapper", " ", {"a": 1}, SCHEMA), "no instructions"),
        (AgentTask("data_cleansing", "Do.", {"a": 1}, SCHEMA), "the task is for"),
        (AgentTask("field_mapper", "Do.", {"a": object()}, SCHEMA), "cannot be written as JSON"),
        (AgentTask("field_mapper", "Do.", {"a": float("nan")}, SCHEMA), "cannot be written as JSON"),
        (AgentTask("field_mapper", "Do.", {"a": 1}, {}), "no schema"),
        (AgentTask("field_mapper", "Do.", {"a": 1}, {"type": "thing"}), "no valid JSON Schema"),
        (AgentTask("field_mapper", "Do.", {"a": 1}, {"default": object()}), "no valid JSON Schema"),
    ],
    ids=["instructions", "type", "object", "nan", "schema", "bad schema", "schema object"],
)
def test_a_task_that_makes_no_sense_is_not_asked(server: FakeProvider, task: AgentTask, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        run(agent(), task)
    assert server.seen == []


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://192.0.2.1/schema"}, {"$ref": "#/$defs/missing"}, {"$ref": "#"}],
    ids=["outside", "missing", "endless"],
)
def test_a_schema_that_leads_nowhere_is_an_error_of_the_task(schema: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="the schema of the task") as caught:
        AnswerReader(schema).read("{}")
    assert not isinstance(caught.value, UnusableAnswer)


def test_texts_that_cannot_be_sent_are_escaped() -> None:
    text = payload_json(AgentTask("field_mapper", "Do.", {"a": "\udc80 é 世"}, SCHEMA), "field_mapper")
    assert text == '{"a": "\\udc80 é 世"}'
    assert json.loads(text.encode()) == {"a": "\udc80 é 世"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "NaN"),
        ("[1e999]", "number"),
        ('{"a": 1, "a": 2}', "twice"),
        (r'["\ud800"]', "surrogate"),
        ("[" * 101 + "]" * 101, "more than 100 levels"),
        ("[" * 100_000 + "]" * 100_000, "more than 100 levels"),
        ("1" * 5_000, "not JSON"),
        ("``` ```", "not JSON"),
    ],
    ids=["nan", "infinite", "twice", "surrogate", "deep", "deeper", "digits", "fences"],
)
def test_json_that_nobody_can_keep_is_refused(text: str, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        AnswerReader({"not": False}).read(text)


@pytest.mark.parametrize(
    "wrapped", ["{}", " \ufeff{} ", "```json\n{}\n```", "```\n{}```", "``` JSON \r\n{}\r\n```\r\n"]
)
def test_one_fence_and_space_around_it_do_not_matter(wrapped: str) -> None:
    answer = '{"mappings": ["```json\\n{}\\n```"]}'
    assert AnswerReader(SCHEMA).read(wrapped.replace("{}", answer)) == {"mappings": ["```json\n{}\n```"]}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
ANYTHING = AnswerReader({"not": False})


@settings(max_examples=200)
@given(VALUES, st.booleans(), st.booleans())
def test_every_json_value_is_read_as_it_was_written(value: Any, fenced: bool, pretty: bool) -> None:
    value = json.loads(json.dumps(value).encode("utf-8", "replace"))
    text = json.dumps(value, ensure_ascii=pretty, indent=2 if pretty else None)
    assert ANYTHING.read(f"```json\n{text}\n```" if fenced else text) == value


@settings(max_examples=200)
@given(st.text() | st.text("{}[]\"'`,:\\ \njsonu019-+.e", max_size=60))
def test_any_text_is_an_answer_or_unusable(text: str) -> None:
    try:
        value = ANYTHING.read(text)
    except UnusableAnswer:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=200)
@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_an_object_or_list_that_is_cut_anywhere_is_never_taken_for_another(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    with pytest.raises(UnusableAnswer):
        ANYTHING.read(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_requests": 0}, {"max_requests": True}, {"max_requests": 1.5}, {"timeout": 0}, {"timeout": float("inf")},
        {"max_tokens": 0}, {"max_cost": 0}, {"max_cost": float("nan")}, {"max_cost": "1"},
    ],
)  # fmt: skip
def test_limits_must_allow_something_and_be_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match=next(iter(wrong))):
        Limits(**wrong)


def test_there_are_seven_kinds_of_agents_each_with_a_prompt_of_its_own() -> None:
    assert list(AGENT_TYPES) == [
        "data_import_validation", "field_mapper", "data_cleansing", "asset_inventory", "dependency_analyst",
        "tech_debt_analyst", "quality_validator",
    ]  # fmt: skip
    assert all(each.role and each.goal and each.background for each in AGENT_TYPES.values())
    assert len({system_prompt(each) for each in AGENT_TYPES.values()}) == 7


def test_an_unknown_kind_is_told_with_the_nearest_known_one() -> None:
    with pytest.raises(AgentError, match="'field_maper'") as caught:
        agent_config("field_maper")
    assert caught.value.hint == "did you mean 'field_mapper'?"
