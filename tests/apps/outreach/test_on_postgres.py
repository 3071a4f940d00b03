"""The pipeline on PostgreSQL: the guide's tables, trigger and views, its SQL as written, its Python examples as written."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from phasegate import Engine
from phasegate.apps.outreach.importing import load
from phasegate.apps.outreach.opening import open_engine
from phasegate.apps.outreach.tables import SCHEMAS
from tests import postgres
from tests.apps.outreach.demo_job import DATA, environment
from tests.apps.outreach.test_brief_examples import EXAMPLES, NAMES, PRINTS

#: A part of the example data: whoever has the first names in it, and everybody of this state.
COMPANIES, STATE = 60, "OH"

_GUIDE = (Path(__file__).parent / "guide.sql").read_text(encoding="utf-8")
STATEMENTS = dict(re.findall(r"-- name: ([^\n]+)\n(.+?;)\n", _GUIDE, re.DOTALL))

#: What each statement gives on the data of these tests: its columns, and whether there is a row.
HISTORY = ("phase_id", "phase_name", "status", "duration_seconds", "completed_at")
COMPANY = ("company_unique_id", "company_name", "current_phase")
FAILED = ("company_unique_id", "phase_id", "phase_name", "error_message")
COMPLETION = (
    "log_id", "company_unique_id", "company_name", "phase_id", "phase_name", "status", "duration_seconds", "completed_at",
    "error_message",
)  # fmt: skip
GIVES: dict[str, tuple[tuple[str, ...] | None, bool]] = {
    "companies in a phase": (COMPANY, True),
    "companies ready for phase 3": (COMPANY, False),
    "phase history for a company": (HISTORY, True),
    "failed phases in last 24 hours": ((*FAILED, "completed_at"), True),
    "v_companies_by_phase": (
        ("current_phase", "company_count", "validated_count", "ready_count", "latest_completion"), True,
    ),
    "v_recent_phase_completions": (COMPLETION, True),
    "v_failed_phases": (
        ("log_id", *COMPANY[:2], "phase_id", "phase_name", "error_message", "failed_at", "company_current_phase"), True,
    ),
    "phase status query": ((*COMPANY, "last_phase_completed_at"), True),
    "current phase of a company": ((*COMPANY, "last_phase_completed_at"), True),
    "phase completion history": ((*HISTORY, "error_message"), True),
    "companies stuck in a phase": ((*COMPANY, "last_phase_completed_at", "time_in_phase"), True),
    "failed phases for retry": ((*FAILED, "failed_at"), True),
    "the column of the migration": (("column_name", "data_type"), True),
    "latest log rows": (None, True),
    "recent completions, monitored": (COMPLETION, True),
    "companies by phase": (("current_phase", "count"), True),
    "failures by phase": (("phase_id", "failures"), True),
    "average phase durations": (("phase_id", "phase_name", "avg_duration", "max_duration"), True),
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which a part of the example data has gone all the way."""
    where = postgres.new_database(lasting=True)
    folder = tmp_path_factory.mktemp("part")
    engine = open_engine(where)
    load(engine, companies=_part("companies.csv", folder), people=_part("people.csv", folder), aim=None)
    engine.close()
    yield where
    postgres.drop_database(where)


def _part(name: str, folder: Path) -> Path:
    """The rows of the example file that are about the companies of these tests."""
    with (DATA / "companies.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {row["company"] for place, row in enumerate(rows) if place < COMPANIES or row["state"] == STATE}
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        kept = [row for row in reader if row["company"] in wanted]
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(reader.fieldnames or ()))
        writer.writeheader()
        writer.writerows(kept)
    return folder / name


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    with open_engine(address) as engine:
        yield engine


def rows(address: str, statement: str) -> list[dict[str, Any]]:
    """As any client of the database sees them, without a search path of ours."""
    with psycopg.connect(address, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement).fetchall()


def test_every_table_lies_in_the_schema_of_the_guide(address: str) -> None:
    found = rows(address, "SELECT tablename, schemaname FROM pg_tables WHERE schemaname NOT LIKE 'pg_%'")
    homes = {row["tablename"]: row["schemaname"] for row in found if row["schemaname"] != "information_schema"}
    assert {name: home for name, home in homes.items() if not name.startswith("phasegate_")} == SCHEMAS
    indexes = rows(address, "SELECT indexname FROM pg_indexes WHERE tablename = 'phase_completion_log'")
    assert {
        "idx_phase_log_company", "idx_phase_log_phase_id", "idx_phase_log_status", "idx_phase_log_company_phase",
        "idx_phase_log_completed_at",
    } <= {row["indexname"] for row in indexes}  # fmt: skip
    (column,) = rows(
        address,
        "SELECT numeric_precision, numeric_scale, column_default FROM information_schema.columns "
        "WHERE table_schema = 'marketing' AND table_name = 'company_master' AND column_name = 'current_phase'",
    )
    assert (column["numeric_precision"], column["numeric_scale"]) == (3, 1)
    assert "0" in column["column_default"]


def test_the_list_of_statements_is_complete() -> None:
    assert list(STATEMENTS) == list(GIVES)


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_of_the_guide_runs_as_written(name: str, address: str) -> None:
    columns, found = GIVES[name]
    with psycopg.connect(address) as connection:
        # One company that is stuck, and one whose phase has failed: the data alone give neither.
        connection.execute(
            "UPDATE marketing.company_master SET current_phase = 1.1, last_phase_completed_at = now() - interval '2 days' "
            "WHERE company_unique_id = '04.04.02.04.30000.002'"
        )
        connection.execute(
            "INSERT INTO marketing.phase_completion_log (company_unique_id, phase_id, phase_name, status, completed_at, "
            "error_message) VALUES ('04.04.02.04.30000.002', 1.1, 'people', 'failed', now() + interval '1 s', 'no answer')"
        )
        cursor = connection.execute(STATEMENTS[name])
        given = cursor.fetchall()
        assert bool(given) is found
        if columns is not None:
            assert tuple(column.name for column in cursor.description or ()) == columns
        connection.rollback()


def test_the_trigger_keeps_the_highest_phase_whoever_writes_the_log(address: str) -> None:
    company = "04.04.02.04.30000.003"

    def phase(connection: Any) -> Any:
        query = (
            "SELECT current_phase, last_phase_completed_at FROM marketing.company_master WHERE company_unique_id = %s"
        )
        return connection.execute(query, [company]).fetchone()

    with psycopg.connect(address) as connection:
        connection.execute(
            "UPDATE marketing.company_master SET current_phase = 2 WHERE company_unique_id = %s", [company]
        )
        add = (
            "INSERT INTO marketing.phase_completion_log (company_unique_id, phase_id, phase_name, status, completed_at) "
            "VALUES (%s, %s, 'x', %s, now()) RETURNING log_id"
        )
        before = phase(connection)
        connection.execute(add, [company, 1.1, "complete"])
        connection.execute(add, [company, 3, "failed"])
        assert phase(connection) == before
        connection.execute(add, [company, 3, "complete"])
        assert phase(connection)[0] == Decimal("3.0")
        (running,) = connection.execute(add, [company, 4, "failed"]).fetchone() or ()
        connection.execute("UPDATE marketing.phase_completion_log SET status = 'complete' WHERE log_id = %s", [running])
        assert phase(connection)[0] == Decimal("4.0")
        connection.rollback()


def test_loading_again_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    counts = "SELECT count(*) AS n, sum(seq) AS facts FROM phasegate_runs"
    before = engine.read(counts)
    again = load(engine, companies=_part("companies.csv", tmp_path), people=_part("people.csv", tmp_path), aim=None)
    assert {name: result["statistics"]["inserted_rows"] for name, result in again.items()} == {
        "companies": 0,
        "people": 0,
    }
    assert engine.read(counts) == before


@pytest.mark.parametrize("name", NAMES)
def test_an_example_of_the_guide_runs_as_written(name: str, address: str, tmp_path: Path) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    program = tmp_path / "example.py"
    program.write_text(source, encoding="utf-8")
    settings = environment() | {
        "PHASEGATE_DATABASE": address, "PYTHONPATH": str(EXAMPLES.parents[3]), "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(program)], env=settings, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert PRINTS[name][0] in done.stdout
