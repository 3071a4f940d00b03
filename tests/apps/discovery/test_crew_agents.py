"""Crews of the real CrewAI, whose model answers over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.discovery.agents.crew_agents import PLACE, SILENT, CrewAgent
from phasegate.apps.discovery.agents.protocol import AgentAnswer, AgentTask, Limits, agent_config
from phasegate.apps.discovery.errors import AgentError
from phasegate.llm import LLMError, Prices
from tests.llm.server import KEY, Answer, Failure, FakeProvider, Hang

needs_crewai = pytest.mark.skipif(
    find_spec("crewai") is None, reason="CrewAI is installed in an environment of its own"
)
# What CrewAI and the libraries below it warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mappings": {"type": "array", "items": {"type": "string"}}},
    "required": ["mappings"],
}
#: The words in braces are ones that CrewAI would replace.
PAYLOAD = {"columns": ["Host Name", "{tools}", "{input}"], "rows": [["web-1", "{tool_names}", "<<the task>>"]]}
TASK = AgentTask("field_mapper", "Map each column.", PAYLOAD, SCHEMA)
GOOD = '{"mappings": ["hostname"]}'
DATA = {"mappings": ["hostname"]}
PRICES = Prices({"gpt-4o-mini": {"input": 1_000, "output": 1_000}})

#: Where this process has connected to; an audit hook cannot be taken back, so that there is one for all tests.
CONNECTED: list[Any] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        CONNECTED.append(arguments[1])
    elif event == "socket.getaddrinfo":
        CONNECTED.append(arguments[:2])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


def agent(model: str = "openai:gpt-4o-mini", prices: Prices | None = None, **limits: Any) -> CrewAgent:
    return CrewAgent(agent_config("field_mapper"), model, Limits(**limits), prices)


def run(asked: CrewAgent, task: AgentTask = TASK) -> AgentAnswer:
    return asyncio.run(asked.run(task))


@pytest.mark.skipif(find_spec("crewai") is not None, reason="CrewAI is installed")
def test_without_crewai_there_is_an_error_that_says_what_to_install() -> None:
    with pytest.raises(AgentError, match="not installed") as caught:
        agent()
    assert caught.value.hint == 'pip install "phasegate[crewai]"'


def test_crewai_is_not_imported_before_a_crew_is_asked() -> None:
    code = "import sys, phasegate.apps.discovery.agents.crew_agents; sys.exit('crewai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_crewai
def test_a_good_answer_takes_one_request_that_has_the_task_letter_for_letter(server: FakeProvider) -> None:
    server.script(Answer(GOOD, prompt_tokens=600, completion_tokens=400))
    found = run(agent(prices=PRICES))
    assert (found.data, found.mode, found.model) == (DATA, "agent", "gpt-4o-mini")
    assert (found.requests, found.tokens) == (1, 1_000)
    assert found.cost == pytest.approx(1.0)
    [seen] = server.seen
    assert agent_config("field_mapper").goal in seen.system
    assert json.dumps(PAYLOAD) in seen.user
    assert json.dumps(SCHEMA, sort_keys=True, separators=(",", ":")) in seen.user
    assert "tools" not in seen.body


@needs_crewai
@pytest.mark.parametrize(
    "text",
    [f"```json\n{GOOD}\n```", f"Thought: I now can give a great answer\nFinal Answer: {GOOD}"],
    ids=["fenced", "in words of CrewAI"],
)
def test_an_answer_is_taken_out_of_what_is_around_it(server: FakeProvider, text: str) -> None:
    server.script(text)
    assert run(agent()).data == DATA


@needs_crewai
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("Sure, here is what I think.", "not JSON from beginning to end"),
        (GOOD[:-5], "cut short"),
        ("", "empty"),
        ('{"mappings": 3}', "3 is not of type 'array'"),
    ],
    ids=["prose", "cut", "empty", "wrong"],
)
def test_an_answer_that_cannot_be_used_is_asked_for_again(server: FakeProvider, bad: str, why: str) -> None:
    server.script(bad, GOOD)
    found = run(agent())
    assert (found.data, found.requests) == (DATA, 2)
    assert why in server.seen[1].user


@needs_crewai
def test_three_bad_answers_are_an_error(server: FakeProvider) -> None:
    server.script("no", "no", "no")
    with pytest.raises(AgentError, match=r"after 3 requests.*not JSON"):
        run(agent(max_requests=3))
    assert len(server.seen) == 3


@needs_crewai
def test_a_crew_that_turns_in_circles_is_stopped_at_the_limit(server: FakeProvider) -> None:
    server.respond = lambda seen: "Thought: look\nAction: search\nAction Input: {}"
    with pytest.raises(AgentError, match="after 4 requests"):
        run(agent(max_requests=4))
    assert len(server.seen) == 4


@needs_crewai
def test_tokens_and_money_are_limits(server: FakeProvider) -> None:
    server.script(Answer("no", prompt_tokens=900, completion_tokens=900))
    with pytest.raises(AgentError, match="limit of 2,000 tokens"):
        run(agent(max_tokens=2_000))
    server.script(Answer("no", prompt_tokens=900, completion_tokens=900))
    with pytest.raises(AgentError, match="limit of 2 USD"):
        run(agent(prices=PRICES, max_cost=2))
    assert len(server.seen) == 2
    with pytest.raises(AgentError, match="needs prices"):
        agent(max_cost=1)


@needs_crewai
def test_a_model_that_never_answers_is_given_up(server: FakeProvider) -> None:
    server.script(Hang())
    with pytest.raises(AgentError, match="no answer within 2 seconds"):
        run(agent(timeout=2))


@needs_crewai
@pytest.mark.parametrize("status", [429, 503])
def test_a_failure_that_may_pass_is_asked_once_and_left_to_the_caller(server: FakeProvider, status: int) -> None:
    server.script(Failure(status), GOOD)
    asked = agent()
    with pytest.raises(LLMError) as caught:
        run(asked)
    assert caught.value.retryable
    assert len(server.seen) == 1
    assert run(asked).data == DATA


@needs_crewai
def test_a_refused_key_is_an_error_without_the_key(server: FakeProvider) -> None:
    server.script(Failure(401, f"Incorrect API key provided: {KEY}"))
    with pytest.raises(AgentError) as caught:
        run(agent())
    assert KEY not in f"{caught.value!r}{caught.value.hint}"
    assert caught.value.__cause__ is caught.value.__context__ is None


@needs_crewai
@pytest.mark.parametrize("model", ["gpt-4o-mini", "nobody:a-model", "openai:"])
def test_a_model_that_crewai_cannot_use_is_an_error(server: FakeProvider, model: str) -> None:
    with pytest.raises(AgentError, match="model"):
        run(agent(model))
    assert server.seen == []


@needs_crewai
def test_nothing_is_asked_about_an_empty_input(server: FakeProvider) -> None:
    with pytest.raises(AgentError, match="no input"):
        run(agent(), AgentTask("field_mapper", "Map.", {"rows": []}, SCHEMA))
    assert server.seen == []


@needs_crewai
def test_tasks_at_once_get_their_own_answers(server: FakeProvider) -> None:
    server.respond = lambda seen: json.dumps({"mappings": [each for each in ("acme", "boreal") if each in seen.user]})
    one = agent()

    async def all_at_once() -> list[AgentAnswer]:
        tasks = [AgentTask("field_mapper", "Whose?", {"owner": owner}, SCHEMA) for owner in ("acme", "boreal") * 3]
        return await asyncio.gather(*(one.run(task) for task in tasks))

    found = asyncio.run(all_at_once())
    assert [each.data["mappings"] for each in found] == [["acme"], ["boreal"]] * 3
    assert {(each.requests, each.tokens) for each in found} == {(1, 18)}


@needs_crewai
def test_nobody_but_the_model_is_told_anything(server: FakeProvider, capfd: pytest.CaptureFixture[str]) -> None:
    sys.addaudithook(watch)
    server.script(GOOD)
    CONNECTED.clear()
    assert run(agent()).data == DATA
    host, port = server.url.removeprefix("http://").split(":")
    assert CONNECTED
    assert {(address[0], int(address[1])) for address in CONNECTED} == {(host, int(port))}
    assert {name: os.environ[name] for name in SILENT} == SILENT
    assert capfd.readouterr() == ("", "")


@needs_crewai
def test_what_crewai_stores_has_no_input_in_it_and_goes_with_the_process(server: FakeProvider) -> None:
    server.script(GOOD)
    run(agent())
    folder = Path(os.environ["CREWAI_STORAGE_DIR"])
    with sqlite3.connect(folder / "latest_kickoff_task_outputs.db") as database:
        rows = database.execute("select * from latest_kickoff_task_outputs").fetchall()
    database.close()
    assert PLACE in str(rows)
    assert "Host Name" not in str(rows)
