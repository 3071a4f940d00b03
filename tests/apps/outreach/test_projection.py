"""What the log, the events and the companies say after a real engine has run scripted phases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phasegate import Context, Engine, Fatal, NeedsNotMet, Registry, Skip, Snooze, Subject
from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.projection import PHASES, project, summary_of
from tests.apps.outreach.pipeline_cases import FLOW, Clock, Pipeline, Script, pipeline


@pytest.fixture
def outreach(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


@pytest.fixture
def validated(outreach: Pipeline) -> Pipeline:
    """Company ``a`` has gone as far as phase 1."""
    outreach.run("intake", "a")
    outreach.run("company_validation", "a")
    return outreach


def test_every_attempt_leaves_one_closed_row(outreach: Pipeline) -> None:
    outreach.engine.start("outreach", Subject("company", "a"))
    outreach.engine.drain()
    assert outreach.log("company_unique_id, phase_id, phase_name, status, attempt") == [
        ("a", float(PHASES[name].phase_id), PHASES[name].phase_name, "complete", 1)
        for name in ("intake", "company_validation", "people_validation", "slot_gate", "readiness")
    ]
    assert outreach.log("count(*)", "completed_at IS NULL OR duration_seconds IS NULL OR run_id IS NULL") == [(0,)]
    assert outreach.phase_of("a") == 3


def test_the_log_is_in_the_commit_that_completes_the_phase(outreach: Pipeline) -> None:
    seen: list[Any] = []

    def look(ctx: Context) -> Any:
        seen.extend(ctx.read("SELECT phase_id, status FROM phase_completion_log ORDER BY log_id"))
        return None

    outreach.script.add("company_validation", look)
    outreach.run("intake", "a")
    outreach.run("company_validation", "a")
    assert dict(seen[0]) == {"phase_id": 0, "status": "complete"}


def test_a_phase_that_takes_its_time_is_seen_running_and_then_closed(validated: Pipeline) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    def wait_for_the_row(ctx: Context) -> Any:
        for _ in range(2_000):
            rows = ctx.read("SELECT status, completed_at FROM phase_completion_log WHERE phase_id = 1.1")
            if rows:
                seen.append([tuple(row.values()) for row in rows])
                break
            threading.Event().wait(0.005)
        return {"valid": 1, "invalid": 0, "details": "long"}

    validated.script.add("people_validation", wait_for_the_row)
    validated.run("people_validation", "a")
    assert seen == [[("running", None)]]
    assert validated.log("status, attempt", "phase_id = 1.1") == [("complete", 1)]


def test_a_failure_is_closed_told_and_leaves_the_company_where_it_was(validated: Pipeline) -> None:
    validated.script.add("people_validation", Fatal("the file is gone"))
    validated.run("people_validation", "a")
    rows = validated.log("status, error_message, completed_at IS NOT NULL", "phase_id = 1.1")
    assert rows == [("failed", "the file is gone", 1)]
    assert validated.phase_of("a") == 1
    event = validated.rows(sa.select(t.pipeline_events))[0]
    assert (event["event_type"], event["phase_id"]) == ("phase_failed", Decimal("1.1"))
    assert event["payload"]["error"] == "the file is gone"
    audit = validated.rows(sa.select(t.audit_log))[0]
    assert (audit["component"], audit["event_type"], audit["barton_id"]) == ("phase_executor", "phase_failed", "a")
    error = validated.rows(sa.select(t.error_master))[0]
    assert (error["error_code"], error["phase_id"], error["barton_id"]) == ("Fatal", Decimal("1.1"), "a")


def test_a_repeated_attempt_has_a_row_of_its_own(validated: Pipeline) -> None:
    validated.script.add("people_validation", OSError("the line is down"))
    validated.run("people_validation", "a", wait=0)
    assert validated.log("status, attempt", "phase_id = 1.1") == [("failed", 1)]
    validated.clock.advance(10)
    validated.engine.drain()
    assert validated.log("status, attempt", "phase_id = 1.1") == [("failed", 1), ("complete", 2)]


def test_a_solved_failure_is_no_longer_listed(validated: Pipeline) -> None:
    query = "SELECT phase_id, error_message FROM v_failed_phases"
    validated.script.add("company_validation", Fatal("the database is down"))
    validated.clock.advance(1)
    validated.run("company_validation", "a")
    assert [tuple(row.values()) for row in validated.engine.read(query)] == [(1, "the database is down")]
    validated.clock.advance(1)
    validated.run("company_validation", "a")
    assert validated.engine.read(query) == []
    assert [row[0] for row in validated.log("status", "phase_id = 1")] == ["complete", "failed", "complete"]


def test_running_a_lower_phase_again_is_logged_and_moves_nothing(outreach: Pipeline) -> None:
    outreach.engine.start("outreach", Subject("company", "a"))
    outreach.engine.drain()
    before = outreach.rows(sa.select(t.company_master))
    outreach.clock.advance(3600)
    outreach.run("company_validation", "a")
    assert outreach.rows(sa.select(t.company_master)) == before
    assert outreach.log("status, attempt", "phase_id = 1") == [("complete", 1), ("complete", 2)]


def test_a_phase_that_waits_is_logged_as_skipped_with_its_reason(validated: Pipeline) -> None:
    reason = "waiting for CFO, HR (1 of 3 slots filled)"
    validated.script.add("slot_gate", lambda ctx: Snooze(ctx.now() + timedelta(days=1), reason))
    validated.run("people_validation", "a")
    validated.run("slot_gate", "a", wait=0)
    row = validated.rows(sa.select(t.phase_completion_log).where(t.phase_completion_log.c.phase_id == Decimal("2.5")))[
        0
    ]
    assert (row["status"], row["result_summary"], row["error_message"]) == ("skipped", {"reason": reason}, None)
    assert validated.phase_of("a") == 1.1


def test_a_phase_with_nothing_to_do_is_logged_as_skipped(validated: Pipeline) -> None:
    validated.script.add("people_validation", Skip("nobody there"))
    validated.run("people_validation", "a")
    assert validated.log("status", "phase_id = 1.1") == [("skipped",)]


def test_a_person_who_skips_a_phase_leaves_a_row_without_an_attempt(validated: Pipeline) -> None:
    validated.script.add("people_validation", lambda ctx: Snooze(ctx.now() + timedelta(days=1), "not now"))
    validated.run("people_validation", "a", wait=0)
    run = validated.engine.find("outreach")[0]
    validated.engine.skip(run.id, "people_validation", by="ann@acorn.example", reason="done by hand")
    assert validated.log("status, attempt, result_summary", "phase_id = 1.1") == [
        ("skipped", 1, '{"reason": "not now"}'),
        ("skipped", None, '{"reason": "done by hand"}'),
    ]


def test_a_refused_phase_is_logged_as_skipped(validated: Pipeline) -> None:
    with pytest.raises(NeedsNotMet):
        validated.run("readiness", "a")
    rows = validated.rows(sa.select(t.phase_completion_log).where(t.phase_completion_log.c.phase_id == Decimal(3)))
    assert [(row["status"], row["attempt"]) for row in rows] == [("skipped", None)]
    assert "people_validation" in rows[0]["result_summary"]["reason"]


def test_a_phase_run_unchecked_says_so(validated: Pipeline) -> None:
    validated.run("readiness", "a", check_needs=False)
    row = validated.rows(sa.select(t.phase_completion_log).where(t.phase_completion_log.c.phase_id == Decimal(3)))[0]
    assert row["result_summary"] == {"statistics": {"total": 1}, "note": "dependencies not checked"}


def test_an_intake_that_failed_has_no_company_to_log_for_but_is_told(outreach: Pipeline) -> None:
    outreach.script.add("intake", Fatal("no name"))
    outreach.run("intake", "a")
    assert outreach.log() == []
    assert [row["barton_id"] for row in outreach.rows(sa.select(t.error_master))] == ["a"]


def test_an_attempt_whose_worker_vanished_is_closed_as_failed(tmp_path: Path) -> None:
    begun, release = threading.Event(), threading.Event()

    def hang(ctx: Context) -> Any:
        begun.set()
        release.wait(60)
        return "too late"

    with pipeline(tmp_path) as outreach:
        outreach.run("intake", "a")
        outreach.script.add("company_validation", hang)
        thread = threading.Thread(target=lambda: outreach.run("company_validation", "a", wait=0))
        thread.start()
        assert begun.wait(60)
        while not outreach.log("status", "status = 'running'"):
            threading.Event().wait(0.005)
        later = Clock(outreach.clock.now + timedelta(minutes=5))
        registry = Registry(FLOW, deps=Script())
        registry.projection(project)
        with Engine(f"sqlite:///{tmp_path / 'outreach.db'}", registry, tenant="default", clock=later) as other:
            other.drain()
        release.set()
        thread.join(60)
        assert outreach.log("status, attempt", "phase_id = 1") == [("failed", 1), ("complete", 2)]
        assert [row["error_code"] for row in outreach.rows(sa.select(t.error_master))] == ["AttemptLost"]


def test_many_companies_are_logged_each(outreach: Pipeline) -> None:
    companies = [f"c{number}" for number in range(50)]
    outreach.run("intake", *companies)
    assert outreach.log("count(*), count(DISTINCT company_unique_id)") == [(50, 50)]


def test_a_rehearsal_leaves_no_row(validated: Pipeline) -> None:
    before = validated.log("*")
    report = validated.run("people_validation", "a", dry_run=True)
    assert len(report.succeeded) == 1
    assert validated.log("*") == before


def test_other_flows_are_left_alone(tmp_path: Path) -> None:
    other = type(FLOW)("elsewhere", 1, FLOW.phases)
    with pipeline(tmp_path, other) as made:
        made.engine.start("elsewhere", Subject("company", "a"))
        made.script.add("company_validation", Fatal("no"))
        made.engine.drain()
        assert len(made.rows(sa.select(t.company_master))) == 1
        assert made.log() == []
        assert made.rows(sa.select(t.error_master)) == []


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        (None, None),
        ({"statistics": {"total": 2}, "valid": True, "people": [1, 2]}, {"statistics": {"total": 2}, "valid": True}),
        ({"status": "pass", "phase_id": 1, "phase_name": "x", "total": 1, "invalid": 0, "reason": "y"},
         {"status": "pass", "phase_id": 1, "phase_name": "x", "total": 1, "invalid": 0}),
        ("x" * 300, "x" * 200),
        ([1, 2], "[1, 2]"),
    ],
)  # fmt: skip
def test_a_summary_keeps_counts_and_verdicts(output: Any, summary: Any) -> None:
    assert summary_of(output) == summary


@pytest.mark.parametrize(
    ("output", "summary"), [(None, {}), ("text", {"result": "text"}), ({"valid": True, "x": 1}, {"valid": True})]
)
def test_a_summary_says_that_needs_were_not_checked(output: Any, summary: dict[str, Any]) -> None:
    assert summary_of(output, unchecked=True) == summary | {"note": "dependencies not checked"}
