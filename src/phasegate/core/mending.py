"""Mend: retry, give up, go back, undo; settle gates that have their answers; wake what is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from phasegate.core import facts as f
from phasegate.core.draft import IDLE, Draft
from phasegate.core.flow import UNDO, Gate, Phase
from phasegate.core.resetting import resets
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, RunStatus
from phasegate.core.shown import digest, gate_answer, shown_digest
from phasegate.core.tally import item_keys_of, settles
from phasegate.core.tally import scopes as _scopes


def mend(draft: Draft, touched: list[Instance] | None) -> Iterator[f.Fact]:
    """Retry, give up, go back, undo; settle gates that have their answers; wake what is due."""
    run = draft.run
    paused = run.status is RunStatus.PAUSED
    if paused or run.ending:
        yield from _stop_running(draft, touched)
    if run.status in IDLE and not paused:
        return
    if run.ending:
        yield from _undo(draft)
    if not paused and draft.tally.timers:
        yield from _wake(draft)
    # Whether a failure is repeated is decided at once, even while paused, for only now is it known if it was fatal; and first,
    # for a failure that is to be repeated must not look like one that a condition takes up.
    for key in draft.in_order(draft.retriable) if draft.retriable else ():
        yield from _retry(draft, key, draft.at(*key))
    if paused or run.ending:
        return
    checked: set[Instance] = set()
    for key in touched if touched is not None else draft.instances():
        instance = draft.at(*key)
        if instance.status is PhaseStatus.WAITING:
            if instance.votes:
                yield from _count_votes(draft, instance)
        elif instance.settled or instance.status is PhaseStatus.FAILED:
            yield from _take_back(draft, instance, checked)


def _stop_running(draft: Draft, touched: list[Instance] | None) -> Iterator[f.Fact]:
    """A paused or ending run has no attempt under way; the late answer of one that was is stale."""
    if draft.tally.active == 0:
        return
    for key in touched if touched is not None else draft.instances():
        instance = draft.at(*key)
        if instance.phase.startswith(UNDO) and draft.run.ending:
            continue
        if draft.run.status is RunStatus.PAUSED and instance.status is PhaseStatus.RUNNING:
            yield f.AttemptStopped(draft.now, *key, instance.attempt, "paused")
        elif draft.run.ending and instance.status in (PhaseStatus.READY, PhaseStatus.RUNNING):
            yield f.PhaseReset(draft.now, *key, "the run is ending")


def _undo(draft: Draft) -> Iterator[f.Fact]:
    """Undo succeeded phases in reverse order, all instances of one phase at a time."""
    phases = draft.snapshot()
    if draft.tally.active or any(_holds_up(i) for i in phases.values()):
        return
    for name in reversed(draft.flow.order):
        if draft.flow.by_name[name].compensate is None:
            continue
        todo = [
            instance.scope
            for key in _scopes(draft.flow, phases, name)
            if (instance := draft.at(name, key)).status is PhaseStatus.SUCCEEDED
            and not draft.at(UNDO + name, key).settled
        ]
        if todo:
            yield from (f.PhaseReadied(draft.now, UNDO + name, scope) for scope in todo)
            return


def _holds_up(instance: PhaseRun) -> bool:
    """Whether an undo phase waits for a retry or failed: nothing further is undone behind it."""
    return instance.phase.startswith(UNDO) and instance.status in (PhaseStatus.WAITING, PhaseStatus.FAILED)


def _wake(draft: Draft) -> Iterator[f.Fact]:
    """What has become due: retries and snoozes are ready again, gates take their default."""
    due = [key for key, at in draft.tally.timers.items() if at <= draft.now]
    for key in draft.in_order(due) if len(due) > 1 else due:
        if draft.run.ending and not key[0].startswith(UNDO):
            continue
        phase = draft.flow.by_name[key[0]]
        if phase.gate is None:
            yield f.PhaseReadied(draft.now, *key)
        elif phase.gate.default is None:
            yield f.PhaseFailed(draft.now, *key, "the deadline passed without a decision")
        else:
            yield _settle_gate(draft, draft.at(*key), phase.gate.default, "deadline")


def _retry(draft: Draft, key: Instance, instance: PhaseRun) -> Iterator[f.Fact]:
    """A failed attempt is repeated while its policy allows; a lost one at once."""
    draft.retriable.discard(key)
    if instance.status is not PhaseStatus.FAILED:
        return
    retry = draft.flow.by_name[instance.phase].retry
    lost = isinstance(_last_of(draft, key), f.AttemptLost)
    if lost and instance.losses <= retry.losses:
        yield f.RetryScheduled(draft.now, *key, draft.now)
    elif not lost and instance.failures < retry.attempts:
        chance = int(digest([draft.run.id, *key, instance.attempt])[:13], 16) / 16**13
        yield f.RetryScheduled(draft.now, *key, draft.now + timedelta(seconds=retry.delay(instance.failures, chance)))


def _last_of(draft: Draft, key: Instance) -> f.Fact | None:
    return next((x for x in reversed(draft.facts) if not isinstance(x, f.RunFact) and (x.phase, x.scope) == key), None)


def _count_votes(draft: Draft, instance: PhaseRun) -> Iterator[f.Fact]:
    """Settle a gate whose quorum is reached; ask again when early answers were given to something else."""
    gate = draft.flow.by_name[instance.phase].gate
    if gate is None:
        return
    if any(_unbound(gate, vote.seen, instance.shown) for vote in instance.votes):
        yield f.DecisionsVoided(
            draft.now, instance.phase, instance.scope, "what is shown is not what the decision was made on"
        )
        return
    agreed: dict[str, set[str]] = {}
    for vote in instance.votes:
        agreed.setdefault(vote.outcome, set()).add(vote.by)
        if len(agreed[vote.outcome]) >= gate.quorum:
            yield _settle_gate(draft, instance, vote.outcome, vote.by)
            return


def _unbound(gate: Gate, seen: str | None, shown: str | None) -> bool:
    return bool(gate.shows) and seen != shown


def _settle_gate(draft: Draft, instance: PhaseRun, outcome: str, by: str) -> f.Fact:
    answer = gate_answer(instance._replace(outcome=outcome), by)
    return f.GateSettled(
        draft.now, instance.phase, instance.scope, instance.attempt, outcome, by, digest(answer), answer
    )


def _take_back(draft: Draft, instance: PhaseRun, checked: set[Instance]) -> Iterator[f.Fact]:
    """An outcome that goes back, an ending nobody takes up, a decision whose grounds have changed, items that are gone."""
    flow = draft.flow
    phase = flow.by_name[instance.phase]
    word = instance.outcome or ""
    if word in phase.redo and instance.round < phase.rounds:
        yield from _go_back(draft, phase, instance, phase.redo[word])
        return
    if instance.status is PhaseStatus.SUCCEEDED and (phase.name, word) not in flow.handled:
        if word in phase.redo:
            said = f"still {word!r} after going back {phase.rounds} times"
            yield f.PhaseFailed(draft.now, instance.phase, instance.scope, said)
        elif phase.gate and word in phase.gate.ends:
            yield f.PhaseFailed(draft.now, instance.phase, instance.scope, _said(instance))
    repeated = flow.repeated_over.get(phase.name, ()) if instance.round else ()
    if repeated and _ALL_ITEMS not in checked:
        checked.add(_ALL_ITEMS)
        yield from _let_go(draft)
    if flow.shown_by and settles(flow, instance):
        # With other items, what a gate shows of each item has changed too.
        for name in (phase.name, *repeated):
            for gate in flow.shown_by.get(name, ()):
                yield from _void_decisions(draft, gate, name, instance, checked)


#: Stands among what was checked in one pass for "which items are gone".
_ALL_ITEMS: Instance = ("", ())


def _let_go(draft: Draft) -> Iterator[f.Fact]:
    """Instances of items that a source, run again, gives no longer: they neither hold up the run nor fail it."""
    flow, phases = draft.flow, draft.snapshot()
    known: dict[Instance, frozenset[str] | None] = {}
    for name, scope in draft.instances():
        if not scope or draft.at(name, scope).status is PhaseStatus.PENDING or name.startswith(UNDO):
            continue
        for depth, source in enumerate(flow.levels[name]):
            place = (source, scope[:depth])
            if place not in known:
                keys = item_keys_of(flow, phases, *place)
                known[place] = None if keys is None else frozenset(keys)
            keys_now = known[place]
            if keys_now is None:
                break
            if scope[depth] not in keys_now:
                yield f.PhaseReset(draft.now, name, scope, f"{source} does not give this item any more")
                break


def _said(instance: PhaseRun) -> str:
    answer = gate_answer(instance)
    return f"{instance.outcome}: {answer['comment']}" if answer["comment"] else str(instance.outcome)


def _go_back(draft: Draft, phase: Phase, instance: PhaseRun, target: str) -> Iterator[f.Fact]:
    """Reset ``target`` and everything downstream of it, within the iteration both are in."""
    scope = instance.scope[: len(draft.flow.levels[target])]
    feedback = (instance.phase, instance.scope, instance.version) if instance.version is not None else None
    yield from resets(
        draft.flow, draft.snapshot(), draft.now, target, scope, f"{phase.name}: {instance.outcome}", feedback
    )


def _void_decisions(draft: Draft, gate: str, shown: str, cause: PhaseRun, checked: set[Instance]) -> Iterator[f.Fact]:
    """A gate that showed something else than what stands now is asked again, with what came of its decision."""
    flow = draft.flow
    prefix = cause.scope[: flow.shared(gate, cause.phase)]
    for scope in list(_scopes(flow, draft.snapshot(), gate, prefix)):
        instance = draft.at(gate, scope)
        # A gate that joins many items is asked about once, not once for each of them.
        if instance.shown is None or instance.status is PhaseStatus.SKIPPED or (gate, scope) in checked:
            continue
        checked.add((gate, scope))
        if instance.shown != shown_digest(draft, flow.by_name[gate], scope):
            reason = f"{shown} has changed since it was shown"
            yield from resets(flow, draft.snapshot(), draft.now, gate, scope, reason)
