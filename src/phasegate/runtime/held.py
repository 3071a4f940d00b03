"""A leased run in memory: its snapshot, what is under way in it, and the outputs its phases may need."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phasegate.core import facts as f
from phasegate.core.flow import UNDO, Flow, Phase
from phasegate.core.items import item_keys, items_of
from phasegate.core.planner import advance, sources
from phasegate.core.quota import Permit
from phasegate.core.run import Instance, PhaseRun, PhaseStatus, Run, RunStatus, Scope
from phasegate.journal import Extras, compose
from phasegate.runtime.context import Context
from phasegate.runtime.executor import Ending
from phasegate.store.base import Append, OutputKey

Place = tuple[str, Scope, int]  # phase, scope, version
_READYING = frozenset({f.PhaseReadied, f.AttemptStopped})


@dataclass(slots=True, eq=False)
class Attempt:
    """One execution under way. ``recorded`` says whether its start is in the log already."""

    key: Instance
    phase: Phase
    context: Context
    started_at: datetime
    round: int = 0
    recorded: bool = False
    task: asyncio.Task[None] | None = None
    sources: dict[str, list[PhaseRun]] = field(default_factory=dict)
    permits: tuple[Permit, ...] = ()

    def start_fact(self, worker: str) -> f.AttemptStarted:
        """The fact that this attempt began."""
        return f.AttemptStarted(self.started_at, *self.key, self.context.attempt, worker)

    def fits(self, run: Run) -> bool:
        """Whether the run still waits for this attempt."""
        instance = run.at(*self.key)
        if instance.round != self.round or run.status is RunStatus.PAUSED or run.finished:
            return False
        if self.recorded:
            return instance.status is PhaseStatus.RUNNING and instance.attempt == self.context.attempt
        return instance.status is PhaseStatus.READY and instance.attempt + 1 == self.context.attempt

    def give_up(self) -> None:
        """Stop as far as that is possible: the flag for threads, cancellation for coroutines."""
        self.context.stop()
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True, eq=False)
class Held:
    """A leased run. ``saving`` holds what is in the commit under way; only one is at a time. ``before`` is the run without
    that commit, should it fail."""

    run: Run
    flow: Flow
    ready: deque[Instance] = field(default_factory=deque)
    throttled: set[Instance] = field(default_factory=set)
    turn: datetime | None = None  # when a rate will have come to an attempt that is ready
    running: dict[Instance, Attempt] = field(default_factory=dict)
    inbox: list[tuple[Attempt, Ending]] = field(default_factory=list)
    saving: list[tuple[Attempt, Ending]] | None = None
    before: Run | None = None
    facts: tuple[f.Fact, ...] = ()
    releasing: bool = False
    one_by_one: bool = False
    record_starts: bool = False
    values: dict[Place, Any] = field(default_factory=dict)
    items: dict[Place, dict[str, Any]] = field(default_factory=dict)
    _saved: asyncio.Event | None = None

    async def next_saved(self) -> None:
        """Wait until a commit of this run is answered."""
        self._saved = self._saved or asyncio.Event()
        await self._saved.wait()

    def announce_saved(self) -> None:
        """Wake those who wait for a commit of this run."""
        if self._saved is not None:
            self._saved.set()
            self._saved = None

    def find_ready(self) -> None:
        """Queue every instance that is ready and not under way."""
        at_rest = self.run.status is RunStatus.PAUSED or self.run.finished
        self.throttled = {
            key for key in self.throttled if not at_rest and self.run.at(*key).status is PhaseStatus.READY
        }
        if self.run.tally is None or self.run.tally.statuses[PhaseStatus.READY]:
            self.ready = deque(
                key
                for key, instance in self.run.phases.items()
                if instance.status is PhaseStatus.READY and key not in self.running and key not in self.throttled
            )

    def queue_changed(self, facts: Sequence[f.Fact]) -> None:
        """Queue the instances that these facts made ready."""
        for fact in facts:
            if type(fact) in _READYING:
                key = (fact.phase, fact.scope)  # type: ignore[union-attr]
                if (
                    key not in self.running
                    and key not in self.throttled
                    and self.run.at(*key).status is PhaseStatus.READY
                ):
                    self.ready.append(key)

    def next_append(self, now: datetime, worker: str, projecting: bool) -> Append | None:
        """Everything that happened since the last commit, as one append; None when nothing did."""
        taken = self._take_inbox()
        facts: list[f.Fact] = []
        for attempt, ending in taken:
            if not attempt.recorded:
                facts.append(attempt.start_fact(worker))
                attempt.recorded = True
            facts.append(ending.fact)
        if self.record_starts:
            self.record_starts = False
            for attempt in self.running.values():
                if not attempt.recorded and attempt.fits(self.run):
                    facts.append(attempt.start_fact(worker))
                    attempt.recorded = True
        if not facts:
            return None
        before = self.before = self.run
        self.run, self.facts = advance(self.flow, before, now, *facts)
        self.saving = taken
        outputs = {}
        for attempt, ending in taken:
            if ending.output is not None:
                place = (*attempt.key, attempt.context.attempt)
                outputs[place] = ending.output
                if self.flow.dependents[place[0]]:  # what nobody here will ask for need not fill the memory
                    self.values[place] = ending.output[1]
        writes = tuple(write for _, ending in taken for write in ending.writes)
        self.releasing = not (self.running or self.inbox) and not self.run.tally.active
        extras = Extras(outputs=outputs, writes=writes, release=self.releasing)
        return compose(self.flow, before, self.run, self.facts, now=now, extras=extras, projecting=projecting)

    def _take_inbox(self) -> list[tuple[Attempt, Ending]]:
        """The endings to record next; those the run no longer waits for are dropped: they are stale."""
        if self.one_by_one:
            taken, self.inbox = self.inbox[:1], self.inbox[1:]
            self.one_by_one = bool(self.inbox)
        else:
            taken, self.inbox = self.inbox, []
        return [(attempt, ending) for attempt, ending in taken if attempt.fits(self.run)]

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way or waits to be recorded."""
        return not (self.running or self.inbox or self.ready or self.throttled or self.saving is not None)


# --- bind: what an attempt is given ---------------------------------------------------------------------------------


def missing_outputs(held: Held, attempt: Attempt) -> list[OutputKey]:
    """The outputs the attempt needs that are not in memory."""
    name, scope = attempt.key
    attempt.sources = sources(held.flow, held.run, name, scope) if held.flow.above[name] else {}
    places = [place for instances in attempt.sources.values() for i in instances if (place := _place(i))]
    feedback = held.run.at(name, scope).feedback
    if feedback is not None:
        places.append(feedback)
    return [(held.run.id, *place) for place in places if place not in held.values]


def _place(instance: PhaseRun) -> Place | None:
    return None if instance.version is None else (instance.phase, instance.scope, instance.version)


def bind(held: Held, attempt: Attempt) -> None:
    """Fill the context from the outputs in memory."""
    name, scope = attempt.key
    context, flow = attempt.context, held.flow
    origin = name.removeprefix(UNDO)
    for source, instances in attempt.sources.items():
        values = [held.values.get(place) if (place := _place(i)) else None for i in instances]
        joined = len(flow.levels[source]) > flow.shared(origin, source)
        context.inputs[source] = values if joined else (values[0] if values else None)
    instance = held.run.at(name, scope)
    context.questions, context.answers = instance.questions, instance.answers
    context.feedback = held.values.get(instance.feedback) if instance.feedback else None
    if scope:
        context.item = _item(held, flow.levels[name][-1], scope)


def _item(held: Held, source: str, scope: Scope) -> Any:
    """The item a scope ends with, looked up in an index built once per output."""
    place = _place(held.run.at(source, scope[:-1]))
    if place is None:
        return None
    index = held.items.get(place)
    if index is None:
        output = held.values.get(place)
        index = held.items[place] = dict(zip(item_keys(output), items_of(output), strict=True))
    return index.get(scope[-1])
