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
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegate.apps.discovery.agents.llm_agents import LlmAgent
from phasegate.apps.discovery.agents.memory import used_mb
from phasegate.apps.discovery.agents.pool import EVERY, IDLE, SPARED, AgentPool
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
    pool = AgentPool(Made(), clock, memory_limit_mb=None)
    unwatched = {"memory_mb": None, "memory_limit_mb": None, "memory_alarm": False, "memory_alarms": 0}
    agent = pool.get(ACME, "field_mapper")
    assert pool.statistics() == {"agents": 1, "requests": 0, "errors": 0, "last_activity": None} | unwatched
    clock.forward(5)
    assert asyncio.run(agent.run(TASK)).mode == "direct"
    told = {"agents": 1, "requests": 1, "errors": 0, "last_activity": START + timedelta(seconds=5)} | unwatched
    assert pool.statistics() == pool.statistics(ACME) == told


def test_a_tenant_is_told_of_its_own_agents_alone() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock)
    for tenant in (ACME, BOREAL):
        clock.forward(1)
        asyncio.run(pool.get(tenant, "field_mapper").run(TASK))
    asyncio.run(pool.get(BOREAL, "data_cleansing").run(TASK))
    pool.get(("cosmos", "spring"), "field_mapper")
    names = ("agents", "requests", "last_activity")
    first, second = START + timedelta(seconds=1), START + timedelta(seconds=2)
    assert [pool.statistics(ACME)[name] for name in names] == [1, 1, first]
    assert [pool.statistics(BOREAL)[name] for name in names] == [2, 2, second]
    assert [pool.statistics(("nobody", "spring"))[name] for name in names] == [0, 0, None]
    assert [pool.statistics()[name] for name in names] == [4, 3, second]
    with pytest.raises(AgentError, match="needs a tenant"):
        pool.statistics(("acme", ""))


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


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_the_agent_that_was_idle_longest_makes_room() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock, most=2)
    first = pool.get(ACME, "field_mapper")
    clock.forward(1)
    second = pool.get(BOREAL, "field_mapper")
    clock.forward(1)
    assert pool.get(ACME, "field_mapper") is first  # which makes the other one the older
    third = pool.recreate(ACME, "data_cleansing")
    assert pool.statistics()["agents"] == 2
    assert pool.get(ACME, "field_mapper") is first
    assert pool.get(ACME, "data_cleansing") is third
    assert pool.recreate(ACME, "data_cleansing") is not third  # in its own place: nobody has to go
    assert pool.get(ACME, "field_mapper") is first
    assert pool.get(BOREAL, "field_mapper") is not second


def test_there_are_never_more_agents_than_may_be_even_when_all_of_them_work() -> None:
    async def scenario() -> None:
        clock, made = Clock(), Made()
        pool = AgentPool(made, clock, most=2)
        task = AgentTask("field_mapper", "Map.", {"wait": 1}, {"type": "object"})
        working = []
        for tenant in (ACME, BOREAL):
            working.append(asyncio.create_task(pool.get(tenant, "field_mapper").run(task)))
            await made.agents[-1].started.wait()
        with pytest.raises(AgentError, match="all 2 agents") as refused:
            pool.get(ACME, "data_cleansing")
        assert refused.value.hint
        assert (len(made.agents), pool.statistics()["agents"]) == (2, 2)
        made.agents[1].go.set()
        await working[1]
        assert pool.get(ACME, "data_cleansing") is not None
        assert pool.statistics()["agents"] == 2
        made.agents[0].go.set()
        await working[0]

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([*AGENT_TYPES]), st.integers(0, 100_000)), max_size=30))
@settings(max_examples=200)
def test_whoever_asks_in_whatever_order_the_bound_holds(asked: list[tuple[int, str, int]]) -> None:
    clock, most = Clock(), 3
    pool = AgentPool(Made(), clock, most=most)
    for tenant, kind, later in asked:
        clock.forward(later)
        agent = pool.get((f"t{tenant}", "spring"), kind)
        assert pool.get((f"t{tenant}", "spring"), kind) is agent
        assert 1 <= pool.statistics()["agents"] <= most


def test_idle_agents_go_by_themselves_when_somebody_asks_after_a_while() -> None:
    clock = Clock()
    pool = AgentPool(Made(), clock)
    pool.get(ACME, "field_mapper")
    clock.forward(IDLE - EVERY)
    kept = pool.get(BOREAL, "field_mapper")
    clock.forward(EVERY)
    pool.get(BOREAL, "field_mapper")
    assert pool.statistics()["agents"] == 2  # idle for a day, and not longer
    clock.forward(EVERY)
    assert pool.get(BOREAL, "field_mapper") is kept
    assert pool.statistics()["agents"] == 1


@pytest.mark.parametrize(("most", "limit"), [(0, 100.0), (-1, None), (1, 0.0), (1, -5.0), (1, float("nan"))])
def test_limits_that_allow_nothing_are_refused(most: int, limit: float | None) -> None:
    with pytest.raises(AgentError, match="must allow something"):
        AgentPool(Made(), most=most, memory_limit_mb=limit)


def test_short_memory_is_logged_when_it_begins_and_ends_and_idle_agents_go(caplog: pytest.LogCaptureFixture) -> None:
    clock, used = Clock(), [50.0]
    pool = AgentPool(Made(), clock, memory_limit_mb=100, memory=lambda: used[0])
    pool.get(ACME, "field_mapper")
    pool.get(ACME, "data_cleansing")
    clock.forward(SPARED)
    fresh = pool.get(BOREAL, "field_mapper")
    clock.forward(1)
    assert (pool.statistics()["memory_alarm"], caplog.messages) == (False, [])
    used[0] = 100.5
    assert pool.get(BOREAL, "field_mapper") is fresh  # who has just been asked for stays
    told = pool.statistics()
    assert (told["agents"], told["memory_mb"], told["memory_limit_mb"]) == (1, 100.5, 100)
    assert (told["memory_alarm"], told["memory_alarms"]) == (True, 1)
    assert caplog.messages == ["agents.memory_alarm begins memory_mb=100 limit_mb=100 dropped=2 kept=1"]
    used[0] = 99.0
    told = pool.statistics()
    assert (told["memory_alarm"], told["memory_alarms"]) == (False, 1)
    assert caplog.messages[1:] == ["agents.memory_alarm ends memory_mb=99 limit_mb=100 dropped=0 kept=1"]


def test_an_agent_that_works_stays_although_memory_is_short() -> None:
    async def scenario() -> None:
        clock, made, used = Clock(), Made(), [1.0]
        pool = AgentPool(made, clock, memory_limit_mb=100, memory=lambda: used[0])
        task = AgentTask("field_mapper", "Map.", {"wait": 1}, {"type": "object"})
        working = asyncio.create_task(pool.get(ACME, "field_mapper").run(task))
        await made.agents[0].started.wait()
        used[0] = 1_000.0
        clock.forward(3_600)
        assert pool.statistics()["agents"] == 1
        made.agents[0].go.set()
        await working
        clock.forward(3_600)
        assert pool.statistics()["agents"] == 0

    asyncio.run(scenario())


def test_memory_that_cannot_be_told_is_no_alarm() -> None:
    told = AgentPool(Made(), memory=lambda: float("nan")).statistics()
    assert (told["memory_mb"], told["memory_alarm"]) == (None, False)


def test_the_memory_of_this_process_is_told_and_grows_with_what_it_keeps() -> None:
    before = used_mb()
    assert 5 < before < 100_000
    kept = b"x" * 2**27
    assert used_mb() - before > 100
    assert len(kept) == 2**27


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
