"""The offline providers: they conclude from the record and invent nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.enrichment import (
    AttemptOutcome,
    Entity,
    OfflineProvider,
    Tier,
    WaterfallResult,
    arrange_tiers,
    cost_summary,
    offline_tiers,
    run_waterfall,
)
from phasegate.apps.outreach.enrichment.offline import bucket


def person(**fields: str) -> Entity:
    known = {"full_name": "Jane Roe", "domain": "acorn.example"}
    return Entity(fields.pop("entity_id", "P1"), "person", {**known, **fields})


def offline(entity: Entity, tiers: tuple[Tier, ...] | None = None) -> WaterfallResult:
    return asyncio.run(run_waterfall(entity, tiers or offline_tiers()))


def test_offline_an_address_follows_from_name_and_domain_and_is_called_derived() -> None:
    result = offline(person())
    assert result.success
    email = result.enriched_data["email"]
    local, domain = email.split("@")
    assert domain == "acorn.example"
    assert local in {"jane.roe", "janeroe", "jroe", "jane", "jane_roe", "roej", "j.roe", "roe.jane"}
    assert result.enriched_data["email_confidence"] == "derived"
    assert offline(person()).enriched_data == result.enriched_data


def test_offline_one_domain_has_one_pattern_and_domains_differ() -> None:
    def local(domain: str, name: str) -> str:
        (tier,) = arrange_tiers([OfflineProvider("all", 1)])
        return str(offline(person(domain=domain, full_name=name), (tier,)).enriched_data["email"]).split("@")[0]

    domains = [f"company{number}.example" for number in range(200)]
    assert all(local(each, "Jane Roe") == local(each, "Jane Roe") for each in domains[:5])
    pairs = {(local(each, "Jane Roe"), local(each, "Kim Oak")) for each in domains}
    assert len(pairs) == 8
    assert len({jane for jane, _ in pairs}) == len({kim for _, kim in pairs}) == 8


@pytest.mark.parametrize(
    "fields",
    [
        {"domain": ""},
        {"domain": "localhost"},
        {"domain": "", "website": "http://localhost"},
        {"full_name": "Jane"},
        {"full_name": ""},
        {"full_name": "\u738b \u4f1f"},
    ],
)
def test_offline_nothing_is_invented(fields: dict[str, str]) -> None:
    result = offline(person(**fields))
    assert not result.success
    assert result.manual_review
    assert result.enriched_data == {}
    assert [tier.tier for tier in result.tier_results] == [1, 2, 3]
    assert result.total_cost == 0


def test_offline_accents_and_marks_become_plain_letters() -> None:
    entity = person(full_name="S\u00f8ren D'Ambr\u00f3se", domain="", website="https://www.acorn.example/x")
    local = str(offline(entity).enriched_data["email"]).split("@")[0]
    assert local.isascii()
    assert set(local) <= set("sorendambrose._")


def test_offline_the_tiers_share_the_work() -> None:
    results = [offline(person(entity_id=f"P{number}")) for number in range(200)]
    assert all(result.success for result in results)
    finals = [result.final_tier for result in results]
    assert 90 < finals.count(1) < 150
    assert 30 < finals.count(2) < 90
    assert 3 < finals.count(3) < 50
    assert cost_summary(results)["successful"] == 200


def test_offline_a_company_gets_a_domain_and_a_complete_address() -> None:
    entity = Entity("C1", "company", {"company_name": "Acorn", "website": "www.acorn.example/about"})
    result = asyncio.run(run_waterfall(entity, offline_tiers(), wanted=("domain",)))
    assert result.enriched_data == {"domain": "acorn.example", "domain_confidence": "derived"}
    bare = Entity("C2", "company", {"domain": "acorn.example"})
    found = asyncio.run(run_waterfall(bare, offline_tiers(), wanted=("website",)))
    assert found.enriched_data == {"website": "https://acorn.example", "website_confidence": "derived"}


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["person", "company"]))
def test_offline_any_record_is_answered(name: str, site: str, kind: str) -> None:
    provider = OfflineProvider("all", 1)
    entity = Entity("x", kind, {"full_name": name, "website": site})
    found = asyncio.run(provider.lookup(entity))
    assert found == asyncio.run(provider.lookup(entity))
    assert found.derived == frozenset(found.data)
    if "email" in found.data:
        assert found.data["email"].isascii()


def test_buckets_depend_on_nothing_but_the_text() -> None:
    assert [bucket(text) for text in ("a", "b", "acorn.example")] == [50, 46, 28]
    assert AttemptOutcome("found") is AttemptOutcome.FOUND
