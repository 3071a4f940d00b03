"""``claim``, ``renew``, ``release``, ``retire``: who may move a run, and when somebody else may."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from phasegate.core import facts as f
from phasegate.core.flow import Flow, Phase, Retry
from phasegate.core.quota import Permit
from phasegate.core.run import Run, RunStatus
from phasegate.errors import Fenced
from phasegate.store.base import DEATH, Store, WorkerRow
from phasegate.testing import FakeClock
from tests.store.conformance import FLOW, FLOWS, claim, done, move, new, only, put, register, work
from tests.store.stores import Backend

LATER = Flow("later", 1, (Phase("try", work, retry=Retry(attempts=2, base=60, jitter=False)),))


def retrying(store: Store, subject: str = "acme") -> Run:
    """A run that waits a minute for its next attempt."""
    run, now = put(store, new(store, subject, flow=LATER)), store.now()
    failed = f.AttemptFailed(now, "try", (), 1, "E", "m")
    return put(store, move(store, run, f.AttemptStarted(now, "try", (), 1, "w"), failed, flow=LATER))


def test_a_claim_leases_and_raises_the_epoch(store: Store) -> None:
    run = put(store, new(store))
    assert claim(store, "w1") == [run.but(epoch=1)]
    assert store.load([run.id]) == [run.but(epoch=1)]
    assert store.held("w1") == {run.id: (run.seq, 1)}


def test_what_is_held_is_not_claimed_again(store: Store) -> None:
    put(store, new(store))
    assert len(claim(store, "w1")) == 1
    assert claim(store, "w2") == []
    assert claim(store, "w1") == []


def test_the_earliest_due_come_first_and_no_more_than_the_limit(store: Store, clock: FakeClock) -> None:
    runs = []
    for name in ("c", "a", "b"):
        runs.append(put(store, new(store, name)))
        clock.advance(1)
    assert [run.id for run in claim(store, "w1", limit=2)] == [run.id for run in runs[:2]]
    assert [run.id for run in claim(store, "w1", limit=2)] == [runs[2].id]


def test_higher_priorities_come_first_and_then_the_earliest_due(store: Store, clock: FakeClock) -> None:
    named = {}
    for name, priority in (("low", -1), ("plain", 0), ("later", 0), ("high", 5)):
        named[put(store, new(store, name, priority=priority)).id] = name
        clock.advance(1)
    assert [named[run.id] for run in claim(store, "w1", limit=2)] == ["high", "plain"]
    assert [named[run.id] for run in claim(store, "w1", limit=2)] == ["later", "low"]


def test_every_tenant_gets_as_many_as_the_next_and_what_one_leaves_goes_to_the_others(store: Store) -> None:
    for tenant, count in (("big", 20), ("middle", 6), ("small", 1)):
        for number in range(count):
            put(store, new(store, str(number), tenant=tenant))

    def counts(limit: int) -> dict[str, int]:
        return dict(Counter(run.tenant for run in claim(store, "w1", limit=limit)))

    assert counts(9) == {"big": 4, "middle": 4, "small": 1}
    assert counts(6) == {"big": 4, "middle": 2}
    assert counts(100) == {"big": 12}
    assert counts(1) == {}


def test_tenants_take_turns_when_there_is_room_for_one(store: Store) -> None:
    for tenant in ("a", "b", "c"):
        for number in range(3):
            put(store, new(store, str(number), tenant=tenant))
    served = [only(claim(store, "w1", limit=1)).tenant for _ in range(6)]
    assert Counter(served) == {"a": 2, "b": 2, "c": 2}
    assert all(one != other for one, other in itertools.pairwise(served))


def test_the_priority_of_one_tenant_does_not_hold_up_another(store: Store) -> None:
    for number in range(5):
        put(store, new(store, str(number), tenant="loud", priority=100))
    put(store, new(store, "only", tenant="quiet", priority=-100))
    assert Counter(run.tenant for run in claim(store, "w1", limit=2)) == {"loud": 1, "quiet": 1}


def test_only_runs_of_known_flows_and_versions_are_claimed(store: Store) -> None:
    put(store, new(store, "a"))
    newer = put(store, new(store, "b", flow=Flow("story", 2, FLOW.phases)))
    assert claim(store, "w1", flows=[("other", 1), ("story", 3)]) == []
    assert only(claim(store, "w1", flows=[("story", 2)])).id == newer.id
    assert claim(store, "w1", flows=[]) == []


def test_what_waits_for_a_person_is_not_claimed(store: Store) -> None:
    run = put(store, done(store, put(store, new(store))))
    run = put(store, done(store, run, "edit"))
    assert run.status is RunStatus.WAITING
    assert claim(store, "w1") == []


def test_what_waits_for_a_time_is_claimed_then(store: Store, clock: FakeClock) -> None:
    run = retrying(store)
    register(store, "w1")
    claimed = store.claim("w1", 10, [("later", 1)])
    assert (claimed.runs, claimed.later) == ((), clock() + timedelta(seconds=60))
    assert store.next_due([("later", 1)]) == clock() + timedelta(seconds=60)
    assert store.next_due(FLOWS) is None
    clock.advance(60)
    assert only(claim(store, "w1", flows=[("later", 1)])).id == run.id


def test_the_runs_of_a_dead_worker_are_free_after_its_lease(store: Store, clock: FakeClock) -> None:
    put(store, new(store))
    run = only(claim(store, "dead"))
    clock.advance(14)
    register(store, "w2")
    waiting = store.claim("w2", 10, FLOWS)
    assert (waiting.runs, waiting.later) == ((), clock() + timedelta(seconds=1))
    clock.advance(1)
    taken = only(claim(store, "w2"))
    assert taken.epoch > run.epoch + DEATH
    assert taken == run.but(epoch=taken.epoch)
    assert [worker.id for worker in store.workers()] == ["w2"]
    (answer,) = store.append([done(store, run)])
    assert isinstance(answer, Fenced)


def test_a_renewed_lease_keeps_the_runs(store: Store, clock: FakeClock) -> None:
    put(store, new(store))
    assert len(claim(store, "w1")) == 1
    clock.advance(14)
    register(store, "w1")
    clock.advance(14)
    assert claim(store, "w2") == []


def test_renewing_says_whether_the_worker_was_known(store: Store, clock: FakeClock) -> None:
    row = WorkerRow("w1", "host", 7, clock(), clock() + timedelta(seconds=10))
    assert store.renew(row) is False
    assert store.renew(row) is True
    assert store.workers() == [row]
    clock.advance(11)
    put(store, new(store))
    claim(store, "w2")
    assert store.renew(row) is False


def test_who_has_to_register_again_holds_nothing(store: Store, clock: FakeClock) -> None:
    put(store, new(store, "a"))
    claim(store, "w1")
    clock.advance(16)
    put(store, new(store, "b"))
    claim(store, "w2", limit=1)  # sweeps w1
    store.claim("w1", 10, FLOWS)  # before it has noticed
    register(store, "w1")
    assert store.held("w1") == {}


def test_what_nobody_known_holds_is_free_when_a_worker_registers(store: Store) -> None:
    put(store, new(store))
    assert len(store.claim("never registered", 10, FLOWS).runs) == 1
    assert len(claim(store, "w1")) == 1


def test_released_runs_are_free_and_their_holder_fenced(store: Store) -> None:
    put(store, new(store, "a"))
    put(store, new(store, "b"))
    first, second = claim(store, "w1")
    store.release("w1", [first.id])
    assert list(store.held("w1")) == [second.id]
    (answer,) = store.append([done(store, first)])
    assert isinstance(answer, Fenced)
    assert only(claim(store, "w2")).id == first.id
    store.release("w1", [first.id])
    assert list(store.held("w2")) == [first.id]


def test_a_retired_worker_holds_nothing_and_is_forgotten(store: Store) -> None:
    put(store, new(store))
    run = only(claim(store, "w1"))
    store.retire("w1")
    assert (store.held("w1"), store.workers()) == ({}, [])
    assert only(claim(store, "w2")).id == run.id


def test_a_buried_worker_holds_nothing_and_its_death_is_counted(store: Store) -> None:
    put(store, new(store))
    run = only(claim(store, "dead"))
    register(store, "alive")
    store.bury(["dead"])
    assert (store.held("dead"), [worker.id for worker in store.workers()]) == ({}, ["alive"])
    assert only(claim(store, "w2")).epoch > run.epoch + DEATH
    store.bury([])


def test_workers_are_listed_with_what_they_hold(store: Store) -> None:
    for name in ("a", "b", "c"):
        put(store, new(store, name))
    claim(store, "w1", limit=2)
    claim(store, "w2")
    assert {worker.id: worker.holds for worker in store.workers()} == {"w1": 2, "w2": 1}


@pytest.mark.parametrize("limit", [1, 7])
def test_nothing_is_claimed_twice_by_eight_threads(store: Store, limit: int) -> None:
    count = 60
    assert store.append([new(store, f"s{number}") for number in range(count)]) == [None] * count
    together = threading.Barrier(8)
    claimed: list[tuple[str, str]] = []

    def race(worker: str) -> None:
        register(store, worker)
        together.wait()
        while runs := store.claim(worker, limit, FLOWS).runs:
            claimed.extend((worker, run.id) for run in runs)

    threads = [threading.Thread(target=race, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len({run_id for _, run_id in claimed}) == count
    assert {run_id: worker for worker, run_id in claimed} == {
        run_id: worker for worker in {worker for worker, _ in claimed} for run_id in store.held(worker)
    }


# --- quotas ---------------------------------------------------------------------------------------------------------


def place(name: str = "vendor", key: str = "", *, most: int | None = 2, rate: float | None = None) -> Permit:
    return Permit(name, key, most, rate, 60.0)


def test_no_more_places_are_given_than_there_are_over_all_workers(store: Store) -> None:
    for worker in ("w1", "w2"):
        register(store, worker)
    assert store.take_permits("w1", [[place()]]).given == (True,)
    assert store.take_permits("w2", [[place()], [place()], [place(key="other")]]).given == (True, False, True)
    assert [(use.name, use.key, use.in_use) for use in store.quotas()] == [("vendor", "", 2), ("vendor", "other", 1)]
    store.keep_permits("w1", {("vendor", ""): 0})
    store.keep_permits("w1", {("vendor", ""): 0})
    assert store.take_permits("w1", [[place()], [place()]]).given == (True, False)


def test_an_attempt_gets_all_its_places_or_none(store: Store) -> None:
    register(store, "w1")
    assert store.take_permits("w1", [[place("narrow", most=1)]]).given == (True,)
    assert store.take_permits("w1", [[place(), place("narrow", most=1)], [place()]]).given == (False, True)
    assert [(use.name, use.in_use) for use in store.quotas()] == [("narrow", 1), ("vendor", 1)]


def test_a_rate_tells_everybody_when_their_turn_comes(store: Store, clock: FakeClock) -> None:
    register(store, "w1")
    wanted = [[place(most=None, rate=2)]] * 4
    granted = store.take_permits("w1", wanted)
    assert (granted.given, granted.waits) == ((True, True, False, False), (None, None, 30.0, 60.0))
    clock.advance(30)
    assert store.take_permits("w1", wanted[:2]).given == (True, False)
    clock.set(clock() - timedelta(hours=1))
    assert store.take_permits("w1", wanted[:1]).given == (False,)


@pytest.mark.parametrize("end", ["retire", "bury", "sweep"])
def test_the_places_of_a_worker_go_with_it(store: Store, clock: FakeClock, end: str) -> None:
    register(store, "dead")
    store.take_permits("dead", [[place()], [place()]])
    if end == "retire":
        store.retire("dead")
    elif end == "bury":
        store.bury(["dead"])
    else:
        clock.advance(16)
        claim(store, "w1")
    register(store, "w1")
    assert store.take_permits("w1", [[place()], [place()]]).given == (True, True)


def test_workers_that_ask_at_once_get_no_more_than_there_is(lasting: Backend, tmp_path: Path) -> None:
    stores = [lasting.open(tmp_path) for _ in range(4)]
    begin = threading.Barrier(4)
    given: list[bool] = []

    def ask(number: int) -> None:
        register(stores[number], f"w{number}")
        begin.wait()
        for _ in range(10):
            given.extend(stores[number].take_permits(f"w{number}", [[place(most=7)], [place(most=7)]]).given)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))
    assert (len(given), sum(given)) == (80, 7)
    for store in stores:
        store.close()
