"""The counters that make planning incremental: what is still open below each point of an iteration.

All of it follows from the flow and the phase instances; it is counted once when a run is loaded and then kept in step.
Settling moves counters down, one step per level. Un-settling (a reset, a retry of a failure that was taken up) is rare and
makes the counters void: the next question counts anew. So does a source that settles again, over instances it had before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from phasegate.core.flow import UNDO, Flow
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Scope

Phases = Mapping[Instance, PhaseRun]

_NONE = dict.fromkeys(PhaseStatus, 0)  # copied, since going through an enumeration takes longer


@dataclass(slots=True)
class Tally:
    """Counters of one run. ``open`` counts the unsettled children below (phase, prefix); ``unsettled`` the aimed phases that
    are not settled as a whole; ``statuses`` the instances per status; ``failures`` the aimed instances that failed for good;
    ``timers`` when waiting instances are due."""

    open: Layered[Instance, int] = field(default_factory=Layered)
    unsettled: int = 0
    failures: int = 0
    statuses: dict[PhaseStatus, int] = field(default_factory=_NONE.copy)
    timers: dict[Instance, datetime] = field(default_factory=dict)

    def copy(self) -> Tally:
        """A tally of its own: what is counted on it does not show in this one."""
        return Tally(self.open, self.unsettled, self.failures, self.statuses.copy(), self.timers.copy())

    @property
    def active(self) -> int:
        """Instances that a worker can or does work on."""
        return self.statuses[PhaseStatus.READY] + self.statuses[PhaseStatus.RUNNING]


def settles(flow: Flow, instance: PhaseRun) -> bool:
    """Whether what waits for this instance may go on: it settled, or failed in a way some condition takes up."""
    return instance.settled or (instance.status is PhaseStatus.FAILED and (instance.phase, "failed") in flow.handled)


def fails(flow: Flow, aim: frozenset[str] | None, instance: PhaseRun) -> bool:
    """Whether this instance is a failure the run must end for."""
    aimed = aim is None or instance.phase in aim
    return aimed and instance.status is PhaseStatus.FAILED and (instance.phase, "failed") not in flow.handled


def count(flow: Flow, aim: frozenset[str] | None, phases: Phases) -> Tally:
    """The tally of a run from scratch; linear in its instances."""
    tally = Tally()
    for key, instance in phases.items():
        tally.statuses[instance.status] += 1
        tally.failures += fails(flow, aim, instance)
        if instance.due_at is not None and instance.status is PhaseStatus.WAITING:
            tally.timers[key] = instance.due_at
    counters: dict[Instance, int] = {}
    for name in flow.order:
        done = _count_below(flow, phases, name, (), counters)
        tally.unsettled += not done and (aim is None or name in aim)
    tally.open = Layered(counters)
    return tally


def _count_below(flow: Flow, phases: Phases, name: str, prefix: Scope, counters: dict[Instance, int]) -> bool:
    """Whether ``name`` is settled everywhere below ``prefix``; notes the open children on the way."""
    levels = flow.levels[name]
    if len(prefix) == len(levels):
        found = phases.get((name, prefix))
        return found is not None and settles(flow, found)
    keys = item_keys_of(flow, phases, levels[len(prefix)], prefix)
    if keys is None:
        return False
    still_open = sum(not _count_below(flow, phases, name, (*prefix, key), counters) for key in keys)
    counters[name, prefix] = still_open
    return still_open == 0


def item_keys_of(flow: Flow, phases: Phases, source: str, scope: Scope) -> tuple[str, ...] | None:
    """The keys of the items a source gives; None while it is not settled."""
    found = phases.get((source, scope))
    if found is None or not settles(flow, found):
        return None
    return found.items or ()


def settled_below(flow: Flow, phases: Phases, tally: Tally, name: str, prefix: Scope) -> bool:
    """Whether ``name`` is settled in every scope below ``prefix``. Constant time."""
    if len(prefix) == len(flow.levels[name]):
        found = phases.get((name, prefix))
        return found is not None and settles(flow, found)
    return tally.open.get((name, prefix)) == 0


def settle(flow: Flow, aim: frozenset[str] | None, phases: Phases, tally: Tally, instance: PhaseRun) -> None:
    """Count an instance that has just settled: itself, and the iterations it opens for others."""
    changes: dict[Instance, int] = {}
    _settle_up(flow, aim, tally, changes, instance.phase, instance.scope)
    for name in flow.repeated_over.get(instance.phase, ()):
        keys = instance.items or ()
        changes[name, instance.scope] = len(keys)
        if not keys:
            _settle_up(flow, aim, tally, changes, name, instance.scope)
    if changes:
        tally.open = tally.open.changed(changes)


def _settle_up(
    flow: Flow, aim: frozenset[str] | None, tally: Tally, changes: dict[Instance, int], name: str, scope: Scope
) -> None:
    """``name`` is settled everywhere below ``scope``: one open child less above it, and so on upwards."""
    while scope:
        scope = scope[:-1]
        left = changes.get((name, scope), tally.open.get((name, scope)))
        if left is None:
            # Nobody waits for it there: it undoes something, or its source is being run again and counts anew.
            return
        changes[name, scope] = left - 1
        if left > 1:
            return
    if not name.startswith(UNDO) and (aim is None or name in aim):
        tally.unsettled -= 1


def scopes(flow: Flow, phases: Phases, name: str, prefix: Scope = ()) -> Iterator[Scope]:
    """Every scope below ``prefix`` in which ``name`` has an instance by now."""
    levels = flow.levels[name]
    if len(prefix) >= len(levels):
        yield prefix
        return
    for key in item_keys_of(flow, phases, levels[len(prefix)], prefix) or ():
        yield from scopes(flow, phases, name, (*prefix, key))
