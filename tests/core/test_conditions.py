"""Conditions skip, outcomes go back."""

from __future__ import annotations

from phasegate.core.planner import sources
from phasegate.core.run import PhaseStatus, RunStatus
from tests.core.story import at, command, decide, do, fail, gate, names, state, status, statuses, step, tell
from tests.core.strategies import finish


def test_a_condition_that_holds_lets_the_phase_run() -> None:
    run = tell(step("check"), step("fix", "check", when={"check": "broken"}))
    do(run, "check", outcome="broken")
    assert status(run, "fix") is PhaseStatus.READY


def test_a_condition_that_does_not_hold_skips_with_the_reason() -> None:
    run = tell(step("check"), step("fix", "check", when={"check": ("broken", "odd")}), step("go", "fix"))
    do(run, "check", outcome="fine")
    assert status(run, "fix") is PhaseStatus.SKIPPED
    assert at(run, "fix").reason == "check ended with fine, not broken or odd"
    assert status(run, "go") is PhaseStatus.READY


def test_a_condition_on_failed_takes_up_a_failure() -> None:
    run = tell(step("check"), step("fix", "check", when={"check": "failed"}))
    fail(run, "check")
    assert status(run, "check") is PhaseStatus.FAILED
    assert status(run, "fix") is PhaseStatus.READY
    do(run, "fix")
    assert state(run) is RunStatus.SUCCEEDED


def test_a_condition_on_failed_skips_when_all_went_well() -> None:
    run = tell(step("check"), step("fix", "check", when={"check": "failed"}))
    do(run, "check")
    assert status(run, "fix") is PhaseStatus.SKIPPED
    assert state(run) is RunStatus.SUCCEEDED


def test_a_condition_over_items_holds_when_it_holds_for_one() -> None:
    run = tell(step("list"), step("check", each="list"), step("fix", "check", when={"check": "broken"}))
    do(run, "list", items=("x", "y"))
    do(run, "check", "x", outcome="broken")
    do(run, "check", "y", outcome="fine")
    assert status(run, "fix") is PhaseStatus.READY


def test_a_condition_over_no_items_does_not_hold() -> None:
    run = tell(step("list"), step("check", each="list"), step("fix", "check", when={"check": "broken"}))
    do(run, "list", items=())
    assert at(run, "fix").reason == "check ended with nothing, not broken"


def test_an_outcome_goes_back_with_its_output_as_feedback() -> None:
    run = tell(step("draft"), step("layout", "draft"), step("review", "layout", redo={"weak": "draft"}))
    for name in ("draft", "layout"):
        do(run, name)
    do(run, "review", outcome="weak")
    assert statuses(run) == {"draft": "ready", "layout": "pending", "review": "pending"}
    assert at(run, "draft").feedback == ("review", (), 1)
    assert at(run, "layout").feedback is None
    assert [at(run, name).round for name in ("draft", "layout", "review")] == [1, 1, 1]


def test_going_back_ends_after_its_rounds() -> None:
    run = tell(step("draft"), step("review", "draft", redo={"weak": "draft"}, rounds=2))
    for _ in range(3):
        do(run, "draft")
        do(run, "review", outcome="weak")
    assert at(run, "review").reason == "still 'weak' after going back 2 times"
    assert state(run) is RunStatus.FAILED
    assert at(run, "draft").attempt == 3


def test_out_of_rounds_an_outcome_that_a_condition_takes_up_stands() -> None:
    run = tell(
        step("draft"),
        step("review", "draft", redo={"weak": "draft"}, rounds=1),
        step("escalate", "review", when={"review": "weak"}),
    )
    for _ in range(2):
        do(run, "draft")
        do(run, "review", outcome="weak")
    assert status(run, "review") is PhaseStatus.SUCCEEDED
    assert status(run, "escalate") is PhaseStatus.READY


def test_a_failure_can_go_back_too() -> None:
    run = tell(step("build"), step("test", "build", redo={"failed": "build"}, rounds=1))
    do(run, "build")
    fail(run, "test")
    assert statuses(run) == {"build": "ready", "test": "pending"}
    do(run, "build")
    fail(run, "test")
    assert state(run) is RunStatus.FAILED


def test_going_back_stays_within_the_item() -> None:
    run = tell(step("list"), step("draft", each="list"), step("check", "draft", each="list", redo={"weak": "draft"}))
    do(run, "list", items=("x", "y"))
    for item in ("x", "y"):
        do(run, "draft", item)
    do(run, "check", "x", outcome="weak")
    assert status(run, "draft", "x") is PhaseStatus.READY
    assert status(run, "draft", "y") is PhaseStatus.SUCCEEDED
    assert at(run, "draft", "x").feedback == ("check", ("x",), 1)


def test_a_rejection_goes_back_and_the_gate_asks_again() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",), redo={"rejected": "draft"}))
    do(run, "draft", sha="1")
    decide(run, "accept", "rejected", comment="too long")
    assert statuses(run) == {"draft": "ready", "accept": "pending"}
    assert at(run, "draft").feedback == ("accept", (), 1)
    do(run, "draft", sha="2")
    assert at(run, "accept").votes == ()
    decide(run, "accept")
    assert state(run) is RunStatus.SUCCEEDED
    assert names(run, "gate.opened") == ["accept", "accept"]
    assert sources(run.flow, run.run, "accept", ())["draft"] == [at(run, "draft")]


def test_a_rejection_that_a_condition_takes_up_does_not_fail() -> None:
    run = tell(gate("accept"), step("archive", "accept", when={"accept": "rejected"}))
    decide(run, "accept", "rejected")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED
    assert status(run, "archive") is PhaseStatus.READY


def test_nothing_behind_a_rejected_gate_starts() -> None:
    run = tell(gate("accept"), step("publish", "accept"))
    decide(run, "accept", "rejected", comment="no")
    assert names(run, "phase.readied") == []
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "accept: rejected: no"


def test_nothing_behind_a_gate_that_its_deadline_rejects_starts() -> None:
    run = tell(gate("accept", deadline=10.0, default="rejected"), step("publish", "accept"))
    run.wait(10)
    assert names(run, "phase.readied") == []
    assert state(run) is RunStatus.FAILED


def test_a_person_skips_a_failed_phase_and_the_run_goes_on() -> None:
    run = tell(step("a"), step("b", "a"))
    fail(run, "a")
    assert state(run) is RunStatus.FAILED
    command(run, "skip", ("a", ()), by="ann", reason="not needed")
    assert at(run, "a").reason == "not needed"
    assert status(run, "b") is PhaseStatus.READY
    finish(run)
    assert state(run) is RunStatus.SUCCEEDED


def test_nothing_can_move_is_a_reason_to_fail() -> None:
    run = tell(step("a"), step("b", "a"), aim=frozenset({"b"}))
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "nothing can move: b"
