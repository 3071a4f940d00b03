"""PostgreSQL stopped as in a crash and started again, under load and while runs are taken over: what was said to be there is
there, nothing is done twice, and nobody has to start the workers again."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from phasegate import AlreadyDecided, Engine, Run, RunStatus, StoreUnavailable, Subject
from phasegate.core import facts as f
from tests import postgres
from tests.crash import ledger
from tests.crash.forking import Forks
from tests.crash.invariants import assert_balanced, assert_sound
from tests.crash.seeds import amount, chance
from tests.waiting import wait_for

#: `make chaos` has more, further apart.
RESTARTS = amount("PHASEGATE_RESTARTS", 2)
LONG = "PHASEGATE_RESTARTS" in os.environ
#: Seconds between two of them.
GAP = (5.0, 40.0) if LONG else (1.5, 4.0)
WORKERS = 3
#: Clients at once, so that some request is always under way, and seconds between two of one of them.
CLIENTS, PACE = 4, 0.02

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240 + 90 * RESTARTS)]


@pytest.fixture(scope="module")
def server() -> postgres.Server:
    """A server that keeps what it has said it keeps."""
    return postgres.Server(postgres.CAREFUL)


@pytest.fixture
def address(server: postgres.Server) -> Iterator[str]:
    yield postgres.new_database(server.url)
    server.start()  # whatever happened: the databases of the test are dropped now


@dataclass
class Client:
    """Starts runs and decides gates as long as it is told to, and remembers what it was told."""

    engine: Engine
    lane: int
    stopped: threading.Event
    started: dict[int, str] = field(default_factory=dict)  # number and id of the run
    unsure: set[int] = field(default_factory=set)  # whether these were started it does not know
    decided: dict[str, str] = field(default_factory=dict)  # run and person
    doubtful: set[str] = field(default_factory=set)  # whether these were decided it does not know
    refusals: int = 0

    def go_on(self) -> None:
        number = self.lane
        while not self.stopped.wait(PACE):
            number += CLIENTS
            self.start(number)
            self.decide_some(number)

    def start(self, number: int) -> None:
        try:
            run = self.engine.start("approved", Subject("transfer", f"t{number:05}"), input=number)
        except StoreUnavailable:
            self.refusals += 1
            self.unsure.add(number)
        else:
            self.started[number] = run.id

    def decide_some(self, number: int) -> int:
        """Decide what can be decided of the own runs; how many gates there were."""
        try:
            waiting = self.engine.find("approved", status=["waiting"], limit=20, newest_first=False)
        except StoreUnavailable:
            self.refusals += 1
            return 1
        found = [run for run in waiting if run.input % CLIENTS == self.lane]
        for run in found:
            self.decide(run.id, f"person-{number}@people.example")
        return len(found)

    def decide(self, run_id: str, by: str) -> None:
        try:
            seen = self.engine.get(run_id).at("release").shown
            if seen is None:
                return  # it has just been decided, or is being looked at by another eye
            self.engine.decide(run_id, "release", "approved", by=by, seen=seen)
        except AlreadyDecided:
            assert run_id in self.doubtful, f"somebody else has decided {run_id}"
        except StoreUnavailable:
            self.refusals += 1
            self.doubtful.add(run_id)
        else:
            self.decided[run_id] = by


@dataclass
class Operator:
    """Stops the server and starts it again, and now and then has a worker die just before."""

    server: postgres.Server
    engine: Engine
    forks: Forks
    address: str
    chance: random.Random
    steady: list[int] = field(default_factory=list)  # workers that live from beginning to end
    victims: list[int] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    takeovers: int = 0

    def begin(self) -> None:
        self.steady = [self.forks.start(self.address) for _ in range(WORKERS - 1)]
        self.add_victim()

    def restart(self) -> None:
        time.sleep(self.chance.uniform(*GAP))
        if self.chance.random() < 0.5:
            wait_for(self.victim_is_busy, "the worker to hold runs")
            self.forks.kill(self.victims.pop())
            time.sleep(self.chance.uniform(0, 1.5 * ledger.LEASE))  # in this time its runs are taken over
            self.takeovers += 1
        began = time.monotonic()
        self.server.stop("immediate")
        time.sleep(self.chance.uniform(0, 1))
        self.server.start()
        self.down.append(time.monotonic() - began)
        if not self.victims:
            self.add_victim()

    def add_victim(self) -> None:
        """One more worker; all are at work when this returns, for who begins while there is no server gives up at once."""
        self.victims.append(self.forks.start(self.address))
        wait_for(lambda: self.registered() >= {*self.steady, *self.victims}, "the workers to begin")

    def registered(self) -> set[int]:
        return {worker.pid for worker in self.engine.workers()}

    def victim_is_busy(self) -> bool:
        return any(worker.pid in self.victims and worker.holds for worker in self.engine.workers())


def test_restarts_lose_nothing_and_double_nothing(server: postgres.Server, address: str) -> None:
    stopped = threading.Event()
    with (
        ledger.opened(address) as engine,
        Forks("tests.crash.ledger") as forks,
        ThreadPoolExecutor(CLIENTS) as threads,
    ):
        clients = [Client(engine, lane, stopped) for lane in range(CLIENTS)]
        operator = Operator(server, engine, forks, address, chance())
        operator.begin()
        talking = [threads.submit(client.go_on) for client in clients]
        try:
            for _ in range(RESTARTS):
                operator.restart()
        finally:
            stopped.set()
        for each in talking:
            each.result()

        def at_rest() -> bool:
            return sum(client.decide_some(0) for client in clients) == 0 and not unfinished(engine)

        wait_for(at_rest, "the runs to end", within=180)
        for pid in (*operator.steady, *operator.victims):
            forks.kill(pid)  # fails if it had ended by itself
        check(engine, clients)
        tell(clients, operator)


def unfinished(engine: Engine) -> int:
    [row] = engine.read("SELECT count(*) AS count FROM phasegate_runs WHERE status <> 'succeeded'")
    return int(row["count"])


def check(engine: Engine, clients: Sequence[Client]) -> None:
    engine.bury_dead_workers()
    assert_sound(engine)
    runs = {run.id: run for run in engine.find(limit=None)}
    assert {run.status for run in runs.values()} == {RunStatus.SUCCEEDED}
    numbers = {run.input: run.id for run in runs.values()}
    assert len(numbers) == len(runs), "a run was started twice"
    started = {number: run_id for client in clients for number, run_id in client.started.items()}
    assert started.items() <= numbers.items(), "a start that was answered is gone"
    assert numbers.keys() - started.keys() <= {number for client in clients for number in client.unsure}
    for run in runs.values():
        check_decision(engine, run, clients[run.input % CLIENTS])
    assert_balanced(engine, list(runs.values()))


def check_decision(engine: Engine, run: Run, client: Client) -> None:
    [made] = [entry.fact for entry in engine.history(run.id) if isinstance(entry.fact, f.DecisionMade)]
    if run.id in client.decided:
        assert made.by == client.decided[run.id], "a decision that was answered is gone"
    else:
        assert run.id in client.doubtful


def tell(clients: Sequence[Client], operator: Operator) -> None:
    started, decided = (sum(map(len, told)) for told in zip(*((c.started, c.decided) for c in clients), strict=True))
    refused = sum(client.refusals for client in clients)
    assert started, "the clients got nothing done"
    down = sorted(operator.down)
    print(
        f"{RESTARTS} restarts, {operator.takeovers} of them during a takeover; {down[0]:.1f} to {down[-1]:.1f} s each"
    )
    print(f"{started} starts and {decided} decisions answered, {refused} refused as unavailable: 0 lost, 0 doubled")
