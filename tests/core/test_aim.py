"""Aiming a run at some phases only, and at phases that are done already."""

from __future__ import annotations

import pytest

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.planner import missing_needs
from phasegate.core.run import PhaseStatus, RunStatus
from phasegate.errors import NeedsNotMet, NotAllowed, UnknownName
from tests.core.story import at, command, decide, do, fail, gate, names, state, status, statuses, step, tell
from tests.core.strategies import History, work

CHAIN = (step("a"), step("b", "a"), step("c", "b"), step("d", "c"))


def test_a_run_does_only_what_it_aims_at() -> None:
    run = tell(*CHAIN, aim=frozenset({"a", "b"}))
    do(run, "a")
    do(run, "b")
    assert state(run) is RunStatus.SUCCEEDED
    assert names(run, "phase.readied") == ["a", "b"]


def test_needs_not_met_names_every_missing_phase_in_the_order_of_the_flow() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    with pytest.raises(NeedsNotMet, match="phase 'd' needs 'a', 'b', 'c' first") as caught:
        command(run, "aim", ["d"])
    assert (caught.value.phase, caught.value.missing) == ("d", ("a", "b", "c"))
    do(run, "a")
    with pytest.raises(NeedsNotMet) as caught:
        command(run, "aim", ["d"])
    assert caught.value.missing == ("b", "c")


def test_phases_promised_to_run_first_are_not_missing() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    do(run, "a")
    command(run, "aim", ["c", "b"])
    do(run, "b")
    do(run, "c")
    assert state(run) is RunStatus.SUCCEEDED


def test_a_promise_does_not_hide_what_it_needs_itself() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    with pytest.raises(NeedsNotMet) as caught:
        command(run, "aim", ["d", "c"])
    assert (caught.value.phase, caught.value.missing) == ("c", ("a", "b"))


def test_what_is_settled_hides_what_it_needed() -> None:
    run = tell(step("a"), step("b", "a"), step("c", "b"), aim=frozenset({"a", "b"}))
    do(run, "a")
    do(run, "b")
    command(run, "aim", ["a"])
    assert missing_needs(run.flow, run.run, "c") == ()


def test_an_unchecked_aim_starts_without_its_needs() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    do(run, "a")
    command(run, "aim", ["d"], unchecked=True)
    assert status(run, "d") is PhaseStatus.READY
    do(run, "d")
    assert state(run) is RunStatus.SUCCEEDED


def test_an_unchecked_aim_does_not_ask_conditions_about_what_has_not_run() -> None:
    run = tell(step("a"), step("b", "a"), step("c", "b", when={"b": "fine"}), aim=frozenset({"a"}))
    do(run, "a")
    command(run, "aim", ["c"], unchecked=True)
    assert status(run, "c") is PhaseStatus.READY


def test_an_unchecked_aim_still_waits_for_what_it_aims_at() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    command(run, "aim", ["c", "d"], unchecked=True)
    assert (status(run, "c"), status(run, "d")) == (PhaseStatus.READY, PhaseStatus.PENDING)


def test_a_later_aim_does_not_strand_an_unchecked_one() -> None:
    run = tell(step("a"), step("b", "a"), step("x"), aim=frozenset({"x"}))
    command(run, "aim", ["b"], unchecked=True)
    command(run, "reset", ("b", ()))
    command(run, "aim", ["x"])
    assert status(run, "b") is PhaseStatus.READY


def test_a_completed_phase_runs_again_and_keeps_its_history() -> None:
    run = tell(*CHAIN)
    for name in "abcd":
        do(run, name)
    command(run, "aim", ["b"], by="ann")
    assert statuses(run) == {"a": "succeeded", "b": "ready", "c": "succeeded", "d": "succeeded"}
    do(run, "b", sha="1")
    assert state(run) is RunStatus.SUCCEEDED
    assert (at(run, "b").attempt, at(run, "b").version) == (2, 2)
    begun = [(x.phase, x.attempt) for x in run.log if isinstance(x, f.AttemptStarted)]
    assert begun == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("b", 2)]


def test_aiming_keeps_what_an_unfinished_run_still_aims_at() -> None:
    run = tell(step("a"), step("b"), step("c"), aim=frozenset({"a", "b"}))
    do(run, "a")
    command(run, "aim", ["c"])
    assert run.run.aim == frozenset({"b", "c"})
    run = tell(step("a"), step("b"))
    do(run, "a")
    command(run, "aim", ["a"])
    assert run.run.aim is None


def test_what_is_under_way_below_waits_for_the_new_output() -> None:
    run = tell(step("a"), step("b", "a"), gate("g", "a"), step("c"))
    do(run, "a")
    run.start(at(run, "b"))
    command(run, "aim", ["a"])
    assert statuses(run) == {"a": "ready", "b": "pending", "g": "pending", "c": "ready"}
    do(run, "a")
    assert (status(run, "b"), status(run, "g")) == (PhaseStatus.READY, PhaseStatus.WAITING)


def test_what_was_undone_does_not_count_as_done() -> None:
    run = undone()
    with pytest.raises(NeedsNotMet) as caught:
        command(run, "aim", ["c"])
    assert caught.value.missing == ("a", "b")
    command(run, "aim", ["a", "b", "c"])
    for name in "abc":
        do(run, name)
    assert state(run) is RunStatus.SUCCEEDED


def undone() -> History:
    run = tell(step("a", compensate=work), step("b", "a"), step("c", "b"))
    do(run, "a")
    do(run, "b")
    fail(run, "c")
    do(run, "undo:a")
    assert state(run) is RunStatus.FAILED
    return run


def test_a_phase_comes_after_another_only_when_both_are_aimed_at() -> None:
    phases = (step("a"), step("b", after=("a",)))
    assert statuses(tell(*phases)) == {"a": "ready"}
    assert statuses(tell(*phases, aim=frozenset({"b"}))) == {"b": "ready"}


def test_a_phase_asked_for_by_name_does_not_wait_for_what_it_merely_comes_after() -> None:
    run = tell(step("a"), step("b", after=("a",)))
    command(run, "aim", ["b"])
    assert status(run, "b") is PhaseStatus.READY


def test_aiming_by_label() -> None:
    run = tell(step("a", label="1"), step("b", label="2"), aim=frozenset({"a"}))
    command(run, "aim", ["2"])
    assert run.run.aim == frozenset({"a", "b"})


def test_aiming_at_nothing_or_nonsense_is_refused() -> None:
    run = tell(step("a", compensate=work))
    with pytest.raises(NotAllowed, match="a run aims at one phase or more"):
        command(run, "aim", [])
    for name in ("zzz", "undo:a"):
        with pytest.raises(UnknownName, match=f"unknown phase '{name}'"):
            command(run, "aim", [name])


def test_an_aim_that_came_too_early_can_be_put_on_record() -> None:
    run = tell(*CHAIN, aim=frozenset({"a"}))
    run.record(*commands.refuse(run.now, "d", ("a", "b", "c"), by="ann"))
    fact = run.log[-1]
    assert isinstance(fact, f.PhaseRefused)
    assert (fact.phase, fact.reason, fact.by) == ("d", "needs a, b, c first", "ann")
    assert status(run, "d") is PhaseStatus.PENDING


def test_a_gate_can_be_aimed_at_again() -> None:
    run = tell(gate("g"))
    decide(run, "g")
    command(run, "aim", ["g"])
    assert (status(run, "g"), at(run, "g").attempt) == (PhaseStatus.WAITING, 2)
