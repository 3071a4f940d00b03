"""Pause, cancel, reset while an attempt is under way: nothing of it is written afterwards."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from phasegate import Batch, Context, Engine, Gate, Limits, NotAllowed, Outcome, Phase, PhaseStatus, RunStatus
from phasegate.core import facts as f
from phasegate.testing import Scripted
from tests.engines import temporary_engine
from tests.runtime.flows import ACME, ENTER, assert_sound, entries, facts, flow, kinds, metadata, one, outcome
from tests.waiting import wait_for


class Held:
    """A phase function that waits, once, until it is let go."""

    def __init__(self, times: int = 1) -> None:
        self.begun, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.cancelled: list[bool] = []
        self._times = times

    def __call__(self, ctx: Any) -> Any:
        if isinstance(ctx, list):
            return [self(each) for each in ctx]
        if self._times > 0:
            self._times -= 1
            self.begun.set()
            assert self.go_on.wait(20)
        self.cancelled.append(ctx.cancelled)
        ctx.write(ENTER, {"entry": f"{ctx.phase}/{ctx.attempt}", "amount": 1})
        self.ended.set()
        return ctx.attempt


class HeldAsync(Held):
    async def __call__(self, ctx: Context) -> Any:
        if self._times > 0:
            self._times -= 1
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.append(ctx.cancelled)
                self.ended.set()
        ctx.write(ENTER, {"entry": f"{ctx.phase}/{ctx.attempt}", "amount": 1})
        return ctx.attempt


@contextmanager
def draining(engine: Engine) -> Iterator[threading.Thread]:
    """The engine drained in another thread; waited for at the end, so that nothing may hang."""
    failed: list[BaseException] = []

    def drain() -> None:
        try:
            engine.drain()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(30)
        assert not thread.is_alive(), "drain hangs"
        assert failed == []


WORK: dict[str, tuple[type[Held], dict[str, Any]]] = {
    "plain": (Held, {}),
    "async": (HeldAsync, {}),
    "batch": (Held, {"batch": Batch(within=0.01)}),
}


@pytest.fixture(params=WORK)
def held(request: pytest.FixtureRequest) -> Iterator[tuple[Held, Engine]]:
    """A run whose only phase is under way, being drained by another thread. One thread for phases: it is occupied."""
    work, options = WORK[request.param]
    function = work()
    with temporary_engine(one(function, **options), limits=Limits(threads=1)) as engine:
        engine.create_tables(metadata)
        yield function, engine


def test_a_paused_run_writes_nothing_afterwards_and_resumes(held: tuple[Held, Engine]) -> None:
    function, engine = held
    run = engine.start("story", ACME)
    with draining(engine) as thread:
        assert function.begun.wait(20)
        paused = engine.pause(run.id, by="ann", reason="wait")
        thread.join(20)
        assert not thread.is_alive(), "a paused run keeps the worker busy"
        before = kinds(engine, run)
        function.go_on.set()
        assert function.ended.wait(20)
    assert (paused.status, engine.get(run.id).status) == (RunStatus.PAUSED, RunStatus.PAUSED)
    assert function.cancelled == [True]
    assert kinds(engine, run) == before
    assert entries(engine) == {}
    engine.drain()
    assert kinds(engine, run) == before
    engine.resume(run.id, by="ann")
    engine.drain()
    assert engine.get(run.id).status is RunStatus.SUCCEEDED
    assert len(entries(engine)) == 1
    assert_sound(engine, [run])


def test_a_cancelled_run_writes_nothing_afterwards(held: tuple[Held, Engine]) -> None:
    function, engine = held
    run = engine.start("story", ACME)
    with draining(engine) as thread:
        assert function.begun.wait(20)
        engine.cancel(run.id, by="ann")
        thread.join(20)
        assert not thread.is_alive(), "a cancelled run keeps the worker busy"
        before = kinds(engine, run)
        function.go_on.set()
        assert function.ended.wait(20)
    assert engine.get(run.id).status is RunStatus.CANCELLED
    assert function.cancelled == [True]
    assert (kinds(engine, run), entries(engine)) == (before, {})
    assert_sound(engine, [run])


def test_a_phase_that_is_reset_begins_again_and_its_former_answer_is_dropped(held: tuple[Held, Engine]) -> None:
    function, engine = held
    run = engine.start("story", ACME)
    with draining(engine):
        assert function.begun.wait(20)
        wait_for(lambda: engine.get(run.id).at("work").status is PhaseStatus.RUNNING, "the start on record")
        engine.reset(run.id, "work", by="ann")
        wait_for(lambda: kinds(engine, run).count("phase.reset") == 1, "the reset")
        function.go_on.set()
    ended = engine.get(run.id)
    assert (ended.status, ended.at("work").attempt) == (RunStatus.SUCCEEDED, 2)
    assert engine.outputs(run.id) == {"work": 2}
    assert entries(engine) == {"work/2": 1}
    assert_sound(engine, [run])


def test_a_transactional_phase_under_way_completes_before_a_pause_is_recorded() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(ctx: Context) -> str:
        begun.set()
        assert go_on.wait(20)
        ctx.session.execute(ENTER, {"entry": "x", "amount": 1})
        return "done"

    with temporary_engine(
        flow(Phase("work", work, transactional=True), Phase("next", needs=("work",), gate=Gate()))
    ) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            assert begun.wait(20)
            asking = threading.Thread(target=lambda: engine.pause(run.id))
            asking.start()
            go_on.set()
            asking.join(20)
        paused = engine.get(run.id)
        assert paused.status is RunStatus.PAUSED
        assert (paused.at("work").status, entries(engine)) == (PhaseStatus.SUCCEEDED, {"x": 1})
        assert_sound(engine, [run])


def test_when_a_run_ends_what_else_is_under_way_in_it_is_given_up() -> None:
    slow, told = Held(), threading.Event()

    def fails(_ctx: Context) -> None:
        assert slow.begun.wait(20)
        raise ValueError("boom")

    with temporary_engine(flow(Phase("slow", slow), Phase("fails", fails), Phase("undoes", Scripted(1)))) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            wait_for(lambda: engine.get(run.id).at("fails").status is PhaseStatus.FAILED, "the failure")
            engine.cancel(run.id)
            wait_for(lambda: engine.get(run.id).finished, "the end of the run")
            slow.go_on.set()
            told.set()
        assert entries(engine) == {}
        assert_sound(engine, [run])


def test_going_back_drops_what_was_under_way_on_the_former_output() -> None:
    slow = Held()

    def check(ctx: Context) -> Any:
        if ctx.attempt == 1:
            assert slow.begun.wait(20)
            return Outcome("again")
        return "fine"

    phases = flow(
        Phase("draft", lambda ctx: ctx.attempt), Phase("check", check, needs=("draft",), redo={"again": "draft"}),
        Phase("slow", lambda ctx: [ctx.inputs["draft"], slow(ctx)], needs=("draft",)),
    )  # fmt: skip
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            wait_for(lambda: engine.get(run.id).at("draft").attempt == 2, "the second draft")
            slow.go_on.set()
        found = engine.outputs(run.id)
        assert found["draft"] == 2
        assert found["slow"][0] == 2
        assert [
            fact.attempt for fact in facts(engine, run) if isinstance(fact, f.AttemptSucceeded) and fact.phase == "slow"
        ] in ([1], [2])
        assert len(entries(engine)) == 1
        assert_sound(engine, [run])


def test_a_heartbeat_tells_a_function_that_it_was_given_up() -> None:
    begun, told = threading.Event(), threading.Event()

    def work(ctx: Context) -> None:
        begun.set()
        try:
            while begun.wait(0.005):
                ctx.heartbeat()
        except Exception:
            told.set()
            raise

    with temporary_engine(one(work)) as engine:
        run = engine.start("story", ACME)
        with draining(engine):
            assert begun.wait(20)
            engine.pause(run.id)
            assert told.wait(20)
        assert engine.get(run.id).status is RunStatus.PAUSED
        assert engine.get(run.id).at("work").failures == 0


def test_a_decision_made_while_the_run_is_held_moves_it_on() -> None:
    slow = Held()
    phases = flow(
        Phase("slow", slow), Phase("release", gate=Gate()), Phase("after", Scripted("after"), needs=("release",))
    )
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            assert slow.begun.wait(20)
            engine.decide(run.id, "release", "approved", by="ann")
            wait_for(lambda: engine.get(run.id).at("after").status is PhaseStatus.SUCCEEDED, "the phase after the gate")
            assert engine.get(run.id).at("slow").status is not PhaseStatus.SUCCEEDED
            slow.go_on.set()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert_sound(engine, [run])


def test_many_pauses_and_resumes_lose_nothing() -> None:
    phases = flow(Phase("list", lambda _ctx: list(range(40))), Phase("work", lambda ctx: ctx.item, each="list"))
    with temporary_engine(phases, limits=Limits(concurrency=3)) as engine:
        run = engine.start("story", ACME)
        for _ in range(15):
            with draining(engine):
                if engine.get(run.id).finished:
                    break
                with suppress(NotAllowed):  # it has ended meanwhile
                    engine.pause(run.id)
            if engine.get(run.id).status is RunStatus.PAUSED:
                engine.resume(run.id)
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert len(engine.outputs(run.id)["work"]) == 40
        assert_sound(engine, [run])


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_a_phase_that_gives_no_sign_of_life_is_given_up(kind: str) -> None:
    told = threading.Event()

    async def silent(ctx: Context) -> str:
        ctx.heartbeat()
        await asyncio.Event().wait()
        return "never"

    def stubborn(ctx: Context) -> str:
        ctx.heartbeat()
        while not ctx.cancelled:
            told.wait(0.01)
        return "too late"

    with temporary_engine(one(silent if kind == "async" else stubborn, silence=0.1)) as engine:
        ended = outcome(engine)
    assert (ended.status, ended.reason) == (
        PhaseStatus.FAILED, "TimedOut: gave no sign of life for 0.1 seconds"
    )  # fmt: skip


def test_heartbeats_keep_a_slow_phase_alive() -> None:
    async def slow(ctx: Context) -> str:
        for _ in range(10):
            await asyncio.sleep(0.05)
            ctx.heartbeat()
        return "done"

    with temporary_engine(one(slow, silence=0.3)) as engine:
        assert outcome(engine).status is PhaseStatus.SUCCEEDED


TWICE = """
import asyncio, pathlib, sys
from phasegate import Engine, Flow, Phase, Registry, Subject

async def long(context):
    print("begun", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("ending", flush=True)
        while not pathlib.Path(sys.argv[2]).exists():
            await asyncio.sleep(0.01)

registry = Registry()
registry.add(Flow("slow", 1, [Phase("long", long)]))
with Engine(sys.argv[1], registry) as engine:
    run = engine.start("slow", Subject("order", "a"))
    try:
        engine.drain()
    except KeyboardInterrupt:
        print("interrupted", engine.get(run.id).at("long").status.value, len(engine.workers()))
"""


@pytest.mark.parametrize("more", [0, 1, 5])
def test_whoever_interrupts_again_waits_for_what_is_handed_back(tmp_path: Path, more: int) -> None:
    words = [sys.executable, "-c", TWICE, f"sqlite:///{tmp_path / 'runs.db'}", str(tmp_path / "go")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "ending\n"
        for _ in range(more):
            process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        assert process.stdout.read() == "interrupted ready 0\n"
    assert process.returncode == 0
