"""Companies and people as a source gives them, in a database, for those who only look at records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phasegate import Engine
from phasegate.apps.outreach import tables as t
from tests.apps.outreach.pipeline_cases import Pipeline

#: A company about which there is nothing to doubt.
COMPANY = {
    "company_name": "Acorn Works", "website": "https://acorn.example", "domain": "acorn.example", "industry": "Retail",
    "employee_count": 100, "state": "WV", "address_city": "Elkins",
}  # fmt: skip
#: A person of it about whom there is nothing to doubt.
PERSON = {
    "full_name": "Ellis Jarrow", "title": "Chief Executive Officer", "email": "ellis@acorn.example",
    "linkedin_url": "https://www.linkedin.com/in/ellis-jarrow",
}  # fmt: skip


def company_id(number: int) -> str:
    return f"04.04.02.04.30000.{number:03}"


def person_id(number: int) -> str:
    return f"04.04.02.04.20000.{number:03}"


def add_company(database: Pipeline, number: int, **values: Any) -> str:
    database.put(t.company_master, COMPANY | {"company_unique_id": company_id(number)} | values)
    return company_id(number)


def add_person(database: Pipeline, number: int, company: str, **values: Any) -> str:
    database.put(t.people_master, PERSON | {"unique_id": person_id(number), "company_unique_id": company} | values)
    return person_id(number)


def statements_of(engine: Engine, work: Callable[[], object]) -> list[str]:
    """The queries that some work asks."""
    seen: list[str] = []
    engine.store.trace(seen.append)
    work()
    return [each for each in seen if each.lstrip().upper().startswith("SELECT")]


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of the application."""
    return {table.name: [dict(row) for row in engine.read(table.select())] for table in t.metadata.sorted_tables}
