"""Old runs: which they are, what they look like as documents, and what is left when they are deleted."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate.core import commands
from phasegate.core import facts as f
from phasegate.core.retention import OldRun, OldRuns, Tombstone
from phasegate.core.run import Run, RunStatus, Subject
from phasegate.core.state import fold
from phasegate.errors import UnknownName
from phasegate.store import codec
from phasegate.store.base import Store, Write
from phasegate.store.retention import CHUNK, forgetting
from phasegate.store.tables import PREFIX, metadata
from phasegate.testing import FakeClock
from tests.store.conformance import FLOW, cancelled, done, move, new, put, register
from tests.store.stores import BACKENDS

DAY = 24 * 3600.0
TABLES = ("runs", "phase_runs", "attempts", "outputs", "facts", "decisions")


def old(store: Store, days: float = 30, **more: Any) -> OldRuns:
    return OldRuns(**{"tenant": "default", "before": store.now() - timedelta(days=days), **more})


def ids(store: Store, which: OldRuns) -> list[str]:
    return [run.id for run in store.old_runs(which, limit=100)]


def rows_of(store: Store, run_id: str) -> dict[str, int]:
    """How many rows a run has in each table."""
    named = {name: "id" if name == "runs" else "run_id" for name in TABLES}
    return {
        name: store.read(f"SELECT count(*) AS rows FROM {PREFIX}{name} WHERE {column} = :run", {"run": run_id})[0][
            "rows"
        ]
        for name, column in named.items()
    }


def everything(store: Store) -> dict[str, list[Any]]:
    """The content of all tables."""
    return {
        table.name: sorted((tuple(row.values()) for row in store.read(f"SELECT * FROM {table.name}")), key=repr)
        for table in metadata.sorted_tables
    }


def decided(store: Store, subject: str = "acme", outcome: str = "approved", **given: Any) -> Run:
    """A run that has been through everything: two phases with an output, and a gate. It ends as the gate does."""
    run = put(store, new(store, subject, input={"a": [1, {"b": "ä\n"}]}, **given))
    run = put(store, done(store, run, output={"of": subject, "n": [1.5, None]}))
    run = put(store, done(store, run, "edit", output="text"))
    decision = commands.Decision(outcome=outcome, by="kim", seen=run.at("print").shown, answers={"x": 1}, comment="so")
    return put(store, move(store, run, *commands.decide(FLOW, run, store.now(), ("print", ()), decision)))


def chosen(run: Run) -> list[OldRun]:
    return [OldRun(run.id, run.seq)]


# --- which ----------------------------------------------------------------------------------------------------------


def test_only_what_has_ended_and_is_older_is_old(store: Store, clock: FakeClock) -> None:
    ended = decided(store)
    failed = decided(store, "globex", "rejected")
    gone = put(store, cancelled(store, put(store, new(store, "initech"))))
    put(store, new(store, "pending"))
    waiting = put(store, done(store, put(store, done(store, put(store, new(store, "waiting")))), "edit"))
    put(store, move(store, put(store, new(store, "paused")), f.RunPaused(clock(), "", "kim")))
    running = put(store, new(store, "running"))
    put(store, move(store, running, f.AttemptStarted(clock(), "draft", (), 1, "w")))
    assert (ended.status, failed.status, gone.status) == (
        RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED,
    )  # fmt: skip
    assert waiting.status is RunStatus.WAITING
    clock.advance(30 * DAY)
    assert ids(store, old(store)) == []  # exactly so old is not older
    clock.advance(1)
    young = decided(store, "young")
    assert ids(store, old(store)) == [ended.id, failed.id, gone.id]
    assert ids(store, old(store, statuses=(RunStatus.FAILED, RunStatus.CANCELLED))) == [failed.id, gone.id]
    assert ids(store, old(store, statuses=(RunStatus.RUNNING,))) == []
    assert ids(store, old(store, flow="another")) == []
    assert ids(store, old(store, tenant="another")) == []
    assert ids(store, old(store, days=0)) == [ended.id, failed.id, gone.id]
    clock.advance(1)
    assert ids(store, old(store, days=0)) == [ended.id, failed.id, gone.id, young.id]


def test_they_are_listed_portion_by_portion(store: Store, clock: FakeClock) -> None:
    runs = [decided(store, f"c{number}") for number in range(5)]
    clock.advance(31 * DAY)
    first = store.old_runs(old(store), limit=3)
    assert first == [OldRun(run.id, run.seq) for run in runs[:3]]
    assert [run.id for run in store.old_runs(old(store), after=first[-1].id, limit=3)] == [run.id for run in runs[3:]]


def test_counting_says_what_purging_does_and_changes_nothing(store: Store, clock: FakeClock) -> None:
    first, began = decided(store), clock()
    clock.advance(DAY)
    last = decided(store, "globex")
    decided(store, "initech", "rejected")
    clock.advance(31 * DAY)
    before = everything(store)
    counted = store.count_old(old(store))
    assert everything(store) == before
    assert [(group.flow, group.status, group.runs) for group in counted.groups] == [
        ("story", RunStatus.FAILED, 1),
        ("story", RunStatus.SUCCEEDED, 2),
    ]
    assert (counted.groups[1].oldest, counted.groups[1].newest) == (began, began + timedelta(days=1))
    text = "SELECT (SELECT sum(length(body)) FROM phasegate_facts) + (SELECT sum(length(body)) FROM phasegate_outputs) AS n"
    assert counted.size == store.read(text)[0]["n"]
    assert store.count_old(old(store), limit=1).runs == 1
    purged = store.purge(store.old_runs(old(store), limit=100))
    assert (purged.groups, purged.rows) == (counted.groups, counted.rows)
    assert (first.finished, last.finished) == (True, True)
    assert store.count_old(old(store)).rows == dict.fromkeys(TABLES, 0)


# --- deleting -------------------------------------------------------------------------------------------------------


def test_a_purged_run_has_no_row_left_and_nobody_else_has_lost_any(store: Store, clock: FakeClock) -> None:
    run = decided(store)
    others = [decided(store, "globex"), decided(store, tenant="north"), put(store, new(store, "initech"))]
    kept = [rows_of(store, other.id) for other in others]
    assert all(rows_of(store, run.id).values())
    report = store.purge(chosen(run))
    assert (report.runs, dict(report.rows)) == (1, {**kept[0]})  # two alike
    assert rows_of(store, run.id) == dict.fromkeys(TABLES, 0)
    assert [rows_of(store, other.id) for other in others] == kept
    assert store.load([run.id]) == []
    assert store.load([others[0].id]) == [others[0]]


def test_what_has_not_ended_or_has_moved_since_stays(store: Store, clock: FakeClock) -> None:
    live = put(store, new(store))
    ended = decided(store, "globex")
    before = everything(store)
    assert store.purge(chosen(live)).runs == 0
    assert store.purge([OldRun(ended.id, ended.seq - 1)]).runs == 0
    assert store.purge([OldRun("nobody", 1)]).runs == 0
    assert everything(store) == before
    again = put(store, move(store, ended, *commands.aim(FLOW, ended, clock(), ["edit"])))
    assert not again.finished
    assert store.purge([*chosen(ended), *chosen(again)]).runs == 0
    assert store.load([again.id]) == [again]


def test_who_moves_a_run_that_has_just_been_purged_is_told_that_there_is_none(store: Store, clock: FakeClock) -> None:
    ended = decided(store)
    moving = move(store, ended, *commands.aim(FLOW, ended, clock(), ["edit"]))
    store.purge(chosen(ended))
    (error,) = store.append([moving])
    assert isinstance(error, UnknownName)
    assert rows_of(store, ended.id) == dict.fromkeys(TABLES, 0)


def test_a_rehearsed_purge_is_undone(store: Store) -> None:
    run = decided(store)
    before = everything(store)
    with store.rehearsal() as twin:
        assert twin.purge(chosen(run)).runs == 1
        assert twin.load([run.id]) == []
    assert everything(store) == before


def test_a_run_that_somebody_is_moving_is_neither_waited_for_nor_purged(tmp_path: Path) -> None:
    """On SQLite there is nobody to pass over: one transaction writes at a time."""
    backend = BACKENDS["postgresql"]
    with closing(backend.open(tmp_path)) as one, closing(backend.open(tmp_path, busy=0.2)) as other:
        run, free = decided(one), decided(one, "globex")

        def work(session: Any) -> Any:
            session.connection().exec_driver_sql("SELECT 1 FROM phasegate_runs WHERE id = %s FOR UPDATE", (run.id,))
            assert other.purge([*chosen(run), *chosen(free)]).runs == 1
            return move(one, run, *commands.aim(FLOW, run, one.now(), ["edit"])), None

        one.transact(work)
        assert [left.seq > run.seq for left in one.load([run.id, free.id])] == [True]


# --- tombstones -----------------------------------------------------------------------------------------------------


def test_a_tombstone_tells_what_was_there(store: Store, clock: FakeClock) -> None:
    ended_at = clock()
    run = decided(store, key="2029")
    clock.advance(90 * DAY)
    store.purge(chosen(run))
    subject = Subject("company", "acme")
    stone = Tombstone("default", "story", subject, "2029", RunStatus.SUCCEEDED, run.id, ended_at, clock())
    assert store.known("default", "story", [subject], "2029") == ({}, {subject: stone})
    assert store.known("default", "story", [subject], "") == ({}, {})
    assert store.known("default", "other", [subject], "2029") == ({}, {})
    assert store.known("north", "story", [subject], "2029") == ({}, {})
    assert store.known("default", "story", [Subject("person", "acme")], "2029") == ({}, {})
    assert store.tombstones("default", subject=subject) == [stone]
    assert store.tombstones("north", subject=subject) == []
    assert store.tombstones("default", run_id=run.id[:9]) == [stone]
    assert store.tombstones("north", run_id=run.id) == []
    assert store.tombstones("default", run_id="zzzz") == []
    assert store.tombstones("default", run_id="0000") == []


def test_of_several_runs_the_latest_is_remembered_whatever_the_order(store: Store) -> None:
    runs = [decided(store, outcome=outcome) for outcome in ("approved", "rejected", "approved", "rejected")]
    store.purge([*chosen(runs[2]), *chosen(runs[1])])
    (stone,) = store.tombstones("default", subject=runs[0].subject)
    assert stone.run_id == runs[2].id
    store.purge(chosen(runs[0]))
    assert store.tombstones("default", subject=runs[0].subject) == [stone]
    store.purge(chosen(runs[3]))
    (last,) = store.tombstones("default", subject=runs[0].subject)
    assert (last.run_id, last.status) == (runs[3].id, RunStatus.FAILED)


def test_a_subject_that_has_a_run_is_known_by_it_and_not_by_its_tombstone(store: Store) -> None:
    first, second = decided(store), decided(store)
    store.purge(chosen(first))
    found, stones = store.known("default", "story", [first.subject], "")
    assert ([run.id for run in found.values()], stones) == ([second.id], {})


def test_many_subjects_are_looked_up_at_once(store: Store) -> None:
    runs = [decided(store, subject) for subject in ("first", "last")]
    store.purge([*chosen(runs[0]), *chosen(runs[1])])
    many = [Subject("company", f"c{number}") for number in range(CHUNK)]
    _, stones = store.known("default", "story", [runs[0].subject, *many, runs[1].subject], "")
    assert stones.keys() == {run.subject for run in runs}


def test_forgetting_goes_with_the_commit_or_not_at_all(store: Store) -> None:
    run = decided(store)
    store.purge(chosen(run))
    (stone,) = store.tombstones("default", subject=run.subject)
    fresh = new(store)._replace(writes=(forgetting(stone),))
    (refused,) = store.append([fresh._replace(expected=7)])
    assert refused is not None
    assert store.tombstones("default", subject=run.subject) == [stone]
    put(store, fresh)
    assert store.tombstones("default", subject=run.subject) == []


# --- documents ------------------------------------------------------------------------------------------------------


def test_a_document_has_the_whole_run(store: Store) -> None:
    run = decided(store)
    register(store, "w")
    (line,) = store.documents([run.id, "nobody"])
    assert "\n" not in line
    told = json.loads(line)
    assert told.keys() == {"format", *TABLES} - {"runs"} | {"run"}
    assert {name: len(told[name]) for name in TABLES[1:]} == {
        name: count for name, count in rows_of(store, run.id).items() if name != "runs"
    }
    facts = [codec.decode_fact(fact) for commit in told["facts"] for fact in commit["body"]]
    assert fold(facts) == run
    assert told["facts"][-1]["seq"] == run.seq == len(facts)
    assert (told["run"]["id"], told["run"]["status"], told["run"]["input"]) == (run.id, "succeeded", run.input)
    assert told["decisions"][0]["decided_by"] == "kim"
    assert told["decisions"][0]["answers"] == {"x": 1}
    assert {place["phase"]: place["status"] for place in told["phase_runs"]}["print"] == "succeeded"
    for output in told["outputs"]:
        text = json.dumps(output["body"], separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        assert output["phase"] == "print" or hashlib.sha256(text.encode()).hexdigest() == output["sha256"]


def test_documents_come_in_the_order_of_the_runs(store: Store) -> None:
    runs = [decided(store, f"c{number}") for number in range(3)]
    lines = store.documents([run.id for run in reversed(runs)])
    assert [json.loads(line)["run"]["id"] for line in lines] == [run.id for run in runs]


@pytest.mark.parametrize("status", RunStatus)
def test_a_purge_is_only_ever_of_runs_that_have_ended(store: Store, status: RunStatus) -> None:
    run = put(store, new(store))
    store.write([Write("UPDATE phasegate_runs SET status = :s, due_at = NULL", {"s": status.value})])
    assert store.purge(chosen(run)).runs == status.final
