"""What people ask of a run, as pure functions: each checks the request and returns the facts to record.

The caller passes the facts to ``advance`` and commits the result. A request that cannot be is a ``UsageError`` with a
sentence that says why; one that came too late is ``Stale``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phasegate.core import facts as f
from phasegate.core.flow import UNDO, Flow, Gate
from phasegate.core.planner import missing_needs, settled
from phasegate.core.resetting import resets
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus
from phasegate.core.state import evolve
from phasegate.core.tally import item_keys_of
from phasegate.errors import AlreadyDecided, NeedsNotMet, NotAllowed, Stale, UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's answer at a gate. ``seen`` is the sha256 of what the person was shown."""

    outcome: str
    by: str
    role: str = ""
    seen: str | None = None
    answers: Any = None
    comment: str = ""


def aim(
    flow: Flow, run: Run, now: datetime, names: Collection[str], *, by: str = "", unchecked: bool = False
) -> tuple[f.Fact, ...]:
    """Aim a run at phases; those already settled are done again. What an unfinished run still aims at is kept.

    What has ended below them stays as it is; what is under way there waits for the new output. What the run undid when it
    failed does not count as settled. Raises ``NeedsNotMet`` with every missing phase, unless ``unchecked``.
    """
    _check_can_go_on(run)
    chosen = {_own_phase(flow, name) for name in names}
    if not chosen:
        raise NotAllowed("a run aims at one phase or more", hint=f"phases: {', '.join(flow.order)}")
    redone = _redone(flow, run, now, by)
    stands = run
    for fact in redone:
        stands = evolve(stands, fact)
    for name in flow.order:
        missing = missing_needs(flow, stands, name, frozenset(chosen)) if name in chosen and not unchecked else ()
        if missing:
            raise NeedsNotMet(name, missing)
    kept = None if run.aim is None and not run.finished else frozenset(chosen) | _unreached(flow, run)
    # Phases that an unfinished run was let start unchecked must still be able to.
    unchecked = unchecked or (run.unchecked and not run.finished)
    pressed = frozenset(chosen) | (frozenset() if run.finished else run.pressed)
    return (f.RunAimed(now, kept, unchecked, by, pressed), *redone, *_run_again(flow, stands, now, chosen, by))


def aim_at_all(flow: Flow, run: Run, now: datetime, *, by: str = "") -> tuple[f.Fact, ...]:
    """Aim a run at the whole flow: what is settled stays, the rest follows."""
    _check_can_go_on(run)
    return (f.RunAimed(now, None, False, by), *_redone(flow, run, now, by))


def refuse(now: datetime, name: str, missing: Collection[str], *, by: str = "") -> tuple[f.Fact, ...]:
    """Put on record that a phase was asked for too early."""
    return (f.PhaseRefused(now, name, (), f"needs {', '.join(missing)} first", by),)


_DONE = (PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED, PhaseStatus.FAILED)
_UNDER_WAY = (PhaseStatus.READY, PhaseStatus.RUNNING, PhaseStatus.WAITING)


def _run_again(flow: Flow, run: Run, now: datetime, names: set[str], by: str) -> Iterator[f.Fact]:
    """Resets of what has ended among ``names``, and of what is under way with their former output."""
    repeated = {each for name in names for each in flow.repeated_over.get(name, ())}
    below = repeated.union(*(flow.dependents[name] for name in repeated | names))
    for i in run.phases.values():
        if (i.phase in names and i.status in _DONE) or (i.phase in below and i.status in _UNDER_WAY):
            yield f.PhaseReset(now, i.phase, i.scope, "run again", by)


def _own_phase(flow: Flow, name: str) -> str:
    """The name of the phase so called or labelled; the implicit phases that undo others are not for people to start."""
    found = flow.phase(name).name
    if found.startswith(UNDO):
        raise UnknownName("phase", name, [phase.name for phase in flow.phases])
    return found


def _check_can_go_on(run: Run) -> None:
    if run.status is RunStatus.CANCELLED:
        raise NotAllowed(f"run {run.id} was cancelled", hint="begin anew with engine.start(..., again=True)")
    _check_not_ending(run)


def _check_not_ending(run: Run) -> None:
    if run.ending and not run.finished:
        raise NotAllowed(f"run {run.id} is ending as {run.ending.value}", hint="wait until it has ended")


def _unreached(flow: Flow, run: Run) -> frozenset[str]:
    if run.finished or run.aim is None:
        return frozenset()
    return frozenset(name for name in run.aim if not settled(flow, run, name))


def retry(flow: Flow, run: Run, now: datetime, *, phase: str | None = None, by: str = "") -> tuple[f.Fact, ...]:
    """Try again what failed, or what waits for its next try; with ``phase`` only that one.

    What the run undid after its failure is done again as well.
    """
    _check_not_ending(run)
    name = _own_phase(flow, phase) if phase else None
    chosen = [i for i in run.phases.values() if name is None or i.phase == name]
    failed = [i for i in chosen if i.status is PhaseStatus.FAILED and not i.phase.startswith(UNDO)]
    delayed = [i for i in chosen if i.status is PhaseStatus.WAITING and i.due_at and flow.by_name[i.phase].gate is None]
    if run.status in (RunStatus.CANCELLED, RunStatus.SUCCEEDED) or not (failed or delayed):
        raise NotAllowed(f"run {run.id} has no failed phase to retry{f' called {name!r}' if name else ''}")
    again = _each_once([*_redone(flow, run, now, by), *_all_resets(flow, run, now, failed, "retried", by)])
    waiting = [i for i in delayed if (i.phase, i.scope) not in again]
    return (*_reopened(run, now, by), *again.values(), *(f.PhaseReadied(now, i.phase, i.scope) for i in waiting))


def _reopened(run: Run, now: datetime, by: str) -> tuple[f.Fact, ...]:
    return (f.RunAimed(now, run.aim, run.unchecked, by, run.pressed),) if run.finished else ()


def _redone(flow: Flow, run: Run, now: datetime, by: str) -> tuple[f.PhaseReset, ...]:
    """Resets of what a failed run undid, and of the undoing: both are to be done again, the latter if it fails again."""
    undos = [i for i in run.phases.values() if i.phase.startswith(UNDO) and i.status is not PhaseStatus.PENDING]
    undone = [run.at(i.phase[len(UNDO) :], i.scope) for i in undos if i.status is PhaseStatus.SUCCEEDED]
    again = (f.PhaseReset(now, i.phase, i.scope, "the run goes on", by) for i in undos)
    return (*again, *_each_once(_all_resets(flow, run, now, undone, "it was undone", by)).values())


def _all_resets(
    flow: Flow, run: Run, now: datetime, instances: Iterable[PhaseRun], reason: str, by: str
) -> Iterator[f.PhaseReset]:
    for instance in instances:
        yield from resets(flow, run.phases, now, instance.phase, instance.scope, reason, by=by)


def _each_once(found: Iterable[f.PhaseReset]) -> dict[Instance, f.PhaseReset]:
    """The first reset of each instance."""
    first: dict[Instance, f.PhaseReset] = {}
    for fact in found:
        first.setdefault((fact.phase, fact.scope), fact)
    return first


def reset(flow: Flow, run: Run, now: datetime, key: Instance, *, by: str = "", reason: str = "") -> tuple[f.Fact, ...]:
    """Do a phase, and everything downstream of it, again."""
    _check_can_go_on(run)
    name = _own_phase(flow, key[0])
    found = resets(flow, run.phases, now, name, key[1], reason or "reset", by=by)
    if not found:
        raise NotAllowed(f"phase {name!r} has not begun: there is nothing to reset")
    again = _each_once([*found, *_redone(flow, run, now, by)])
    return (*_reopened(run, now, by), *again.values())


def skip(flow: Flow, run: Run, now: datetime, key: Instance, *, by: str = "", reason: str = "") -> tuple[f.Fact, ...]:
    """Go on without a phase that has not run, waits, or failed; not without a gate, which would be a way around its decision.

    While a run is ending, only an undoing can be skipped.
    """
    key = (flow.phase(key[0]).name, key[1])
    if not key[0].startswith(UNDO):
        _check_not_ending(run)
    elif not run.ending or run.finished:
        raise NotAllowed(f"run {run.id} is undoing nothing")
    if not _item_exists(flow, run, key):
        raise NotAllowed(f"the items that phase {key[0]!r} repeats over are not known yet")
    if flow.by_name[key[0]].gate is not None:
        raise NotAllowed(f"phase {key[0]!r} is a gate: going on without its decision is not for skip", hint="decide it")
    instance = run.at(*key)
    if instance.status in (PhaseStatus.RUNNING, PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED):
        hint = "pause the run first" if instance.status is PhaseStatus.RUNNING else None
        raise NotAllowed(f"phase {key[0]!r} is {instance.status.value} and cannot be skipped", hint=hint)
    if run.status in (RunStatus.CANCELLED, RunStatus.SUCCEEDED):
        raise NotAllowed(f"run {run.id} is {run.status.value}")
    redone = _redone(flow, run, now, by)
    return (*_reopened(run, now, by), *redone, f.PhaseSkipped(now, *key, reason or "skipped by a person", by))


def _item_exists(flow: Flow, run: Run, key: Instance) -> bool:
    """Whether the phase has this scope by now. Raises ``UnknownName`` when it never will, as things stand."""
    name, scope = key
    levels = flow.levels[name]
    if len(scope) != len(levels):
        over = (
            f"item of {' and '.join(levels)} for phase {name!r}," if levels else f"item, for phase {name!r} has none:"
        )
        raise UnknownName(over, "/".join(scope))
    for depth, source in enumerate(levels):
        keys = item_keys_of(flow, run.phases, source, scope[:depth])
        if keys is None:
            return False
        if scope[depth] not in keys:
            raise UnknownName(f"item of {source!r},", scope[depth], keys)
    return True


def pause(run: Run, now: datetime, *, by: str = "", reason: str = "") -> tuple[f.Fact, ...]:
    """Stop the run for now; attempts under way are stopped and their late answers refused."""
    if run.finished or run.status is RunStatus.PAUSED or run.ending:
        raise NotAllowed(f"run {run.id} is {'ending' if run.ending else run.status.value} and cannot be paused")
    return (f.RunPaused(now, by, reason),)


def resume(run: Run, now: datetime, *, by: str = "") -> tuple[f.Fact, ...]:
    """Let a paused run go on."""
    if run.status is not RunStatus.PAUSED:
        raise NotAllowed(f"run {run.id} is {run.status.value}, not paused")
    return (f.RunResumed(now, by),)


def cancel(run: Run, now: datetime, *, by: str = "", reason: str = "") -> tuple[f.Fact, ...]:
    """End the run; what can be undone is undone first."""
    if run.finished:
        raise NotAllowed(f"run {run.id} is {run.status.value} already")
    if run.ending is RunStatus.CANCELLED:
        raise NotAllowed(f"run {run.id} is being cancelled already")
    return (f.RunEnding(now, RunStatus.CANCELLED, reason or "cancelled", by),)


def decide(flow: Flow, run: Run, now: datetime, key: Instance, decision: Decision) -> tuple[f.Fact, ...]:
    """Answer a gate. An answer given before the gate opens is kept; the first valid decision wins.

    Raises ``AlreadyDecided`` with who and when, ``Stale`` when something else is shown by now, ``NotAllowed`` when the
    person may not answer.
    """
    phase = flow.phase(key[0])
    key = (phase.name, key[1])
    gate = phase.gate
    if gate is None:
        raise NotAllowed(f"phase {phase.name!r} is not a gate", hint=f"gates: {', '.join(_gates(flow)) or 'none'}")
    # An answer may come before the items are known, but not for an item that is known not to be.
    _item_exists(flow, run, key)
    instance = run.at(*key)
    if instance.status in _DONE:
        raise AlreadyDecided(_decided_by(instance))
    if run.finished:
        raise NotAllowed(f"run {run.id} is {run.status.value}")
    _check_not_ending(run)
    if instance.due_at is not None and instance.due_at <= now:
        # Whether or not a worker has come by to put it on record: what is decided does not depend on how busy workers are.
        passed = instance.due_at.isoformat(timespec="seconds")
        raise AlreadyDecided(f"the deadline of gate {phase.name!r} passed at {passed}")
    _check_person(gate, run, instance, decision)
    _check_seen(gate, instance, decision)
    _check_not_settled_early(gate, instance, decision)
    d = decision
    return (f.DecisionMade(now, *key, instance.round, d.outcome, d.by, d.role, d.seen, d.answers, d.comment),)


def _check_not_settled_early(gate: Gate, instance: PhaseRun, decision: Decision) -> None:
    """Before a gate opens its answers are only kept, but those that will settle it already have: who comes after is too late."""
    same = [vote for vote in instance.votes if not gate.shows or vote.seen == decision.seen]
    by_outcome = Counter(vote.outcome for vote in same)
    for outcome, count in by_outcome.items():
        if instance.status is PhaseStatus.PENDING and count >= gate.quorum:
            who = ", ".join(vote.by for vote in same if vote.outcome == outcome)
            raise AlreadyDecided(f"gate {instance.phase!r} will be settled as {outcome!r} by {who} when it opens")


def _gates(flow: Flow) -> list[str]:
    return [phase.name for phase in flow.phases if phase.gate]


def _decided_by(instance: PhaseRun) -> str:
    when = f" at {instance.since.isoformat(timespec='seconds')}" if instance.since else ""
    if instance.status is PhaseStatus.SUCCEEDED:
        who = [vote.by for vote in instance.votes if vote.outcome == instance.outcome]
        return (
            f"gate {instance.phase!r} was settled as {instance.outcome!r} by {', '.join(who) or 'its deadline'}{when}"
        )
    why = f" ({instance.reason})" if instance.reason else ""
    who = [f"{vote.outcome} by {vote.by}" for vote in instance.votes]
    said = f"; it was answered {', '.join(who)}" if who else ""
    return f"gate {instance.phase!r} was {instance.status.value}{why}{when}{said}"


def _check_person(gate: Gate, run: Run, instance: PhaseRun, decision: Decision) -> None:
    if decision.outcome not in gate.outcomes:
        raise UnknownName("outcome", decision.outcome, gate.outcomes)
    if not decision.by:
        raise NotAllowed("a decision needs a name: who decides?")
    if (gate.users or gate.roles) and decision.by not in gate.users and decision.role not in gate.roles:
        who = [*gate.users, *(f"role {role}" for role in gate.roles)]
        raise NotAllowed(f"{decision.by} may not answer gate {instance.phase!r}", hint=f"it is for {', '.join(who)}")
    if gate.no_self_approval and decision.by == run.started_by:
        raise NotAllowed(f"{decision.by} started this run and may not decide about it")
    if any(vote.by == decision.by for vote in instance.votes):
        raise AlreadyDecided(f"{decision.by} has already answered gate {instance.phase!r}")


def _check_seen(gate: Gate, instance: PhaseRun, decision: Decision) -> None:
    if instance.status is not PhaseStatus.WAITING:
        return
    if decision.seen is None and gate.shows:
        raise NotAllowed(
            f"gate {instance.phase!r} shows {', '.join(gate.shows)}: say which state of it you have seen",
            hint=f"seen={instance.shown}",
        )
    if decision.seen is not None and decision.seen != instance.shown:
        raise Stale(f"what gate {instance.phase!r} shows has changed since you saw it", hint=f"seen={instance.shown}")


def answer(run: Run, now: datetime, key: Instance, answers: Any, *, by: str = "") -> tuple[f.Fact, ...]:
    """Answer the questions with which a phase parked itself."""
    instance = run.at(*key)
    if not instance.asked:
        raise NotAllowed(f"phase {key[0]!r} has asked nothing")
    if run.finished:
        raise NotAllowed(f"run {run.id} is {run.status.value}")
    if not key[0].startswith(UNDO):
        _check_not_ending(run)
    return (f.QuestionsAnswered(now, *key, instance.attempt, by, answers),)
