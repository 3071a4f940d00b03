"""A world in one process: real workers, the real journal and the real façade, on a store, a clock and a network that are
played; what goes wrong, and when, is decided by a seed.

Workers die, are cut off and come back, commits are refused, or made and not answered, answers are late, people decide, pause,
reset, skip and cancel meanwhile, phases fail in every way they can.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast
from unittest import mock

from phasegate import Engine, Flow, Limits, PhaseRun, PhaseStatus, Registry, Run, RunStatus, Subject
from phasegate import engine as facade
from phasegate.core import facts as f
from phasegate.core.flow import UNDO
from phasegate.engine import aiming, base
from phasegate.errors import PhasegateError
from phasegate.runtime import recording, starting, worker
from phasegate.runtime.worker import Worker
from phasegate.store.base import Store
from tests.core.strategies import PEOPLE, build_flow
from tests.crash.simulated_network import LateJournal, Line, PromptJournal
from tests.crash.simulated_phases import Played, entry
from tests.crash.store_double import Double
from tests.crash.virtual_time import VirtualLoop

T = TypeVar("T")

SUBJECTS = tuple(Subject("order", str(number)) for number in range(3))
WORKERS = 3
LEASE = 6.0
#: Seconds of this world in which things go wrong, and after which everything must have ended.
CHAOS, PATIENCE = 25.0, 4000.0


@dataclass
class Process:
    """A worker and what belongs to it."""

    line: Line
    worker: Worker
    task: asyncio.Task[None]


@dataclass
class World:
    """Everything that a seed decides."""

    seed: int
    chance: random.Random = field(init=False)
    told: dict[str, list[str]] = field(default_factory=dict)  # what people were told is done: outcomes by run

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.loop = VirtualLoop(random.Random(self.seed + 1))
        self.store = Double(self.loop.now)
        self.flow = self._some_flow()
        self.registry = Registry(self.flow)
        self.processes: list[Process] = []
        self.names = (f"w{n}" for n in itertools.count(1))
        ids = (f"run-{n}" for n in itertools.count(1))
        self.line = Line(self.store, random.Random(self.seed + 2))
        with mock.patch.object(base, "Journal", PromptJournal), mock.patch.object(facade, "open_store") as opened:
            opened.return_value = self.line
            self.engine = Engine("played", self.registry)
        self._patches = contextlib.ExitStack()
        self._patches.enter_context(mock.patch.object(aiming, "new_id", side_effect=ids))
        self._patches.enter_context(mock.patch.object(starting, "START_DELAY", 0.3))  # seconds are long in this world
        for module in (worker, recording):  # thousands of worlds have nothing to say
            self._patches.enter_context(mock.patch.object(module, "announce"))

    def play(self) -> None:
        """From beginning to end. Raises ``AssertionError`` for what must not be."""
        asyncio.set_event_loop(self.loop)
        try:
            with self._patches:
                self.loop.run_until_complete(self._play())
            check(self)
        finally:
            self.loop.run_until_complete(self._clear())
            asyncio.set_event_loop(None)
            self.loop.close()

    def digest(self) -> str:
        """What happened, in a few letters."""
        told = repr([(key, row.log) for key, row in self.store.rows.items()])
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    async def _play(self) -> None:
        for _ in range(WORKERS):
            self._add_worker()
        self.line.trouble = 0.1
        for subject in SUBJECTS:
            self._ask(partial(self.engine.start, self.flow, subject))
        while self.loop.time() < CHAOS:
            await asyncio.sleep(self.chance.uniform(0, 2))
            self.chance.choice(_EVENTS)(self)
        self.line.trouble = 0.0
        for process in self.processes:
            process.line.trouble, process.line.cut = 0.0, False
        if not self.processes:
            self._add_worker()
        for subject in SUBJECTS:  # whoever was not told asks again, and gets the same run
            self.engine.start(self.flow, subject)
        while any(not row.run.finished or row.worker for row in self.store.rows.values()):
            assert self.loop.time() < PATIENCE, "a run does not end"
            await asyncio.sleep(1)
            self._help_on()

    async def _clear(self) -> None:
        for process in self.processes:
            process.task.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(3):
            for task in others:
                task.cancel()
            await asyncio.sleep(1)

    # --- workers ---

    def _add_worker(self) -> None:
        name = next(self.names)
        line = Line(self.store, random.Random(f"{self.seed}/{name}"))
        line.trouble = self.chance.choice([0, 0, 0.05, 0.2]) if self.loop.time() < CHAOS else 0
        store = cast(Store, line)
        journal = LateJournal(store, self.loop, random.Random(f"{self.seed}:{name}"))
        limits = Limits(concurrency=self.chance.choice([2, 10, 100]), lease=LEASE, poll=0.5, grace=0.3)
        fresh = Worker(store, journal, self.registry, id=name, limits=limits)
        self.processes.append(Process(line, fresh, self.loop.create_task(fresh.run())))

    def _one_dies(self) -> None:
        if self.processes:
            process = self.processes.pop(self.chance.randrange(len(self.processes)))
            process.line.dead = True
            process.task.cancel()

    def _one_stops(self) -> None:
        if self.processes:
            self.processes.pop(self.chance.randrange(len(self.processes))).worker.stop()

    def _one_comes(self) -> None:
        if len(self.processes) < WORKERS:
            self._add_worker()

    def _one_is_cut_off(self) -> None:
        """For less than its lease, or for more: then others take its runs, and it must find out."""
        if self.processes:
            line = self.chance.choice(self.processes).line
            line.cut = True
            self.loop.call_later(self.chance.uniform(0, 2 * LEASE), setattr, line, "cut", False)

    # --- people ---

    def _ask(self, request: Callable[[], T]) -> T | None:
        """What a person gets to hear; None for a refusal, or for no answer."""
        try:
            return request()
        except PhasegateError:
            return None

    def _some_run(self) -> Run | None:
        ids = list(self.store.rows)
        return self.store.load([self.chance.choice(ids)])[0] if ids else None

    def _person(self) -> None:
        run = self._some_run()
        if run is not None:
            self.chance.choice(_REQUESTS)(self, run)

    def decide(self, run: Run) -> None:
        gates = [phase.name for phase in self.flow.phases if phase.gate]
        open_ones = [i for i in run.phases.values() if i.status is PhaseStatus.WAITING and i.phase in gates]
        if not gates:
            return
        some = self.chance.choice(open_ones) if open_ones else run.at(self.chance.choice(gates))
        outcome = self.chance.choice(["approved", "approved", "rejected"])
        by, seen = self.chance.choice(PEOPLE), self.chance.choice([some.shown, some.shown, "something else"])
        after = self._ask(
            lambda: self.engine.decide(run.id, some.phase, outcome, by=by, seen=seen or None, scope=some.scope)
        )
        if after is not None:
            self.told.setdefault(run.id, []).append(outcome)

    def answer(self, run: Run) -> None:
        for asked in [i for i in run.phases.values() if i.asked]:
            self._ask(partial(self.engine.answer, run.id, asked.phase, "so", by="ann", scope=asked.scope))

    def pause(self, run: Run) -> None:
        self._ask(lambda: self.engine.pause(run.id))

    def resume(self, run: Run) -> None:
        self._ask(lambda: self.engine.resume(run.id))

    def retry(self, run: Run) -> None:
        self._ask(lambda: self.engine.retry(run.id))

    def reset(self, run: Run) -> None:
        self._ask(lambda: self.engine.reset(run.id, self.chance.choice(self.flow.phases).name))

    def skip(self, run: Run) -> None:
        self._ask(lambda: self.engine.skip(run.id, self.chance.choice(self.flow.phases).name))

    def aim(self, run: Run) -> None:
        self._ask(lambda: self.engine.aim(run.id, [self.chance.choice(self.flow.phases).name]))

    def cancel(self, run: Run) -> None:
        if self.chance.random() < 0.3:
            self._ask(lambda: self.engine.cancel(run.id))

    def _help_on(self) -> None:
        """Everything that only a person can move on."""
        for run in self.store.load([key for key, row in self.store.rows.items() if not row.run.finished]):
            if run.status is RunStatus.PAUSED:
                self.engine.resume(run.id)
                continue
            self.answer(run)
            for instance in run.phases.values():
                self._help(run, instance)

    def _help(self, run: Run, i: PhaseRun) -> None:
        if i.phase.startswith(UNDO) and i.status is PhaseStatus.FAILED:
            self._ask(lambda: self.engine.skip(run.id, i.phase, scope=i.scope))
        elif i.status is PhaseStatus.WAITING and self.flow.by_name[i.phase].gate and not run.ending:
            voted = {vote.by for vote in i.votes}
            by = next(who for who in (*PEOPLE, "dan") if who not in voted)
            decide = partial(self.engine.decide, run.id, i.phase, "approved", scope=i.scope)
            self._ask(lambda: decide(by=by, seen=i.shown or None))

    # --- phases ---

    def _some_flow(self) -> Flow:
        numbers = [
            (self.chance.randrange(1 << 24), self.chance.randrange(1 << 24)) for _ in range(self.chance.randint(2, 7))
        ]
        played = Played(self.seed, self.loop, self.chance)
        return Flow("random", 1, tuple(played.phase(phase) for phase in build_flow(numbers).phases))


_EVENTS = (
    *[World._person] * 8, *[World._one_comes] * 2, World._one_dies, World._one_stops, World._one_is_cut_off,
)  # fmt: skip
_REQUESTS = (
    *[World.decide] * 4, *[World.answer] * 2, World.pause, *[World.resume] * 2, World.retry, World.reset, World.skip, World.aim,
    World.cancel,
)  # fmt: skip


def check(world: World) -> None:
    """What must be true at the end; the store has looked at every commit before."""
    assert world.loop.failed == []
    assert [process.worker.id for process in world.processes if process.task.done()] == [], (
        "a worker has ended by itself"
    )
    expected: Counter[str] = Counter()
    for run_id, row in world.store.rows.items():
        done = [x for x in row.log if isinstance(x, f.AttemptSucceeded | f.AttemptSkipped)]
        expected.update(entry(run_id, x.phase, x.scope, x.attempt) for x in done)
        made = Counter(x.outcome for x in row.log if isinstance(x, f.DecisionMade))
        assert not Counter(world.told.get(run_id, [])) - made, "a decision that was answered is gone"
    assert world.store.ledger == expected, "what was done and what was recorded differ"
