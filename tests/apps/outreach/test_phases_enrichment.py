from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phasegate import Engine, PhaseStatus
from phasegate.apps.outreach.enrichment import Entity, ProviderResult
from phasegate.apps.outreach.flow import build_registry
from phasegate.apps.outreach.phases.enrichment import latest_verification
from phasegate.apps.outreach.phases.patterns import find_pattern
from phasegate.apps.outreach.statistics import enrichment_statistics
from tests.apps.outreach.phase_cases import (
    add_companies,
    add_people,
    all_rows,
    company_id,
    opened,
    person,
    person_id,
    rows,
    run,
)
from tests.apps.outreach.pipeline_cases import Clock


def output(engine: Engine, phase: str) -> dict[str, Any]:
    found: dict[str, Any] = run(engine, phase, 1).results[0].output
    return found


class Counting:
    """A provider that knows every address and counts how often it is asked."""

    name, tier = "counting", 1

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.asked: list[str] = []
        self.data = {"email": "found@vendor.example"} if data is None else data

    async def lookup(self, entity: Entity) -> ProviderResult:
        self.asked.append(entity.entity_id)
        return ProviderResult(self.data)


def test_the_pattern_is_read_off_verified_addresses_and_fills_the_gaps(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO"), person(2, 1, "CFO", email=None, email_verification=None)])
        run(engine, "1", 1)
        result = output(engine, "1.5")
        assert (result["email_pattern"], result["pattern_confidence"]) == ("first.last", 0.95)
        derived = rows(engine, "people_master")[1]
        assert (derived["email"], derived["email_class"]) == ("ellis.jarrowc@fairview1.example", "derived")
        assert rows(engine, "company_master")[0]["email_pattern"] == "first.last"
        # Derived is not verified: only the address the file vouches for has a verification.
        assert [each["person_unique_id"] for each in rows(engine, "email_verification")] == [person_id(1)]
        sources = {each["person_unique_id"]: each["enrichment_source"] for each in rows(engine, "contact_enrichment")}
        assert sources == {person_id(1): "record", person_id(2): "pattern"}
        assert result["statistics"]["derived_by_pattern"] == 1


def test_catch_all_domains_prove_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO", email_verification="catch-all")])
        run(engine, "1", 1)
        result = output(engine, "1.5")
        assert (result["email_pattern"], result["pattern_confidence"]) == ("first.last", 0.75)
        assert [each["verification_status"] for each in rows(engine, "email_verification")] == ["risky"]


def test_a_provider_is_asked_for_what_is_missing_once(tmp_path: Path) -> None:
    vendor = Counting()
    with opened(tmp_path, registry=build_registry(providers=[vendor])) as engine:
        add_companies(engine, [1])
        people = [
            person(1, 1, "HR Director", email=None),
            person(2, 1, "CEO", email=None),
            person(3, 1, "Clerk", email=None),
        ]
        add_people(engine, people)
        run(engine, "1", 1)
        result = output(engine, "1.5")
        assert vendor.asked == [person_id(2), person_id(1)]  # CEO before HR, and nobody without a slot
        assert result["statistics"]["total_cost"] == pytest.approx(0.4)
        again = output(engine, "1.5")
        assert len(vendor.asked) == 2
        assert again["statistics"]["total_cost"] == 0
        bought = {each["person_unique_id"]: each for each in rows(engine, "contact_enrichment")}
        assert bought[person_id(2)]["enrichment_source"] == "counting"
        assert bought[person_id(2)]["cost"] == pytest.approx(0.2)


def test_a_dry_run_asks_no_provider(tmp_path: Path) -> None:
    vendor = Counting()
    with opened(tmp_path, registry=build_registry(providers=[vendor])) as engine:
        add_companies(engine, [1])
        add_people(engine, [person(1, 1, "CEO", email=None)])
        run(engine, "1", 1)
        before = all_rows(engine)["contact_enrichment"]
        report = run(engine, "1.5", 1, dry_run=True)
        assert report.results[0].status is PhaseStatus.SUCCEEDED
        assert vendor.asked == []
        assert all_rows(engine)["contact_enrichment"] == before


def test_what_nobody_knows_goes_to_manual_review(tmp_path: Path) -> None:
    with opened(tmp_path, registry=build_registry(providers=[Counting({})])) as engine:
        add_companies(engine, [1], website=None, domain=None)
        add_people(engine, [person(1, 1, "CEO", email=None)])
        run(engine, "1", 1)
        result = output(engine, "1.5")
        assert result["manual_review"] == [company_id(1), person_id(1)]
        assert [each["enrichment_status"] for each in rows(engine, "contact_enrichment")] == ["failed"]


def test_a_missing_site_is_filled_in_and_a_given_one_is_kept(tmp_path: Path) -> None:
    vendor = Counting({"website": "https://vendor.example", "domain": "vendor.example"})
    with opened(tmp_path, registry=build_registry(providers=[vendor])) as engine:
        add_companies(engine, [1], website=None, domain=None)
        add_companies(engine, [2])
        run(engine, "1", 1, 2)
        run(engine, "1.5", 1, 2)
        sites = [(each["website"], each["domain"]) for each in rows(engine, "company_master")]
        assert sites[0] == ("https://vendor.example", "vendor.example")
        assert sites[1] == ("https://www.fairview2.example", "fairview2.example")
        assert vendor.asked == [company_id(1)]


def test_the_statistics_of_enrichment_add_up_and_are_zero_for_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, registry=build_registry(providers=[Counting()])) as engine:
        add_companies(engine, [1, 2])
        add_people(engine, [person(1, 1, "CEO", email=None), person(2, 2, "CFO", email=None), person(3, 2, "CEO")])
        run(engine, "1", 1, 2)
        counts = enrichment_statistics([each.output for each in run(engine, "1.5", 1, 2).results])
        # The CFO's address follows from the CEO's, so that one was bought.
        assert (counts["total_entities"], counts["successful"], counts["derived_by_pattern"]) == (1, 1, 1)
        assert counts["average_cost_per_success"] == pytest.approx(0.2)
        assert counts["by_tier"]["1"]["found"] == 1
        assert enrichment_statistics([])["success_rate"] == 0.0


def test_the_pattern_does_not_depend_on_the_order_of_people() -> None:
    people = [person(1, 1, "CEO"), person(2, 1, "CFO", email="ejarrowc@fairview1.example")]
    assert find_pattern(people) == find_pattern(people[::-1])
    assert find_pattern([]) is None


def test_the_latest_verification_of_the_present_address_counts() -> None:
    clock = Clock()
    one = person(1, 1, "CEO")
    told = {
        "person_unique_id": one["unique_id"],
        "email": one["email"],
        "verification_status": "valid",
        "verified_at": None,
    }
    later = {**told, "verification_status": "invalid", "verified_at": clock.now}
    former = {**told, "email": "former@x.example", "verification_status": "risky", "verified_at": clock.now}
    assert latest_verification(one, [later, told, former]) == "invalid"
    assert latest_verification(one, [told, told | {"verification_status": "unknown"}]) == "unknown"
    assert latest_verification(one, [former]) == "valid"  # what the file said
    assert latest_verification({**one, "email": None}, [told]) is None
