"""Moments in which memory, database and what is under way disagree, made to come about."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phasegate import Context, Engine, Outcome, Phase, Registry, Run, RunStatus
from phasegate.runtime import starting
from tests.engines import address_in, temporary_engine
from tests.runtime.flows import ACME, assert_sound, flow, kinds, metadata, one
from tests.runtime.test_interrupting import Held, draining
from tests.waiting import wait_for


@pytest.fixture
def _starts_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the first moments of an attempt."""
    monkeypatch.setattr(starting, "START_DELAY", 600)


@pytest.mark.usefixtures("_starts_are_not_recorded")
def test_the_answer_of_an_attempt_from_before_a_reset_is_not_taken_for_one_from_after() -> None:
    held = Held()
    answers = iter(["before", "after"])

    def work(ctx: Context) -> str:
        answer = next(answers)
        held(ctx)
        return answer

    with temporary_engine(one(work)) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            assert held.begun.wait(20)
            engine.reset(run.id, "work")
            wait_for(lambda: engine.get(run.id).finished, "the second attempt")
            held.go_on.set()
        assert engine.outputs(run.id) == {"work": "after"}
        assert_sound(engine, [run])


@pytest.mark.usefixtures("_starts_are_not_recorded")
def test_a_state_that_is_out_of_date_when_it_has_been_read_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Held(), Held()
    read, hand_over = threading.Event(), threading.Event()
    phases = flow(Phase("first", first), Phase("second", second, needs=("first",)))
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        load = engine.store.load

        def slowly(run_ids: Sequence[str]) -> list[Run]:
            found = load(run_ids)
            if threading.current_thread().name.startswith("phasegate-read"):
                read.set()
                assert hand_over.wait(20)
            return found

        with draining(engine):
            assert first.begun.wait(20)
            monkeypatch.setattr(engine.store, "load", slowly)
            engine._wake(run.id)
            assert read.wait(20)
            first.go_on.set()
            assert second.begun.wait(20)
            hand_over.set()
            second.go_on.set()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert (len(first.cancelled), len(second.cancelled)) == (1, 1)
        assert_sound(engine, [run])


def test_what_was_reset_starts_anew_without_waiting_for_the_attempt_that_was_given_up() -> None:
    slow = Held()

    def check(ctx: Context) -> Any:
        if ctx.attempt == 1:
            assert slow.begun.wait(20)
            return Outcome("again")
        return "fine"

    phases = flow(
        Phase("draft", lambda ctx: ctx.attempt),
        Phase("check", check, needs=("draft",), redo={"again": "draft"}),
        Phase("slow", slow, needs=("draft",)),
    )
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        with draining(engine):
            wait_for(
                lambda: engine.get(run.id).finished,
                "the end of the run, with the first attempt still under way",
                within=10,
            )
            slow.go_on.set()
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert_sound(engine, [run])


def test_a_run_that_another_engine_paused_does_not_keep_the_worker_busy(tmp_path: Path) -> None:
    held = Held()
    address = address_in(tmp_path)
    with Engine(address, Registry(one(held))) as working, Engine(address, Registry(one(held))) as other:
        working.create_tables(metadata)
        run = working.start("story", ACME)
        with draining(working):
            assert held.begun.wait(20)
            other.pause(run.id)
            held.go_on.set()  # at once: the worker learns of the pause by the conflict
        assert working.get(run.id).status is RunStatus.PAUSED
        assert "attempt.succeeded" not in kinds(working, run)
        assert [worker.holds for worker in working.workers()] == [0]
        assert_sound(working, [run])
