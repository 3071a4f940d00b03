"""Why a run is not moving, in sentences."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings

from phasegate.core import facts as f
from phasegate.core.explain import Reason, why
from phasegate.core.flow import Retry
from phasegate.core.run import PhaseStatus, RunStatus
from tests.core.story import at, command, decide, do, fail, gate, state, step, tell
from tests.core.strategies import START, History, histories, work


def reasons(history: History) -> list[Reason]:
    return list(why(history.flow, history.run, history.now))


def told(history: History) -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in reasons(history)]


def test_ready_and_what_needs_it() -> None:
    run = tell(step("a", label="1.1"), step("b", "a"))
    assert told(run) == [
        ("ready", "Phase 'a' (1.1) is ready; no worker has taken it yet."),
        ("needs", "Phase 'b' waits for 'a'."),
    ]
    assert reasons(run)[0] == Reason(
        "ready", "a", (), "Phase 'a' (1.1) is ready; no worker has taken it yet.", since=START,
        hint="start a worker if none is running",
    )  # fmt: skip


def test_running() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    assert told(run) == [("running", "Phase 'a' is running: attempt 1, since 2030-01-01T00:00:00+00:00.")]


def test_a_retry_that_is_due_later() -> None:
    run = tell(step("a", retry=Retry(attempts=2, base=60.0, jitter=False)))
    fail(run, "a")
    (reason,) = reasons(run)
    assert (reason.code, reason.since, reason.due_at) == ("retry_due", START, START + timedelta(seconds=60))
    assert reason.text == ("Phase 'a' is tried again at 2030-01-01T00:01:00+00:00 after attempt 1 (ValueError: boom).")
    assert reason.hint == "retry the run to try at once"


def test_a_snooze() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptSnoozed(run.now, "a", (), 1, START + timedelta(hours=1), "no file yet"))
    assert told(run) == [("snoozed", "Phase 'a' asked to be run again at 2030-01-01T01:00:00+00:00 (no file yet).")]
    run.now += timedelta(hours=2)
    assert told(run) == [("snoozed", "Phase 'a' asked to be run again as soon as a worker comes (no file yet).")]


def test_an_open_gate_says_who_may_decide_on_what() -> None:
    run = tell(
        step("draft"), gate("accept", shows=("draft",), users=("ann",), roles=("chair",), quorum=2, deadline=60.0)
    )
    do(run, "draft")
    decide(run, "accept", by="ann")
    (reason,) = reasons(run)
    shown = at(run, "accept").shown
    assert reason.code == "gate_open"
    assert reason.text == (
        f"Gate 'accept' waits for ann or somebody in the role chair to decide on 'draft' (sha256 {shown}); "
        "1 of 2 answers are in; it fails at 2030-01-01T00:01:00+00:00 if nobody decides."
    )
    assert reason.due_at == START + timedelta(seconds=60)
    assert reason.hint == f"decide: approved or rejected, seen={shown}"


def test_a_gate_for_anybody_with_a_default() -> None:
    run = tell(gate("accept", deadline=60.0, default="approved"))
    assert told(run)[0][1] == (
        "Gate 'accept' waits for somebody to decide; it takes 'approved' at 2030-01-01T00:01:00+00:00 if nobody decides."
    )


def test_questions() -> None:
    run = tell(step("a"))
    run.start(at(run, "a"))
    run.record(f.AttemptAsked(run.now, "a", (), 1, ["why?"]))
    assert told(run) == [("asked", "Phase 'a' asked questions that nobody has answered.")]


def test_what_blocks_comes_before_what_waits_behind_it() -> None:
    run = tell(step("c", "b"), step("b", "a", "g"), step("a"), gate("g"))
    assert [(reason.code, reason.phase) for reason in reasons(run)] == [
        ("ready", "a"), ("gate_open", "g"), ("needs", "b"), ("needs", "c"),
    ]  # fmt: skip
    assert told(run)[2][1] == "Phase 'b' waits for 'a' and 'g'."


def test_a_failure_while_others_go_on() -> None:
    run = tell(step("a"), step("b"), step("c", "a"), gate("g", "b"))
    fail(run, "a", message="no such company")
    assert told(run) == [
        ("failed", "Phase 'a' failed at attempt 1: ValueError: no such company."),
        ("ready", "Phase 'b' is ready; no worker has taken it yet."),
        ("needs", "Phase 'c' waits for 'a'."),
        ("needs", "Gate 'g' waits for 'b'."),
    ]


def test_a_failure_that_is_taken_up_is_not_in_the_way() -> None:
    run = tell(step("a"), step("b", "a", when={"a": "failed"}))
    fail(run, "a")
    assert told(run) == [("ready", "Phase 'b' is ready; no worker has taken it yet.")]


def teams(items: int) -> History:
    run = tell(
        step("list"), step("build", each="list"), step("test", "build", each="list"), step("ship", "build", "test")
    )
    do(run, "list", items=tuple(f"{number:05}" for number in range(items)))
    return run


def test_items_are_counted_not_listed() -> None:
    run = teams(10)
    for item in ("00001", "00004", "00007"):
        do(run, "build", item)
    run.start(at(run, "build", "00000"))
    assert told(run) == [
        ("running", "Phase 'build', for 1 of 10 items, is running: attempt 1, since 2030-01-01T00:00:00+00:00."),
        ("ready", "Phase 'build', for 6 of 10 items, is ready; no worker has taken it yet."),
        ("ready", "Phase 'test', for 3 of 10 items, is ready; no worker has taken it yet."),
        ("needs", "Phase 'test', for 7 of 10 items, waits for 'build'."),
        ("needs", "Phase 'ship' waits for 'build' (3 of 10 items) and 'test' (0 of 10 items)."),
    ]
    assert [(reason.scope, reason.count) for reason in reasons(run)] == [
        (("00000",), 1), (("00002",), 6), (("00001",), 3), (("00000",), 7), ((), 1),
    ]  # fmt: skip


def test_a_single_item_is_named() -> None:
    run = teams(1)
    assert told(run)[0] == ("ready", "Phase 'build', item 00000, is ready; no worker has taken it yet.")


def test_many_items_make_few_reasons() -> None:
    run = teams(5_000)
    assert [(reason.code, reason.phase, reason.count) for reason in reasons(run)] == [
        ("ready", "build", 5_000), ("needs", "test", 5_000), ("needs", "ship", 1),
    ]  # fmt: skip


def test_items_that_are_not_known_yet() -> None:
    run = tell(step("epics"), step("tasks", each="epics"), step("code", each="tasks"), step("ship", "code"))
    assert told(run) == [
        ("ready", "Phase 'epics' is ready; no worker has taken it yet."),
        ("item_source", "Phase 'tasks' repeats over the items of 'epics', which is not settled yet."),
        ("item_source", "Phase 'code' repeats over the items of 'epics', which is not settled yet."),
        ("needs", "Phase 'ship' waits for 'code' (its items are not known yet)."),
    ]
    do(run, "epics", items=("e", "f", "g"))
    do(run, "tasks", "f", items=("1",))
    assert told(run) == [
        ("ready", "Phase 'tasks', for 2 of 3 items, is ready; no worker has taken it yet."),
        ("ready", "Phase 'code', item f/1, is ready; no worker has taken it yet."),
        ("item_source", "Phase 'code' repeats over the items of 'tasks' (1 of 3 items), which is not settled yet."),
        ("needs", "Phase 'ship' waits for 'code' (0 of 1 items)."),
    ]


def test_paused() -> None:
    run = tell(step("a"))
    command(run, "pause", reason="holiday")
    assert told(run) == [
        ("paused", "The run is paused: holiday."),
        ("ready", "Phase 'a' is ready and starts when the run is resumed."),
    ]
    assert reasons(run)[0].hint == "resume the run"


def test_not_aimed() -> None:
    run = tell(step("a"), step("b", "a"), step("c"), aim=frozenset({"b", "c"}))
    assert told(run) == [
        ("ready", "Phase 'c' is ready; no worker has taken it yet."),
        ("not_aimed", "Phase 'a' is needed, but the run does not aim at it."),
        ("needs", "Phase 'b' waits for 'a'."),
    ]
    assert reasons(run)[1].hint == "aim the run at 'a' too"
    do(run, "c")
    assert [reason.code for reason in reasons(run)] == ["finished", "not_aimed"]


def test_what_the_run_does_not_aim_at_is_not_explained() -> None:
    run = tell(step("a"), step("b"), gate("g"), aim=frozenset({"a"}))
    assert [reason.phase for reason in reasons(run)] == ["a"]


def test_what_is_still_at_work_is_explained_although_the_aim_has_moved_on() -> None:
    run = tell(step("a"), step("b"), aim=frozenset({"a"}))
    do(run, "a")
    command(run, "aim", ["b"])
    run.start(at(run, "b"))
    run.record(f.RunAimed(run.now, frozenset({"a"})))
    assert state(run) is RunStatus.RUNNING
    assert [(reason.code, reason.phase) for reason in reasons(run)] == [("running", "b")]


def test_finished() -> None:
    run = tell(step("a"))
    do(run, "a")
    assert told(run) == [("finished", "The run has succeeded: every phase it aims at is settled.")]
    run = tell(step("a"), step("b", "a"))
    fail(run, "a")
    assert told(run) == [
        ("finished", "The run has failed: a: ValueError: boom."),
        ("failed", "Phase 'a' failed at attempt 1: ValueError: boom."),
    ]


def test_cancelled() -> None:
    run = tell(step("a"), gate("g"))
    command(run, "cancel", reason="no longer wanted")
    assert told(run) == [("cancelled", "The run was cancelled: no longer wanted.")]


def test_ending() -> None:
    run = tell(step("a", compensate=work), step("b"), gate("g"))
    do(run, "a")
    command(run, "cancel", reason="no longer wanted")
    assert told(run) == [
        ("ending", "The run is ending as cancelled: no longer wanted. What it did is being undone."),
        ("ready", "Undoing 'a' is ready; no worker has taken it yet."),
    ]


def test_an_unknown_flow() -> None:
    run = tell(step("a"))
    (reason,) = why(None, run.run, run.now)
    assert (reason.code, reason.phase) == ("unknown_flow", None)
    assert reason.text == "Version 1 of flow 'story' is not registered in this process, so it cannot move the run."
    command(run, "pause")
    assert [reason.code for reason in why(None, run.run, run.now)] == ["paused", "unknown_flow"]
    command(run, "cancel")
    assert [reason.code for reason in why(None, run.run, run.now)] == ["cancelled"]


def test_a_skipped_phase_is_not_in_the_way() -> None:
    run = tell(step("b"), gate("g"))
    command(run, "skip", ("b", ()))
    assert "b" not in [reason.phase for reason in reasons(run)]


@settings(max_examples=150)
@given(histories())
def test_every_run_at_every_moment_has_its_reasons(history: History) -> None:
    for moment in history.steps:
        run, found = moment.after, why(history.flow, moment.after, moment.now)
        assert found
        assert len(found) == len({(reason.code, reason.phase) for reason in found})
        assert all(reason.text.endswith(".") and reason.text[0].isupper() for reason in found)
        moving = [i for i in run.phases.values() if i.status in (PhaseStatus.READY, PhaseStatus.RUNNING)]
        if not run.finished and run.status is not RunStatus.PAUSED:
            counted = sum(reason.count for reason in found if reason.code in ("ready", "running"))
            assert counted == len(moving)
        if not run.finished:
            assert any(reason.code not in ("needs", "item_source", "not_aimed") for reason in found)
