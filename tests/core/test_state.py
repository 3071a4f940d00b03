"""The transition tables are the whole truth: what is not in them is refused."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from phasegate.core import facts as f
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Subject, Vote
from phasegate.core.state import PHASE, RUN, evolve, evolve_phase, evolve_run, fold, started
from phasegate.errors import IllegalTransition, Stale
from tests.core.strategies import START

PHASE_FACTS = get_args(f.PhaseFact)
RUN_FACTS = get_args(f.RunFact)
ATTEMPT_ENDED = get_args(f.AttemptEnded)

STARTED = f.RunStarted(START, "run-1", "default", "story", 1, Subject("company", "acme"))


def instance(status: PhaseStatus) -> PhaseRun:
    return PhaseRun("a", ("x",), status, 3, 1, 1, 2, questions=["why?"], shown="seen", sha256="0", version=3)


def fitting(fact: type[Any], before: PhaseRun) -> Any:
    """A fact of this class that fits the instance in everything but, perhaps, its status."""
    names = {field.name for field in fields(fact)}
    following = fact in (f.AttemptStarted, f.GateOpened)
    given: dict[str, Any] = {"at": START, "phase": before.phase, "scope": before.scope}
    given |= {"attempt": before.attempt + following} if "attempt" in names else {}
    given |= {"round": before.round} if "round" in names else {}
    return fact(**given)


@pytest.mark.parametrize("fact", PHASE_FACTS)
@pytest.mark.parametrize("status", PhaseStatus)
def test_a_phase_changes_as_the_table_says_and_not_otherwise(status: PhaseStatus, fact: type[Any]) -> None:
    before = instance(status)
    if (status, fact) in PHASE:
        after = evolve_phase(before, fitting(fact, before))
        assert after.status is PHASE[status, fact]
        assert (after.phase, after.scope) == (before.phase, before.scope)
        assert after.attempt >= before.attempt
    else:
        late = fact in ATTEMPT_ENDED or fact is f.AttemptStarted
        with pytest.raises(Stale if late else IllegalTransition, match=f"'a'.* {status.value}"):
            evolve_phase(before, fitting(fact, before))


@pytest.mark.parametrize("fact", [fact for fact in RUN_FACTS if fact is not f.RunStarted])
@pytest.mark.parametrize("status", RunStatus)
def test_a_run_changes_as_the_table_says_and_not_otherwise(status: RunStatus, fact: type[Any]) -> None:
    before = replace(started(STARTED), status=status)
    record = fact(START, RunStatus.FAILED) if fact is f.RunEnding else fact(START)
    if (status, fact) in RUN:
        assert evolve_run(before, record).status is RUN[status, fact]
    else:
        with pytest.raises(IllegalTransition, match=f"{fact.kind} does not apply to a run that is {status.value}"):
            evolve_run(before, record)


@pytest.mark.parametrize("fact", PHASE_FACTS)
@pytest.mark.parametrize("status", RunStatus)
def test_of_the_facts_about_a_phase_only_those_in_the_table_move_the_run(status: RunStatus, fact: type[Any]) -> None:
    before = next(s for s in PhaseStatus if (s, fact) in PHASE)
    run = replace(started(STARTED), status=status)
    run = replace(run, phases=run.phases.changed({("a", ("x",)): instance(before)}))
    assert evolve(run, fitting(fact, instance(before))).status is RUN.get((status, fact), status)


def test_every_fact_appears_in_a_table() -> None:
    in_tables = {fact for _, fact in PHASE} | {fact for _, fact in RUN}
    assert set(f.KINDS.values()) - in_tables == {f.RunStarted}
    assert in_tables - set(f.KINDS.values()) == set()


def test_every_fact_has_a_kind_of_its_own() -> None:
    assert set(f.KINDS.values()) == {*PHASE_FACTS, *RUN_FACTS}
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", kind) for kind in f.KINDS)
    assert all(fact.kind == kind for kind, fact in f.KINDS.items())


def test_every_fact_says_when_and_what_it_means() -> None:
    for fact in f.KINDS.values():
        assert fields(fact)[0].name == "at", fact
        assert (fact.__doc__ or "").endswith("."), fact


def test_every_status_can_be_reached_and_nothing_but_cancelled_is_a_dead_end() -> None:
    assert set(PHASE.values()) == set(PhaseStatus)
    assert set(RUN.values()) | {RunStatus.PENDING} == set(RunStatus)
    assert {s for s, _ in PHASE} == set(PhaseStatus)
    # What moves the run as a whole does not leave a final status either, except by aiming it again.
    leaving = {fact for (s, fact), after in RUN.items() if s.final and after is not s}
    assert leaving == {f.RunAimed}
    assert not [fact for s, fact in RUN if s is RunStatus.CANCELLED]


def test_a_reset_keeps_the_counter_and_forgets_the_rest() -> None:
    before = instance(PhaseStatus.SUCCEEDED)
    after = evolve_phase(before, f.PhaseReset(START, "a", ("x",), "again", feedback=("g", (), 1)))
    expected = PhaseRun("a", ("x",), attempt=3, round=3, since=START, feedback=("g", (), 1), reason="again")
    assert after == expected


def test_feedback_is_what_sent_the_phase_into_this_round() -> None:
    first = evolve_phase(instance(PhaseStatus.SUCCEEDED), f.PhaseReset(START, "a", ("x",), feedback=("g", (), 1)))
    again = evolve_phase(first._replace(status=PhaseStatus.READY), f.PhaseReset(START, "a", ("x",)))
    assert again.feedback is None


@pytest.mark.parametrize("fact", ATTEMPT_ENDED)
@pytest.mark.parametrize("attempt", [2, 4])
def test_the_end_of_another_attempt_is_stale(fact: type[Any], attempt: int) -> None:
    with pytest.raises(Stale, match=f"{fact.kind} of attempt {attempt}: 'a' is running, attempt 3"):
        evolve_phase(instance(PhaseStatus.RUNNING), fact(START, "a", ("x",), attempt))


@pytest.mark.parametrize("attempt", [2, 3, 5])
def test_an_attempt_starts_with_the_next_number(attempt: int) -> None:
    with pytest.raises(Stale, match=f"attempt {attempt} of 'a' cannot start after attempt 3"):
        evolve_phase(instance(PhaseStatus.READY), f.AttemptStarted(START, "a", ("x",), attempt))


def test_voiding_keeps_the_answers_that_fit() -> None:
    votes = (Vote("ann", "approved", "seen"), Vote("bob", "approved", "other"), Vote("cat", "approved", None))
    after = evolve_phase(instance(PhaseStatus.WAITING)._replace(votes=votes), f.DecisionsVoided(START, "a", ("x",)))
    assert after.votes == votes[:1]


def test_a_log_begins_with_the_start_of_its_run() -> None:
    for log in ([], [f.PhaseReadied(START, "a")]):
        with pytest.raises(IllegalTransition, match=r"a log begins with run\.started"):
            fold(log)


def test_a_fold_counts_the_facts() -> None:
    run = fold([STARTED, f.PhaseReadied(START, "a"), f.AttemptStarted(START, "a", (), 1)])
    assert (run.seq, run.status, run.at("a").status) == (3, RunStatus.RUNNING, PhaseStatus.RUNNING)
    assert isinstance(run, Run)
