"""What happens next: a pure function over frozen values.

``advance(flow, run, now, *facts)`` records facts and everything that follows from them, until nothing follows. Here is no
clock, no database and no user code; ``now`` is an argument, and even the jitter of a retry is derived from the run's id, so
that the same inputs give the same log.

Three questions are asked of each snapshot, in this order: *mend* (retry, give up, go back, undo), *open* (what has become
possible), *close* (end the run). After a fact only what it touches, and what waits for that, is asked about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from phasegate.core import facts as f
from phasegate.core import state
from phasegate.core.flow import UNDO, Flow, Gate, Phase
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Scope
from phasegate.core.tally import Tally, count, fails, item_keys_of, settle, settled_below, settles
from phasegate.core.tally import scopes as _scopes

_REPLAN_ALL = (f.RunAimed, f.RunResumed)
_UNDER_WAY = frozenset({PhaseStatus.READY, PhaseStatus.RUNNING})
#: Statuses whose coming and going changes more than the counters per status.
_COUNTED = frozenset({PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED, PhaseStatus.FAILED, PhaseStatus.WAITING})
_IDLE = frozenset({RunStatus.PAUSED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


def advance(flow: Flow, run: Run | None, now: datetime, *facts: f.Fact) -> tuple[Run, tuple[f.Fact, ...]]:
    """The run after ``facts`` and all that follows, and the whole list of facts in order.

    With no facts the whole run is planned: what has become due is opened. ``run`` is None only when the first fact is a
    ``RunStarted``. Raises ``Stale`` or ``IllegalTransition`` when a fact does not fit; nothing is changed then.
    """
    draft = Draft(flow, run, now)
    for fact in facts:
        draft.record(fact)
    if not facts:
        draft.everything = True
    while draft.moved():
        touched = _mended(draft)
        for fact in opened(draft, touched):
            draft.record(fact)
        if not draft.touched and not draft.everything:
            for fact in close(draft):
                draft.record(fact)
    return draft.freeze(), tuple(draft.facts)


def _mended(draft: Draft) -> list[Instance] | None:
    """Mend until nothing is left to mend, and say what was touched meanwhile.

    Only then may anything open: a gate that settles as rejected fails in the next round of mending, and what waits for it
    must not start in between.
    """
    touched = fresh = draft.take_touched()
    while True:
        for fact in mend(draft, fresh):
            draft.record(fact)
        if not draft.moved():
            return touched
        fresh = draft.take_touched()
        touched = None if touched is None or fresh is None else list(dict.fromkeys([*touched, *fresh]))


def plan(flow: Flow, run: Run, now: datetime) -> tuple[f.Fact, ...]:
    """What follows from the run as it stands; empty when it has been advanced."""
    return advance(flow, run, now)[1]


def settled(flow: Flow, run: Run, name: str, prefix: Scope = ()) -> bool:
    """Whether phase ``name`` is settled in every scope below ``prefix``."""
    return settled_below(flow, run.phases, _tally(flow, run), name, prefix)


def scopes(flow: Flow, run: Run, name: str) -> tuple[Scope, ...]:
    """The scopes in which phase ``name`` has an instance by now."""
    return tuple(_scopes(flow, run.phases, name))


def sources(flow: Flow, run: Run, name: str, scope: Scope) -> dict[str, list[PhaseRun]]:
    """The instances whose outputs an instance may use, by phase: one for the same item or a broadcast, all for a join."""
    found: dict[str, list[PhaseRun]] = {}
    for source in flow.above[name]:
        prefix = scope[: flow.shared(name, source)]
        found[source] = [run.at(source, s) for s in _scopes(flow, run.phases, source, prefix)]
    return found


def missing_needs(flow: Flow, run: Run, name: str, promised: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Every phase that must still settle before ``name`` can run, directly above it or further up, in the order of the flow.

    Those ``promised`` to run first are left out.
    """
    tally = _tally(flow, run)
    missing: set[str] = set()
    todo = [name]
    while todo:
        for source in flow.by_name[todo.pop()].required:
            if source in missing or source in promised or settled_below(flow, run.phases, tally, source, ()):
                continue
            missing.add(source)
            todo.append(source)
    return tuple(source for source in flow.order if source in missing)


def next_due(flow: Flow, run: Run, now: datetime) -> datetime | None:
    """When a worker should look at the run again: now, a time to come, or None when only a person can move it."""
    if run.status in _IDLE:
        return None
    tally = _tally(flow, run)
    if tally.active:
        return now
    if run.ending:
        # A gate's deadline means nothing any more; a worker that woke for it would find nothing to do, again and again.
        return min((due for key, due in tally.timers.items() if key[0].startswith(UNDO)), default=None)
    return min(tally.timers.values(), default=None)


def gate_answer(instance: PhaseRun, by: str = "") -> dict[str, object]:
    """The output of a settled gate: the outcome and what the persons who chose it said."""
    votes = [vote for vote in instance.votes if vote.outcome == instance.outcome]
    comments = [vote.comment for vote in votes if vote.comment]
    return {
        "outcome": instance.outcome,
        "by": [vote.by for vote in votes] or [by],
        "comment": "\n".join(comments),
        "answers": next((vote.answers for vote in votes if vote.answers is not None), None),
    }


def digest(value: object) -> str:
    """The sha256 of a JSON value in canonical form, as hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _tally(flow: Flow, run: Run) -> Tally:
    return run.tally if run.tally is not None else count(flow, run.aim, run.phases)


class Draft:
    """A run being advanced: a working copy that remembers what was recorded and what that touched."""

    __slots__ = ("_changes", "_tally", "everything", "facts", "flow", "now", "phases", "retriable", "run", "touched")

    def __init__(self, flow: Flow, run: Run | None, now: datetime) -> None:
        self.flow, self.now = flow, now
        self.run: Run = run  # type: ignore[assignment]  # a RunStarted comes first when there is no run yet
        self.phases: Layered[Instance, PhaseRun] = run.phases if run else Layered()
        self._changes: dict[Instance, PhaseRun] = {}
        self._tally: Tally | None = run.tally.copy() if run and run.tally is not None else None
        self.facts: list[f.Fact] = []
        self.touched: dict[Instance, None] = {}
        self.everything = False
        self.retriable: set[Instance] = set()

    def at(self, name: str, scope: Scope) -> PhaseRun:
        """The instance as it stands in the draft."""
        key = (name, scope)
        return self._changes.get(key) or self.phases.get(key) or PhaseRun(name, scope)

    def snapshot(self) -> Layered[Instance, PhaseRun]:
        """All instances as they stand in the draft."""
        if self._changes:
            self.phases = self.phases.changed(self._changes)
            self._changes = {}
        return self.phases

    def instances(self) -> list[Instance]:
        """All instances, in an order that does not depend on how the run was loaded."""
        return self.in_order(self.snapshot())

    def in_order(self, keys: Iterable[Instance]) -> list[Instance]:
        position = self.flow.position
        return sorted(keys, key=lambda key: (position[key[0]], key[1]))

    @property
    def tally(self) -> Tally:
        if self._tally is None:
            self._tally = count(self.flow, self.run.aim, self.snapshot())
        return self._tally

    def moved(self) -> bool:
        return bool(self.touched) or self.everything

    def take_touched(self) -> list[Instance] | None:
        """What to ask about next; None means everything."""
        touched, everything = list(self.touched), self.everything
        self.touched, self.everything = {}, False
        return None if everything else touched

    def record(self, fact: f.Fact) -> None:
        """Fold one fact into the draft."""
        self.facts.append(fact)
        if type(fact) in f.RUN_FACTS:
            self._record_run(fact)  # type: ignore[arg-type]
            return
        key = (fact.phase, fact.scope)  # type: ignore[union-attr]
        before = self.at(*key)
        after = state.evolve_phase(before, fact)  # type: ignore[arg-type]
        self._changes[key] = after
        # Nothing follows from being ready or running; only a run at rest must be asked why something runs in it.
        if after.status not in _UNDER_WAY or self.run.status in _IDLE or self.run.ending:
            self.touched[key] = None
        status = state.run_status(self.run.status, fact)
        if status is not self.run.status:
            self.run = self.run.but(status=status)
        if isinstance(fact, f.AttemptLost) or (isinstance(fact, f.AttemptFailed) and not fact.fatal):
            self.retriable.add(key)
        if self._tally is not None:
            self._count(key, before, after)

    def _record_run(self, fact: f.RunFact) -> None:
        if isinstance(fact, f.RunStarted):
            self.run, self.everything = state.started(fact), True
            return
        self.run = state.evolve_run(self.run, fact)
        if isinstance(fact, f.RunAimed):
            self._tally = None
        if isinstance(fact, _REPLAN_ALL) or not self.run.finished:
            self.everything = not isinstance(fact, f.RunParked) or self.everything

    def _count(self, key: Instance, before: PhaseRun, after: PhaseRun) -> None:
        """Keep the tally in step, or void it when something settled comes undone."""
        tally, flow = self.tally, self.flow
        if before.status not in _COUNTED and after.status not in _COUNTED and after.status in _UNDER_WAY:
            tally.statuses[before.status] -= 1
            tally.statuses[after.status] += 1
            return
        was, now = settles(flow, before), settles(flow, after)
        if (was and not now) or isinstance(self.facts[-1], f.PhaseReset):
            self._tally = None
            return
        if before.status is not after.status:
            # Pending instances mostly have no row, so their number means nothing and nobody asks for it.
            tally.statuses[before.status] -= 1
            tally.statuses[after.status] += 1
            tally.failures += fails(flow, self.run.aim, after) - fails(flow, self.run.aim, before)
        if after.due_at is not None and after.status is PhaseStatus.WAITING:
            tally.timers[key] = after.due_at
        else:
            tally.timers.pop(key, None)
        if now and not was:
            if after.round and after.phase in flow.repeated_over:
                self._tally = None
                return
            settle(flow, self.run.aim, self.phases, tally, after)

    def freeze(self) -> Run:
        """The run as an immutable snapshot."""
        if not self.facts:
            return self.run.but(tally=self.tally)
        first = 1 if isinstance(self.facts[0], f.RunStarted) else 0
        tally = self.tally
        return self.run.but(
            phases=self.snapshot(), tally=tally, seq=self.run.seq + len(self.facts) - first,
            updated_at=self.facts[-1].at,
        )  # fmt: skip


# --- mend -----------------------------------------------------------------------------------------------------------


def mend(draft: Draft, touched: list[Instance] | None) -> Iterator[f.Fact]:
    """Retry, give up, go back, undo; settle gates that have their answers; wake what is due."""
    run = draft.run
    paused = run.status is RunStatus.PAUSED
    if paused or run.ending:
        yield from _stop_running(draft, touched)
    if run.status in _IDLE and not paused:
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


def resets(
    flow: Flow, phases: Layered[Instance, PhaseRun], now: datetime, name: str, scope: Scope, reason: str,
    feedback: tuple[str, Scope, int] | None = None, by: str = "",
) -> list[f.PhaseReset]:  # fmt: skip
    """Resets of a phase instance and of everything downstream of it that has begun."""
    depth = _reset_depth(flow, name, len(scope))
    affected = [
        instance
        for instance in phases.values()
        if instance.phase in depth
        and instance.status is not PhaseStatus.PENDING
        and instance.scope[: depth[instance.phase]] == scope[: depth[instance.phase]]
    ]
    affected.sort(key=lambda instance: (flow.position[instance.phase], instance.scope))
    return [f.PhaseReset(now, i.phase, i.scope, reason, by, feedback if i.phase == name else None) for i in affected]


def _reset_depth(flow: Flow, name: str, depth: int) -> dict[str, int]:
    """For a phase and each one downstream, how many item keys it must share with the reset instance to be reset too.

    A join on the way forgets the item: what it is broadcast to is reset for every item.
    """
    found = {name: depth}
    for below in flow.downstream[name]:
        above = [source for source in flow.by_name[below].above if source in found]
        found[below] = min(min(found[source], flow.shared(source, below)) for source in above)
    return found


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


# --- open -----------------------------------------------------------------------------------------------------------


def opened(draft: Draft, touched: list[Instance] | None) -> Iterator[f.Fact]:
    """What has become possible: phases get ready, gates open, conditions that do not hold skip."""
    if draft.run.status in _IDLE or draft.run.ending:
        return
    aim = draft.run.aim
    for name, scope in _candidates(draft, touched):
        if (aim is None or name in aim) and draft.at(name, scope).status is PhaseStatus.PENDING:
            yield from _open(draft, draft.flow.by_name[name], scope)


def _candidates(draft: Draft, touched: list[Instance] | None) -> Iterable[Instance]:
    flow, phases = draft.flow, draft.snapshot()
    if touched is None:
        return [(name, scope) for name in flow.order for scope in _scopes(flow, phases, name)]
    found: dict[Instance, None] = {}
    for name, scope in touched:
        instance = draft.at(name, scope)
        if instance.status is PhaseStatus.PENDING:
            if not name.startswith(UNDO) and item_scope_exists(flow, phases, name, scope):
                found[name, scope] = None
            continue
        if not settles(flow, instance):
            continue
        for dependent in flow.dependents.get(name, ()):
            prefix = scope[: flow.shared(name, dependent)]
            if settled_below(flow, phases, draft.tally, name, prefix):
                found.update(dict.fromkeys((dependent, s) for s in _scopes(flow, phases, dependent, prefix)))
        # A source with no items settles everything that repeats over it, whose dependents must hear of it; so may one that
        # was run again, over instances that are settled already.
        if not instance.items or instance.round:
            for repeated in flow.repeated_over.get(name, ()):
                for dependent in flow.dependents[repeated]:
                    prefix = scope[: flow.shared(name, dependent)]
                    found.update(dict.fromkeys((dependent, s) for s in _scopes(flow, phases, dependent, prefix)))
    return found


def item_scope_exists(flow: Flow, phases: Layered[Instance, PhaseRun], name: str, scope: Scope) -> bool:
    """Whether the items that make up ``scope`` (still) exist."""
    levels = flow.levels[name]
    return len(scope) == len(levels) and all(
        scope[depth] in (item_keys_of(flow, phases, source, scope[:depth]) or ()) for depth, source in enumerate(levels)
    )


def _open(draft: Draft, phase: Phase, scope: Scope) -> Iterator[f.Fact]:
    flow, tally, run = draft.flow, draft.tally, draft.run
    phases = draft.phases
    excused: set[str] = set()
    for source in flow.above[phase.name]:
        if not settled_below(flow, phases, tally, source, scope[: flow.shared(phase.name, source)]):
            if not excuses(run, phase, source):
                return
            excused.add(source)
    for name in phase.when:
        if name in excused:
            continue
        words = {i.outcome for i in _instances(draft, phase.name, scope, name)}
        if not words.intersection(phase.words(name)):
            said = ", ".join(sorted(w for w in words if w)) or "nothing"
            reason = f"{name} ended with {said}, not {' or '.join(phase.words(name))}"
            yield f.PhaseSkipped(draft.now, phase.name, scope, reason)
            return
    if phase.gate is None:
        yield f.PhaseReadied(draft.now, phase.name, scope)
        return
    due = draft.now + timedelta(seconds=phase.gate.deadline) if phase.gate.deadline else None
    attempt = draft.at(phase.name, scope).attempt + 1
    yield f.GateOpened(draft.now, phase.name, scope, attempt, shown_digest(draft, phase, scope), due)


def excuses(run: Run, phase: Phase, source: str) -> bool:
    """Whether the run lets this phase start although ``source`` above it is not settled."""
    outside = run.aim is not None and source not in run.aim
    if source not in phase.required and (outside or phase.name in run.pressed):
        return True
    return run.unchecked and outside


def _instances(draft: Draft, name: str, scope: Scope, source: str) -> list[PhaseRun]:
    prefix = scope[: draft.flow.shared(name, source)]
    return [draft.at(source, s) for s in _scopes(draft.flow, draft.phases, source, prefix)]


def shown_digest(draft: Draft, phase: Phase, scope: Scope) -> str:
    """The sha256 of what a gate shows: the hashes of the outputs it names, item by item."""
    shows = phase.gate.shows if phase.gate else ()
    return digest(
        {n: [[list(i.scope), i.outcome, i.sha256] for i in _instances(draft, phase.name, scope, n)] for n in shows}
    )


# --- close ----------------------------------------------------------------------------------------------------------


def close(draft: Draft) -> Iterator[f.Fact]:
    """End the run, or park it, when nothing can go on."""
    run, tally, now = draft.run, draft.tally, draft.now
    if run.status in _IDLE or tally.active:
        return
    undone = [i for i in draft.snapshot().values() if i.phase.startswith(UNDO)] if run.ending else []
    if run.ending and not any(i.status is PhaseStatus.WAITING for i in undone):
        failed = {i.phase[len(UNDO) :] for i in undone if i.status is PhaseStatus.FAILED}
        lost = [name for name in draft.flow.order if name in failed]
        reason = (run.reason or "") + (f"; undoing {', '.join(lost)} failed" if lost else "")
        if run.ending is RunStatus.CANCELLED and not lost:
            yield f.RunCancelled(now, reason)
        else:
            yield f.RunFailed(now, reason)
    elif run.ending:
        return
    elif tally.unsettled == 0:
        yield f.RunSucceeded(now)
    elif tally.failures and not _timed(draft):
        yield f.RunEnding(now, RunStatus.FAILED, _failure_reason(draft))
    elif tally.statuses[PhaseStatus.WAITING]:
        if run.status is not RunStatus.WAITING:
            yield f.RunParked(now)
    else:
        yield f.RunEnding(now, RunStatus.FAILED, "nothing can move: " + ", ".join(_unsettled(draft)))


def _timed(draft: Draft) -> bool:
    """Whether some phase (not a gate) will be tried again by itself."""
    return any(draft.flow.by_name[name].gate is None for name, _ in draft.tally.timers)


def _failure_reason(draft: Draft) -> str:
    failed = [i for i in draft.snapshot().values() if fails(draft.flow, draft.run.aim, i)]
    first = min(failed, key=lambda i: (draft.flow.position[i.phase], i.scope))
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{first.phase}: {first.reason or 'failed'}{more}"


def _unsettled(draft: Draft) -> list[str]:
    aim = draft.run.aim
    return [
        name
        for name in draft.flow.order
        if (aim is None or name in aim) and not settled_below(draft.flow, draft.phases, draft.tally, name, ())
    ]
