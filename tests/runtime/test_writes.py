"""An application's rows in the same commit: ``ctx.write``, projections, transactional phases."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate import (
    Context,
    Engine,
    Fatal,
    Flow,
    Limits,
    Outcome,
    Phase,
    PhaseStatus,
    RecordedFact,
    Registry,
    Retry,
    RunStatus,
    Skip,
)
from phasegate.core import facts as f
from phasegate.testing import FakeClock, Scripted, drain
from tests.engines import temporary_engine
from tests.runtime.flows import ENTER, LEDGER, assert_sound, entries, finished, flow, kinds, metadata, one, subjects

COUNT = "UPDATE ledger SET amount = amount + :more WHERE entry = 'total'"


def writing(*more: Any) -> Any:
    """A function that writes a row named after its subject, and whatever else is given."""

    def work(ctx: Context) -> str:
        ctx.write(ENTER, {"entry": ctx.subject.id, "amount": 1})
        for statement, params in more:
            ctx.write(statement, params)
        return "written"

    return work


# --- ctx.write ------------------------------------------------------------------------------------------------------


def test_writes_are_there_when_the_phase_is() -> None:
    with temporary_engine(one(writing((COUNT, {"more": 5})))) as engine:
        engine.create_tables(metadata)
        engine.write([(ENTER, {"entry": "total", "amount": 1})])
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        assert entries(engine) == {"total": 6, "acme": 1}


@pytest.mark.parametrize(
    "ending",
    [ValueError("boom"), Fatal("no"), lambda ctx: ctx.ask("why?"), object()],
    ids=["raises", "fatal", "asks", "unstorable"],
)
def test_what_a_phase_wrote_goes_with_its_failure(ending: Any) -> None:
    def work(ctx: Context) -> Any:
        ctx.write(ENTER, {"entry": "x", "amount": 1})
        if isinstance(ending, Exception):
            raise ending
        return ending(ctx) if callable(ending) else ending

    with temporary_engine(one(work)) as engine:
        engine.create_tables(metadata)
        finished(engine)
        assert entries(engine) == {}


@pytest.mark.parametrize("ending", [Skip("no need"), Outcome("odd"), None])
def test_other_endings_keep_what_was_written(ending: Any) -> None:
    def work(ctx: Context) -> Any:
        ctx.write(ENTER, {"entry": "x", "amount": 1})
        return ending

    with temporary_engine(one(work)) as engine:
        engine.create_tables(metadata)
        assert finished(engine).status is RunStatus.SUCCEEDED
        assert entries(engine) == {"x": 1}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((ENTER, {"entry": "bad", "amount": 0}), "IntegrityError"),
        (("INSERT INTO nowhere VALUES (1)", {}), "OperationalError|ProgrammingError"),
        (("INSERT INTO ledger VALUES (:entry, 1)", {}), "StatementError"),
        (("INSERT INTO ledger VALUES (:entry, 1)", {"entry": object()}), "ProgrammingError"),
        (("INSERT INTO ledger VALUES ('\ud800', 1)", {}), "UnicodeEncodeError"),
    ],
    ids=["constraint", "no table", "no parameter", "no type", "half a character"],
)
def test_a_failing_write_fails_its_attempt_and_nobody_elses(bad: Any, reason: str) -> None:
    def work(ctx: Context) -> str:
        return str((writing(bad) if ctx.subject.id == "c003" else writing())(ctx))

    with temporary_engine(one(work)) as engine:
        engine.create_tables(metadata)
        runs = engine.start_many("story", subjects(10))
        engine.drain()
        ended = {run.subject.id: engine.get(run.id) for run in runs}
        failed = ended.pop("c003")
        assert failed.status is RunStatus.FAILED
        assert re.search(reason, str(failed.at("work").reason))
        assert {run.status for run in ended.values()} == {RunStatus.SUCCEEDED}
        assert sorted(entries(engine)) == sorted(ended)
        assert_sound(engine, runs)


def test_a_failing_write_among_the_items_of_one_run_fails_that_item_only() -> None:
    def work(ctx: Context) -> int:
        ctx.write(ENTER, {"entry": str(ctx.item), "amount": ctx.item})  # 0 is refused
        return int(ctx.item)

    phases = flow(Phase("list", Scripted(list(range(12)))), Phase("work", work, each="list"))
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        run = finished(engine)
        statuses = {instance.status for key, instance in run.phases.items() if key[0] == "work"}
        assert statuses == {PhaseStatus.SUCCEEDED, PhaseStatus.FAILED}
        assert sorted(map(int, entries(engine))) == list(range(1, 12))
        assert len(engine.outputs(run.id)["work"]) == 11
        assert_sound(engine, [run])


def test_a_failing_write_is_retried_with_the_phase() -> None:
    clock = FakeClock()

    def work(ctx: Context) -> None:
        ctx.write(ENTER, {"entry": f"attempt {ctx.attempt}", "amount": ctx.attempt - 1})

    with temporary_engine(one(work, retry=Retry(attempts=3)), clock=clock) as engine:
        engine.create_tables(metadata)
        engine.start("story", subjects(1)[0])
        drain(engine, clock=clock)
        assert entries(engine) == {"attempt 2": 1}


def test_the_error_of_a_failing_write_does_not_tell_what_was_written() -> None:
    bad = (ENTER, {"entry": "the secret name", "amount": 0})
    with temporary_engine(one(writing(bad))) as engine:
        engine.create_tables(metadata)
        run = finished(engine)
        assert re.search("(CHECK constraint failed|violates check constraint)", str(run.reason))
        assert "the secret name" not in str(run.reason)


def test_a_phase_reads_what_was_committed_and_not_its_own_queue() -> None:
    seen: list[int] = []

    def work(ctx: Context) -> None:
        writing()(ctx)
        seen.append(len(ctx.read("SELECT * FROM ledger WHERE entry = :entry", {"entry": ctx.subject.id})))
        seen.append(len(ctx.read(sa.select(LEDGER))))

    with temporary_engine(one(work)) as engine:
        engine.create_tables(metadata)
        engine.write([(ENTER, {"entry": "before", "amount": 1})])
        finished(engine)
        assert seen == [0, 1]


# --- projections ----------------------------------------------------------------------------------------------------


def projected(flows: Flow, project: Any, **options: Any) -> Engine:
    registry = Registry(flows)
    registry.projection(project)
    engine = Engine("sqlite://", registry, **options)
    engine.create_tables(metadata)
    return engine


def count_endings(connection: Any, recorded: Sequence[RecordedFact]) -> None:
    for each in recorded:
        if isinstance(each.fact, f.AttemptSucceeded):
            connection.execute(ENTER, {"entry": f"{each.run.subject.id}/{each.fact.phase}", "amount": each.output})


def test_a_projection_keeps_an_applications_table_in_step() -> None:
    phases = flow(Phase("a", Scripted(1)), Phase("b", Scripted(2), needs=("a",)))
    with projected(phases, count_endings) as engine:
        engine.start_many("story", subjects(3))
        engine.drain()
        assert entries(engine) == {
            f"c00{n}/{phase}": amount for n in range(3) for phase, amount in (("a", 1), ("b", 2))
        }


def test_a_projection_that_refuses_an_ending_fails_its_attempt_only() -> None:
    outputs = {"c000": 1, "c001": 0, "c002": 1}  # 0 is refused by the table
    with projected(one(lambda ctx: outputs[ctx.subject.id]), count_endings) as engine:
        runs = engine.start_many("story", subjects(3))
        engine.drain()
        assert [engine.get(run.id).status.value for run in runs] == ["succeeded", "failed", "succeeded"]
        assert sorted(entries(engine)) == ["c000/work", "c002/work"]
        assert_sound(engine, runs)


@pytest.mark.parametrize("refused", [f.AttemptFailed, f.AttemptStarted, f.RunFailed])
def test_a_projection_that_refuses_whatever_happens_is_heard_of(refused: type[Any]) -> None:
    def refuse(_connection: Any, recorded: Sequence[RecordedFact]) -> None:
        if any(isinstance(each.fact, refused) for each in recorded):
            raise RuntimeError("the projection is broken")

    with projected(one(Scripted(ValueError("boom"), ValueError("boom"))), refuse) as engine:
        run = engine.start("story", subjects(1)[0])
        with pytest.raises(RuntimeError, match="the projection is broken"):
            engine.drain()
        assert not engine.get(run.id).finished
        assert engine.workers() == []


def test_after_a_broken_projection_is_mended_the_work_goes_on() -> None:
    broken = [True]

    def refuse(_connection: Any, _recorded: Sequence[RecordedFact]) -> None:
        if broken and threading.current_thread().name == "phasegate-journal" and _recorded[0].run.seq > 2:
            raise RuntimeError("not yet")

    with projected(one(lambda _ctx: "done"), refuse) as engine:
        run = engine.start("story", subjects(1)[0])
        with pytest.raises(RuntimeError, match="not yet"):
            engine.drain()
        broken.clear()
        engine.drain()
        assert engine.outputs(run.id) == {"work": "done"}
        assert_sound(engine, [run])


def test_a_start_that_a_projection_refuses_raises_for_the_caller() -> None:
    def refuse(_connection: Any, _recorded: Sequence[RecordedFact]) -> None:
        raise RuntimeError("not here")

    with projected(one(Scripted(1)), refuse) as engine:
        with pytest.raises(Exception, match="not here"):
            engine.start("story", subjects(1)[0])
        assert engine.find() == []


# --- transactional phases -------------------------------------------------------------------------------------------


def enter(ctx: Context, amount: int = 1) -> str:
    ctx.session.execute(ENTER, {"entry": f"{ctx.subject.id}/{ctx.attempt}", "amount": amount})
    return "entered"


def test_a_transactional_phase_writes_and_completes_in_one_commit() -> None:
    with temporary_engine(one(enter, transactional=True)) as engine:
        engine.create_tables(metadata)
        runs = engine.start_many("story", subjects(5))
        engine.drain()
        assert sorted(entries(engine)) == [f"c00{n}/1" for n in range(5)]
        assert {engine.outputs(run.id)["work"] for run in runs} == {"entered"}
        assert_sound(engine, runs)


def failing(ctx: Context) -> None:
    enter(ctx)
    raise ValueError("after writing")


def exiting(ctx: Context) -> None:
    enter(ctx)
    raise SystemExit(1)


def refused_by_the_database(ctx: Context) -> None:
    enter(ctx)
    enter(ctx)


def refused_at_the_end(ctx: Context) -> None:
    enter(ctx)
    ctx.write(ENTER, {"entry": "bad", "amount": 0})


def unstorable(ctx: Context) -> Any:
    enter(ctx)
    return object()


def rolled_back_by_itself(ctx: Context) -> None:
    enter(ctx)
    ctx.session.rollback()
    raise ValueError("thought better of it")


@pytest.mark.parametrize(
    "function", [failing, exiting, refused_by_the_database, refused_at_the_end, unstorable, rolled_back_by_itself]
)
def test_a_transactional_phase_that_fails_leaves_nothing(function: Any) -> None:
    after = Phase("after", enter, transactional=True)
    with temporary_engine(flow(Phase("work", function, transactional=True), after)) as engine:
        engine.create_tables(metadata)
        run = finished(engine)
        assert run.at("work").status is PhaseStatus.FAILED
        assert entries(engine) == {"acme/1": 1}  # of the other phase
        assert_sound(engine, [run])


def test_a_transactional_phase_is_retried() -> None:
    clock = FakeClock()

    def work(ctx: Context) -> None:
        enter(ctx, amount=ctx.attempt - 1)

    with temporary_engine(one(work, transactional=True, retry=Retry(attempts=3)), clock=clock) as engine:
        engine.create_tables(metadata)
        run = engine.start("story", subjects(1)[0])
        drain(engine, clock=clock)
        assert entries(engine) == {"c000/2": 1}
        assert engine.get(run.id).status is RunStatus.SUCCEEDED


def test_a_transactional_phase_that_takes_too_long_is_undone() -> None:
    def slow(ctx: Context) -> None:
        enter(ctx)
        threading.Event().wait(0.05)

    with temporary_engine(one(slow, transactional=True, timeout=0.01)) as engine:
        engine.create_tables(metadata)
        failed = finished(engine).at("work")
        assert (failed.status, entries(engine)) == (PhaseStatus.FAILED, {})
        assert str(failed.reason).startswith("TimedOut")


def test_transactional_phases_of_one_run_take_turns() -> None:
    def work(ctx: Context) -> int:
        ctx.session.execute(ENTER, {"entry": str(ctx.item), "amount": 1})
        ctx.write(COUNT, {"more": 1})
        return int(ctx.item)

    phases = flow(Phase("list", Scripted(list(range(25)))), Phase("work", work, each="list", transactional=True))
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        engine.write([(ENTER, {"entry": "total", "amount": 1})])
        run = finished(engine)
        assert run.status is RunStatus.SUCCEEDED
        assert entries(engine)["total"] == 26
        assert kinds(engine, run).count("attempt.succeeded") == 26
        assert_sound(engine, [run])


def test_transactional_and_other_phases_work_side_by_side() -> None:
    phases = flow(
        Phase("first", writing()), Phase("second", enter, transactional=True), Phase("third", Scripted(3)),
        Phase("last", enter, needs=("first", "second", "third"), transactional=True),
    )  # fmt: skip
    with temporary_engine(phases, limits=Limits(concurrency=7)) as engine:
        engine.create_tables(metadata)
        runs = engine.start_many("story", subjects(20))
        engine.drain()
        assert {engine.get(run.id).status for run in runs} == {RunStatus.FAILED}  # the last enters the same name again
        assert len(entries(engine)) == 40
        assert_sound(engine, runs)


def test_projections_see_transactional_phases_too() -> None:
    with projected(one(lambda ctx: 7, transactional=True), count_endings) as engine:
        finished(engine)
        assert entries(engine) == {"acme/work": 7}


def test_a_projection_that_refuses_a_transactional_ending_fails_the_attempt() -> None:
    with projected(one(lambda ctx: 0, transactional=True), count_endings) as engine:
        assert finished(engine).status is RunStatus.FAILED
        assert entries(engine) == {}
