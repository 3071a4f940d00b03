"""Attempts: retries, losses, snoozes, questions, pausing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.core import facts as f
from phasegate.core.flow import Retry
from phasegate.core.planner import advance, next_due
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.errors import NotAllowed, Stale
from tests.core.story import at, command, do, fail, gate, kinds, lose, state, status, step, tell
from tests.core.strategies import START, begun


def test_a_failed_attempt_is_repeated_after_its_delay() -> None:
    run = tell(step("a", retry=Retry(attempts=3, base=10.0, factor=2.0, jitter=False)))
    fail(run, "a")
    assert status(run, "a") is PhaseStatus.WAITING
    assert state(run) is RunStatus.WAITING
    assert at(run, "a").due_at == next_due(run.flow, run.run, run.now) == START + timedelta(seconds=10)
    run.wait(9)
    assert run.steps[-1].facts == ()
    run.wait(1)
    assert status(run, "a") is PhaseStatus.READY
    fail(run, "a")
    assert at(run, "a").due_at == run.now + timedelta(seconds=20)
    run.wait(20)
    do(run, "a")
    assert state(run) is RunStatus.SUCCEEDED
    assert at(run, "a").attempt == 3


def test_attempts_count_the_first_one() -> None:
    run = tell(step("a", retry=Retry(attempts=2, base=1.0)))
    fail(run, "a")
    run.wait(1)
    fail(run, "a", message="again")
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "a: ValueError: again"


def test_a_fatal_failure_is_not_repeated() -> None:
    run = tell(step("a", retry=Retry(attempts=5)))
    fail(run, "a", fatal=True)
    assert state(run) is RunStatus.FAILED


@given(st.integers(1, 200), st.floats(0, 100), st.floats(1, 10), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_delay_lies_between_nothing_and_its_bound(
    failures: int, base: float, factor: float, cap: float, chance: float
) -> None:
    longest = Retry(base=base, factor=factor, cap=cap, jitter=False).delay(failures, chance)
    assert 0 <= Retry(base=base, factor=factor, cap=cap).delay(failures, chance) <= longest <= cap


def test_jitter_differs_between_runs_and_attempts_but_not_between_replays() -> None:
    flow = tell(step("a", retry=Retry(attempts=9, base=1000.0, factor=1.0))).flow
    due: list[tuple[float, ...]] = []
    for run_id in ("run-1", "run-2", "run-1"):
        history = begun(flow, run_id=run_id)
        delays = []
        for _ in range(3):
            fail(history, "a")
            due_at = at(history, "a").due_at
            assert due_at is not None
            delays.append((due_at - history.now).total_seconds())
            history.wait(1000)
        due.append(tuple(delays))
    assert due[0] == due[2] != due[1]
    assert len({*due[0], *due[1]}) == 6
    assert all(0 <= delay < 1000 for delays in due for delay in delays)


def test_a_lost_attempt_is_repeated_at_once_and_is_no_failure() -> None:
    run = tell(step("a"))
    lose(run, "a")
    assert status(run, "a") is PhaseStatus.READY
    assert (at(run, "a").failures, at(run, "a").losses) == (0, 1)
    do(run, "a")
    assert at(run, "a").attempt == 2


def test_a_phase_that_keeps_killing_its_worker_fails() -> None:
    run = tell(step("a", retry=Retry(losses=2)))
    for _ in range(3):
        lose(run, "a")
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "a: the worker vanished"


def test_a_late_answer_is_stale() -> None:
    run = tell(step("a"), step("b"))
    lose(run, "a")
    with pytest.raises(Stale, match=r"attempt\.succeeded of attempt 1: 'a' is ready, attempt 1"):
        run.record(f.AttemptSucceeded(run.now, "a", (), 1))
    run.start(at(run, "a"))
    with pytest.raises(Stale, match="'a' is running, attempt 2"):
        run.record(f.AttemptSucceeded(run.now, "a", (), 1))


def test_a_snooze_is_no_failure() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    until = run.now + timedelta(hours=1)
    run.record(f.AttemptSnoozed(run.now, "a", (), 1, until, "the file is not there yet"))
    assert (status(run, "a"), at(run, "a").due_at) == (PhaseStatus.WAITING, until)
    run.wait(3600)
    do(run, "a")
    assert (at(run, "a").failures, at(run, "a").attempt) == (0, 2)


def test_retry_wakes_what_waits() -> None:
    run = tell(step("a", retry=Retry(attempts=2, base=1000.0)))
    fail(run, "a")
    command(run, "retry")
    assert status(run, "a") is PhaseStatus.READY
    assert at(run, "a").failures == 1


def test_an_attempt_handed_back_is_ready_again() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptStopped(run.now, "a", (), 1, "the worker stops"))
    assert (status(run, "a"), at(run, "a").failures) == (PhaseStatus.READY, 0)


def test_a_phase_may_say_that_there_is_nothing_to_do() -> None:
    run = tell(step("a"), step("b", "a"))
    run.start(at(run, "a"))
    run.record(f.AttemptSkipped(run.now, "a", (), 1, "no news"))
    assert (status(run, "a"), at(run, "a").outcome, at(run, "a").reason) == (PhaseStatus.SKIPPED, "skipped", "no news")
    assert status(run, "b") is PhaseStatus.READY


def test_questions_park_the_phase_and_their_answers_wake_it() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptAsked(run.now, "a", (), 1, [{"name": "colour"}]))
    assert at(run, "a").asked
    assert state(run) is RunStatus.WAITING
    command(run, "answer", ("a", ()), {"colour": "blue"}, by="ann")
    assert state(run) is RunStatus.RUNNING
    assert at(run, "a").answers == {"colour": "blue"}
    assert (at(run, "a").asked, at(run, "a").questions) == (False, [{"name": "colour"}])  # what the answers belong to
    with pytest.raises(NotAllowed, match="phase 'a' has asked nothing"):
        command(run, "answer", ("a", ()), {})
    do(run, "a")
    assert state(run) is RunStatus.SUCCEEDED


def test_an_ended_run_takes_no_answers() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptAsked(run.now, "a", (), 1, ["why?"]))
    command(run, "cancel")
    with pytest.raises(NotAllowed, match="run run-1 is cancelled"):
        command(run, "answer", ("a", ()), {})


def test_answers_to_an_earlier_attempt_are_stale() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptAsked(run.now, "a", (), 1, ["why?"]))
    with pytest.raises(Stale, match="is not waiting for these answers"):
        run.record(f.QuestionsAnswered(run.now, "a", (), 0, "ann", {}))


def test_pausing_stops_what_runs_and_resuming_goes_on() -> None:
    run = tell(step("a"), step("b"))
    run.start(at(run, "a"))
    command(run, "pause", by="ann", reason="holiday")
    assert (state(run), run.run.reason) == (RunStatus.PAUSED, "holiday")
    assert status(run, "a") is PhaseStatus.READY
    assert next_due(run.flow, run.run, run.now) is None
    with pytest.raises(Stale):
        run.record(f.AttemptSucceeded(run.now, "a", (), 1))
    command(run, "resume", by="ann")
    assert (state(run), run.run.reason) == (RunStatus.RUNNING, None)
    do(run, "a")
    do(run, "b")
    assert state(run) is RunStatus.SUCCEEDED


def test_nothing_wakes_while_paused() -> None:
    run = tell(step("a", retry=Retry(attempts=2, base=10.0)), gate("g", deadline=10.0))
    fail(run, "a")
    command(run, "pause")
    run.wait(1000)
    assert run.steps[-1].facts == ()
    command(run, "resume")
    assert status(run, "a") is PhaseStatus.READY
    assert status(run, "g") is PhaseStatus.FAILED


def test_a_failure_recorded_together_with_a_pause_is_still_repeated() -> None:
    run = tell(step("a", retry=Retry(attempts=2, base=10.0)))
    run.start(at(run, "a"))
    run.record(f.AttemptFailed(run.now, "a", (), 1, "ValueError", "boom"), f.RunPaused(run.now, "ann"))
    assert kinds(run)[-3:] == ["attempt.failed", "run.paused", "retry.scheduled"]
    command(run, "resume")
    run.wait(10)
    assert status(run, "a") is PhaseStatus.READY


def test_only_what_can_be_paused_is_paused() -> None:
    run = tell(step("a"))
    command(run, "pause")
    with pytest.raises(NotAllowed, match="run run-1 is paused and cannot be paused"):
        command(run, "pause")
    command(run, "resume")
    with pytest.raises(NotAllowed, match="run run-1 is running, not paused"):
        command(run, "resume")
    do(run, "a")
    with pytest.raises(NotAllowed, match="run run-1 is succeeded and cannot be paused"):
        command(run, "pause")


def test_a_refused_fact_changes_nothing() -> None:
    run = tell(step("a"))
    before = run.run
    with pytest.raises(Stale):
        advance(run.flow, before, run.now, f.AttemptStarted(run.now, "a", (), 1), f.AttemptStarted(run.now, "a", (), 1))
    assert run.run == before
    assert run.run.phases == before.phases
