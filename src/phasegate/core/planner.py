"""What happens next: a pure function over frozen values.

``advance(flow, run, now, *facts)`` records facts and everything that follows from them, until nothing follows. Here is no
clock, no database and no user code; ``now`` is an argument, and even the jitter of a retry is derived from the run's id, so
that the same inputs give the same log.

Three questions are asked of each snapshot, in this order: *mend* (retry, give up, go back, undo), *open* (what has become
possible), *close* (end the run). After a fact only what it touches, and what waits for that, is asked about.
"""

from __future__ import annotations

from datetime import datetime

from phasegate.core import facts as f
from phasegate.core.closing import close
from phasegate.core.draft import IDLE, Draft
from phasegate.core.flow import UNDO, Flow
from phasegate.core.mending import mend
from phasegate.core.opening import opened
from phasegate.core.run import Instance, PhaseRun, Run, Scope
from phasegate.core.tally import Tally, count, settled_below
from phasegate.core.tally import scopes as _scopes


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
    if run.status in IDLE:
        return None
    tally = _tally(flow, run)
    if tally.active:
        return now
    if run.ending:
        # A gate's deadline means nothing any more; a worker that woke for it would find nothing to do, again and again.
        return min((due for key, due in tally.timers.items() if key[0].startswith(UNDO)), default=None)
    return min(tally.timers.values(), default=None)


def next_timer(flow: Flow, run: Run) -> datetime | None:
    """The earliest time that something in the run waits for, whatever else could be done now."""
    return min(_tally(flow, run).timers.values(), default=None)


def _tally(flow: Flow, run: Run) -> Tally:
    return run.tally if run.tally is not None else count(flow, run.aim, run.phases)
