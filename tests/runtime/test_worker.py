"""Workers: as a service, several of them, stopping, dying, and being taken for dead."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate import (
    Context,
    Engine,
    Flow,
    FlowError,
    Gate,
    Limits,
    Phase,
    PhaseStatus,
    Registry,
    Retry,
    RunStatus,
    Subject,
)
from phasegate.core import facts as f
from phasegate.runtime.held import Held
from phasegate.runtime.worker import Worker
from phasegate.testing import FakeClock, Scripted
from tests.engines import address_in, temporary_engine
from tests.runtime import program
from tests.runtime.flows import ACME, assert_sound, facts, finished, flow, kinds, one, serve, subjects
from tests.waiting import wait_for

# --- a service ------------------------------------------------------------------------------------------------------


def test_a_worker_does_what_is_started_and_decided_while_it_runs(tmp_path: Path) -> None:
    with program.opened(address_in(tmp_path)) as engine:

        def people(_worker: Worker) -> None:
            run = engine.start("asking", ACME)
            assert engine.wait(run.id, timeout=20).status is RunStatus.WAITING
            engine.decide(run.id, "release", "approved", by="ann")
            assert engine.wait(run.id, timeout=20).status is RunStatus.SUCCEEDED
            assert_sound(engine, [run])

        serve(engine, people)
        assert engine.workers() == []


def test_a_worker_does_what_other_processes_start_and_decide(tmp_path: Path) -> None:
    address = address_in(tmp_path)

    def other(*arguments: str) -> str:
        with program.running(*arguments) as process:
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return out.strip()

    with program.opened(address) as engine:

        def people(_worker: Worker) -> None:
            run_id = other("start", address, "asking", "acme")
            wait_for(lambda: engine.get(run_id).status is RunStatus.WAITING, "the gate to open")
            other("decide", address, run_id)
            wait_for(lambda: engine.get(run_id).status is RunStatus.SUCCEEDED, "the end of the run")

        serve(engine, people)
        assert program.completions(engine) == {"acme/before": 1, "acme/after": 1}


def test_a_worker_with_nothing_to_do_ends_at_once() -> None:
    with temporary_engine(one(Scripted(1))) as engine:

        async def nothing() -> None:
            async with engine.worker():
                pass

        asyncio.run(asyncio.wait_for(nothing(), 20))


def test_an_error_in_the_block_is_raised_and_the_worker_stopped() -> None:
    with temporary_engine(one(Scripted(1))) as engine:

        async def mistaken() -> None:
            async with engine.worker():
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            asyncio.run(mistaken())
        assert engine.workers() == []
        assert finished(engine).status is RunStatus.SUCCEEDED


def test_work_ends_when_it_is_told_to() -> None:
    stop = threading.Event()
    with temporary_engine(one(Scripted(1))) as engine:
        thread = threading.Thread(target=lambda: engine.work(stop=stop))
        thread.start()
        run = engine.start("story", ACME)
        assert engine.wait(run.id, timeout=20).status is RunStatus.SUCCEEDED
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_what_becomes_due_is_done_by_an_idle_worker() -> None:
    clock = FakeClock()
    script = Scripted(ValueError("boom"), "ok")
    with temporary_engine(one(script, retry=Retry(attempts=2, base=60, jitter=False)), clock=clock) as engine:

        def wait(_worker: Worker) -> None:
            run = engine.start("story", ACME)
            wait_for(lambda: engine.get(run.id).status is RunStatus.WAITING, "the first attempt")
            clock.advance(60)
            wait_for(lambda: engine.get(run.id).status is RunStatus.SUCCEEDED, "the second attempt")

        serve(engine, wait)


def test_runs_waiting_for_a_person_are_not_kept_in_memory() -> None:
    with temporary_engine(flow(Phase("release", gate=Gate()))) as engine:

        def wait(_worker: Worker) -> None:
            engine.start_many("story", subjects(20))
            wait_for(lambda: len(engine.find(status=["waiting"])) == 20, "the gates")
            wait_for(lambda: all(worker.holds == 0 for worker in engine.workers()), "the runs to be given back")

        serve(engine, wait)


# --- limits ---------------------------------------------------------------------------------------------------------


class Crowd:
    """Counts how many are inside at once, and lets nobody out before ``enough`` are in or nobody else can come."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1


def crowding(crowd: Crowd) -> Callable[[Context], Awaitable[None]]:
    async def work(_ctx: Context) -> None:
        crowd.enter()
        for _ in range(20):
            await asyncio.sleep(0)
        crowd.leave()

    return work


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_no_more_attempts_run_at_once_than_allowed(concurrency: int) -> None:
    crowd = Crowd()
    phases = flow(Phase("list", Scripted(list(range(8)))), Phase("work", crowding(crowd), each="list"))
    with temporary_engine(phases, limits=Limits(concurrency=concurrency)) as engine:
        runs = engine.start_many("story", subjects(8))
        engine.drain()
        assert crowd.most == concurrency
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}
        assert_sound(engine, runs)


def test_every_drain_has_its_own_concurrency() -> None:
    crowd = Crowd()
    with temporary_engine(one(crowding(crowd))) as engine:
        for concurrency in (7, 2, 5):
            crowd.most = 0
            engine.start_many("story", [Subject("company", f"{concurrency}/{n}") for n in range(12)])
            engine.drain(concurrency=concurrency)
            assert crowd.most == concurrency


def test_plain_functions_use_no_more_threads_than_allowed() -> None:
    names: set[str] = set()
    with temporary_engine(
        one(lambda _ctx: names.add(threading.current_thread().name)), limits=Limits(threads=2)
    ) as engine:
        engine.start_many("story", subjects(40))
        engine.drain()
        assert 1 <= len(names) <= 2


# --- flows ----------------------------------------------------------------------------------------------------------


def test_a_flow_registered_after_the_first_drain_is_worked_on() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        engine.drain()
        other = Flow("other", 1, (Phase("work", Scripted(2)),))
        run = engine.start(other, ACME)
        engine.drain()
        assert engine.outputs(run.id) == {"work": 2}


def test_runs_of_an_unknown_version_are_left_alone(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with Engine(address, Registry(one(Scripted("old")))) as old:
        first = old.start("story", ACME)
    newer = Flow("story", 2, (Phase("work", Scripted("new")), Phase("more", Scripted(2))))
    with Engine(address, Registry(newer)) as new:
        second = new.start("story", Subject("company", "umbrella"))
        new.drain()
        assert new.get(first.id).status is RunStatus.PENDING
        assert new.outputs(second.id) == {"work": "new", "more": 2}
        assert new.next_due() is None
    with Engine(address, Registry(one(Scripted("old")), newer)) as both:
        both.drain()
        assert both.outputs(first.id) == {"work": "old"}


def test_a_changed_definition_is_refused_while_runs_of_the_former_are_unfinished(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with Engine(address, Registry(one(Scripted(1)))) as engine:
        run = engine.start("story", ACME)
    with Engine(address, Registry(flow(Phase("work", Scripted(1)), Phase("more", Scripted(2))))) as engine:
        for use in (engine.drain, lambda: engine.start("story", ACME)):
            with pytest.raises(FlowError, match="unfinished runs with another definition: give the new one version 2"):
                use()
        assert engine.get(run.id).status is RunStatus.PENDING
        engine.cancel(run.id)
        engine.drain()


def here(_ctx: Context) -> str:
    return "here"


def there(_ctx: Context) -> str:
    return "there"


def test_a_function_may_move_while_runs_are_unfinished(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with Engine(address, Registry(one(here))) as engine:
        run = engine.start("story", ACME)
    with Engine(address, Registry(one(there))) as engine:
        engine.drain()
        assert engine.outputs(run.id) == {"work": "there"}


# --- several workers ------------------------------------------------------------------------------------------------


def test_two_engines_on_one_database_do_everything_once(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with program.opened(address, concurrency=9) as one_engine, program.opened(address, concurrency=9) as other:
        runs = one_engine.start_many("asking", subjects(60))
        threads = [threading.Thread(target=engine.drain) for engine in (one_engine, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {one_engine.get(run.id).status for run in runs} == {RunStatus.WAITING}
        assert program.completions(one_engine) == {f"{run.subject.id}/before": 1 for run in runs}
        assert_sound(one_engine, runs)


def test_two_processes_on_one_database_do_everything_once(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    with program.opened(address, concurrency=5) as engine:
        runs = engine.start_many("story", subjects(60))
        with program.running("drain", address) as process:
            engine.drain()
            assert process.wait(60) == 0
            engine.drain()
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}
        assert program.completions(engine) == {
            f"{s.id}/{phase}": 1 for s in subjects(60) for phase in ("first", "held", "last")
        }
        assert_sound(engine, runs)


# --- stopping -------------------------------------------------------------------------------------------------------


def test_what_ends_within_the_grace_time_is_recorded() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(_ctx: Context) -> str:
        begun.set()
        assert go_on.wait(20)
        return "in time"

    with temporary_engine(one(work)) as engine:
        run = engine.start("story", ACME)

        def stop(worker: Worker) -> None:
            assert begun.wait(20)
            worker.stop()
            go_on.set()

        serve(engine, stop)
        assert engine.outputs(run.id) == {"work": "in time"}


@pytest.mark.parametrize("is_async", [False, True])
def test_what_does_not_end_in_time_is_handed_back_and_done_by_another(is_async: bool) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(ctx: Context) -> int:
        if ctx.attempt == 1:
            begun.set()
            assert go_on.wait(20)
        return ctx.attempt

    async def work_async(ctx: Context) -> int:
        if ctx.attempt == 1:
            begun.set()
            await asyncio.Event().wait()
        return ctx.attempt

    with temporary_engine(one(work_async if is_async else work), limits=Limits(grace=0.01)) as engine:
        run = engine.start("story", ACME)

        def stop(worker: Worker) -> None:
            assert begun.wait(20)
            wait_for(lambda: engine.get(run.id).at("work").status is PhaseStatus.RUNNING, "the start on record")
            worker.stop()

        serve(engine, stop)
        handed_back = engine.get(run.id)
        assert (handed_back.at("work").status, handed_back.at("work").failures) == (PhaseStatus.READY, 0)
        assert "attempt.stopped" in kinds(engine, run)
        go_on.set()
        engine.drain()
        ended = engine.get(run.id)
        assert (engine.outputs(run.id), ended.at("work").losses) == ({"work": 2}, 0)
        assert_sound(engine, [run])


def test_many_runs_are_handed_back_at_once() -> None:
    forever = threading.Event()

    def work(ctx: Context) -> int:
        if not forever.is_set():
            assert forever.wait(20)
        return ctx.attempt

    with temporary_engine(one(work), limits=Limits(grace=0.01, threads=2, concurrency=30)) as engine:
        runs = engine.start_many("story", subjects(50))

        def stop(worker: Worker) -> None:
            wait_for(lambda: len(engine.find(status=["running"])) == 30, "thirty attempts under way")
            worker.stop()

        serve(engine, stop)
        assert engine.workers() == []
        forever.set()
        engine.drain()
        assert {engine.get(run.id).status for run in runs} == {RunStatus.SUCCEEDED}
        assert_sound(engine, runs)


# --- dying, and being taken for dead --------------------------------------------------------------------------------


def held_by(process: subprocess.Popen[str], engine: Engine, run_id: str) -> None:
    """Wait until the other process is in the middle of the phase, and has put that on record."""
    program.said(process, "working")
    program.said(process, "begun")
    wait_for(lambda: engine.get(run_id).at("held").status is PhaseStatus.RUNNING, "the start on record")


def test_the_runs_of_a_killed_process_are_taken_over(tmp_path: Path) -> None:
    address, go = address_in(tmp_path), tmp_path / "go"
    with program.opened(address, "rescuer") as engine:
        run = engine.start("story", ACME, input={"go": str(go)})
        with program.running("hold", address) as process:
            held_by(process, engine, run.id)
            process.send_signal(signal.SIGKILL)
            process.wait(20)

            def rescue(_worker: Worker) -> None:
                wait_for(lambda: engine.get(run.id).finished, "the takeover")

            serve(engine, rescue)
        assert engine.outputs(run.id) == {"first": "held/1", "held": "rescuer/2", "last": "rescuer/1"}
        assert program.completions(engine) == {"acme/first": 1, "acme/held": 1, "acme/last": 1}
        (lost,) = [fact for fact in facts(engine, run) if isinstance(fact, f.AttemptLost)]
        assert (lost.phase, lost.attempt, lost.reason) == ("held", 1, "its worker vanished")
        assert_sound(engine, [run])


def test_a_worker_that_was_taken_for_dead_writes_nothing(tmp_path: Path) -> None:
    address, go = address_in(tmp_path), tmp_path / "go"
    with program.opened(address, "rescuer") as engine:
        run = engine.start("story", ACME, input={"go": str(go)})
        with program.running("hold", address) as process:
            held_by(process, engine, run.id)
            process.send_signal(signal.SIGSTOP)

            def rescue(_worker: Worker) -> None:
                wait_for(lambda: engine.get(run.id).finished, "the takeover")

            serve(engine, rescue)
            before = kinds(engine, run)
            go.touch()
            process.send_signal(signal.SIGCONT)
            out, _ = process.communicate(timeout=60)  # closes its standard input, which ends it
        assert (process.returncode, out.strip()) == (0, "stopped")
        assert kinds(engine, run) == before
        assert program.completions(engine) == {"acme/first": 1, "acme/held": 1, "acme/last": 1}
        assert_sound(engine, [run])


def test_a_phase_that_kills_its_worker_does_not_do_so_for_ever(tmp_path: Path) -> None:
    address, deaths = address_in(tmp_path), 0
    with program.opened(address) as engine:
        run = engine.start("deadly", ACME)
        while not engine.get(run.id).finished:
            with program.running("drain", address) as process:
                deaths += process.wait(60) == -signal.SIGKILL
            wait_for(
                lambda: (engine.next_due() or engine.store.now()) <= engine.store.now(),
                "the dead worker's lease to pass",
            )
            assert deaths < 10
        failed = engine.get(run.id)
        assert (failed.status, failed.at("dies").losses) == (RunStatus.FAILED, 3)
        assert 3 <= deaths <= 4  # the first may come before its start is on record
        assert_sound(engine, [run])


# --- defects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["next_append", "find_ready", "queue_changed"])
def test_a_defect_of_the_runtime_ends_a_drain_with_its_error(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    phases = flow(Phase("a", Scripted(1, 1, 1)), Phase("b", Scripted(1, 1, 1), needs=("a",)))
    with temporary_engine(phases) as engine:
        run = engine.start("story", ACME)
        with monkeypatch.context() as patch:
            patch.setattr(Held, method, broken)
            with pytest.raises(ZeroDivisionError, match="a defect"):
                engine.drain()
        engine.drain()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert_sound(engine, [run])


def test_a_defect_of_the_runtime_ends_a_service_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Held, "next_append", broken)
    with temporary_engine(one(Scripted(1))) as engine:
        engine.start("story", ACME)
        with pytest.raises(ZeroDivisionError, match="a defect"):
            serve(engine, lambda worker: wait_for(lambda: worker.ended, "the worker to give up"))
        with pytest.raises(ZeroDivisionError, match="a defect"):
            engine.work()
