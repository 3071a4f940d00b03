"""Which records are doubtful, and where they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phasegate import UnknownName
from phasegate.apps.outreach import find_doubts
from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.phases import batch
from tests.apps.outreach.pipeline_cases import Pipeline, pipeline
from tests.apps.outreach.record_cases import add_company, add_person, company_id, contents, person_id, statements_of

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path) as made:
        yield made


def enriched(database: Pipeline, company: str, status: str = "complete", phase: str = "1.5", **values: Any) -> None:
    row = {"company_unique_id": company, "phase_id": Decimal(phase), "phase_name": phase, "status": status}
    database.put(t.phase_completion_log, row | {"completed_at": None if status == "running" else NOW} | values)


def listed(database: Pipeline, **options: Any) -> list[tuple[str, str | None]]:
    return [(each.record_id, each.found.garage_bay) for each in find_doubts(database.engine, **options).doubts]


def some_records(database: Pipeline) -> None:
    """A company without a doubt, one that lacks something, one that contradicts itself, their people, and an orphan."""
    add_company(database, 1)
    add_company(database, 2, industry="n/a")
    add_company(database, 3, company_name="Birch Academy", state="OH")
    add_person(database, 1, company_id(1))
    add_person(database, 2, company_id(1), email="ellis@elsewhere.example")
    add_person(database, 3, company_id(3), title=None)
    add_person(database, 4, "nobody knows")


def test_companies_stand_before_their_people_and_orphans_last(database: Pipeline) -> None:
    some_records(database)
    assert listed(database) == [
        (person_id(2), "bay_b"), (company_id(2), "bay_a"), (company_id(3), "bay_b"), (person_id(3), "bay_a"),
        (person_id(4), "bay_b"),
    ]  # fmt: skip


def test_a_doubtful_record_says_what_and_why(database: Pipeline) -> None:
    some_records(database)
    told = find_doubts(database.engine).doubts[1].to_result()
    digest = told.pop("last_hash")
    assert told == {
        "record_type": "company", "record_id": company_id(2), "name": "Acorn Works", "garage_bay": "bay_a",
        "reasons": ["industry: is a placeholder"], "is_chronic": False, "attempt": 0,
    }  # fmt: skip
    assert len(digest) == 64


def test_totals_count_every_record_whatever_is_listed(database: Pipeline) -> None:
    some_records(database)
    found = find_doubts(database.engine, bay="bay_b", limit=1)
    assert [each.record_id for each in found.doubts] == [person_id(2)]
    assert found.more is True
    companies, people = found.totals["company"], found.totals["person"]
    assert (companies.looked_at, companies.bay_a, companies.bay_b) == (3, 1, 1)
    assert (people.looked_at, people.bay_a, people.bay_b) == (4, 1, 2)


def test_a_limit_that_leaves_nothing_out_says_so(database: Pipeline) -> None:
    some_records(database)
    assert find_doubts(database.engine, limit=5).more is False
    assert len(find_doubts(database.engine, limit=5).doubts) == 5


def test_doubts_by_bay_and_by_state(database: Pipeline) -> None:
    some_records(database)
    assert listed(database, bay="bay_a") == [(company_id(2), "bay_a"), (person_id(3), "bay_a")]
    assert listed(database, state="oh") == [(company_id(3), "bay_b"), (person_id(3), "bay_a")]
    with pytest.raises(UnknownName, match="bay 'bay_c'"):
        find_doubts(database.engine, bay="bay_c")


@pytest.mark.parametrize(
    ("log", "attempt", "chronic"),
    [
        ([], 0, False),
        ([("complete", "1.5")], 1, False),
        ([("complete", "1.5"), ("failed", "1.5")], 2, True),
        ([("complete", "1.5"), ("skipped", "1.5"), ("running", "1.5"), ("complete", "1")], 1, False),
    ],
)
def test_a_doubt_is_chronic_from_the_second_enrichment_on(
    database: Pipeline, log: list[tuple[str, str]], attempt: int, chronic: bool
) -> None:
    company = add_company(database, 1, industry=None)
    add_person(database, 1, company, title=None)
    other = add_company(database, 2)
    for status, phase in log:
        enriched(database, company, status, phase)
    enriched(database, other)
    enriched(database, other)
    found = find_doubts(database.engine)
    assert [(each.found.attempt, each.found.is_chronic) for each in found.doubts] == [(attempt, chronic)] * 2
    assert found.totals["company"].chronic == found.totals["person"].chronic == int(chronic)


def test_the_hash_changes_with_the_content_and_not_with_the_phases(database: Pipeline) -> None:
    def digests() -> list[str]:
        return [each.found.content_hash for each in find_doubts(database.engine).doubts]

    def change(statement: str) -> None:
        with database.engine.store.writing() as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql(statement)

    company = add_company(database, 1, industry=None)
    add_person(database, 1, company, title=None)
    before = digests()
    enriched(database, company)
    change(
        "UPDATE company_master SET validation_status = 'invalid', outreach_ready = 1, updated_at = '2030-01-01T00:00:00'"
    )
    change("UPDATE people_master SET validation_status = 'valid', email_verified = 1, company_slot_unique_id = 's'")
    assert digests() == before
    change("UPDATE company_master SET description = 'new'")
    change("UPDATE people_master SET bio = 'new'")
    assert [one == other for one, other in zip(digests(), before, strict=True)] == [False, False]


def test_one_tenant_does_not_see_the_doubts_of_another(database: Pipeline) -> None:
    add_company(database, 1, industry=None, tenant="second")
    add_person(database, 1, company_id(1), title=None, tenant="second")
    enriched(database, company_id(1), tenant="second")
    assert listed(database) == []
    assert find_doubts(database.engine).totals["person"].looked_at == 0
    # Somebody of one tenant is nobody's employee at a company of another.
    add_person(database, 2, company_id(1), title=None)
    assert listed(database) == [(person_id(2), "bay_a")]


def test_an_empty_database_has_no_doubts(database: Pipeline) -> None:
    found = find_doubts(database.engine)
    assert (found.doubts, found.more, found.totals["company"].looked_at) == ((), False, 0)


def test_looking_changes_nothing(database: Pipeline) -> None:
    some_records(database)
    before = contents(database.engine)
    find_doubts(database.engine)
    assert contents(database.engine) == before


def test_many_companies_take_a_few_queries_and_keep_their_order(
    database: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 1001, 10):
        add_person(database, number, add_company(database, number, industry=None), title=None)
    whole = listed(database)
    assert [each for each, _ in whole[::2]] == [company_id(number) for number in range(1, 1001, 10)]
    assert [each for each, _ in whole[1::2]] == [person_id(number) for number in range(1, 1001, 10)]
    assert 0 < len(statements_of(database.engine, lambda: listed(database))) < 10
    monkeypatch.setattr(batch, "MOST_VALUES", 7)
    assert listed(database) == whole
