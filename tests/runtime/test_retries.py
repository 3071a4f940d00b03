"""Retries: how often, when, and of what."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from phasegate import Fatal, PhaseStatus, Retry, RunStatus
from phasegate.core import facts as f
from phasegate.testing import FakeClock, Scripted, drain
from tests.engines import temporary_engine
from tests.runtime.flows import facts, finished, kinds, one, subjects


def failures(count: int, error: Any = ValueError) -> list[Any]:
    return [error("boom") for _ in range(count)]


def test_a_failed_phase_is_tried_again_until_it_succeeds() -> None:
    clock, script = FakeClock(), Scripted(*failures(2), "at last")
    with temporary_engine(one(script, retry=Retry(attempts=3)), clock=clock) as engine:
        run = engine.start("story", subjects(1)[0])
        drain(engine, clock=clock)
        assert engine.outputs(run.id) == {"work": "at last"}
        assert [each.attempt for each in script.calls] == [1, 2, 3]
        assert kinds(engine, run).count("retry.scheduled") == 2


def test_after_the_last_attempt_the_run_fails_with_the_last_reason() -> None:
    clock, script = FakeClock(), Scripted(ValueError("first"), ValueError("second"))
    with temporary_engine(one(script, retry=Retry(attempts=2)), clock=clock) as engine:
        run = engine.start("story", subjects(1)[0])
        drain(engine, clock=clock)
        failed = engine.get(run.id)
        assert (failed.status, failed.reason) == (RunStatus.FAILED, "work: ValueError: second")
        assert (failed.at("work").failures, failed.at("work").attempt) == (2, 2)


def test_without_jitter_the_delays_grow_by_the_factor_up_to_the_cap() -> None:
    clock = FakeClock()
    retry = Retry(attempts=6, base=10, factor=3, cap=100, jitter=False)
    with temporary_engine(one(Scripted(*failures(5), "ok"), retry=retry), clock=clock) as engine:
        run = engine.start("story", subjects(1)[0])
        drain(engine, clock=clock)
        starts = [fact.at for fact in facts(engine, run) if isinstance(fact, f.AttemptStarted)]
        waits = [(after - before).total_seconds() for before, after in itertools.pairwise(starts)]
        assert waits == [10, 30, 90, 100, 100]


def test_jitter_spreads_the_delays_over_the_whole_range_and_is_the_same_for_the_same_run() -> None:
    clock = FakeClock()
    with temporary_engine(one(Scripted(*failures(1), "ok"), retry=Retry(attempts=2, base=100)), clock=clock) as engine:
        runs = engine.start_many("story", subjects(60))
        engine.drain()
        delays = [(engine.get(run.id).at("work").due_at or clock()) - clock() for run in runs]
        assert all(timedelta(0) <= delay < timedelta(seconds=100) for delay in delays)
        assert len(set(delays)) == 60
        assert min(delays) < timedelta(seconds=20)
        assert max(delays) > timedelta(seconds=80)


def test_what_is_due_later_is_not_tried_sooner() -> None:
    clock, script = FakeClock(), Scripted(*failures(1), "ok")
    with temporary_engine(one(script, retry=Retry(attempts=2, base=60, jitter=False)), clock=clock) as engine:
        run = finished(engine)
        assert (run.status, run.at("work").status) == (RunStatus.WAITING, PhaseStatus.WAITING)
        assert engine.next_due() == clock() + timedelta(seconds=60)
        clock.advance(59)
        engine.drain()
        assert len(script.calls) == 1
        clock.advance(1)
        engine.drain()
        assert len(script.calls) == 2


@pytest.mark.parametrize(
    ("error", "policy"),
    [
        (Fatal, {}),
        (KeyError, {"fatal_on": (LookupError,)}),
        (ValueError, {"retry_on": (OSError,)}),
    ],
)
def test_some_errors_are_not_worth_another_attempt(error: type[Exception], policy: Any) -> None:
    script = Scripted(error("no"), "never")
    with temporary_engine(one(script, retry=Retry(attempts=5, base=0, **policy))) as engine:
        assert finished(engine).status is RunStatus.FAILED
        assert len(script.calls) == 1


def test_a_person_may_retry_at_once() -> None:
    clock, script = FakeClock(), Scripted(*failures(3), "ok")
    with temporary_engine(one(script, retry=Retry(attempts=2, base=60)), clock=clock) as engine:
        run = finished(engine)
        engine.retry(run.id, by="ann")  # what waits for its time
        engine.drain()
        assert engine.get(run.id).status is RunStatus.FAILED
        engine.retry(run.id, by="ann")  # what failed
        engine.drain()
        drain(engine, clock=clock)
        assert engine.outputs(run.id) == {"work": "ok"}
        assert engine.get(run.id).at("work").attempt == 4
