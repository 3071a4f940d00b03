"""Requests that the database has fulfilled, and whose answer never came: the connection was gone by then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, Limits, Registry, RunStatus, StoreUnavailable
from phasegate.runtime.worker import Worker
from phasegate.testing import Scripted
from tests.engines import address_in
from tests.runtime.flows import ACME, assert_sound, metadata, one, serve, subjects
from tests.waiting import wait_for

#: Long enough that nothing here ends because a lease has passed.
LIMITS = Limits(lease=3600, poll=0.02)


class Deaf:
    """A verb of a store whose answer is not heard the next time that ``matters`` says so."""

    def __init__(self, verb: Callable[..., Any], matters: Callable[[Any], bool]) -> None:
        self._verb, self._matters = verb, matters
        self.missed = 0

    def __call__(self, *arguments: Any) -> Any:
        answer = self._verb(*arguments)
        if not self.missed and self._matters(answer):
            self.missed += 1
            raise StoreUnavailable("the answer was lost")
        return answer


def test_runs_whose_lease_a_worker_has_not_heard_of_do_not_wait_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = address_in(tmp_path)
    with (
        Engine(address, Registry(one(Scripted(1))), limits=LIMITS) as engine,
        Engine(address, Registry(one(Scripted(1)))) as other,
    ):
        engine.create_tables(metadata)
        claim = Deaf(engine.store.claim, lambda claimed: bool(claimed.runs))
        monkeypatch.setattr(engine.store, "claim", claim)

        def body(_worker: Worker) -> None:
            run = other.start("story", ACME)
            wait_for(lambda: other.get(run.id).status is RunStatus.SUCCEEDED, "the end of the run")

        serve(engine, body)
        assert claim.missed == 1
        assert_sound(engine, engine.find())


def test_runs_that_were_started_for_a_worker_though_nobody_was_told_are_done_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(address_in(tmp_path), Registry(one(Scripted(1))), limits=LIMITS) as engine:
        engine.create_tables(metadata)

        def body(worker: Worker) -> None:
            wait_for(worker.room, "the worker to be ready")
            append = Deaf(engine.store.append, lambda _answers: True)
            monkeypatch.setattr(engine.store, "append", append)
            with pytest.raises(StoreUnavailable):
                engine.start_many("story", subjects(3))
            wait_for(lambda: [run.status for run in engine.find()] == 3 * [RunStatus.SUCCEEDED], "the end of the runs")
            assert append.missed == 1

        serve(engine, body)
        assert_sound(engine, engine.find())


def test_what_was_committed_without_a_word_is_found_within_a_third_of_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = address_in(tmp_path)
    registry = Registry(one(Scripted(1)))
    with Engine(address, registry, limits=Limits(lease=1, poll=0.02)) as engine, Engine(address, registry) as other:
        engine.create_tables(metadata)
        asked: list[int] = []
        # There is never any news, as when whoever commits dies before it rings the bell.
        monkeypatch.setattr(engine.store, "news", lambda: asked.append(1))

        def body(_worker: Worker) -> None:
            wait_for(lambda: len(asked) > 10, "the worker to be idle")
            run = other.start("story", ACME)
            wait_for(lambda: other.get(run.id).status is RunStatus.SUCCEEDED, "the end of the run")

        serve(engine, body)
        assert_sound(engine, engine.find())
