"""``run_phase``: one phase of many subjects, done here, and a report."""

from __future__ import annotations

from typing import Any

import pytest

from phasegate import (
    Context,
    Engine,
    Gate,
    NeedsNotMet,
    NotAllowed,
    Outcome,
    Phase,
    PhaseStatus,
    Retry,
    RunStatus,
    Skip,
    UnknownName,
)
from phasegate.store.tables import metadata as engine_tables
from phasegate.testing import Scripted
from tests.engines import temporary_engine
from tests.runtime.flows import ENTER, LEDGER, assert_sound, entries, flow, kinds, metadata, subjects

CHAIN = flow(
    Phase("draft", lambda ctx: [ctx.subject.id, ctx.attempt]),
    Phase("edit", lambda ctx: ctx.inputs["draft"], needs=("draft",), label="1.2"),
    Phase("print", lambda ctx: ctx.inputs["edit"], needs=("edit",)),
)


def test_a_phase_is_done_and_reported_for_every_subject() -> None:
    with temporary_engine(CHAIN) as engine:
        report = engine.run_phase("story", "draft", subjects(3), by="ann")
        assert (report.phase, report.blocked, report.dry_run) == ("draft", {}, False)
        assert [result.output for result in report.results] == [["c000", 1], ["c001", 1], ["c002", 1]]
        assert [result.subject for result in report.succeeded] == subjects(3)
        assert report.failed == ()
        assert report.duration > 0
        assert {result.attempt for result in report.results} == {1}
        assert all(r.started_at and r.finished_at and r.started_at <= r.finished_at for r in report.results)


def test_a_phase_may_be_asked_for_by_its_label() -> None:
    with temporary_engine(CHAIN) as engine:
        engine.run_phase("story", "draft", subjects(1))
        assert engine.run_phase("story", "1.2", subjects(1)).phase == "edit"


def test_phases_one_after_another_take_a_subject_to_the_end() -> None:
    with temporary_engine(CHAIN) as engine:
        for phase in ("draft", "edit", "print"):
            report = engine.run_phase("story", phase, subjects(5))
            assert len(report.succeeded) == 5
        (run,) = engine.find(subject=subjects(5)[3])
        assert engine.get(run.id).status is RunStatus.SUCCEEDED
        assert engine.outputs(run.id) == {"draft": ["c003", 1], "edit": ["c003", 1], "print": ["c003", 1]}
        assert_sound(engine, engine.find())


def test_what_a_phase_needs_is_named_in_full() -> None:
    with temporary_engine(CHAIN) as engine:
        with pytest.raises(NeedsNotMet, match="phase 'print' needs 'draft', 'edit' first") as error:
            engine.run_phase("story", "print", subjects(2))
        assert error.value.missing == ("draft", "edit")
        (run, _) = engine.find()
        assert "phase.refused" in kinds(engine, run)
        assert engine.get(run.id).at("print").attempt == 0


def test_subjects_that_lack_a_need_are_blocked_and_the_others_done() -> None:
    with temporary_engine(CHAIN) as engine:
        engine.run_phase("story", "draft", subjects(2))
        report = engine.run_phase("story", "edit", subjects(4))
        assert [result.subject.id for result in report.results] == ["c000", "c001"]
        assert report.blocked == {subjects(4)[2]: ("draft",), subjects(4)[3]: ("draft",)}


def test_needs_may_be_ignored() -> None:
    with temporary_engine(CHAIN) as engine:
        report = engine.run_phase("story", "edit", subjects(1), check_needs=False)
        assert [(result.status, result.output) for result in report.results] == [(PhaseStatus.SUCCEEDED, None)]


def test_a_phase_done_again_keeps_its_history() -> None:
    with temporary_engine(CHAIN) as engine:
        engine.run_phase("story", "draft", subjects(1))
        report = engine.run_phase("story", "draft", subjects(1), by="ann")
        assert [(result.attempt, result.output) for result in report.results] == [(2, ["c000", 2])]
        (run,) = engine.find()
        assert kinds(engine, run).count("attempt.succeeded") == 2
        versions = engine.read("SELECT version, body FROM phasegate_outputs ORDER BY version")
        assert [tuple(row.values()) for row in versions] == [(1, '["c000",1]'), (2, '["c000",2]')]


def test_every_ending_is_reported() -> None:
    endings: dict[str, Any] = {"c000": 1, "c001": ValueError("boom"), "c002": Skip("no"), "c003": Outcome("odd", 2)}
    work = Scripted(lambda ctx: endings[ctx.subject.id] if ctx.subject.id != "c001" else _raise(endings["c001"]))
    with temporary_engine(flow(Phase("work", work))) as engine:
        report = engine.run_phase("story", "work", subjects(4))
        assert [(r.status.value, r.outcome, r.reason, r.output) for r in report.results] == [
            ("succeeded", "done", None, 1),
            ("failed", "failed", "ValueError: boom", None),
            ("skipped", "skipped", "no", None),
            ("succeeded", "odd", None, 2),
        ]
        assert [result.subject.id for result in report.failed] == ["c001"]


def _raise(error: Exception) -> Any:
    raise error


def test_retries_are_waited_for() -> None:
    work = Scripted(ValueError("boom"), "ok")
    with temporary_engine(flow(Phase("work", work, retry=Retry(attempts=2, base=0.01)))) as engine:
        assert [r.output for r in engine.run_phase("story", "work", subjects(3)).results] == ["ok"] * 3


def test_what_takes_longer_than_one_waits_is_reported_as_it_stands() -> None:
    work = Scripted(ValueError("boom"), "never")
    with temporary_engine(flow(Phase("work", work, retry=Retry(attempts=2, base=600, jitter=False)))) as engine:
        (result,) = engine.run_phase("story", "work", subjects(1), wait=0.01).results
        assert (result.status, result.attempt) == (PhaseStatus.WAITING, 1)


@pytest.mark.parametrize("each", [None, "list"])
def test_a_gate_is_not_waited_for(each: str | None) -> None:
    phases = flow(Phase("list", Scripted([1, 2])), Phase("release", gate=Gate(), needs=("list",), each=each))
    with temporary_engine(phases) as engine:
        engine.run_phase("story", "list", subjects(1))
        (result,) = engine.run_phase("story", "release", subjects(1)).results
        assert result.status is PhaseStatus.WAITING


def test_a_phase_that_asks_is_not_waited_for() -> None:
    with temporary_engine(flow(Phase("work", Scripted(lambda ctx: ctx.ask("why?"))))) as engine:
        (result,) = engine.run_phase("story", "work", subjects(1)).results
        assert result.status is PhaseStatus.WAITING


def test_a_phase_that_repeats_is_reported_as_a_whole() -> None:
    phases = flow(Phase("list", Scripted(["a", "b", "c"])), Phase("work", lambda ctx: ctx.item * 2, each="list"))
    with temporary_engine(phases) as engine:
        engine.run_phase("story", "list", subjects(1))
        (result,) = engine.run_phase("story", "work", subjects(1)).results
        assert result.status is PhaseStatus.SUCCEEDED
        assert sorted(result.output.values()) == ["aa", "bb", "cc"]


def test_a_phase_that_repeats_and_fails_for_one_item_is_reported_as_failed() -> None:
    phases = flow(Phase("list", Scripted([1, 0, 2])), Phase("work", lambda ctx: 1 / ctx.item, each="list"))
    with temporary_engine(phases) as engine:
        engine.run_phase("story", "list", subjects(1))
        (result,) = engine.run_phase("story", "work", subjects(1)).results
        assert (result.status, result.reason) == (PhaseStatus.FAILED, "ZeroDivisionError: division by zero")


def test_an_unknown_phase_is_named_with_the_nearest_known() -> None:
    with temporary_engine(CHAIN) as engine:
        with pytest.raises(UnknownName, match="unknown phase 'drafd'") as error:
            engine.run_phase("story", "drafd", subjects(1))
        assert error.value.hint == "did you mean 'draft'?"
        assert engine.find() == []


# --- dry-run --------------------------------------------------------------------------------------------------------


def every_row(engine: Engine) -> dict[str, list[Any]]:
    names = [*engine_tables.tables, *metadata.tables]
    return {name: engine.read(f"SELECT * FROM {name}") for name in names}


def count(ctx: Context) -> list[Any]:
    """Writes in every way there is, and returns what it sees of it."""
    seen = len(ctx.read("SELECT * FROM ledger"))
    ctx.write(ENTER, {"entry": f"{ctx.subject.id}/{ctx.phase}", "amount": 1})
    if ctx.session is not None:
        ctx.session.execute(ENTER, {"entry": f"{ctx.subject.id}/{ctx.phase}/session", "amount": 1})
        seen = len(ctx.session.execute(LEDGER.select()).all())
    return [ctx.dry_run, seen]


@pytest.mark.parametrize("transactional", [False, True])
def test_a_dry_run_reports_as_if_and_changes_no_row(transactional: bool) -> None:
    phases = flow(Phase("first", count), Phase("second", count, needs=("first",), transactional=transactional))
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        engine.run_phase("story", "first", subjects(2))
        before = every_row(engine)
        report = engine.run_phase("story", "second", subjects(2), dry_run=True)
        assert (report.dry_run, len(report.succeeded)) == (True, 2)
        assert {result.output[0] for result in report.results} == {True}
        assert every_row(engine) == before
        real = engine.run_phase("story", "second", subjects(2))
        assert (real.dry_run, len(real.succeeded)) == (False, 2)
        assert {result.output[0] for result in real.results} == {False}
        assert len(entries(engine)) == (6 if transactional else 4)


def test_a_rehearsal_sees_what_was_rehearsed_before_and_nobody_else_does() -> None:
    phases = flow(Phase("first", count), Phase("second", count, needs=("first",)))
    with temporary_engine(phases) as engine:
        engine.create_tables(metadata)
        before = every_row(engine)
        with engine.rehearsal() as rehearsed:
            rehearsed.run_phase("story", "first", subjects(3))
            report = rehearsed.run_phase("story", "second", subjects(3))
            assert all(result.output[1] >= 3 for result in report.results)  # of the others some, of the first phase all
            rehearsed.write([(ENTER, {"entry": "by hand", "amount": 1})])
            assert len(entries(rehearsed)) == 7
            assert entries(engine) == {}
            assert engine.find() == []
        assert every_row(engine) == before


def test_a_dry_run_that_fails_changes_no_row_either() -> None:
    def fail(ctx: Context) -> None:
        count(ctx)
        raise ValueError("boom")

    with temporary_engine(flow(Phase("work", fail))) as engine:
        engine.create_tables(metadata)
        before = every_row(engine)
        report = engine.run_phase("story", "work", subjects(1), dry_run=True)
        assert [result.reason for result in report.results] == ["ValueError: boom"]
        assert every_row(engine) == before
        with pytest.raises(UnknownName):
            engine.run_phase("story", "nothing", subjects(1), dry_run=True)
        assert every_row(engine) == before


def test_a_cancelled_subject_does_not_hold_up_the_others() -> None:
    with temporary_engine(CHAIN) as engine:
        engine.run_phase("story", "draft", subjects(3))
        cancelled = subjects(3)[1]
        engine.aim(engine.find(subject=cancelled)[0].id)
        engine.cancel(engine.find(subject=cancelled)[0].id, by="ann")
        report = engine.run_phase("story", "draft", subjects(3))
        assert [result.subject for result in report.succeeded] == [subjects(3)[0], subjects(3)[2]]
        assert list(report.refused) == [cancelled]
        assert "was cancelled" in report.refused[cancelled]
        with pytest.raises(NotAllowed, match="was cancelled"):
            engine.run_phase("story", "draft", [cancelled])
        again = engine.start("story", cancelled, again=True)
        engine.drain()
        assert engine.get(again.id).status is RunStatus.SUCCEEDED
