"""Gates that several want to settle at the same moment: each has exactly one outcome, and whoever comes too late is told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from phasegate import (
    AlreadyDecided,
    Engine,
    Flow,
    Gate,
    Limits,
    Phase,
    PhaseStatus,
    Registry,
    Run,
    RunStatus,
    Stale,
    Subject,
)
from phasegate.core import facts as f
from phasegate.core.state import evolve, started
from phasegate.testing import FakeClock
from tests import engines
from tests.crash.invariants import assert_each_once, assert_sound
from tests.crash.ledger import ENTER, metadata
from tests.crash.seeds import amount, chance
from tests.waiting import wait_for

#: `make chaos` has more.
RACES = amount("PHASEGATE_RACES", 100)
#: Runs that race at the same time.
TOGETHER = 25
DEADLINE = 600.0
SIDES = ("left", "right")

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120 + 2 * RACES), pytest.mark.usefixtures("kind")]


def draft(context: Any) -> dict[str, int]:
    return {"edition": context.attempt}


def ship(context: Any) -> str:
    outcome = context.inputs["release"]["outcome"]
    context.write(ENTER, {"entry": f"{context.subject.id}/{outcome}", "amount": 1})
    return str(outcome)


def flow(name: str, **gate: Any) -> Flow:
    return Flow(
        name,
        1,
        (
            Phase("draft", draft),
            Phase("release", needs=("draft",), gate=Gate(outcomes=(*SIDES, "late"), ends=(), **gate)),
            Phase("ship", ship, needs=("release",)),
        ),
    )


FLOWS = (
    flow("decisions"),
    flow("deadline", deadline=DEADLINE, default="late"),
    flow("early"),
    flow("changed", shows=("draft",)),
)


@dataclass
class Table:
    """Two engines, as of two processes, one of which has a worker that serves; and what each decision was answered."""

    serving: Engine
    other: Engine
    clock: FakeClock
    told: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def start(self, flow: str, name: str) -> list[Run]:
        subjects = [Subject("order", f"{name}-{number}") for number in range(TOGETHER)]
        runs = self.other.start_many(flow, subjects)
        self.told |= {run.id: [] for run in runs}
        return runs

    def start_waiting(self, flow: str, name: str) -> list[Run]:
        """Runs whose gates are open."""
        ids = [run.id for run in self.start(flow, name)]
        return wait_for(lambda: all_at(self.other, ids, PhaseStatus.WAITING), "the gates to open")

    def decide(self, engine: Engine, run: Run, outcome: str) -> None:
        try:
            engine.decide(
                run.id, "release", outcome, by=f"{outcome}@people.example", seen=run.at("release").shown or None
            )
        except AlreadyDecided as refused:
            self.told[run.id].append((outcome, str(refused)))
        except Stale:
            self.told[run.id].append((outcome, "stale"))
        else:
            self.told[run.id].append((outcome, "accepted"))

    def accepted(self, run: Run) -> list[str]:
        return [outcome for outcome, answer in self.told[run.id] if answer == "accepted"]


def all_at(engine: Engine, ids: Sequence[str], status: PhaseStatus) -> list[Run]:
    found = [engine.get(run_id) for run_id in ids]
    return found if all(run.at("release").status is status for run in found) else []


@contextmanager
def table(folder: Path) -> Iterator[Table]:
    address, clock = engines.address_in(folder), FakeClock()
    with ExitStack() as opened:
        serving, other = (
            opened.enter_context(Engine(address, Registry(*FLOWS), clock=clock, limits=Limits(lease=1e6, poll=0.02)))
            for _ in range(2)
        )
        serving.create_tables(metadata)
        stop = threading.Event()
        threads = opened.enter_context(ThreadPoolExecutor(1))
        working = threads.submit(serving.work, stop=stop)
        try:
            yield Table(serving, other, clock)
        finally:
            stop.set()
            working.result()


def at_once(*contestants: Callable[[], object]) -> None:
    """Begin at the same moment, and wait for all."""
    line = threading.Barrier(len(contestants))

    def begin(contestant: Callable[[], object]) -> None:
        line.wait(30)
        contestant()

    with ThreadPoolExecutor(len(contestants)) as threads:
        for done in [threads.submit(begin, contestant) for contestant in contestants]:
            done.result()


def decide_all(table: Table, engine: Engine, runs: Sequence[Run], outcome: str) -> Callable[[], None]:
    def decide() -> None:
        for run in runs:
            table.decide(engine, run, outcome)

    return decide


# --- the four kinds -------------------------------------------------------------------------------------------------


def two_decisions(table: Table, name: str) -> list[Run]:
    runs = table.start_waiting("decisions", name)
    at_once(decide_all(table, table.serving, runs, "left"), decide_all(table, table.other, runs, "right"))
    return runs


def decision_against_deadline(table: Table, name: str) -> list[Run]:
    """Two go through the gates from both ends; in the middle of it the deadline passes, and the worker settles the rest."""
    runs = table.start_waiting("deadline", name)

    def pass_by() -> None:
        wait_for(lambda: sum(len(table.told[run.id]) for run in runs) >= TOGETHER // 2, "some decisions")
        table.clock.advance(DEADLINE)

    at_once(
        pass_by,
        decide_all(table, table.other, runs, "left"),
        decide_all(table, table.serving, runs[::-1], "right"),
    )
    return runs


def decision_before_the_wait(table: Table, name: str) -> list[Run]:
    """The worker opens the gates while they are being decided."""
    runs = table.start("early", name)
    at_once(decide_all(table, table.other, runs, "left"), decide_all(table, table.serving, runs[::-1], "right"))
    return runs


def change_after_approval(table: Table, name: str) -> list[Run]:
    """What the gate shows is made anew while it is being approved; what is void then is asked for again."""
    runs = table.start_waiting("changed", name)

    def change() -> None:
        for run in runs[::-1]:
            table.other.reset(run.id, "draft")

    at_once(decide_all(table, table.serving, runs, "left"), change)
    ids = [run.id for run in runs]
    again = wait_for(lambda: all_at(table.other, ids, PhaseStatus.WAITING), "the gates to open again")
    decide_all(table, table.other, again, "right")()
    return runs


RACE = (two_decisions, decision_against_deadline, decision_before_the_wait, change_after_approval)


def test_every_race_has_exactly_one_outcome(tmp_path: Path) -> None:
    order = [RACE[number % len(RACE)] for number in range(max(RACES // TOGETHER, len(RACE)))]
    chance().shuffle(order)
    outcomes: dict[str, Counter[str]] = {race.__name__: Counter() for race in RACE}
    changed: list[Run] = []
    with table(tmp_path) as here:
        for number, race in enumerate(order):
            ids = [run.id for run in race(here, f"{number}")]
            runs = wait_for(partial(all_succeeded, here.other, ids), "the runs to end")
            changed += runs if race is change_after_approval else []
            for run in runs:
                outcomes[race.__name__][check(here, run)] += 1
        check_ledger(here)
    with Engine(engines.address_in(tmp_path), Registry(*FLOWS), clock=here.clock) as after:
        assert_sound(after)
    void = sum(len(here.accepted(run)) - 1 for run in changed)
    told = "; ".join(f"{name.replace('_', ' ')}: {dict(count)}" for name, count in outcomes.items())
    print(f"{len(order) * TOGETHER} races, exactly one outcome each ({told}; {void} approvals were void afterwards)")


def all_succeeded(engine: Engine, ids: Sequence[str]) -> list[Run]:
    found = [engine.get(run_id) for run_id in ids]
    return found if all(run.status is RunStatus.SUCCEEDED for run in found) else []


def check(table: Table, run: Run) -> str:
    """The log is consistent with one outcome, and with what everybody was told; which outcome it was."""
    log = [entry.fact for entry in table.other.history(run.id)]
    settled = [fact for fact in log if isinstance(fact, f.GateSettled)]
    made = [fact for fact in log if isinstance(fact, f.DecisionMade)]
    assert_each_once((fact.round, fact.by) for fact in made)
    assert sorted(fact.outcome for fact in made) == sorted(table.accepted(run)), "told otherwise than recorded"
    resets = sum(1 for fact in log if isinstance(fact, f.PhaseReset) and fact.phase == "release")
    assert len(settled) <= 1 + resets
    outcome = run.at("release").outcome
    assert settled[-1].outcome == outcome
    assert [fact.outcome for fact in made][-1:] == [outcome] or (made == [] and outcome == "late")
    for decided, answer in table.told[run.id]:
        if answer not in ("accepted", "stale"):
            # Who comes too late is told so although a decision made in time may still be on its way to the disk.
            late = run.flow == "deadline" and answer.startswith("the deadline of gate 'release' passed")
            assert late or f"settled as {outcome!r}" in answer or "has already answered" in answer, (decided, answer)
    check_seen(log)
    return str(outcome)


def check_seen(log: Sequence[f.Fact]) -> None:
    """Nobody has decided about something else than what the gate showed at that moment."""
    first, *rest = log
    assert isinstance(first, f.RunStarted)
    run = started(first)
    for fact in rest:
        gate = run.at("release")
        if isinstance(fact, f.DecisionMade) and gate.status is PhaseStatus.WAITING and fact.seen is not None:
            assert fact.seen == gate.shown
        run = evolve(run, fact)


def check_ledger(table: Table) -> None:
    """What depends on the outcome was done once for every time that it came about, and for no other outcome."""
    expected: Counter[str] = Counter()
    for run_id in table.told:
        for fact in (entry.fact for entry in table.other.history(run_id)):
            if isinstance(fact, f.AttemptSucceeded) and fact.phase == "ship":
                expected[run_id] += 1
    rows = Counter(row["entry"].partition("/")[0] for row in table.other.read("SELECT entry FROM ledger"))
    assert rows == Counter({table.other.get(run_id).subject.id: n for run_id, n in expected.items()})
