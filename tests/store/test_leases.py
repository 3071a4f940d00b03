"""``claim``, ``renew``, ``release``, ``retire``: who may move a run, and when somebody else may."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from phasegate.core import facts as f
from phasegate.core.flow import Flow, Phase, Retry
from phasegate.core.run import Run, RunStatus
from phasegate.errors import Fenced
from phasegate.store.base import DEATH, Store, WorkerRow
from phasegate.testing import FakeClock
from tests.store.conformance import FLOW, FLOWS, claim, done, move, new, only, put, register, work

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
