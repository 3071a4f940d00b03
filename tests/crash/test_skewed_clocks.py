"""Workers whose machines' clocks are ten minutes slow, ten minutes fast, and jumping: on PostgreSQL the database's counts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phasegate import Engine, Run, RunStatus, Subject
from phasegate.core import facts as f
from tests import postgres
from tests.crash import skewed
from tests.crash.forking import Forks
from tests.crash.invariants import assert_sound
from tests.crash.seeds import amount, chance
from tests.waiting import wait_for

#: Runs of the kind that no worker may lose; `make chaos` has more.
RUNS = amount("PHASEGATE_SKEWED", 20)
#: What two clocks of one machine may seem to differ by.
SLACK = timedelta(seconds=1)

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]


def test_wrong_clocks_change_nothing(tmp_path: Path) -> None:
    address = postgres.database_of(tmp_path)
    dice = chance()
    with skewed.opened(address) as engine, Forks("tests.crash.skewed") as forks:
        began = datetime.now(UTC)
        for off, seed in ((-skewed.OFF, 0), (skewed.OFF, 0), (0, dice.randrange(1, 10**6))):
            forks.start(address, off, seed)
        wait_for(lambda: len(engine.workers()) == 3, "the workers")
        runs = start_some(engine)
        wait_for(lambda: ended(engine, "skewed"), "the runs to end", within=120)
        check(engine, runs, began)
        waits = sorted(take_overs(engine, forks, address, dice.choice([-skewed.OFF, skewed.OFF])))
    with skewed.opened(address) as after:
        after.bury_dead_workers()
        assert_sound(after)
    print(f"{RUNS} runs on clocks 10 min slow, 10 min fast and jumping: none lost by a live worker, no retry too early")
    print(
        f"{len(waits)} runs of a dead one taken over after {waits[0]:.2f} to {waits[-1]:.2f} s (lease {skewed.LEASE:g} s)"
    )


def start_some(engine: Engine) -> list[Run]:
    """A few at a time, so that no worker gets all of them."""
    runs: list[Run] = []
    for number in range(RUNS):
        runs.append(engine.start("skewed", Subject("order", str(number))))
        time.sleep(0.02)
    return runs


def ended(engine: Engine, flow: str) -> bool:
    return all(run.finished for run in engine.find(flow, limit=None))


def check(engine: Engine, runs: list[Run], began: datetime) -> None:
    now = datetime.now(UTC)
    workers: set[str] = set()
    for run in map(engine.get, [run.id for run in runs]):
        assert (run.status, run.reason) == (RunStatus.SUCCEEDED, None)
        log = [entry.fact for entry in engine.history(run.id)]
        assert all(began - SLACK <= fact.at <= now + SLACK for fact in log), "a fact has the time of a wrong clock"
        assert not [fact for fact in log if isinstance(fact, f.AttemptLost)], "taken over from a live worker"
        workers |= {fact.worker for fact in log if isinstance(fact, f.AttemptStarted)}
        check_times(log)
    assert len(workers) == 3, "not every clock had a part in it"
    rows = engine.read("SELECT entry, amount FROM ledger")
    assert sorted((row["entry"], row["amount"]) for row in rows) == sorted(
        entry for n in range(RUNS) for entry in ((f"{n}/flaky", 1), (f"{n}/patient", 1))
    )


def check_times(log: list[f.Fact]) -> None:
    """Neither a retry nor a deadline came before its time."""
    [failed] = [fact.at for fact in log if isinstance(fact, f.AttemptFailed)]
    [again] = [
        fact.at for fact in log if isinstance(fact, f.AttemptStarted) and (fact.phase, fact.attempt) == ("flaky", 2)
    ]
    assert again - failed >= timedelta(seconds=skewed.DELAY)
    [opened] = [fact.at for fact in log if isinstance(fact, f.GateOpened)]
    [settled] = [fact for fact in log if isinstance(fact, f.GateSettled)]
    assert settled.by == "deadline"
    assert settled.at - opened >= timedelta(seconds=skewed.DEADLINE)


def take_overs(engine: Engine, forks: Forks, address: str, off: float) -> list[float]:
    """One more worker, with a wrong clock as well, dies of a sudden; seconds until each of its runs was begun by another."""
    victim = forks.start(address, off, 0)
    wait_for(lambda: any(worker.pid == victim for worker in engine.workers()), "one more worker")
    runs: list[Run] = []

    def has_begun() -> set[str]:
        runs.append(engine.start("mortal", Subject("order", f"m{len(runs)}")))
        return {
            run.id for run in runs for entry in engine.history(run.id)
            if isinstance(entry.fact, f.AttemptStarted) and entry.fact.worker in mine
        }  # fmt: skip

    mine = {worker.id for worker in engine.workers() if worker.pid == victim}
    held = wait_for(has_begun, "the worker to begin a phase")
    forks.kill(victim)
    at = datetime.now(UTC)
    wait_for(lambda: ended(engine, "mortal"), "the runs to end", within=60)
    waits = []
    for run_id in held:
        log = [entry.fact for entry in engine.history(run_id)]
        begun = [x.at for x in log if isinstance(x, f.AttemptStarted) and x.worker not in mine]
        if begun:  # else it was through just before the worker died
            waits.append((min(begun) - at).total_seconds())
    assert waits, "the worker died too late"
    return waits
