"""Quotas: how many attempts may be under way, or begin in a time, over all workers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from phasegate import Context, Engine, Flow, FlowError, Limits, Phase, Quota, Registry, RunStatus, Subject
from phasegate.core.flowdata import flow_data, flow_from_data
from phasegate.testing import FakeClock, drain
from tests.engines import address_in, temporary_engine
from tests.runtime import program
from tests.runtime.flows import assert_sound, flow, one, serve, subjects
from tests.waiting import wait_for


class Crowd:
    """Counts how many are inside at once, in all and by key."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self.total = 0
        self._inside: dict[str, int] = {}
        self._lock = threading.Lock()

    async def enter(self, key: str) -> None:
        with self._lock:
            self.total += 1
            self._inside[key] = self._inside.get(key, 0) + 1
            self.most[key] = max(self.most.get(key, 0), self._inside[key])
        for _ in range(3):  # let whoever else may start do so
            await asyncio.sleep(0)
        with self._lock:
            self._inside[key] -= 1


def crowded(crowd: Crowd, key: Any, *quotas: Quota) -> Flow:
    async def work(ctx: Context) -> None:
        await crowd.enter(str(key(ctx)))

    return one(work, quotas=quotas)


@pytest.mark.parametrize(
    ("quota", "key"),
    [
        (Quota(concurrency=3), lambda ctx: "all"),
        (Quota(concurrency=2, per="tenant"), lambda ctx: ctx.tenant),
        (Quota(concurrency=1, per="input.account"), lambda ctx: ctx.input["account"]),
        (Quota(concurrency=2, per="key"), lambda ctx: f"{ctx.tenant}/{ctx.run.key}"),
    ],
    ids=["phase", "tenant", "input", "key"],
)
def test_no_more_are_under_way_than_the_quota_says(quota: Quota, key: Any) -> None:
    crowd = Crowd()
    with temporary_engine(crowded(crowd, key, quota)) as engine:
        runs = [
            engine.start("story", subject, tenant=tenant, key=f"k{number % 2}", input={"account": f"a{number % 3}"})
            for tenant in ("north", "south")
            for number, subject in enumerate(subjects(15))
        ]
        engine.drain()
        assert crowd.total == 30
        assert set(crowd.most.values()) == {quota.concurrency}
        assert {engine.get(run.id, tenant=run.tenant).status for run in runs} == {RunStatus.SUCCEEDED}
        assert engine.quotas() == []


def test_phases_that_name_one_quota_share_it() -> None:
    crowd = Crowd()

    async def work(_ctx: Context) -> None:
        await crowd.enter("vendor")

    shared = (Quota(name="vendor", concurrency=2),)
    with temporary_engine(flow(Phase("one", work, quotas=shared), Phase("two", work, quotas=shared))) as engine:
        engine.start_many("story", subjects(10))
        engine.drain()
        assert (crowd.total, crowd.most) == (20, {"vendor": 2})


def test_an_attempt_starts_only_with_a_place_under_every_quota() -> None:
    crowd = Crowd()
    quotas = (Quota(concurrency=4), Quota(concurrency=1, per="input.account"))
    with temporary_engine(crowded(crowd, lambda ctx: ctx.input["account"], *quotas)) as engine:
        inputs = [{"account": f"a{number % 2}"} for number in range(12)]
        engine.start_many("story", subjects(12), inputs=inputs)
        engine.drain()
        assert (crowd.total, crowd.most) == (12, {"a0": 1, "a1": 1})


def test_the_place_of_a_failed_attempt_is_free_again() -> None:
    def fail(_ctx: Context) -> None:
        raise ValueError("no")

    with temporary_engine(one(fail, quotas=(Quota(concurrency=1),))) as engine:
        runs = engine.start_many("story", subjects(5))
        engine.drain()
        assert {engine.get(run.id).status for run in runs} == {RunStatus.FAILED}
        assert engine.quotas() == []


def test_items_of_one_run_wait_for_each_other() -> None:
    crowd = Crowd()

    async def work(_ctx: Context) -> None:
        await crowd.enter("all")

    items = flow(
        Phase("list", lambda ctx: list(range(20))), Phase("work", work, each="list", quotas=(Quota(concurrency=2),))
    )
    with temporary_engine(items) as engine:
        run = engine.start("story", subjects(1)[0])
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert (crowd.total, crowd.most) == (20, {"all": 2})
        assert_sound(engine, [run])


def test_a_rate_spreads_beginnings_over_time() -> None:
    clock, begun = FakeClock(), []

    def work(ctx: Context) -> None:
        begun.append(ctx.now())

    with temporary_engine(one(work, quotas=(Quota(rate=5, seconds=60),)), clock=clock) as engine:
        runs = engine.start_many("story", subjects(12))
        first = clock()
        drain(engine, clock)
        passed = sorted(round((at - first).total_seconds()) for at in begun)
        assert passed == [0, 0, 0, 0, 0, 12, 24, 36, 48, 60, 72, 84]
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}


def test_who_waits_for_a_rate_is_parked_and_does_not_hold_up_others() -> None:
    clock = FakeClock()
    phases = flow(
        Phase("slow", lambda ctx: None, quotas=(Quota(rate=1, seconds=3600),)), Phase("quick", lambda ctx: None)
    )
    with temporary_engine(phases, clock=clock) as engine:
        runs = engine.start_many("story", subjects(3))
        engine.drain()
        found = [engine.get(run.id) for run in runs]
        assert sorted(run.at("slow").status.value for run in found) == ["ready", "ready", "succeeded"]
        assert {run.at("quick").status.value for run in found} == {"succeeded"}
        assert engine.store.held(engine.workers()[0].id) == {}
        due = engine.next_due()
        assert due is not None
        assert (due - clock()).total_seconds() == 3600
        (quota,) = engine.quotas()
        assert (quota.name, quota.key, quota.in_use, quota.tokens) == ("story/slow", "", 0, 0.0)


def test_a_paused_run_gives_up_its_turn_and_takes_another_one_later() -> None:
    go = threading.Event()
    begun: list[str] = []

    def work(ctx: Context) -> None:
        begun.append(ctx.subject.id)
        assert go.wait(30)

    with temporary_engine(one(work, quotas=(Quota(concurrency=1),))) as engine:

        def people(_worker: Any) -> None:
            first, second = engine.start_many("story", subjects(2))
            waiting = second if wait_for(lambda: begun)[0] == first.subject.id else first
            engine.pause(waiting.id)
            go.set()
            engine.wait(first.id if waiting is second else second.id, timeout=20)
            assert engine.get(waiting.id).status is RunStatus.PAUSED
            engine.resume(waiting.id)
            assert engine.wait(waiting.id, timeout=20).status is RunStatus.SUCCEEDED

        serve(engine, people)
        assert engine.quotas() == []


def test_two_engines_on_one_database_share_the_quota(tmp_path: Path) -> None:
    address, crowd = address_in(tmp_path), Crowd()
    phases = crowded(crowd, lambda ctx: "all", Quota(concurrency=2))
    limits = Limits(concurrency=8)
    with (
        Engine(address, Registry(phases), limits=limits) as one_engine,
        Engine(address, Registry(phases), limits=limits) as other,
    ):
        runs = one_engine.start_many("story", subjects(40))
        drains = [threading.Thread(target=engine.drain) for engine in (one_engine, other)]
        for each in drains:
            each.start()
        for each in drains:
            each.join()
        one_engine.drain()
        assert {one_engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}
        assert (crowd.total, crowd.most) == (40, {"all": 2})


def test_the_places_of_a_dead_process_are_free_when_it_is_found_dead(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with program.opened(address, "rescuer") as engine:
        run = engine.start("bounded", Subject("company", "acme"), input={"go": str(tmp_path / "go")})
        with program.running("hold", address) as process:
            program.said(process, "working")
            program.said(process, "begun")
            assert [quota.in_use for quota in engine.quotas()] == [1]
            process.kill()
            process.wait()
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert engine.quotas() == []


def test_a_dry_run_asks_for_no_place() -> None:
    with temporary_engine(one(lambda ctx: 1, quotas=(Quota(rate=1, seconds=3600),))) as engine:
        report = engine.run_phase("story", "work", subjects(3), dry_run=True)
        assert [each.output for each in report.results] == [1, 1, 1]
        assert engine.quotas() == []


@pytest.mark.parametrize(
    ("quota", "problem"),
    [
        (Quota(), "a quota has a concurrency or a rate"),
        (Quota(concurrency=0), "the concurrency of a quota is 1 or more"),
        (Quota(rate=0.5), "the rate of a quota is 1 or more"),
        (Quota(rate=1, seconds=0), "the seconds of a quota are more than 0"),
        (Quota(concurrency=1, per="colour"), "not per 'colour'"),
        (Quota(concurrency=1, per="input."), "not per 'input.'"),
    ],
)
def test_a_quota_that_makes_no_sense_is_refused_with_the_flow(quota: Quota, problem: str) -> None:
    with pytest.raises(FlowError, match=problem):
        one(lambda ctx: 1, quotas=(quota,))


def test_quotas_are_data_like_the_rest_of_a_flow() -> None:
    phases = flow(
        Phase("work", "handler", quotas=(Quota(concurrency=2, per="tenant"), Quota(rate=5, seconds=60, name="v")))
    )
    data = flow_data(phases)
    assert data["phases"][0]["quotas"] == [
        {"concurrency": 2, "per": "tenant"},
        {"rate": 5, "seconds": 60, "name": "v"},
    ]
    assert flow_from_data(data) == phases
