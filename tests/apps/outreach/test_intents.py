"""How strong the intent of a company is, from the signals on record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phasegate import UnknownName
from phasegate.apps.outreach import find_intent
from phasegate.apps.outreach import tables as t
from phasegate.apps.outreach.phases import batch
from tests.apps.outreach.pipeline_cases import Clock, Pipeline, pipeline
from tests.apps.outreach.record_cases import add_company, company_id, contents, statements_of

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline(tmp_path, clock=Clock(NOW)) as made:
        yield made


def signal(database: Pipeline, company: str, kind: str, days: float = 1, **values: Any) -> None:
    row = {"company_unique_id": company, "signal_type": kind, "detected_at": NOW - timedelta(days=days)}
    database.put(t.bit_events, row | {"processed": True} | values)


def scores(database: Pipeline, **options: Any) -> list[tuple[str, float]]:
    return [(each.company_unique_id, each.score) for each in find_intent(database.engine, **options).companies]


def test_a_company_is_scored_by_weight_and_age(database: Pipeline) -> None:
    company = add_company(database, 1)
    signal(database, company, "Executive Movement", 20)
    signal(database, company, "Funding Round", 5)
    signal(database, company, "Leadership Change", 2, processed=False)
    [found] = find_intent(database.engine).companies
    assert found.to_result() == {
        "company_unique_id": company, "company_name": "Acorn Works", "score": 40 * 0.85 + 60, "tier": "warm",
        "signals": 3, "unweighted": 1, "latest_signal": "Leadership Change", "latest_at": NOW - timedelta(days=2),
        "overview": "hot",
    }  # fmt: skip


def test_the_weights_may_be_others(database: Pipeline) -> None:
    company = add_company(database, 1)
    signal(database, company, "Leadership Change")
    assert scores(database) == [(company, 0)]
    assert scores(database, weights={"leadership_change": 120.0}) == [(company, 120)]


def test_a_score_is_rounded_before_it_has_a_tier(database: Pipeline) -> None:
    company = add_company(database, 1)
    signal(database, company, "x")
    [found] = find_intent(database.engine, weights={"x": 49.999}).companies
    assert (found.score, found.tier) == (50.0, "warm")


def test_companies_stand_by_score_then_by_id(database: Pipeline) -> None:
    for number, kind in ((1000, "Funding Round"), (3, "x"), (999, "Funding Round"), (2, "Executive Movement")):
        signal(database, add_company(database, number), kind)
    add_company(database, 4)
    expected = [(company_id(999), 60), (company_id(1000), 60), (company_id(2), 40), (company_id(3), 0)]
    assert scores(database) == expected
    assert scores(database, limit=2) == expected[:2]
    assert [find_intent(database.engine, limit=limit).more for limit in (3, 4, None)] == [True, False, False]


def test_companies_by_tier_and_by_state(database: Pipeline) -> None:
    signal(database, add_company(database, 1), "Funding Round")
    signal(database, add_company(database, 2, state="OH"), "Executive Movement")
    assert scores(database, tier="warm") == [(company_id(1), 60)]
    assert scores(database, state="oh") == [(company_id(2), 40)]
    found = find_intent(database.engine, tier="hot")
    assert (found.companies, found.more) == ((), False)
    assert found.tiers == {"cold": 1, "warm": 1, "engaged": 0, "hot": 0, "burning": 0}
    with pytest.raises(UnknownName, match="tier 'lukewarm'"):
        find_intent(database.engine, tier="lukewarm")


def test_one_tenant_does_not_see_the_signals_of_another(database: Pipeline) -> None:
    signal(database, add_company(database, 1, tenant="second"), "Funding Round", tenant="second")
    own = add_company(database, 2)
    signal(database, own, "Funding Round", tenant="second")
    assert scores(database) == []
    signal(database, own, "Executive Movement")
    assert scores(database) == [(own, 40)]


def test_without_signals_there_is_nobody(database: Pipeline) -> None:
    add_company(database, 1)
    found = find_intent(database.engine)
    assert (found.companies, found.more, set(found.tiers.values())) == ((), False, {0})


def test_looking_changes_nothing(database: Pipeline) -> None:
    signal(database, add_company(database, 1), "Funding Round")
    before = contents(database.engine)
    find_intent(database.engine)
    assert contents(database.engine) == before


def test_many_companies_take_a_few_queries(database: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 101):
        signal(database, add_company(database, number), "Funding Round", number)
    whole = scores(database)
    assert len(whole) == 100
    assert 0 < len(statements_of(database.engine, lambda: scores(database))) < 5
    monkeypatch.setattr(batch, "MOST_VALUES", 7)
    assert scores(database) == whole
