"""Open: what has become possible gets ready, gates open, conditions that do not hold skip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from phasegate.core import facts as f
from phasegate.core.draft import IDLE, Draft
from phasegate.core.flow import UNDO, Flow, Phase
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, Scope
from phasegate.core.shown import shown_digest
from phasegate.core.tally import item_keys_of, settled_below, settles
from phasegate.core.tally import scopes as _scopes


def opened(draft: Draft, touched: list[Instance] | None) -> Iterator[f.Fact]:
    """What has become possible: phases get ready, gates open, conditions that do not hold skip."""
    if draft.run.status in IDLE or draft.run.ending:
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
        words = {i.outcome for i in draft.sources(phase.name, scope, name)}
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
