"""A run being advanced: a working copy that remembers what was recorded and what that touched."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from phasegate.core import facts as f
from phasegate.core import state
from phasegate.core.flow import Flow
from phasegate.core.layered import Layered
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Scope
from phasegate.core.tally import Tally, count, fails, settle, settles
from phasegate.core.tally import scopes as scopes_of

_REPLAN_ALL = (f.RunAimed, f.RunResumed)
UNDER_WAY = frozenset({PhaseStatus.READY, PhaseStatus.RUNNING})
#: Statuses whose coming and going changes more than the counters per status.
_COUNTED = frozenset({PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED, PhaseStatus.FAILED, PhaseStatus.WAITING})
IDLE = frozenset({RunStatus.PAUSED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})


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
        if after.status not in UNDER_WAY or self.run.status in IDLE or self.run.ending:
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
        if before.status not in _COUNTED and after.status not in _COUNTED and after.status in UNDER_WAY:
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

    def sources(self, name: str, scope: Scope, source: str) -> list[PhaseRun]:
        """The instances of ``source`` that an instance of ``name`` looks at."""
        prefix = scope[: self.flow.shared(name, source)]
        return [self.at(source, each) for each in scopes_of(self.flow, self.phases, source, prefix)]
