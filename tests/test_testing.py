"""The tools for testing, tested."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from phasegate import Batch, Engine, Fatal, Gate, Outcome, Phase, PhaseStatus, Registry, Retry, RunStatus, Snooze
from phasegate.testing import CrashPoint, FakeClock, Scripted, drain, temporary_engine
from tests.runtime.flows import ACME, flow, one, subjects

START = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_clock_stands_still_and_moves_only_on() -> None:
    clock = FakeClock(START)
    assert clock() == clock() == START
    assert clock.advance(1.5) == START + timedelta(seconds=1.5)
    assert clock.reach(START) == clock() == START + timedelta(seconds=1.5)
    assert clock.reach(START + timedelta(days=1)) == clock() == START + timedelta(days=1)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_a_clock_speaks_utc() -> None:
    assert FakeClock(datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))() == START
    assert FakeClock(datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))().tzinfo is UTC
    with pytest.raises(ValueError, match="zone"):
        FakeClock(datetime(2030, 1, 1))  # noqa: DTZ001


def test_drain_jumps_from_one_time_to_the_next() -> None:
    clock = FakeClock(START)
    later = [Snooze(START + timedelta(days=day)) for day in (1, 7, 30)]
    with temporary_engine(one(Scripted(*later, "done")), clock=clock) as engine:
        run = engine.start("story", ACME)
        drain(engine)
        assert engine.get(run.id).status is RunStatus.WAITING
        drain(engine, clock=clock)
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert clock() == START + timedelta(days=30)


def test_drain_stops_when_what_it_waits_for_is_there() -> None:
    clock = FakeClock(START)
    with temporary_engine(
        one(Scripted(*[Snooze(START + timedelta(days=day)) for day in range(1, 9)])), clock=clock
    ) as engine:
        run = engine.start("story", ACME)
        drain(engine, clock=clock, until=lambda: engine.get(run.id).at("work").attempt == 3)
        assert clock() == START + timedelta(days=2)
        with pytest.raises(AssertionError, match="after 2 jumps"):
            drain(engine, clock=clock, limit=2)


def test_drain_says_when_what_it_waits_for_cannot_come() -> None:
    with temporary_engine(flow(Phase("release", gate=Gate()))) as engine:
        run = engine.start("story", ACME)
        drain(engine, until=lambda: engine.get(run.id).status is RunStatus.WAITING)
        with pytest.raises(AssertionError, match="has not come"):
            drain(engine, clock=FakeClock(), until=lambda: engine.get(run.id).finished)


def test_a_script_is_played_for_each_subject_from_the_beginning() -> None:
    script = Scripted(ValueError, ValueError("again"), lambda ctx: ctx.subject.id)
    with temporary_engine(one(script, retry=Retry(attempts=3, base=0))) as engine:
        runs = engine.start_many("story", subjects(5))
        engine.drain()
        assert [engine.outputs(run.id)["work"] for run in runs] == [run.subject.id for run in runs]
        assert len(script.calls) == 15


def test_a_script_that_has_ended_fails_the_phase_for_good() -> None:
    script = Scripted(ValueError("once"))
    with temporary_engine(one(script, retry=Retry(attempts=5, base=0))) as engine:
        run = engine.start("story", ACME)
        engine.drain()
        assert engine.get(run.id).at("work").reason == "Fatal: phase 'work' was called 2 times and has 1 outcomes"


def test_a_script_plays_for_the_members_of_a_batch() -> None:
    script = Scripted(Outcome("odd", 1))
    with temporary_engine(one(script, batch=Batch())) as engine:
        runs = engine.start_many("story", subjects(5))
        engine.drain()
        assert {engine.get(run.id).at("work").outcome for run in runs} == {"odd"}
    failing = Scripted(Fatal("no"))
    with temporary_engine(one(failing, batch=Batch())) as engine:
        run = engine.start("story", ACME)
        engine.drain()
        assert engine.get(run.id).at("work").status is PhaseStatus.FAILED


def test_a_temporary_engine_is_gone_afterwards() -> None:
    with temporary_engine(one(Scripted(1)), deps=7, tenant="t") as engine:
        path = Path(engine.store.path)  # type: ignore[attr-defined]
        assert path.exists()
        assert (engine.tenant, engine.registry.deps) == ("t", 7)
    assert not path.exists()


def test_a_crash_point_without_a_number_only_counts() -> None:
    with temporary_engine(one(Scripted(1))) as engine:
        point = CrashPoint(engine)
        engine.start("story", ACME)
        engine.drain()
        assert point.statements > point.commits > 2


_CRASHING = """
import sys
from phasegate import *
from phasegate.testing import CrashPoint, Scripted
flow = Flow("story", 1, (Phase("work", Scripted(1)),))
with Engine(sys.argv[1], Registry(flow)) as engine:
    CrashPoint(engine, **{sys.argv[2]: int(sys.argv[3])})
    engine.start("story", Subject("company", "acme"))
    print("started", flush=True)
    engine.drain()
    print("drained", flush=True)
"""


@pytest.mark.parametrize(
    ("event", "number", "said"),
    [("statement", 1, ""), ("commit", 1, ""), ("commit", 3, "started"), ("commit", 10_000, "started drained")],
)
def test_a_crash_point_kills_the_process_there(tmp_path: Path, event: str, number: int, said: str) -> None:
    command = [sys.executable, "-c", _CRASHING, f"sqlite:///{tmp_path / 'runs.db'}", event, str(number)]
    crashed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert crashed.stdout.split() == said.split()
    assert crashed.returncode == (0 if "drained" in said else -9)


def test_a_clock_can_be_put_back() -> None:
    clock = FakeClock(START)
    assert clock.set(START - timedelta(days=1)) == clock() == START - timedelta(days=1)
    for move in (clock.set, clock.reach):
        with pytest.raises(ValueError, match="zone"):
            move(datetime(2030, 1, 1))  # noqa: DTZ001


_CRASHING_AFTER = """
import sys
from phasegate import *
from phasegate.testing import CrashPoint, Scripted
with Engine(sys.argv[1], Registry(Flow("story", 1, (Phase("work", Scripted(1)),)))) as engine:
    engine.start("story", Subject("company", "before"))  # keeps the definition of the flow
    CrashPoint(engine, commit=1, after=sys.argv[2] == "after")
    engine.start("story", Subject("company", "acme"))
    engine.drain()
"""


@pytest.mark.parametrize(("when", "runs"), [("before", ["before"]), ("after", ["acme", "before"])])
def test_a_crash_point_comes_before_the_commit_or_after_it(tmp_path: Path, when: str, runs: list[str]) -> None:
    address = f"sqlite:///{tmp_path / 'runs.db'}"
    crashed = subprocess.run([sys.executable, "-c", _CRASHING_AFTER, address, when], timeout=60)
    assert crashed.returncode == -9
    with Engine(address) as engine:
        assert sorted(run.subject.id for run in engine.find()) == runs


_CRASHING_AT_FIRST = """
import sys
from phasegate.store.opening import open_store
from phasegate.testing import CrashPoint
store = open_store(sys.argv[1])
CrashPoint(store, commit=1)
store.prepare()
"""


def test_a_crash_point_of_a_store_sees_the_tables_being_created(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'runs.db'}"
    assert subprocess.run([sys.executable, "-c", _CRASHING_AT_FIRST, address], timeout=60).returncode == -9
    with Engine(address, Registry(one(Scripted(1)))) as engine:
        run = engine.start("story", ACME)
        drain(engine)
        assert engine.get(run.id).status is RunStatus.SUCCEEDED


def test_drain_takes_the_clock_also_by_place() -> None:
    clock = FakeClock(START)
    with temporary_engine(one(Scripted(Snooze(START + timedelta(hours=1)), 1)), clock=clock) as engine:
        run = engine.start("story", ACME)
        drain(engine, clock)
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
