"""Gates: who may decide, how many must agree, until when, and what exactly they have seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phasegate.core import facts as f
from phasegate.core.planner import advance, next_due
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.core.shown import digest, gate_answer
from phasegate.errors import AlreadyDecided, NotAllowed, Stale, UnknownName
from tests.core.story import at, command, decide, do, gate, kinds, names, state, status, step, tell
from tests.core.strategies import START


def test_a_gate_opens_and_the_run_is_parked() -> None:
    run = tell(gate("release"))
    assert kinds(run) == ["run.started", "gate.opened", "run.parked"]
    assert state(run) is RunStatus.WAITING
    assert next_due(run.flow, run.run, run.now) is None


def test_a_decision_settles_the_gate_and_becomes_its_output() -> None:
    run = tell(gate("release"), step("go", "release"))
    decide(run, "release", comment="well done")
    assert status(run, "release") is PhaseStatus.SUCCEEDED
    assert status(run, "go") is PhaseStatus.READY
    answer = {"outcome": "approved", "by": ["bob"], "comment": "well done", "answers": None}
    assert gate_answer(at(run, "release")) == answer
    assert at(run, "release").sha256 == digest(answer)
    assert at(run, "release").version == at(run, "release").attempt == 1


def test_a_rejection_ends_the_run_with_the_comment() -> None:
    run = tell(gate("release"))
    decide(run, "release", "rejected", comment="not yet")
    assert state(run) is RunStatus.FAILED
    assert run.run.reason == "release: rejected: not yet"


def test_a_quorum_wants_that_many_equal_answers() -> None:
    run = tell(gate("release", quorum=2))
    decide(run, "release", by="ann")
    decide(run, "release", "rejected", by="bob")
    assert status(run, "release") is PhaseStatus.WAITING
    decide(run, "release", by="cat")
    assert at(run, "release").outcome == "approved"
    assert gate_answer(at(run, "release"))["by"] == ["ann", "cat"]


def test_nobody_counts_twice() -> None:
    run = tell(gate("release", quorum=2))
    decide(run, "release", by="ann")
    with pytest.raises(AlreadyDecided, match="ann has already answered gate 'release'"):
        decide(run, "release", by="ann")


def test_only_the_users_and_roles_named_may_answer() -> None:
    run = tell(gate("release", users=("ann",), roles=("chair",)))
    with pytest.raises(NotAllowed, match="bob may not answer gate 'release'") as caught:
        decide(run, "release", by="bob", role="member")
    assert caught.value.hint == "it is for ann, role chair"
    decide(run, "release", by="bob", role="chair")
    assert status(run, "release") is PhaseStatus.SUCCEEDED


def test_a_user_named_needs_no_role() -> None:
    run = tell(gate("release", users=("ann",), roles=("chair",)))
    decide(run, "release", by="ann")
    assert status(run, "release") is PhaseStatus.SUCCEEDED


def test_who_started_the_run_may_not_approve_it() -> None:
    run = tell(gate("release", no_self_approval=True), by="ann")
    with pytest.raises(NotAllowed, match="ann started this run and may not decide about it"):
        decide(run, "release", by="ann")
    decide(run, "release", by="bob")
    assert state(run) is RunStatus.SUCCEEDED


def test_a_decision_has_a_name_and_a_known_outcome() -> None:
    run = tell(gate("release"))
    with pytest.raises(NotAllowed, match="who decides"):
        decide(run, "release", by="")
    with pytest.raises(UnknownName, match="unknown outcome 'aproved'") as caught:
        decide(run, "release", "aproved")
    assert caught.value.hint == "did you mean 'approved'?"


def test_a_phase_that_is_no_gate_is_not_decided() -> None:
    run = tell(step("a"), gate("release"))
    with pytest.raises(NotAllowed, match="phase 'a' is not a gate") as caught:
        decide(run, "a")
    assert caught.value.hint == "gates: release"


def test_a_deadline_takes_the_default() -> None:
    run = tell(gate("release", deadline=60.0, default="approved"))
    assert next_due(run.flow, run.run, run.now) == START + timedelta(seconds=60)
    run.wait(59)
    assert status(run, "release") is PhaseStatus.WAITING
    run.wait(1)
    assert at(run, "release").outcome == "approved"
    assert gate_answer(at(run, "release"), "deadline")["by"] == ["deadline"]
    assert state(run) is RunStatus.SUCCEEDED


def test_a_deadline_without_a_default_fails_the_gate() -> None:
    run = tell(gate("release", deadline=60.0))
    run.wait(60)
    assert at(run, "release").reason == "the deadline passed without a decision"
    assert state(run) is RunStatus.FAILED
    with pytest.raises(
        AlreadyDecided, match=r"was failed \(the deadline passed without a decision\) at 2030-01-01T00:01:00"
    ):
        decide(run, "release")


def test_a_decision_after_the_deadline_is_refused_also_before_anybody_has_put_the_deadline_on_record() -> None:
    run = tell(gate("release", deadline=60.0, default="approved"))
    run.now = START + timedelta(seconds=60)
    with pytest.raises(AlreadyDecided, match="the deadline of gate 'release' passed at 2030-01-01T00:01:00"):
        decide(run, "release", "rejected")
    assert "decision.made" not in kinds(run)
    run.wait(0)
    assert at(run, "release").outcome == "approved"


def test_a_decision_stops_the_clock() -> None:
    run = tell(gate("release", deadline=60.0), gate("publish"))
    decide(run, "release")
    run.wait(100)
    assert run.steps[-1].facts == ()
    assert at(run, "release").outcome == "approved"
    assert next_due(run.flow, run.run, run.now) is None


def test_the_second_decision_is_told_who_and_when() -> None:
    run = tell(gate("release"), gate("other"))
    run.wait(90)
    decide(run, "release", by="ann")
    run.wait(60)
    expected = r"gate 'release' was settled as 'approved' by ann at 2030-01-01T00:01:30\+00:00"
    with pytest.raises(AlreadyDecided, match=expected):
        decide(run, "release", "rejected", by="bob")
    assert at(run, "release").outcome == "approved"


def test_the_second_decision_on_a_rejected_gate_is_told_so() -> None:
    run = tell(gate("release"), gate("other"), step("busy"))
    decide(run, "release", "rejected", by="ann", comment="no")
    with pytest.raises(AlreadyDecided, match=r"was failed \(rejected: no\) at .*; it was answered rejected by ann"):
        decide(run, "release", by="bob")


# --- what was seen --------------------------------------------------------------------------------------------------


def test_a_decision_is_bound_to_what_was_shown() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)))
    do(run, "draft")
    with pytest.raises(NotAllowed, match="shows draft: say which state of it you have seen") as caught:
        decide(run, "accept", seen=None)
    assert caught.value.hint == f"seen={at(run, 'accept').shown}"
    with pytest.raises(Stale, match="has changed since you saw it"):
        decide(run, "accept", seen="something else")
    decide(run, "accept")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED


def test_what_is_shown_depends_on_the_output() -> None:
    shown = []
    for sha in ("1", "2", "1"):
        run = tell(step("draft"), gate("accept", shows=("draft",)))
        do(run, "draft", sha=sha)
        shown.append(at(run, "accept").shown)
    assert shown[0] == shown[2] != shown[1]


def future_shown(sha: str = "0") -> str | None:
    """What the gate of the next tests will show."""
    run = tell(step("draft"), gate("accept", shows=("draft",)))
    do(run, "draft", sha=sha)
    return at(run, "accept").shown


def test_an_early_answer_is_kept_and_settles_the_gate_when_it_opens() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)), step("go", "accept"))
    decide(run, "accept", by="ann", seen=future_shown())
    assert status(run, "accept") is PhaseStatus.PENDING
    do(run, "draft")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED
    assert status(run, "go") is PhaseStatus.READY
    assert [kind for kind in kinds(run) if kind.startswith("gate.")] == ["gate.opened", "gate.settled"]


@pytest.mark.parametrize("seen", ["something else", None])
def test_an_early_answer_to_something_else_is_asked_for_again(seen: str | None) -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)))
    decide(run, "accept", by="ann", seen=seen)
    do(run, "draft")
    assert status(run, "accept") is PhaseStatus.WAITING
    assert at(run, "accept").votes == ()
    assert at(run, "accept").reason == "what is shown is not what the decision was made on"
    decide(run, "accept", by="ann")
    assert state(run) is RunStatus.SUCCEEDED


def test_one_outdated_early_answer_does_not_cost_the_others_theirs() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",), quorum=2))
    decide(run, "accept", by="ann", seen="something else")
    decide(run, "accept", by="bob", seen=future_shown())
    do(run, "draft")
    assert [vote.by for vote in at(run, "accept").votes] == ["bob"]
    decide(run, "accept", by="ann")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED


def test_an_early_answer_to_something_else_does_not_keep_others_from_answering() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)))
    decide(run, "accept", "rejected", by="ann", seen="something else")
    decide(run, "accept", "approved", by="bob", seen=future_shown())
    with pytest.raises(AlreadyDecided, match="settled as 'approved' by bob"):
        decide(run, "accept", "rejected", by="cat", seen=future_shown())
    do(run, "draft")
    assert at(run, "accept").outcome == "approved"


def test_an_early_answer_to_a_gate_that_shows_nothing_needs_no_proof() -> None:
    run = tell(step("draft"), gate("accept", "draft"))
    decide(run, "accept", by="ann", seen=None)
    do(run, "draft")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED


def test_of_several_early_answers_the_first_counts_and_the_others_are_told_so() -> None:
    run = tell(step("draft"), gate("accept", "draft"), step("busy"))
    decide(run, "accept", "approved", by="ann", seen=None)
    with pytest.raises(AlreadyDecided, match="will be settled as 'approved' by ann when it opens"):
        decide(run, "accept", "rejected", by="bob", seen=None)
    do(run, "draft")
    assert [fact.by for fact in run.log if isinstance(fact, f.GateSettled)] == ["ann"]
    with pytest.raises(AlreadyDecided, match="settled as 'approved' by ann"):
        decide(run, "accept", by="cat", seen=None)


def test_of_several_early_answers_the_first_quorum_counts() -> None:
    run = tell(step("draft"), gate("accept", "draft", quorum=2), step("busy"))
    for by, outcome in (("ann", "approved"), ("bob", "rejected"), ("cat", "rejected")):
        decide(run, "accept", outcome, by=by, seen=None)
    with pytest.raises(AlreadyDecided, match="settled as 'rejected' by bob, cat"):
        decide(run, "accept", "approved", by="dan", seen=None)
    do(run, "draft")
    assert at(run, "accept").reason == "rejected"


def test_an_early_answer_for_an_item_waits_for_the_item() -> None:
    run = tell(step("list"), replace(gate("accept"), each="list"))
    decide(run, "accept", scope=("x",), seen=None)
    do(run, "list", items=("x", "y"))
    assert status(run, "accept", "x") is PhaseStatus.SUCCEEDED
    assert status(run, "accept", "y") is PhaseStatus.WAITING


def test_an_answer_for_an_item_that_is_not_there_is_refused() -> None:
    run = tell(step("list"), replace(gate("accept"), each="list"))
    do(run, "list", items=("north", "south"))
    with pytest.raises(UnknownName, match="unknown item of 'list', 'noth'") as caught:
        decide(run, "accept", scope=("noth",), seen=None)
    assert caught.value.hint == "did you mean 'north'?"
    with pytest.raises(UnknownName, match="item of list for phase 'accept'"):
        decide(run, "accept", seen=None)


def test_a_decision_is_void_when_what_it_was_made_on_changes() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)), step("publish", "accept"), step("more", "publish"))
    do(run, "draft", sha="1")
    decide(run, "accept")
    do(run, "publish")
    command(run, "aim", ["draft"])
    do(run, "draft", sha="2")
    assert at(run, "accept").reason == "draft has changed since it was shown"
    assert status(run, "accept") is PhaseStatus.WAITING
    assert status(run, "publish") is PhaseStatus.PENDING
    assert at(run, "accept").votes == ()


def test_a_decision_stands_when_the_same_comes_out_again() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)), step("publish", "accept"))
    do(run, "draft", sha="1")
    decide(run, "accept")
    command(run, "aim", ["draft"])
    do(run, "draft", sha="1")
    assert status(run, "accept") is PhaseStatus.SUCCEEDED


def test_a_rejection_too_is_void_when_what_it_was_made_on_changes() -> None:
    run = tell(step("draft"), gate("accept", shows=("draft",)))
    do(run, "draft", sha="1")
    decide(run, "accept", "rejected")
    command(run, "aim", ["draft"])
    do(run, "draft", sha="2")
    assert (status(run, "accept"), at(run, "accept").round) == (PhaseStatus.PENDING, 1)
    command(run, "aim", ["accept"])
    assert status(run, "accept") is PhaseStatus.WAITING


def test_a_gate_over_items_is_asked_again_when_one_item_changes() -> None:
    run = tell(step("list"), step("draft", each="list"), gate("accept", shows=("draft",)), step("busy"))
    do(run, "list", items=("x", "y"))
    do(run, "draft", "x")
    do(run, "draft", "y")
    decide(run, "accept")
    command(run, "reset", ("draft", ("y",)))
    assert status(run, "accept") is PhaseStatus.PENDING
    do(run, "draft", "y", sha="other")
    assert status(run, "accept") is PhaseStatus.WAITING


def test_a_gate_over_items_is_asked_again_when_an_item_is_gone() -> None:
    run = tell(step("list"), step("draft", each="list"), gate("accept", shows=("draft",)), step("busy"))
    do(run, "list", items=("x", "y"))
    do(run, "draft", "x")
    do(run, "draft", "y")
    decide(run, "accept")
    command(run, "aim", ["list"])
    do(run, "list", items=("x",))
    assert status(run, "accept") is PhaseStatus.WAITING
    assert at(run, "accept").reason == "draft has changed since it was shown"


def test_a_decision_answers_one_round() -> None:
    run = tell(step("draft"), gate("accept", "draft", redo={"rejected": "draft"}))
    do(run, "draft")
    decide(run, "accept", "rejected")
    do(run, "draft")
    late = f.DecisionMade(run.now, "accept", (), 0, "approved", "bob")
    with pytest.raises(Stale, match="answers round 0 of 'accept', which is in round 1"):
        advance(run.flow, run.run, run.now, late)


def test_a_paused_run_takes_an_answer_and_acts_on_it_when_resumed() -> None:
    run = tell(gate("accept"), step("go", "accept"))
    command(run, "pause")
    decide(run, "accept")
    assert status(run, "accept") is PhaseStatus.WAITING
    command(run, "resume")
    assert status(run, "go") is PhaseStatus.READY


def test_an_ended_run_takes_no_answer() -> None:
    run = tell(gate("accept"), step("a"))
    command(run, "cancel")
    with pytest.raises(NotAllowed, match="is cancelled"):
        decide(run, "accept")


def test_gates_do_not_hold_up_each_other() -> None:
    run = tell(gate("one"), gate("two"))
    decide(run, "two")
    assert names(run, "gate.settled") == ["two"]
    assert state(run) is RunStatus.WAITING


def test_a_gate_cannot_be_skipped() -> None:
    run = tell(step("a"), gate("g"))
    with pytest.raises(NotAllowed, match="is a gate"):
        command(run, "skip", ("g", ()))
