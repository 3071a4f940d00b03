"""The pool: one agent per tenant and kind, whoever asks and however many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from phasegate.apps.discovery.agents.llm_agents import LlmAgent
from phasegate.apps.discovery.agents.pool import AgentPool
from phasegate.apps.discovery.agents.protocol import AGENT_TYPES, Agent, AgentAnswer, AgentConfig, AgentTask, Limits
from phasegate.apps.discovery.errors import AgentError
from phasegate.llm import ProviderClient
from tests.llm.server import FakeProvider

START = datetime(2030, 1, 1, tzinfo=UTC)
ACME, BOREAL = ("acme", "spring"), ("boreal", "spring")
TASK = AgentTask("field_mapper", "Map.", {"columns": ["a"]}, {"type": "object"})


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Direct(Agent):
    """Answers by a rule; fails for a payload that says so, and waits for what it is given to wait for."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.started, self.go = asyncio.Event(), asyncio.Event()

    async def run(self, task: AgentTask) -> AgentAnswer:
        if "fail" in task.payload:
            raise AgentError("as asked")
        if "wait" in task.payload:
            self.started.set()
            await self.go.wait()
        return AgentAnswer({}, "direct")


class Made:
    """Makes agents, and remembers them."""

    def __init__(self) -> None:
        self.agents: list[Direct] = []

    def __call__(self, config: AgentConfig) -> Direct:
        self.agents.append(Direct(config))
        return self.agents[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


def test_a_tenant_has_one_agent_of_a_kind() -> None:
    made = Made()
    pool = AgentPool(made)
    assert pool.get(ACME, "field_mapper") is pool.get(("acme", "spring"), "field_mapper")
    assert len(made.agents) == 1


def test_no_two_tenants_or_kinds_share_an_agent() -> None:
    made = Made()
    pool = AgentPool(made)
    tenants = [("acme", "spring"), ("acme", "autumn"), ("boreal", "spring"), ("spring", "acme"), ("acme ", "spring")]
    agents = [pool.get(tenant, kind) for tenant, kind in product(tenants, AGENT_TYPES)]
    assert len({id(each) for each in agents}) == len(agents) == len(made.agents) == pool.statistics()["agents"]
    assert [each.config.agent_type for each in made.agents] == list(AGENT_TYPES) * len(tenants)


@pytest.mark.parametrize(
    "tenant",
    [None, (), ("acme",), ("acme", ""), (" ", "spring"), ("acme", None), (1, 2), "ab", ["acme", "spring"], ("a", "b", "c")],
    ids=str,
)  # fmt: skip
def test_without_a_tenant_there_is_no_agent(tenant: Any) -> None:
    made = Made()
    for ask in (AgentPool(made).get, AgentPool(made).recreate):
        with pytest.raises(AgentError, match="needs a tenant"):
            ask(tenant, "field_mapper")
    assert made.agents == []


def test_an_unknown_kind_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(AgentError, match="'field_maper'") as caught:
        AgentPool(Made()).get(ACME, "field_maper")
    assert caught.value.hint == "did you mean 'field_mapper'?"


def test_what_cannot_be_made_is_not_kept() -> None:
    ready: list[bool] = []

    def make(config: AgentConfig) -> Agent:
        if not ready:
            raise AgentError("there is no key")
        return Direct(config)

    pool = AgentPool(make)
    with pytest.raises(AgentError, match="there is no key"):
        pool.get(ACME, "field_mapper")
    assert pool.statistics()["agents"] == 0
    ready.append(True)
    assert pool.get(ACME, "field_mapper") is pool.get(ACME, "field_mapper")


def test_threads_that_ask_at_once_get_the_same_agent() -> None:
    many, made = 8, Made()
    pool = AgentPool(made)
    for round_ in range(20):
        together = threading.Barrier(many)

        def get(number: int, tenant: tuple[str, str], together: threading.Barrier = together) -> Agent:
            together.wait()
            return pool.get(tenant, "field_mapper")

        with ThreadPoolExecutor(many) as threads:
            tenant = ("acme", str(round_))
            agents = list(threads.map(get, range(many), [tenant] * many))
        assert len({id(each) for each in agents}) == 1
        assert len(made.agents) == round_ + 1


def test_threads_that_run_tasks_at_once_are_all_counted() -> None:
    pool = AgentPool(Made())

    def run(number: int) -> None:
        agent = pool.get(ACME if number % 2 else BOREAL, "field_mapper")
        payload = {"fail": 1} if number % 4 == 0 else {"columns": ["a"]}
        try:
            asyncio.run(agent.run(AgentTask("field_mapper", "Map.", payload, {"type": "object"})))
        except AgentError:
            assert number % 4 == 0

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(run, range(80)))
    told = pool.statistics()
    assert (told["agents"], told["requests"], told["errors"]) == (2, 80, 20)


def test_statistics_tell_what_was_asked_and_when() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock)
    agent = pool.get(ACME, "field_mapper")
    assert pool.statistics() == {"agents": 1, "requests": 0, "errors": 0, "last_activity": None}
    clock.forward(5)
    assert asyncio.run(agent.run(TASK)).mode == "direct"
    assert pool.statistics() == {
        "agents": 1, "requests": 1, "errors": 0, "last_activity": START + timedelta(seconds=5),
    }  # fmt: skip


def test_a_new_agent_takes_the_place_of_the_former_one() -> None:
    pool = AgentPool(Made())
    former, other = pool.get(ACME, "field_mapper"), pool.get(BOREAL, "field_mapper")
    new = pool.recreate(ACME, "field_mapper")
    assert new is not former
    assert pool.get(ACME, "field_mapper") is new
    assert pool.get(BOREAL, "field_mapper") is other
    asyncio.run(former.run(TASK))
    assert (pool.statistics()["agents"], pool.statistics()["requests"]) == (2, 1)


def test_idle_agents_are_dropped_and_what_they_did_stays_counted() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock)
    idle, asked = pool.get(ACME, "field_mapper"), pool.get(BOREAL, "field_mapper")
    asyncio.run(idle.run(TASK))
    clock.forward(100)
    asyncio.run(asked.run(TASK))
    clock.forward(60)
    assert pool.clean(160) == 0
    assert pool.clean(159) == 1
    assert pool.get(BOREAL, "field_mapper") is asked
    assert pool.get(ACME, "field_mapper") is not idle
    assert pool.statistics()["requests"] == 2


def test_an_agent_that_was_just_asked_for_is_not_idle() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock)
    agent = pool.get(ACME, "field_mapper")
    clock.forward(100)
    assert pool.get(ACME, "field_mapper") is agent
    assert pool.clean(50) == 0


@pytest.mark.parametrize("cancelled", [False, True], ids=["finished", "cancelled"])
def test_an_agent_that_works_is_never_dropped(cancelled: bool) -> None:
    async def scenario() -> None:
        clock, made = Clock(), Made()
        pool = AgentPool(made, clock)
        agent = pool.get(ACME, "field_mapper")
        task = AgentTask("field_mapper", "Map.", {"wait": 1}, {"type": "object"})
        working = asyncio.create_task(agent.run(task))
        await made.agents[0].started.wait()
        clock.forward(1_000)
        assert pool.clean(0) == 0
        if cancelled:
            working.cancel()
        made.agents[0].go.set()
        await asyncio.gather(working, return_exceptions=True)
        clock.forward(1)
        assert pool.clean(0) == 1
        assert (pool.statistics()["requests"], pool.statistics()["errors"]) == (1, 0)

    asyncio.run(scenario())


def test_agents_of_a_pool_answer_over_http_each_for_its_own_tenant(server: FakeProvider) -> None:
    schema = {"type": "object", "required": ["tenant"]}
    server.respond = lambda seen: '{"tenant": "boreal"}' if "boreal" in seen.user else '{"tenant": "acme"}'
    pool = AgentPool(lambda config: LlmAgent(config, ProviderClient("openai:gpt-4o-mini"), Limits()))

    async def ask(tenant: tuple[str, str]) -> Any:
        task = AgentTask("field_mapper", "Whose is it?", {"owner": tenant[0]}, schema)
        return (await pool.get(tenant, "field_mapper").run(task)).data["tenant"]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(ask(tenant) for tenant in (ACME, BOREAL) * 8))

    assert asyncio.run(all_at_once()) == ["acme", "boreal"] * 8
    told = pool.statistics()
    assert (told["agents"], told["requests"], told["errors"]) == (2, 16, 0)
