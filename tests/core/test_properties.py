"""What holds for every flow and every history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings

from phasegate.core import facts as f
from phasegate.core import planner
from phasegate.core.draft import Draft
from phasegate.core.flow import Flow
from phasegate.core.layered import Layered
from phasegate.core.planner import advance, next_due, plan
from phasegate.core.run import PhaseRun, PhaseStatus, Run, RunStatus, Scope
from phasegate.core.state import evolve, fold, started
from phasegate.core.tally import Tally, count
from phasegate.errors import Stale
from tests.core.strategies import History, finish, histories, is_undo

ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
# Histories are cheap; an exploring profile may ask for still more of them.
examples = settings(max_examples=max(250, settings().max_examples))


@examples
@given(histories())
def test_an_advanced_run_plans_nothing_more(history: History) -> None:
    for step in history.steps:
        assert plan(history.flow, step.after, step.now) == ()
        assert plan(history.flow, replace(step.after, tally=None), step.now) == ()


@examples
@given(histories())
def test_an_unfinished_run_has_something_ready_running_waiting_or_due(history: History) -> None:
    for step in history.steps:
        run = step.after
        if run.finished or run.status is RunStatus.PAUSED:
            assert next_due(history.flow, run, step.now) is None
            continue
        moving = [i for i in run.phases.values() if i.status in (PhaseStatus.READY, PhaseStatus.RUNNING)]
        waiting = [i for i in run.phases.values() if i.status is PhaseStatus.WAITING]
        assert moving or waiting, run
        due = next_due(history.flow, run, step.now)
        assert (due == step.now) if moving else (due is None or due > step.now)


@examples
@given(histories())
def test_every_run_can_be_brought_to_an_end(history: History) -> None:
    finish(history)
    assert history.run.finished, history.run


@examples
@given(histories())
def test_no_phase_starts_before_its_needs_settle(history: History) -> None:
    first, *rest = history.log
    assert isinstance(first, f.RunStarted)
    run = started(first)
    for fact in rest:
        if isinstance(fact, f.PhaseReadied | f.GateOpened | f.AttemptStarted) and not is_undo(fact.phase):
            assert unmet(history.flow, run, fact.phase, fact.scope) == [], fact
        run = evolve(run, fact)


def unmet(flow: Flow, run: Run, name: str, scope: Scope) -> list[str]:
    """What a phase instance needs and does not have, found without any counter."""
    phase = flow.by_name[name]
    outside = {n for n in flow.order if n not in run.aim} if run.aim is not None else set()
    merely_after = set(phase.after) - {*phase.needs, *phase.when, phase.each, *(phase.gate.shows if phase.gate else ())}
    excused = (outside if run.unchecked else set()) | {n for n in merely_after if n in outside or name in run.pressed}
    above = [n for n in phase.above if n not in excused]
    return [n for n in above if not is_settled(flow, run, n, scope[: flow.shared(name, n)])]


def is_settled(flow: Flow, run: Run, name: str, prefix: Scope) -> bool:
    levels = flow.levels[name]
    if len(prefix) == len(levels):
        return is_over(flow, run.at(name, prefix))
    source = run.at(levels[len(prefix)], prefix)
    return is_over(flow, source) and all(is_settled(flow, run, name, (*prefix, key)) for key in source.items or ())


def is_over(flow: Flow, instance: PhaseRun) -> bool:
    taken_up = (instance.phase, "failed") in flow.handled
    good = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED)
    return instance.status in good or (instance.status is PhaseStatus.FAILED and taken_up)


@examples
@given(histories())
def test_a_run_succeeds_only_when_what_it_aims_at_is_settled(history: History) -> None:
    for step in history.steps:
        run = step.after
        if run.status is RunStatus.SUCCEEDED:
            aimed = [n for n in history.flow.order if run.aim is None or n in run.aim]
            assert [n for n in aimed if not is_settled(history.flow, run, n, ())] == []


@examples
@given(histories())
def test_the_folded_log_is_the_state(history: History) -> None:
    assert fold(history.log) == history.run
    assert history.run.seq == len(history.log)


@examples
@given(histories())
def test_final_is_final(history: History) -> None:
    first, *rest = history.log
    assert isinstance(first, f.RunStarted)
    run = started(first)
    for fact in rest:
        before, run = run, evolve(run, fact)
        if before.status is RunStatus.CANCELLED:
            assert run.phases == before.phases, fact
            assert run.status is before.status, fact
        elif before.finished:
            # That somebody asked in vain is put on record, and changes nothing.
            assert isinstance(fact, f.RunAimed | f.PhaseRefused), fact


@examples
@given(histories())
def test_late_attempts_are_stale_and_change_nothing(history: History) -> None:
    run = history.run
    for instance in run.phases.values():
        attempt = instance.attempt - 1 if instance.status is PhaseStatus.RUNNING else instance.attempt
        late = f.AttemptSucceeded(history.now, instance.phase, instance.scope, attempt)
        with pytest.raises(Stale):
            advance(history.flow, run, history.now, late)
    assert fold(history.log) == run


@examples
@given(histories())
def test_the_same_inputs_give_the_same_log(history: History) -> None:
    run: Run | None = None
    for step in history.steps:
        run, facts = advance(history.flow, run, step.now, *step.given)
        assert facts == step.facts
    assert run == history.run


@examples
@given(histories())
def test_a_run_loaded_in_another_order_goes_the_same_way(history: History) -> None:
    for step in history.steps:
        if step.before is not None:
            backwards = Layered(dict(reversed(list(step.before.phases.items()))))
            loaded = replace(step.before, phases=backwards, tally=None)
            run, facts = advance(history.flow, loaded, step.now, *step.given)
            assert facts == step.facts
            assert run == step.after


@examples
@given(histories())
def test_incremental_planning_is_full_planning(history: History) -> None:
    for step in history.steps:
        same_way(step.after, step.facts, *thoroughly(history.flow, step.before, step.now, *step.given))
        if step.before is not None:
            uncounted = replace(step.before, tally=None)
            same_way(step.after, step.facts, *advance(history.flow, uncounted, step.now, *step.given))


def same_way(run: Run, facts: tuple[f.Fact, ...], other: Run, others: tuple[f.Fact, ...]) -> None:
    # As sets: what waits for different things may open in another order.
    assert sorted(map(repr, facts)) == sorted(map(repr, others))
    assert run == other


class Thorough(Draft):
    """A draft that asks about everything after every fact."""

    __slots__ = ()

    def take_touched(self) -> None:
        super().take_touched()


def thoroughly(flow: Flow, run: Run | None, now: datetime, *given: f.Fact) -> tuple[Run, tuple[f.Fact, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "Draft", Thorough)
        return advance(flow, run and replace(run, tally=None), now, *given)


@examples
@given(histories())
def test_counters_kept_in_step_are_the_counters_from_scratch(history: History) -> None:
    for step in history.steps:
        run = step.after
        assert isinstance(run.tally, Tally)
        assert counted(run.tally) == counted(count(history.flow, run.aim, run.phases))


def counted(tally: Tally) -> dict[str, Any]:
    statuses = {status: n for status, n in tally.statuses.items() if status is not PhaseStatus.PENDING}
    return {
        "open": dict(tally.open), "unsettled": tally.unsettled, "failures": tally.failures, "statuses": statuses,
        "timers": dict(tally.timers),
    }  # fmt: skip


@examples
@given(histories())
def test_attempt_numbers_are_never_reused(history: History) -> None:
    begun = [
        (fact.phase, fact.scope, fact.attempt)
        for fact in history.log
        if isinstance(fact, f.AttemptStarted | f.GateOpened)
    ]
    assert len(begun) == len(set(begun))
    for phase, scope in {(phase, scope) for phase, scope, _ in begun}:
        numbers = [n for p, s, n in begun if (p, s) == (phase, scope)]
        assert numbers == list(range(1, len(numbers) + 1))


@examples
@given(histories())
def test_a_snapshot_is_never_changed_by_advancing_from_it(history: History) -> None:
    copies: list[tuple[Run, dict[str, Any]]] = []
    run: Run | None = None
    for step in history.steps:
        run, _ = advance(history.flow, run, step.now, *step.given)
        copies.append((run, {"phases": dict(run.phases), **counted(run.tally), "all": dict(run.tally.statuses)}))
    for snapshot, copy in copies:
        phases = dict(snapshot.phases)
        assert {"phases": phases, **counted(snapshot.tally), "all": dict(snapshot.tally.statuses)} == copy


@examples
@given(histories())
def test_what_is_undone_was_done_and_is_undone_once(history: History) -> None:
    run = fold(history.log[:1])
    for fact in history.log[1:]:
        if isinstance(fact, f.PhaseReadied) and is_undo(fact.phase):
            assert run.ending is not None
            assert run.at(fact.phase.removeprefix("undo:"), fact.scope).status is PhaseStatus.SUCCEEDED
            assert not run.at(fact.phase, fact.scope).settled
        run = evolve(run, fact)
