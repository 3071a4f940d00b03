"""The tables on SQLite: defaults, constraints, the trigger, the views, and the SQL people were promised."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.schema import create_tables
from phasegate.sqltypes import iso
from tests.apps.outreach.pipeline_cases import Pipeline, pipeline

COMPANY = "04.04.02.04.30000.001"
LOG = """INSERT INTO phase_completion_log (company_unique_id, phase_id, phase_name, status, completed_at)
         VALUES (:company, :phase, 'A phase', :status, :at)"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        made.put(t.company_master, {"company_unique_id": COMPANY, "company_name": "Acorn"})
        yield made


def execute(database: Pipeline, text: str, **params: Any) -> None:
    with database.engine.store.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(sa.text(text), params)


def log(database: Pipeline, phase: object, status: str, at: datetime | None) -> None:
    execute(database, LOG, company=COMPANY, phase=phase, status=status, at=at and iso(at))


def company(database: Pipeline) -> dict[str, Any]:
    return database.rows(sa.select(t.company_master))[0]


NOW = datetime.now(UTC)


def test_a_company_begins_pending_in_phase_zero(database: Pipeline) -> None:
    row = company(database)
    assert row["current_phase"] == Decimal(0)
    assert row["validation_status"] == "pending"
    assert row["outreach_ready"] is False
    assert row["tenant"] == "default"
    assert row["created_at"].tzinfo is UTC


def test_phase_ids_are_decimals_and_found_by_their_number(database: Pipeline) -> None:
    log(database, 1.1, "complete", NOW)
    assert company(database)["current_phase"] == Decimal("1.1")
    found = database.engine.read("SELECT company_unique_id FROM company_master WHERE current_phase = 1.1")
    assert [row["company_unique_id"] for row in found] == [COMPANY]


def test_a_whole_phase_id_is_printed_without_a_fraction(database: Pipeline) -> None:
    log(database, 3, "complete", NOW)
    assert str(database.phase_of(COMPANY)) == "3"


def test_the_default_time_sorts_among_the_times_the_application_writes(database: Pipeline) -> None:
    log(database, 1, "running", None)
    assert [len(row[0]) for row in database.log("started_at")] == [len(iso(NOW))]


@pytest.mark.parametrize(
    ("phases", "current"), [([1, 1.1, 3], "3"), ([3, 1], "3"), ([3, 3], "3"), ([1, 3, 1.1], "3"), ([0], "0")]
)
def test_current_phase_is_the_highest_completed(database: Pipeline, phases: list[float], current: str) -> None:
    for place, phase in enumerate(phases):
        log(database, phase, "complete", NOW + timedelta(seconds=place))
    assert company(database)["current_phase"] == Decimal(current)


def test_completing_a_lower_or_equal_phase_leaves_the_time_alone(database: Pipeline) -> None:
    log(database, 3, "complete", NOW)
    before = company(database)
    log(database, 1, "complete", NOW + timedelta(hours=1))
    log(database, 3, "complete", NOW + timedelta(hours=2))
    assert company(database) == before
    assert before["last_phase_completed_at"] == NOW


@pytest.mark.parametrize(("status", "at"), [("failed", NOW), ("skipped", NOW), ("running", None)])
def test_only_completion_moves_a_company(database: Pipeline, status: str, at: datetime | None) -> None:
    log(database, 3, status, at)
    assert company(database)["current_phase"] == Decimal(0)


def test_closing_a_running_row_moves_a_company(database: Pipeline) -> None:
    log(database, 3, "running", None)
    execute(database, "UPDATE phase_completion_log SET status = 'complete', completed_at = :at", at=iso(NOW))
    assert company(database)["current_phase"] == Decimal(3)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO phase_completion_log (company_unique_id, phase_id, phase_name, status) VALUES (:c, 1, 'x', 'done')",
        "INSERT INTO phase_completion_log (company_unique_id, phase_id, phase_name, status) VALUES (:c, 1, 'x', 'failed')",
        "INSERT INTO phase_completion_log (company_unique_id, phase_id, phase_name, status) VALUES ('?', 1, 'x', 'running')",
        "UPDATE company_master SET validation_status = 'VALID' WHERE company_unique_id = :c",
        "UPDATE company_master SET employee_count = -1 WHERE company_unique_id = :c",
        "INSERT INTO company_slot (company_slot_unique_id, company_unique_id, slot_type) VALUES ('s', :c, 'CTO')",
        "INSERT INTO company_slot (company_slot_unique_id, company_unique_id, slot_type, is_filled) "
        "VALUES ('s', :c, 'CEO', 1)",
    ],
)
def test_what_cannot_be_is_refused(database: Pipeline, statement: str) -> None:
    bound = sa.text(statement)
    with pytest.raises(sa.exc.IntegrityError), database.engine.store.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(bound, {"c": COMPANY} if ":c" in statement else {})


def test_an_attempt_has_one_row_and_rows_of_other_origin_do_not_collide(database: Pipeline) -> None:
    log(database, 1, "complete", NOW)
    log(database, 1, "complete", NOW)
    row = {"company_unique_id": COMPANY, "phase_id": Decimal(1), "phase_name": "x", "status": "running", "run_id": "r",
           "attempt": 1}  # fmt: skip
    database.put(t.phase_completion_log, row)
    with pytest.raises(sa.exc.IntegrityError):
        database.put(t.phase_completion_log, row)


def test_a_company_takes_its_log_and_slots_with_it(database: Pipeline) -> None:
    log(database, 1, "complete", NOW)
    database.put(
        t.company_slot, {"company_slot_unique_id": "s", "company_unique_id": COMPANY, "slot_type": "CEO"}
    )  # fmt: skip
    execute(database, "DELETE FROM company_master")
    assert database.log() == []
    assert database.rows(sa.select(t.company_slot)) == []


def test_a_person_who_goes_leaves_the_slot_empty(database: Pipeline) -> None:
    database.put(t.people_master, {"unique_id": "p", "company_unique_id": COMPANY})
    slot = {"company_slot_unique_id": "s", "company_unique_id": COMPANY, "slot_type": "CEO", "person_unique_id": "p"}
    database.put(t.company_slot, slot | {"is_filled": True, "confidence_score": 0.9})
    execute(database, "DELETE FROM people_master")
    row = database.rows(sa.select(t.company_slot))[0]
    assert (row["is_filled"], row["person_unique_id"], row["confidence_score"]) == (False, None, None)


def test_an_orphan_can_be_kept(database: Pipeline) -> None:
    database.put(t.people_master, {"unique_id": "p", "company_unique_id": "nobody knows"}, {"unique_id": "q"})
    assert len(database.rows(sa.select(t.people_master))) == 2


def test_a_person_is_promoted_once_per_campaign(database: Pipeline) -> None:
    database.put(t.people_master, {"unique_id": "p", "company_unique_id": COMPANY})
    row = {"person_unique_id": "p", "company_unique_id": COMPANY, "campaign_id": "one"}
    database.put(t.outreach_log, row, row | {"campaign_id": "two"})
    with pytest.raises(sa.exc.IntegrityError):
        database.put(t.outreach_log, row)


def test_a_record_is_valid_once_in_whatever_file_it_stands(database: Pipeline) -> None:
    row = {"import_id": "i", "line": 2, "record_key": "k", "verdict": "valid", "record": {}}
    database.put(t.company_raw_intake, row, row | {"line": 3, "verdict": "duplicate"})
    with pytest.raises(sa.exc.IntegrityError):
        database.put(t.company_raw_intake, row | {"import_id": "j"})


def test_the_views_have_the_columns_people_were_promised(database: Pipeline) -> None:
    log(database, 1, "complete", NOW)
    log(database, 3, "failed", NOW)
    promised = {
        "v_companies_by_phase": "current_phase company_count validated_count ready_count latest_completion",
        "v_recent_phase_completions": "log_id company_unique_id company_name phase_id phase_name status"
        " duration_seconds completed_at error_message",
        "v_failed_phases": "log_id company_unique_id company_name phase_id phase_name error_message failed_at"
        " company_current_phase",
    }
    for view, columns in promised.items():
        assert list(database.engine.read(f"SELECT * FROM {view}")[0]) == columns.split()


def test_companies_are_counted_by_phase(database: Pipeline) -> None:
    database.put(
        t.company_master,
        {"company_unique_id": "b", "company_name": "B", "validation_status": "valid", "outreach_ready": True},
    )
    log(database, 1.1, "complete", NOW)
    rows = [tuple(row.values()) for row in database.engine.read("SELECT * FROM v_companies_by_phase")]
    assert rows == [(0, 1, 1, 1, None), (1.1, 1, 0, 0, iso(NOW))]


def test_recent_completions_are_those_of_one_day_newest_first(database: Pipeline) -> None:
    for number, hours in ((0, 25), (1, 23), (3, 1)):
        log(database, number, "complete", NOW - timedelta(hours=hours))
    rows = database.engine.read("SELECT phase_id FROM v_recent_phase_completions")
    assert [row["phase_id"] for row in rows] == [3, 1]


def test_a_failure_is_listed_until_it_is_solved(database: Pipeline) -> None:
    log(database, 1, "complete", NOW - timedelta(hours=3))
    log(database, 1, "failed", NOW - timedelta(hours=2))
    log(database, 3, "failed", NOW - timedelta(days=8))
    log(database, 1.1, "failed", NOW - timedelta(hours=2))
    query = "SELECT phase_id FROM v_failed_phases"
    assert {row["phase_id"] for row in database.engine.read(query)} == {1, 1.1}
    log(database, 1, "complete", NOW - timedelta(hours=1))
    assert {row["phase_id"] for row in database.engine.read(query)} == {1.1}


PLAIN_SQL = [
    "SELECT company_unique_id, company_name, current_phase FROM company_master WHERE current_phase = 1.1",
    "SELECT company_unique_id, company_name, current_phase FROM company_master"
    " WHERE current_phase >= 2 AND current_phase < 3",
    "SELECT phase_id, phase_name, status, duration_seconds, completed_at FROM phase_completion_log"
    " WHERE company_unique_id = '04.04.02.04.30000.001' ORDER BY completed_at DESC",
    "SELECT * FROM v_companies_by_phase",
    "SELECT * FROM v_recent_phase_completions LIMIT 10",
    "SELECT * FROM v_failed_phases",
    "SELECT company_unique_id, company_name, current_phase, last_phase_completed_at FROM company_master"
    " WHERE current_phase = 1.1 ORDER BY last_phase_completed_at DESC LIMIT 20",
    "SELECT company_unique_id, company_name, current_phase, last_phase_completed_at FROM company_master"
    " WHERE company_unique_id = '04.04.02.04.30000.001'",
    "SELECT phase_id, phase_name, status, duration_seconds, completed_at, error_message FROM phase_completion_log"
    " WHERE company_unique_id = '04.04.02.04.30000.001' ORDER BY completed_at DESC",
    "SELECT * FROM phase_completion_log ORDER BY created_at DESC LIMIT 5",
    "SELECT * FROM v_recent_phase_completions LIMIT 20",
    "SELECT current_phase, COUNT(*) as count FROM company_master GROUP BY current_phase ORDER BY current_phase",
]


@pytest.mark.parametrize("statement", PLAIN_SQL)
def test_the_sql_of_the_guide_finds_something(database: Pipeline, statement: str) -> None:
    at = NOW - timedelta(minutes=1)
    log(database, 1.1, "complete", at)
    log(database, 3, "failed", at)
    if ">= 2" in statement:
        log(database, 2.5, "complete", at)
    assert len(database.engine.read(statement)) >= 1


def test_the_columns_that_errors_and_events_are_found_by_exist() -> None:
    assert {"phase_id"} <= set(t.error_master.c.keys()) & set(t.pipeline_events.c.keys())


def test_the_log_has_its_five_indexes(database: Pipeline) -> None:
    rows = database.engine.read(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'phase_completion_log'"
    )
    assert {row["name"] for row in rows} >= {
        "idx_phase_log_company",
        "idx_phase_log_phase_id",
        "idx_phase_log_status",
        "idx_phase_log_company_phase",
        "idx_phase_log_completed_at",
    }


def test_the_trigger_has_the_promised_name(database: Pipeline) -> None:
    rows = database.engine.read("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    assert "trg_update_company_current_phase" in {row["name"] for row in rows}


def test_making_the_tables_again_changes_nothing(database: Pipeline) -> None:
    before = database.engine.read("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    create_tables(database.engine)
    assert database.engine.read("SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
    assert len(database.rows(sa.select(t.company_master))) == 1


def test_every_table_has_a_schema_for_postgresql_and_can_be_made_there() -> None:
    assert set(t.SCHEMAS) == set(t.metadata.tables)
    for table in t.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert f"CREATE TABLE {table.name}" in text


def test_every_row_but_a_counter_carries_its_tenant() -> None:
    without = {table.name for table in t.metadata.sorted_tables if "tenant" not in table.c}
    assert without == {"id_counter"}
