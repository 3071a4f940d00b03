"""The canned questions over rows that a test has put there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phasegate.apps.outreach import reports
from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.summary import summarise
from tests.apps.outreach.pipeline_cases import Pipeline, pipeline

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def add(database: Pipeline, *names: str, **values: Any) -> None:
    for name in names:
        row = {"company_unique_id": name, "company_name": name.upper(), "created_at": NOW - timedelta(days=30)}
        database.put(t.company_master, row | values)


def log(
    database: Pipeline, company: str, phase: str, status: str = "complete", hours: float = 1, **values: Any
) -> None:
    row = {
        "company_unique_id": company,
        "phase_id": Decimal(phase),
        "phase_name": f"phase {phase}",
        "status": status,
        "completed_at": NOW - timedelta(hours=hours),
    }
    database.put(t.phase_completion_log, row | values)


def ids(database: Pipeline, statement: Any) -> list[str]:
    return [row["company_unique_id"] for row in database.rows(statement)]


# --- where companies are --------------------------------------------------------------------------------------------


def test_companies_in_a_phase_come_newest_first_and_twenty_at_most(database: Pipeline) -> None:
    names = [f"c{number:02}" for number in range(25)]
    add(database, *names)
    for place, name in enumerate(names):
        log(database, name, "1.1", hours=place)
    assert ids(database, reports.companies_in_phase(1.1)) == names[:20]
    assert ids(database, reports.companies_in_phase("1.1", limit=2)) == names[:2]
    assert ids(database, reports.companies_in_phase(Decimal("3.0"))) == []


def test_companies_are_counted_per_phase(database: Pipeline) -> None:
    add(database, "a", "b", "c")
    log(database, "a", "1.1")
    rows = [tuple(row.values()) for row in database.rows(reports.companies_per_phase())]
    assert rows == [(Decimal("0.0"), 2), (Decimal("1.1"), 1)]


@pytest.mark.parametrize(
    ("done", "ready"),
    [
        (["1", "1.1"], True),
        (["1", "2"], True),
        (["1"], False),
        (["1.1"], False),
        (["1", "1.1", "3"], False),
        (["1", "1.1", "2.5"], True),
    ],
)
def test_ready_for_phase_3_is_who_has_completed_1_and_2(database: Pipeline, done: list[str], ready: bool) -> None:
    add(database, "a")
    for phase in done:
        log(database, "a", phase)
    assert ids(database, reports.ready_for_phase_3()) == (["a"] if ready else [])


def test_a_later_failure_supersedes_a_completion(database: Pipeline) -> None:
    add(database, "a")
    log(database, "a", "1", hours=5)
    log(database, "a", "1.1", hours=4)
    log(database, "a", "1.1", "failed", hours=3)
    assert ids(database, reports.ready_for_phase_3()) == []
    log(database, "a", "1.1", hours=2)
    assert ids(database, reports.ready_for_phase_3()) == ["a"]


def test_stuck_is_who_has_completed_nothing_for_a_day(database: Pipeline) -> None:
    add(database, "fresh", "stuck", "revived", "done", "never")
    log(database, "fresh", "1", hours=23)
    log(database, "stuck", "1", hours=25)
    log(database, "stuck", "1.1", "failed", hours=1)
    log(database, "revived", "1", hours=50)
    log(database, "revived", "1", hours=2)
    log(database, "done", "6", hours=90)
    rows = database.rows(reports.stuck_companies(NOW))
    assert [row["company_unique_id"] for row in rows] == ["never", "stuck"]
    assert rows[1]["last_completed_at"] == NOW - timedelta(hours=25)
    assert ids(database, reports.stuck_companies(NOW, phase_id=1)) == ["stuck"]
    assert ids(database, reports.stuck_companies(NOW, longer_than=timedelta(hours=26))) == ["never"]


# --- what happened --------------------------------------------------------------------------------------------------


def test_a_history_is_newest_first_with_what_runs_on_top(database: Pipeline) -> None:
    add(database, "a", "b")
    log(database, "a", "1", hours=3)
    log(database, "a", "1.1", "running", completed_at=None)
    log(database, "a", "1.1", "failed", hours=2, error_message="no")
    log(database, "b", "1")
    rows = database.rows(reports.company_history("a"))
    assert [(str(row["phase_id"]), row["status"]) for row in rows] == [
        ("1.1", "running"),
        ("1.1", "failed"),
        ("1.0", "complete"),
    ]


def test_failures_are_those_within_a_day_or_a_week(database: Pipeline) -> None:
    add(database, "a")
    for hours in (1, 23, 25, 24 * 8):
        log(database, "a", "3", "failed", hours=hours)
    log(database, "a", "1", "failed", hours=2)
    assert len(database.rows(reports.failures(NOW))) == 3
    assert len(database.rows(reports.failures(NOW, within=reports.WEEK))) == 4
    rows = [tuple(row.values()) for row in database.rows(reports.failures_per_phase(NOW))]
    assert rows == [(Decimal(1), "phase 1", 1), (Decimal(3), "phase 3", 2)]


def test_durations_are_averaged_over_a_week(database: Pipeline) -> None:
    add(database, "a")
    for seconds, hours in ((1.0, 1), (2.5, 2), (100.0, 24 * 8)):
        log(database, "a", "1", hours=hours, duration_seconds=seconds)
    log(database, "a", "1", "failed", duration_seconds=50.0)
    row = database.rows(reports.durations_per_phase(NOW))[0]
    assert (row["avg_duration"], row["max_duration"]) == (1.75, 2.5)


def test_nothing_to_average_is_no_row(database: Pipeline) -> None:
    assert database.rows(reports.durations_per_phase(NOW)) == []


# --- whom a batch is about ------------------------------------------------------------------------------------------


def test_a_batch_is_in_the_order_of_the_numbers_of_its_ids(database: Pipeline) -> None:
    names = ["04.04.02.04.30000.1000", "04.04.02.04.30000.002", "04.04.02.04.30000.999"]
    add(database, *names, state="WV")
    add(database, "elsewhere", state="OH")
    assert ids(database, reports.select_companies(state="wv")) == [names[1], names[2], names[0]]
    assert ids(database, reports.select_companies(state="WV", limit=1)) == [names[1]]
    assert database.rows(reports.count_companies(state="WV")) == [{"count": 3}]
    assert database.rows(reports.count_companies(state="TX")) == [{"count": 0}]
    assert database.rows(reports.count_companies()) == [{"count": 4}]


def test_a_batch_can_be_narrowed(database: Pipeline) -> None:
    add(database, "a", "b", "c")
    add(database, "v", validation_status="valid")
    log(database, "a", "1")
    log(database, "b", "1", "failed")
    log(database, "c", "1", hours=3)
    log(database, "c", "1", "failed", hours=2)
    assert ids(database, reports.select_companies(only_pending=True)) == ["a", "b", "c"]
    assert ids(database, reports.select_companies(only_validated=True)) == ["v"]
    assert ids(database, reports.select_companies(unsettled=1)) == ["b", "c", "v"]
    assert ids(database, reports.select_companies(failed=1)) == ["b", "c"]
    log(database, "b", "1", hours=0)
    assert ids(database, reports.select_companies(failed=1)) == ["c"]


def test_people_are_counted_by_company_without_losing_the_order(database: Pipeline) -> None:
    add(database, "a", "b", "c")
    people = [{"unique_id": f"p{n}", "company_unique_id": "b" if n < 3 else "c"} for n in range(5)]
    database.put(t.people_master, *people, {"unique_id": "v", "company_unique_id": "b", "validation_status": "valid"})
    rows = database.rows(reports.with_people(reports.select_companies()))
    assert [tuple(row.values()) for row in rows] == [("a", 0), ("b", 4), ("c", 2)]
    rows = database.rows(reports.with_people(reports.select_companies(), only_pending=True))
    assert [row["people"] for row in rows] == [0, 3, 2]


@pytest.mark.parametrize(
    ("limit", "taken"),
    [(None, "abcd"), (1, "ab"), (3, "ab"), (4, "ab"), (5, "abcd"), (100, "abcd")],
)
def test_a_limit_counts_people_and_takes_companies_whole(limit: int | None, taken: str) -> None:
    rows = [{"company_unique_id": name, "people": people} for name, people in zip("abcd", (0, 3, 2, 0), strict=True)]
    assert reports.take_people(rows, limit) == list(taken)


def test_orphans_are_people_whose_company_does_not_exist(database: Pipeline) -> None:
    add(database, "a")
    database.put(
        t.people_master,
        {"unique_id": "at home", "company_unique_id": "a"},
        {"unique_id": "lost", "company_unique_id": "zz"},
        {"unique_id": "nowhere"},
        {"unique_id": "judged", "company_unique_id": "zz", "validation_status": "invalid"},
    )
    assert [row["unique_id"] for row in database.rows(reports.orphan_people())] == ["lost", "judged", "nowhere"]
    assert [row["unique_id"] for row in database.rows(reports.orphan_people(only_pending=True))] == ["lost", "nowhere"]


def test_no_question_sees_another_tenant(database: Pipeline) -> None:
    add(database, "mine")
    add(database, "theirs", tenant="other")
    for name, tenant in (("mine", "default"), ("theirs", "other")):
        log(database, name, "1", tenant=tenant)
        log(database, name, "1.1", "failed", tenant=tenant)
    for statement in (
        reports.companies_in_phase(1),
        reports.stuck_companies(NOW, longer_than=timedelta(0)),
        reports.failures(NOW),
        reports.select_companies(),
        reports.select_companies(failed="1.1"),
    ):
        assert ids(database, statement) == ["mine"]
    assert database.rows(reports.company_history("theirs")) == []
    assert summarise(database.engine).companies == 1


# --- what came of it ------------------------------------------------------------------------------------------------


def test_the_summary_of_nothing_is_zero(database: Pipeline) -> None:
    summary = summarise(database.engine)
    assert (summary.companies, summary.promoted_people, summary.orphan_people) == (0, 0, 0)
    assert summary.stops == {}
    assert summary.as_dict()["companies_by_phase"] == {}


def test_every_company_is_counted_once_where_it_stopped(database: Pipeline) -> None:
    add(database, "new", "broken")
    add(database, "bad", validation_status="invalid")
    add(database, "waits", "unready", "failed", validation_status="valid")
    add(database, "unscored", "nobody", "won", validation_status="valid", outreach_ready=True)
    log(database, "waits", "2.5", "skipped")
    log(database, "broken", "1", "failed")
    log(database, "failed", "3", "failed")
    log(database, "failed", "3", hours=0.5)
    log(database, "nobody", "6")
    log(database, "won", "6")
    database.put(t.people_master, {"unique_id": "p", "company_unique_id": "won", "validation_status": "valid"})
    database.put(t.outreach_log, {"person_unique_id": "p", "company_unique_id": "won", "campaign_id": "c"})
    summary = summarise(database.engine)
    assert summary.stops == {
        "promoted": 1,
        "failed": 1,
        "invalid": 1,
        "not validated": 1,
        "waiting for slots": 1,
        "not ready": 2,
        "ready, nobody promoted": 1,
        "ready, not finished": 1,
    }
    assert sum(summary.stops.values()) == summary.companies == 9
    assert (summary.promoted_people, summary.promoted_companies) == (1, 1)
    assert summary.companies_by_validation == {"pending": 2, "invalid": 1, "valid": 6}
    assert summary.companies_by_phase == {"0": 6, "3": 1, "6": 2}


def test_the_summary_says_why(database: Pipeline) -> None:
    add(database, "bad", validation_status="invalid")
    add(database, "a", "b", "c", validation_status="valid")
    errors = {"record_type": "company", "record_id": "bad", "severity": "ERROR"}
    database.put(
        t.pipeline_errors,
        errors | {"rule": "website_required"},
        errors | {"rule": "employee_count_minimum"},
        errors | {"rule": "employee_count_minimum"},
        errors | {"rule": "updated_at_required", "severity": "WARNING"},
        errors | {"rule": "email_format", "record_type": "person"},
    )
    database.put(t.people_master, {"unique_id": "p", "company_unique_id": "a"})
    slot = {"company_slot_unique_id": "1", "company_unique_id": "a", "slot_type": "CEO"}
    database.put(t.company_slot, slot | {"person_unique_id": "p", "is_filled": True})
    database.put(t.company_slot, slot | {"company_slot_unique_id": "2", "slot_type": "CFO"})
    log(database, "a", "2.5", "skipped")
    log(database, "b", "2.5", "skipped")
    event = {"event_type": "outreach_readiness_check"}
    for company, reason in (("c", "CFO slot is not filled"), ("c", "HR email is not verified"), ("bad", None)):
        database.put(t.pipeline_events, event | {"payload": {"company_unique_id": company, "reason": reason}})
    summary = summarise(database.engine)
    assert summary.company_rules == {"employee_count_minimum": 1, "website_required": 1}
    assert summary.people_rules == {"email_format": 1}
    assert summary.missing_slots == {"CEO, CFO, HR": 1, "CFO, HR": 1}
    assert summary.readiness_reasons == {None: 1, "HR email is not verified": 1}


def test_who_has_passed_the_gate_since_no_longer_waits(database: Pipeline) -> None:
    add(database, "a", validation_status="valid")
    log(database, "a", "2.5", "skipped", hours=30)
    log(database, "a", "2.5", hours=6)
    summary = summarise(database.engine)
    assert summary.missing_slots == {}
    assert summary.stops == {"not ready": 1}
