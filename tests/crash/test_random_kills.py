"""Three workers on one database, one of them killed again and again: every run ends, every entry is made once."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phasegate import Engine, RunStatus, Subject
from phasegate.core import facts as f
from tests import engines
from tests.crash import ledger
from tests.crash.forking import Forks
from tests.crash.invariants import assert_balanced, assert_sound, completions
from tests.crash.seeds import amount, chance
from tests.waiting import wait_for

#: `make chaos` has more.
KILLS = amount("PHASEGATE_KILLS", 50)
WORKERS = 3
#: Started before every kill, so that there is work under way at each, however fast the machine is; and so many that a
#: thousand kills see more than 50,000 phases completed.
RUNS_PER_KILL = 17
#: Unfinished runs at a kill, at most: what is measured is how long a takeover takes, not a queue before busy workers.
BACKLOG = 60

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120 + 3 * KILLS)]


@dataclass
class Death:
    """When a worker was killed, and the runs it held then."""

    at: datetime
    worker: str
    runs: list[str]


@dataclass
class Killer:
    """Starts workers and kills them."""

    engine: Engine
    forks: Forks
    address: str
    chance: random.Random
    alive: set[int] = field(default_factory=set)
    deaths: list[Death] = field(default_factory=list)

    def fill(self) -> None:
        """Start workers in the place of those that are missing, though not always at once: a worker that begins frees what
        dead ones held, and the others are to find it by the end of the lease too."""
        for place in range(len(self.alive), WORKERS):
            if place == 0 or self.chance.random() < 0.5:
                self.alive.add(self.forks.start(self.address))

    def kill_one(self) -> None:
        """Any worker, also one that has just been started; more often one that holds runs."""
        pid = self.chance.choice(sorted(self.alive))
        if self.chance.random() < 0.8:
            pid = self.chance.choice(wait_for(self.busy, "a worker that holds runs"))
        time.sleep(self.chance.uniform(0, 0.2))  # what is done in this time is what the kill may meet
        at = datetime.now(UTC)
        self.forks.kill(pid)
        self.alive.remove(pid)
        for worker in [worker for worker in self.engine.workers() if worker.pid == pid]:
            held = self.engine.read("SELECT id FROM phasegate_runs WHERE worker = :worker", {"worker": worker.id})
            self.deaths.append(Death(at, worker.id, [row["id"] for row in held]))

    def busy(self) -> list[int]:
        return sorted(worker.pid for worker in self.engine.workers() if worker.holds and worker.pid in self.alive)


@pytest.mark.usefixtures("kind")
def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    address = engines.address_in(tmp_path)
    with ledger.opened(address) as engine, Forks("tests.crash.ledger") as forks:
        killer = Killer(engine, forks, address, chance())
        for number in range(KILLS):
            killer.fill()
            wait_for(lambda: unfinished(engine) <= BACKLOG, "some runs to end", within=60)
            start_runs(engine, number * RUNS_PER_KILL)
            killer.kill_one()
        killer.fill()
        wait_for(lambda: not unfinished(engine), "the runs to end", within=120)
        for pid in killer.alive:
            forks.kill(pid)
        check(engine)
        tell(engine, killer)


def start_runs(engine: Engine, first: int) -> None:
    numbers = range(first, first + RUNS_PER_KILL)
    engine.start_many("transfer", [Subject("transfer", f"t{n:05}") for n in numbers], inputs=[1 + n for n in numbers])


def unfinished(engine: Engine) -> int:
    [row] = engine.read("SELECT count(*) AS count FROM phasegate_runs WHERE status <> 'succeeded'")
    return int(row["count"])


def check(engine: Engine) -> None:
    assert_sound(engine)
    runs = engine.find(limit=None)
    assert len(runs) == KILLS * RUNS_PER_KILL
    for run in runs:
        assert run.status is RunStatus.SUCCEEDED
        assert completions(engine, run) == {("take", ()): 1, ("carry", ()): 1, ("give", ()): 1}
    assert_balanced(engine, runs)


def tell(engine: Engine, killer: Killer) -> None:
    waits = sorted(wait for death in killer.deaths for wait in takeovers(engine, death, killer.deaths))
    assert waits, "no worker held anything when it was killed"
    hit = sum(1 for death in killer.deaths if death.runs)
    phases = KILLS * RUNS_PER_KILL * len(ledger.FLOW.phases)
    print(f"{KILLS} kills, {hit} of them with work in hand, {phases} phases completed: 0 lost, 0 doubled")
    at = [waits[min(int(part * len(waits)), len(waits) - 1)] for part in (0.5, 0.99, 1)]
    print(f"{len(waits)} runs taken over after p50 {at[0]:.2f} s, p99 {at[1]:.2f} s, at most {at[2]:.2f} s ", end="")
    print(f"(lease {ledger.LEASE:g} s)")


def takeovers(engine: Engine, death: Death, deaths: Sequence[Death]) -> list[float]:
    """Seconds until each run that the worker held was held by another one: until that one began an attempt, or was killed
    in its turn. What a server commits for a worker that is dead already ends some of the runs."""
    waits = []
    for run_id in death.runs:
        log = [entry.fact for entry in engine.history(run_id)]
        moved = [x.at for x in log if isinstance(x, f.AttemptStarted) and x.worker != death.worker and x.at > death.at]
        held = [other.at for other in deaths if other.at > death.at and run_id in other.runs]
        if moved or held:
            waits.append((min(moved + held) - death.at).total_seconds())
        else:
            assert [x.worker for x in log if isinstance(x, f.AttemptStarted)][-1] == death.worker
    return waits
