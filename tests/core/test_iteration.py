"""Repeating per item: the same item, broadcast, join, nesting, no items, other items."""

from __future__ import annotations

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.flow import Phase
from phasegate.core.planner import scopes, settled, sources
from phasegate.core.run import PhaseStatus, RunStatus
from tests.core.story import at, command, decide, do, fail, gate, names, state, status, statuses, step, tell
from tests.core.strategies import History

TEAMS = (step("list"), step("build", each="list"), step("test", "build", each="list"), step("ship", "test"))


def test_a_phase_repeats_for_each_item() -> None:
    run = tell(*TEAMS)
    assert scopes(run.flow, run.run, "build") == ()
    do(run, "list", items=("x", "y"))
    assert statuses(run) == {"list": "succeeded", "build/x": "ready", "build/y": "ready"}
    assert scopes(run.flow, run.run, "build") == (("x",), ("y",))


def test_a_need_in_the_same_iteration_is_met_item_by_item() -> None:
    run = tell(*TEAMS)
    do(run, "list", items=("x", "y"))
    do(run, "build", "y")
    assert statuses(run) == {"list": "succeeded", "build/x": "ready", "build/y": "succeeded", "test/y": "ready"}


def test_a_need_further_down_waits_for_all_items() -> None:
    run = tell(*TEAMS)
    do(run, "list", items=("x", "y"))
    for item in ("x", "y"):
        do(run, "build", item)
    do(run, "test", "x")
    assert status(run, "ship") is PhaseStatus.PENDING
    assert not settled(run.flow, run.run, "test")
    do(run, "test", "y")
    assert status(run, "ship") is PhaseStatus.READY
    assert [i.scope for i in sources(run.flow, run.run, "ship", ())["test"]] == [("x",), ("y",)]


def test_a_need_higher_up_is_for_every_item() -> None:
    run = tell(step("list"), step("tools"), step("build", "tools", each="list"))
    do(run, "list", items=("x", "y"))
    assert at(run, "build", "x").status is PhaseStatus.PENDING
    do(run, "tools")
    assert names(run, "phase.readied")[-2:] == ["build/x", "build/y"]
    assert sources(run.flow, run.run, "build", ("x",))["tools"] == [at(run, "tools")]


def test_iterations_nest() -> None:
    run = tell(
        step("epics"), step("tasks", each="epics"), step("code", each="tasks"), step("merge", "code", each="epics")
    )
    do(run, "epics", items=("e", "f"))
    do(run, "tasks", "e", items=("1", "2"))
    assert status(run, "code", "e", "1") is PhaseStatus.READY
    assert scopes(run.flow, run.run, "code") == (("e", "1"), ("e", "2"))
    do(run, "code", "e", "1")
    assert status(run, "merge", "e") is PhaseStatus.PENDING
    do(run, "code", "e", "2")
    assert status(run, "merge", "e") is PhaseStatus.READY
    assert status(run, "merge", "f") is PhaseStatus.PENDING


def test_a_join_over_nothing_is_met_at_once() -> None:
    run = tell(*TEAMS)
    do(run, "list", items=())
    assert statuses(run) == {"list": "succeeded", "ship": "ready"}


def test_the_last_item_may_turn_out_to_have_no_items_of_its_own() -> None:
    run = tell(step("epics"), step("tasks", each="epics"), step("code", each="tasks"), step("ship", "code"))
    do(run, "epics", items=("e", "f"))
    do(run, "tasks", "e", items=("1",))
    do(run, "code", "e", "1")
    assert status(run, "ship") is PhaseStatus.PENDING
    do(run, "tasks", "f", items=())
    assert status(run, "ship") is PhaseStatus.READY


def test_a_skipped_source_has_no_items() -> None:
    run = tell(*TEAMS)
    command(run, "skip", ("list", ()))
    assert status(run, "ship") is PhaseStatus.READY


def test_phases_of_two_iterations_wait_for_all_of_each_other() -> None:
    run = tell(step("left"), step("right"), step("a", each="left"), step("b", "a", each="right"))
    do(run, "left", items=("1", "2"))
    do(run, "right", items=("x",))
    do(run, "a", "1")
    assert at(run, "b", "x").status is PhaseStatus.PENDING
    do(run, "a", "2")
    assert status(run, "b", "x") is PhaseStatus.READY


def test_a_failed_item_leaves_the_others_going_and_then_ends_the_run() -> None:
    run = tell(*TEAMS)
    do(run, "list", items=("x", "y"))
    fail(run, "build", "x")
    assert state(run) is RunStatus.RUNNING
    do(run, "build", "y")
    do(run, "test", "y")
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "build: ValueError: boom"


def finished_team() -> History:
    run = tell(*TEAMS)
    do(run, "list", items=("x", "y"))
    for name in ("build", "test"):
        for item in ("x", "y"):
            do(run, name, item)
    return run


def test_a_source_run_again_with_the_same_items_keeps_what_is_done() -> None:
    run = finished_team()
    command(run, "aim", ["list"])
    # What was ready to be shipped waits for the new list.
    assert status(run, "ship") is PhaseStatus.PENDING
    do(run, "list", items=("x", "y"))
    assert status(run, "test", "x") is PhaseStatus.SUCCEEDED
    assert status(run, "ship") is PhaseStatus.READY
    assert run.run.tally.unsettled == 1


def test_a_source_run_again_with_other_items_lets_go_of_the_old_and_opens_the_new() -> None:
    run = finished_team()
    command(run, "aim", ["list"])
    do(run, "list", items=("y", "z"))
    assert statuses(run) == {
        "list": "succeeded", "build/x": "pending", "test/x": "pending", "build/y": "succeeded", "test/y": "succeeded",
        "build/z": "ready", "ship": "pending",
    }  # fmt: skip
    do(run, "build", "z")
    do(run, "test", "z")
    do(run, "ship")
    assert state(run) is RunStatus.SUCCEEDED


def test_a_failure_of_an_item_that_is_gone_does_not_fail_the_run() -> None:
    run = tell(*TEAMS)
    do(run, "list", items=("x", "y"))
    fail(run, "build", "x")
    command(run, "aim", ["list"])
    do(run, "list", items=("y",))
    do(run, "build", "y")
    do(run, "test", "y")
    do(run, "ship")
    assert state(run) is RunStatus.SUCCEEDED


def test_an_item_at_work_ends_while_its_source_is_run_again() -> None:
    run = tell(step("list"), step("build", each="list"), step("ship", "build"))
    do(run, "list", items=("x",))
    run.start(at(run, "build", "x"))
    command(run, "aim", ["list"])
    assert status(run, "build", "x") is PhaseStatus.PENDING
    do(run, "list", items=("x",))
    do(run, "build", "x")
    do(run, "ship")
    assert state(run) is RunStatus.SUCCEEDED


def test_a_reset_of_one_item_reaches_everything_behind_a_join() -> None:
    run = tell(step("list"), step("build", each="list"), step("ship", "build"), step("tell", "ship", each="build"))
    do(run, "list", items=("x", "y"))
    do(run, "build", "x", items=("1",))
    do(run, "build", "y", items=("2",))
    do(run, "ship")
    assert status(run, "tell", "x", "1") is PhaseStatus.READY
    command(run, "reset", ("build", ("y",)))
    assert statuses(run) == {
        "list": "succeeded", "build/x": "succeeded", "build/y": "ready", "ship": "pending", "tell/x/1": "pending",
        "tell/y/2": "pending",
    }  # fmt: skip


def test_a_reset_of_one_item_leaves_the_others() -> None:
    run = finished_team()
    command(run, "reset", ("build", ("y",)))
    assert {key for key, value in statuses(run).items() if value == "succeeded"} == {"list", "build/x", "test/x"}


def test_a_refusal_for_a_repeating_phase_is_put_on_record() -> None:
    run = tell(*TEAMS)
    run.record(*commands.refuse(run.now, "build", ("list",), by="ann"))
    do(run, "list", items=("x",))
    assert status(run, "build", "x") is PhaseStatus.READY


def test_a_full_plan_of_many_shown_items_compares_each_gate_once() -> None:
    run = tell(step("list"), step("build", each="list"), gate("release", shows=("build",)))
    items = tuple(str(number) for number in range(3_000))
    do(run, "list", items=items)
    for item in items:
        do(run, "build", item)
    assert status(run, "release") is PhaseStatus.WAITING
    # Comparing once for each of the items would digest nine million of them, and exceed the time limit of the tests.
    run.record()
    assert run.steps[-1].facts == ()
    decide(run, "release")
    assert state(run) is RunStatus.SUCCEEDED


def test_an_output_without_a_hash_has_no_version() -> None:
    run = tell(Phase("a", TEAMS[0].run))
    run.start(at(run, "a"))
    run.record(f.AttemptSucceeded(run.now, "a", (), 1))
    assert at(run, "a").version is None
