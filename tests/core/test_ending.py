"""Cancelling, failing, undoing, and going on after that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phasegate.core import facts as f
from phasegate.core.flow import Retry
from phasegate.core.planner import next_due
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.errors import NotAllowed, Stale, UnknownName
from tests.core.story import at, command, decide, do, fail, gate, kinds, lose, names, state, status, step, tell
from tests.core.strategies import History, finish, work


def test_cancelling_with_nothing_to_undo_is_over_at_once() -> None:
    run = tell(step("a"), step("b", "a"))
    run.start(at(run, "a"))
    command(run, "cancel", by="ann", reason="no longer wanted")
    assert (state(run), run.run.reason) == (RunStatus.CANCELLED, "no longer wanted")
    assert kinds(run)[-3:] == ["run.ending", "phase.reset", "run.cancelled"]
    with pytest.raises(Stale):
        run.record(f.AttemptSucceeded(run.now, "a", (), 1))


def test_nothing_leaves_cancelled() -> None:
    run = tell(step("a"), gate("g"))
    command(run, "cancel")
    for name, arguments in (("cancel", ()), ("pause", ()), ("resume", ()), ("retry", ()), ("aim", (["a"],))):
        with pytest.raises(NotAllowed):
            command(run, name, *arguments)
    for name in ("skip", "reset"):
        with pytest.raises(NotAllowed):
            command(run, name, ("a", ()))
    assert state(run) is RunStatus.CANCELLED


def booked() -> History:
    """A run that has done two things that can be undone, and one that cannot."""
    run = tell(
        step("flight", compensate=work, retry=Retry(attempts=2, base=10.0, jitter=False)),
        step("hotel", "flight", compensate=work), step("mail", "hotel"), step("car", "mail", compensate=work),
    )  # fmt: skip
    for name in ("flight", "hotel", "mail"):
        do(run, name)
    return run


def test_what_was_done_is_undone_in_reverse_order() -> None:
    run = booked()
    command(run, "cancel")
    assert (state(run), run.run.ending) == (RunStatus.RUNNING, RunStatus.CANCELLED)
    assert names(run, "phase.readied")[-1] == "undo:hotel"
    assert status(run, "undo:flight") is PhaseStatus.PENDING
    do(run, "undo:hotel")
    assert status(run, "undo:flight") is PhaseStatus.READY
    do(run, "undo:flight")
    assert state(run) is RunStatus.CANCELLED
    assert "undo:mail" not in run.flow.by_name
    assert status(run, "undo:car") is PhaseStatus.PENDING


def test_a_failed_run_undoes_too() -> None:
    run = booked()
    fail(run, "car")
    assert (run.run.ending, run.run.reason) == (RunStatus.FAILED, "car: ValueError: boom")
    do(run, "undo:hotel")
    do(run, "undo:flight")
    assert (state(run), run.run.reason) == (RunStatus.FAILED, "car: ValueError: boom")


def test_all_items_of_a_phase_are_undone_before_what_came_earlier() -> None:
    run = tell(step("list", compensate=work), step("book", each="list", compensate=work), gate("go", "book"))
    do(run, "list", items=("x", "y"))
    do(run, "book", "x")
    do(run, "book", "y")
    command(run, "cancel")
    assert names(run, "phase.readied")[-2:] == ["undo:book/x", "undo:book/y"]
    do(run, "undo:book", "y")
    assert status(run, "undo:list") is PhaseStatus.PENDING
    do(run, "undo:book", "x")
    assert status(run, "undo:list") is PhaseStatus.READY


def test_an_undoing_is_retried_by_the_policy_of_its_phase() -> None:
    run = booked()
    command(run, "cancel")
    do(run, "undo:hotel")
    fail(run, "undo:flight")
    assert status(run, "undo:flight") is PhaseStatus.WAITING
    assert next_due(run.flow, run.run, run.now) == run.now + timedelta(seconds=10)
    run.wait(10)
    lose(run, "undo:flight")
    do(run, "undo:flight")
    assert state(run) is RunStatus.CANCELLED


def test_an_undoing_that_fails_makes_the_run_failed_and_stops_there() -> None:
    run = booked()
    command(run, "cancel", reason="changed our mind")
    fail(run, "undo:hotel")
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "changed our mind; undoing hotel failed"
    assert status(run, "undo:flight") is PhaseStatus.PENDING


def test_a_person_can_skip_an_undoing() -> None:
    run = booked()
    command(run, "cancel")
    do(run, "undo:hotel")
    fail(run, "undo:flight")
    command(run, "skip", ("undo:flight", ()), by="ann")
    assert state(run) is RunStatus.CANCELLED


def test_a_deadline_of_a_gate_means_nothing_to_a_run_that_is_ending() -> None:
    run = tell(step("a", compensate=work), gate("g", "a", deadline=10.0, default="approved"))
    do(run, "a")
    command(run, "cancel")
    run.start(at(run, "undo:a"))
    run.record(f.AttemptAsked(run.now, "undo:a", (), 1, ["really?"]))
    assert next_due(run.flow, run.run, run.now) is None
    run.wait(10)
    assert run.steps[-1].facts == ()
    command(run, "answer", ("undo:a", ()), "yes")
    do(run, "undo:a")
    assert state(run) is RunStatus.CANCELLED


def test_a_run_that_is_ending_takes_no_other_commands() -> None:
    run = tell(step("a", compensate=work), step("b"), gate("g"))
    do(run, "a")
    command(run, "cancel")
    for name, arguments in (
        ("aim", (["b"],)), ("retry", ()), ("pause", ()), ("cancel", ()), ("skip", (("b", ()),)), ("reset", (("a", ()),)),
    ):  # fmt: skip
        with pytest.raises(NotAllowed, match="being cancelled already" if name == "cancel" else "is ending"):
            command(run, name, *arguments)
    with pytest.raises(NotAllowed, match="is ending as cancelled"):
        decide(run, "g")


def test_a_failing_run_can_still_be_cancelled() -> None:
    run = booked()
    fail(run, "car")
    command(run, "cancel", reason="forget it")
    do(run, "undo:hotel")
    do(run, "undo:flight")
    assert (state(run), run.run.reason) == (RunStatus.CANCELLED, "forget it")


def undone() -> History:
    """A run that failed and undid everything."""
    run = booked()
    fail(run, "car")
    do(run, "undo:hotel")
    do(run, "undo:flight")
    return run


def test_a_retry_does_again_what_was_undone() -> None:
    run = undone()
    command(run, "retry", by="ann")
    assert state(run) is RunStatus.RUNNING
    assert status(run, "flight") is PhaseStatus.READY
    assert [status(run, name) for name in ("hotel", "mail", "car", "undo:flight", "undo:hotel")] == [
        PhaseStatus.PENDING
    ] * 5
    finish(run)
    assert state(run) is RunStatus.SUCCEEDED
    assert at(run, "flight").attempt == 2


def test_what_was_done_again_is_undone_again() -> None:
    run = undone()
    command(run, "retry")
    for name in ("flight", "hotel", "mail"):
        do(run, name)
    fail(run, "car")
    do(run, "undo:hotel")
    do(run, "undo:flight")
    assert state(run) is RunStatus.FAILED
    assert at(run, "undo:flight").attempt == 2


@pytest.mark.parametrize(("name", "argument"), [("skip", ("car", ())), ("reset", ("mail", ()))])
def test_however_a_failed_run_goes_on_it_does_again_what_was_undone(name: str, argument: object) -> None:
    run = undone()
    command(run, name, argument)
    assert status(run, "flight") is PhaseStatus.READY
    finish(run)
    assert state(run) is RunStatus.SUCCEEDED
    assert at(run, "flight").attempt == 2
    assert (status(run, "car") is PhaseStatus.SKIPPED) == (name == "skip")


def test_only_what_failed_is_retried() -> None:
    run = tell(step("a"), step("b"), step("c", "b"))
    do(run, "a")
    fail(run, "b")
    command(run, "retry")
    assert (status(run, "a"), status(run, "b")) == (PhaseStatus.SUCCEEDED, PhaseStatus.READY)


def test_one_phase_is_retried_by_its_label() -> None:
    run = tell(step("a", label="1.1"), step("b"))
    fail(run, "a")
    fail(run, "b")
    command(run, "retry", phase="1.1")
    assert (status(run, "a"), status(run, "b")) == (PhaseStatus.READY, PhaseStatus.FAILED)


def test_a_retry_does_not_start_what_waits_behind_it() -> None:
    retry = Retry(attempts=3, base=100.0)
    run = tell(step("a"), step("b", "a", when={"a": "failed"}, retry=retry))
    fail(run, "a")
    fail(run, "b")
    assert status(run, "b") is PhaseStatus.WAITING
    command(run, "retry")
    assert (status(run, "a"), status(run, "b")) == (PhaseStatus.READY, PhaseStatus.PENDING)


def test_there_must_be_something_to_retry() -> None:
    run = tell(step("a"), step("b"))
    with pytest.raises(NotAllowed, match="run run-1 has no failed phase to retry called 'a'"):
        command(run, "retry", phase="a")
    with pytest.raises(UnknownName, match="unknown phase 'undo:a'"):
        command(run, "retry", phase="undo:a")


def test_a_reset_does_everything_below_again() -> None:
    run = tell(step("a"), step("b", "a"), step("c"))
    for name in ("a", "b", "c"):
        do(run, name)
    assert state(run) is RunStatus.SUCCEEDED
    command(run, "reset", ("a", ()), by="ann", reason="new data")
    assert [status(run, name).value for name in "abc"] == ["ready", "pending", "succeeded"]
    assert at(run, "b").reason == "new data"
    finish(run)
    assert (at(run, "b").attempt, at(run, "b").version) == (2, 2)


def test_what_has_not_begun_cannot_be_reset() -> None:
    run = tell(step("a"), step("b", "a"))
    with pytest.raises(NotAllowed, match="phase 'b' has not begun"):
        command(run, "reset", ("b", ()))
    with pytest.raises(UnknownName, match="unknown phase 'undo:a'"):
        command(run, "reset", ("undo:a", ()))


def test_commands_know_labels() -> None:
    run = tell(step("a", label="1"), step("b", "a", label="2"))
    command(run, "skip", ("1", ()))
    assert set(run.run.phases) == {("a", ()), ("b", ())}
    command(run, "reset", ("1", ()))
    assert status(run, "a") is PhaseStatus.READY


def test_what_runs_or_is_done_cannot_be_skipped() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    with pytest.raises(NotAllowed, match="phase 'a' is running and cannot be skipped") as caught:
        command(run, "skip", ("a", ()))
    assert caught.value.hint == "pause the run first"
    command(run, "pause")
    command(run, "skip", ("a", ()))
    command(run, "resume")
    assert state(run) is RunStatus.SUCCEEDED


def test_an_item_can_be_skipped_once_it_is_known() -> None:
    run = tell(step("list"), step("build", each="list"), step("ship", "build"))
    with pytest.raises(NotAllowed, match="the items that phase 'build' repeats over are not known yet"):
        command(run, "skip", ("build", ("x",)))
    do(run, "list", items=("x", "y"))
    with pytest.raises(UnknownName, match="unknown item of 'list', 'z'"):
        command(run, "skip", ("build", ("z",)))
    with pytest.raises(UnknownName, match="unknown item, for phase 'list' has none: 'x'"):
        command(run, "skip", ("list", ("x",)))
    command(run, "skip", ("build", ("x",)))
    do(run, "build", "y")
    assert status(run, "ship") is PhaseStatus.READY


def test_only_a_run_that_is_ending_undoes_something_to_be_skipped() -> None:
    run = tell(step("a", compensate=work), step("b"))
    with pytest.raises(NotAllowed, match="run run-1 is undoing nothing"):
        command(run, "skip", ("undo:a", ()))
