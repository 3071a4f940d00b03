"""Old runs go, into an archive first, and what was done is not silently done again."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate import (
    Engine,
    InputError,
    Limits,
    NotAllowed,
    Purged,
    PurgeReport,
    Registry,
    Run,
    RunStatus,
    Subject,
    UnknownName,
)
from phasegate.core.state import fold
from phasegate.engine import retaining
from phasegate.store import codec
from phasegate.testing import FakeClock, Scripted
from tests.engines import address_in, temporary_engine
from tests.runtime.flows import ACME, ENTER, LEDGER, metadata, one, subjects

DAYS = 24 * 3600.0


@contextmanager
def worked(*names: Subject, run: Any = None) -> Iterator[tuple[Engine, FakeClock, list[Run]]]:
    """An engine whose runs ended 91 days ago."""
    clock = FakeClock()
    with temporary_engine(one(run or (lambda _: "done")), clock=clock) as engine:
        runs = engine.start_many("story", names or [ACME])
        engine.drain()
        clock.advance(91 * DAYS)
        yield engine, clock, [engine.get(run.id) for run in runs]


def lines(archive: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read_text(encoding="utf-8").splitlines()]


def count(engine: Engine, table: str) -> int:
    return int(engine.read(f"SELECT count(*) AS rows FROM phasegate_{table}")[0]["rows"])


# --- what goes ------------------------------------------------------------------------------------------------------


def test_what_is_older_goes_and_the_report_says_what(tmp_path: Path) -> None:
    with worked(*subjects(3)) as (engine, _clock, runs):
        waiting = engine.start("story", ACME)
        told = engine.purge(timedelta(days=90), dry_run=True)
        assert (told.runs, told.dry_run, len(engine.find())) == (3, True, 4)
        assert (told.size or 0) > 100
        report = engine.purge(90 * DAYS)
        assert (report.runs, report.dry_run, report.archived, report.size) == (3, False, 0, None)
        assert (report.groups, report.rows) == (told.groups, told.rows)
        assert [run.id for run in engine.find()] == [waiting.id]
        assert engine.purge(90 * DAYS) == PurgeReport()
        assert [stone.run_id for stone in engine.purged(runs[0].subject)] == [runs[0].id]


def test_flow_status_tenant_and_limit_narrow_it_down() -> None:
    with worked(*subjects(3), run=Scripted("done")) as (engine, clock, runs):
        other = engine.start("story", ACME, tenant="other")
        engine.cancel(other.id, tenant="other")
        clock.advance(91 * DAYS)
        assert engine.purge(90 * DAYS, flow="another").runs == 0
        assert engine.purge(90 * DAYS, statuses=["failed", RunStatus.CANCELLED]).runs == 0
        assert engine.purge(90 * DAYS, limit=2, dry_run=True).runs == 2
        assert engine.purge(90 * DAYS, limit=2).runs == 2
        assert [run.id for run in engine.find()] == [runs[2].id]
        assert engine.purge(90 * DAYS, tenant="other", statuses=["cancelled"]).runs == 1
        assert [run.id for run in engine.find()] == [runs[2].id]


def test_it_goes_in_portions_and_somebody_may_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    with worked(*subjects(7)) as (engine, _, runs):
        heard: list[int] = []
        engine.purge(90 * DAYS, batch=3, limit=4, listen=lambda report: heard.append(report.runs))
        assert heard == [3, 4]
        monkeypatch.setattr(retaining, "MOST_FACTS", 2 * runs[0].seq)
        engine.purge(90 * DAYS, listen=lambda report: heard.append(report.runs))
        assert heard == [3, 4, 2, 3]


@pytest.mark.parametrize("age", [-1, timedelta(days=-1), 1e300, float("nan"), float("inf"), timedelta.max])
def test_an_age_that_cannot_be_is_refused(age: Any) -> None:
    with worked() as (engine, _, _), pytest.raises(InputError):
        engine.purge(age)


@pytest.mark.parametrize("status", ["running", RunStatus.PAUSED, "done"])
def test_what_has_not_ended_cannot_be_asked_for(status: Any) -> None:
    with worked() as (engine, _, _runs):
        with pytest.raises(InputError, match=str(getattr(status, "value", status))) as refused:
            engine.purge(0, statuses=["succeeded", status])
        assert refused.value.hint == "one of succeeded, failed, cancelled"
        assert len(engine.find()) == 1


def test_tables_of_an_application_are_left_alone() -> None:
    def write(context: Any) -> None:
        context.write(ENTER, {"entry": context.run.id, "amount": 1})

    with temporary_engine(one(write), clock=(clock := FakeClock())) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", ACME)
        engine.drain()
        clock.advance(1)
        assert engine.purge(0).runs == 1
        assert [row["entry"] for row in engine.read(LEDGER.select())] == [run.id]


def test_a_rehearsal_purges_nothing_and_writes_no_archive(tmp_path: Path) -> None:
    with worked() as (engine, _, runs):
        with engine.rehearsal() as rehearsed:
            report = rehearsed.purge(90 * DAYS, archive=tmp_path / "gone.jsonl")
            assert (report.runs, report.archived, report.dry_run) == (1, 0, True)
            assert rehearsed.find() == []
        assert engine.get(runs[0].id) == runs[0]
        assert not (tmp_path / "gone.jsonl").exists()


# --- starting what was purged ---------------------------------------------------------------------------------------


def test_what_was_purged_is_not_silently_done_again() -> None:
    with worked() as (engine, _clock, runs):
        engine.purge(90 * DAYS)
        with pytest.raises(Purged) as refused:
            engine.start("story", ACME)
        assert isinstance(refused.value, NotAllowed)
        assert str(refused.value) == (
            "company:acme succeeded in flow 'story' at 2030-01-01T00:00:00Z and was purged at 2030-04-02T00:00:00Z"
            f" (run {runs[0].id})"
        )
        assert "again=True" in str(refused.value.hint)
        assert engine.find() == []
        other = engine.start("story", ACME, key="other")
        foreign = engine.start("story", ACME, tenant="other")
        assert {other.finished, foreign.finished} == {False}


def test_asked_for_again_it_starts_and_the_tombstone_goes_in_the_same_commit(tmp_path: Path) -> None:
    with worked(*subjects(2)) as (engine, _, runs):
        engine.purge(90 * DAYS)
        fresh = engine.start("story", runs[0].subject, again=True)
        assert fresh.id != runs[0].id
        assert engine.purged(runs[0].subject) == []
        assert engine.start("story", runs[0].subject).id == fresh.id
        assert len(engine.purged(runs[1].subject)) == 1
        engine.drain()
        assert engine.get(fresh.id).status is RunStatus.SUCCEEDED


def test_of_many_none_is_started_when_some_were_purged_and_all_of_these_are_named() -> None:
    with worked(*subjects(5)) as (engine, _, _runs):
        engine.purge(90 * DAYS)
        fresh = Subject("company", "fresh")
        with pytest.raises(Purged, match=r"c000 succeeded.*; company:c002 .*; and 2 more$") as refused:
            engine.start_many("story", [fresh, *subjects(5)])
        assert refused.value.subjects.keys() == set(subjects(5))
        assert engine.find() == []
        started = engine.start_many("story", [fresh, *subjects(5)], again=True)
        assert [run.subject for run in started] == [fresh, *subjects(5)]
        assert count(engine, "tombstones") == 0


def test_a_phase_asked_of_many_leaves_out_those_that_were_purged() -> None:
    with worked(*subjects(2)) as (engine, _, _runs):
        engine.purge(90 * DAYS)
        fresh = Subject("company", "fresh")
        report = engine.run_phase("story", "work", [*subjects(2), fresh], inputs=["a", "b", "c"])
        assert [(result.subject, engine.get(result.run_id).input) for result in report.succeeded] == [(fresh, "c")]
        assert report.refused.keys() == set(subjects(2))
        assert "was purged" in report.refused[subjects(2)[0]]
        with pytest.raises(Purged):
            engine.run_phase("story", "work", subjects(2))


def test_starting_asks_once_whatever_the_number_of_subjects() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        engine.start("story", ACME)
        seen: list[str] = []
        engine.store.trace(lambda text: seen.append(text.lower()))
        engine.start("story", ACME)
        assert [text for text in seen if "tombstones" in text] == []  # it has a run: no question is open
        engine.start_many("story", subjects(300))
        assert len([text for text in seen if "tombstones" in text]) == 1


def test_who_looks_for_a_purged_run_hears_what_became_of_it() -> None:
    with worked() as (engine, _, runs):
        engine.purge(90 * DAYS)
        for name in (runs[0].id, runs[0].id[:20]):
            with pytest.raises(UnknownName) as refused:
                engine.get(name)
            assert "was purged at 2030-04-02" in str(refused.value.hint)
        with pytest.raises(UnknownName) as refused:
            engine.cancel(runs[0].id, tenant="other")
        assert refused.value.hint is None


def test_starting_while_it_is_purged_loses_nothing_and_does_nothing_twice() -> None:
    done: list[str] = []
    names = subjects(120)
    with worked(*names, run=lambda context: done.append(context.subject.id)) as (engine, _, _runs):
        refused: list[Subject] = []
        together = threading.Barrier(3)

        def start(mine: list[Subject]) -> None:
            together.wait()
            for subject in mine:
                try:
                    engine.start("story", subject)
                except Purged:
                    refused.append(subject)

        threads = [threading.Thread(target=start, args=(names[number::2],)) for number in range(2)]
        for thread in threads:
            thread.start()
        together.wait()
        report = engine.purge(90 * DAYS, batch=5)
        for thread in threads:
            thread.join()
        engine.drain()
        assert report.runs == len(names)
        assert engine.find() == []
        assert len(done) == len(set(done)) == len(names)
        assert count(engine, "tombstones") == len(names)


# --- the archive ----------------------------------------------------------------------------------------------------


def test_the_archive_has_the_whole_of_each_run_and_only_grows(tmp_path: Path) -> None:
    archive = tmp_path / "gone.jsonl"
    with worked(*subjects(5)) as (engine, _clock, runs):
        assert engine.purge(90 * DAYS, archive=archive, limit=2).archived == 2
        before = archive.read_bytes()
        report = engine.purge(90 * DAYS, archive=str(archive), batch=2)
        assert (report.runs, report.archived) == (3, 3)
        assert archive.read_bytes().startswith(before)
        found = lines(archive)
        assert [each["run"]["id"] for each in found] == [run.id for run in runs]
        for run, each in zip(runs, found, strict=True):
            facts = [codec.decode_fact(fact) for commit in each["facts"] for fact in commit["body"]]
            # Who had it is no fact.
            assert fold(facts).but(epoch=run.epoch) == run
            assert [output["body"] for output in each["outputs"]] == ["done"]


def test_what_a_crash_left_unfinished_becomes_a_line_of_its_own(tmp_path: Path) -> None:
    archive = tmp_path / "gone.jsonl"
    archive.write_text('{"format":1}\n{"format":1,"run":{"id":"0')
    with worked() as (engine, _, runs):
        engine.purge(90 * DAYS, archive=archive)
    first, torn, last = archive.read_text().splitlines()
    assert (first, torn) == ('{"format":1}', '{"format":1,"run":{"id":"0')
    assert json.loads(last)["run"]["id"] == runs[0].id


def refused(engine: Engine, archive: Path, match: str) -> None:
    before = engine.find()
    with pytest.raises(InputError, match=match):
        engine.purge(90 * DAYS, archive=archive)
    assert engine.find() == before != []


def test_without_its_archive_nothing_is_deleted(tmp_path: Path) -> None:
    with worked() as (engine, _, _):
        refused(engine, tmp_path, "Is a directory")
        refused(engine, tmp_path / "nowhere" / "gone.jsonl", "No such file or directory")
        refused(engine, Path("/dev/null"), "cannot be written")  # nothing stays there
        database = tmp_path / "other.db"
        database.write_bytes(b"SQLite format 3\0 and so on")
        refused(engine, database, "is not an archive of runs")
        assert database.read_bytes() == b"SQLite format 3\0 and so on"
        held = tmp_path / "held.jsonl"
        with held.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            refused(engine, held, "is being written by another process")
        assert engine.purge(90 * DAYS, archive=held).runs == 1


def test_what_is_not_on_the_disk_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "gone.jsonl"
    sync, failing = os.fsync, [False]

    def full(descriptor: int) -> None:
        if failing[0] and stat.S_ISREG((file := os.fstat(descriptor)).st_mode) and file.st_size > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with worked(*subjects(2)) as (engine, _, runs):
        monkeypatch.setattr(os, "fsync", full)
        failing[0] = True
        refused(engine, archive, "No space left on device")
        failing[0] = False
        assert engine.purge(90 * DAYS, archive=archive).runs == 2
        assert {each["run"]["id"] for each in lines(archive)} == {run.id for run in runs}


def test_workers_go_on_while_old_runs_are_purged(tmp_path: Path) -> None:
    """Another engine on the same database works and starts; every run is either done or purged, and none is lost."""
    address = address_in(tmp_path)
    with Engine(address, Registry(one(lambda _: "done"))) as engine:
        engine.start_many("story", subjects(200))
        engine.drain()
        stop, failed = threading.Event(), list[BaseException]()

        def work() -> None:
            try:
                with Engine(address, Registry(one(lambda _: "done")), limits=Limits(concurrency=8)) as other:
                    for number in range(20):
                        other.start("story", Subject("new", str(number)))
                        other.drain()
            except BaseException as error:
                failed.append(error)
            stop.set()

        thread = threading.Thread(target=work)
        thread.start()
        purged = 0
        while not stop.is_set():
            purged += engine.purge(0, archive=tmp_path / "gone.jsonl", batch=20).runs
        thread.join()
        assert failed == []
        purged += engine.purge(0, archive=tmp_path / "gone.jsonl").runs
        assert purged == 220
        assert len({each["run"]["id"] for each in lines(tmp_path / "gone.jsonl")}) == 220
        assert [count(engine, name) for name in ("runs", "facts", "attempts", "tombstones")] == [0, 0, 0, 220]
