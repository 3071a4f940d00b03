"""The real flow on a real SQLite file, with a few invented companies and people or with the example files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasegate import Engine, PhaseReport, Registry, Subject
from phasegate.apps.outreach import statements as sql
from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.rules.identifiers import IdKind, format_id
from phasegate.apps.outreach.schema import create_tables
from phasegate.apps.outreach.tables import metadata
from tests.apps.outreach.pipeline_cases import Clock

DATA = Path(__file__).parents[3] / "examples" / "data"
COMPANIES, PEOPLE = DATA / "companies.csv", DATA / "people.csv"

#: What differs between two runs over the same rows: the log of attempts, and numbers the database gives out.
PER_ATTEMPT = {"phase_completion_log", "pipeline_events", "audit_log"}
COUNTED = {"id", "event_id", "outreach_id"}

TITLES = {"CEO": "Chief Executive Officer", "CFO": "Chief Financial Officer", "HR": "Chief People Officer"}


@contextmanager
def opened(path: Path, clock: Clock | None = None, registry: Registry | None = None) -> Iterator[Engine]:
    with Engine(f"sqlite:///{path / 'outreach.db'}", registry or build_registry(), clock=clock or Clock()) as engine:
        create_tables(engine)
        yield engine


def company_id(number: int) -> str:
    return format_id(IdKind.COMPANY, number)


def person_id(number: int) -> str:
    return format_id(IdKind.PERSON, number)


def company(number: int) -> Subject:
    return Subject("company", company_id(number))


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "company_name": f"Fairview Works {number}",
        "website": f"https://www.fairview{number}.example",
        "domain": f"fairview{number}.example",
        "industry": "Energy",
        "employee_count": 500,
        "state": "WV",
        "linkedin_url": f"https://www.linkedin.com/company/fairview-{number}",
        **fields,
    }


def add_companies(
    engine: Engine, numbers: Sequence[int], aim: Sequence[str] | None = ("intake",), **fields: Any
) -> None:
    subjects = [company(number) for number in numbers]
    engine.start_many("outreach", subjects, inputs=[record(n, **fields) for n in numbers], aim=aim)
    engine.drain()


def person(number: int, home: int | str, title: str, **fields: Any) -> dict[str, Any]:
    domain = f"fairview{home}.example"
    return {
        "unique_id": person_id(number),
        "tenant": "default",
        "company_unique_id": company_id(home) if isinstance(home, int) else home,
        "first_name": "Ellis",
        "last_name": f"Jarrow{'abcdefghij'[number % 10]}",
        "full_name": f"Ellis Jarrow{'abcdefghij'[number % 10]}",
        "title": title,
        "email": f"ellis.jarrow{'abcdefghij'[number % 10]}@{domain}",
        "email_verification": "valid",
        "email_class": "given",
        "linkedin_url": f"https://www.linkedin.com/in/ellis-jarrow-{number}",
        "updated_at": datetime(2026, 3, 1, tzinfo=UTC),
        **fields,
    }


def add_people(engine: Engine, people: Sequence[Mapping[str, Any]]) -> None:
    engine.write([(sql.ADD_PERSON, each) for each in people])


def staff(home: int, first: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """A CEO, a CFO and a head of HR of one company, all of them in order."""
    return [person(first + place, home, title, **fields) for place, title in enumerate(TITLES.values())]


def run(engine: Engine, phase: str, *numbers: int, **options: Any) -> PhaseReport:
    return engine.run_phase("outreach", phase, [company(number) for number in numbers], **options)


def through(engine: Engine, *numbers: int) -> None:
    """Ask for every phase in turn."""
    for phase in (
        "company_validation",
        "people_validation",
        "enrichment",
        "readiness",
        "trigger",
        "score",
        "promotion",
    ):
        run(engine, phase, *numbers)


def rows(engine: Engine, table: str, *columns: str) -> list[dict[str, Any]]:
    chosen = ", ".join(columns) if columns else "*"
    return [dict(row) for row in engine.read(f"SELECT {chosen} FROM {table}")]


def business_rows(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table that does not count attempts, without the numbers the database gives out."""
    return {
        table: sorted(str({k: v for k, v in row.items() if k not in COUNTED}) for row in rows(engine, table))
        for table in metadata.tables
        if table not in PER_ATTEMPT
    }


def all_rows(engine: Engine) -> dict[str, int]:
    """How many rows every table holds, the engine's among them."""
    names = [row["name"] for row in engine.read("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: engine.read(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in names}


def phases_of(engine: Engine, number: int) -> list[tuple[float, str]]:
    query = f"SELECT phase_id, status FROM phase_completion_log WHERE company_unique_id = '{company_id(number)}'"
    return [(float(row["phase_id"]), row["status"]) for row in engine.read(query + " ORDER BY log_id")]


def current_phase(engine: Engine, number: int) -> float:
    query = f"SELECT current_phase FROM company_master WHERE company_unique_id = '{company_id(number)}'"
    return float(engine.read(query)[0]["current_phase"])
