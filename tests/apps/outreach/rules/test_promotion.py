from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegate.apps.outreach.rules.canonical import content_digest
from phasegate.apps.outreach.rules.promotion import Campaign, Campaigns, evaluate_promotion, next_working_day
from tests.apps.outreach.rules.damage import NOW, records

PERSON: dict[str, object] = {
    "person_id": "p-1",
    "full_name": "Jo Garrick",
    "bit_score": 55,
    "email_verified": True,
    "linkedin_url": "https://linkedin.com/in/jo-garrick",
}
COMPANY: dict[str, object] = {"company_name": "Acme Corp", "state": "WV", "outreach_ready": True}
BOOK = Campaigns(default=Campaign("general", "general-1", "hello"), by_state={"WV": Campaign("wv", "wv-1", "hills")})


def promoted(**changes: object) -> dict[str, Any]:
    return evaluate_promotion({**PERSON, **changes}, COMPANY, NOW, BOOK).to_result()


def test_who_meets_all_four_rules_is_promoted_with_the_campaign_of_the_state() -> None:
    assert promoted() == {
        "person_id": "p-1",
        "full_name": "Jo Garrick",
        "company_name": "Acme Corp",
        "status": "promoted",
        "campaign_id": "wv",
        "sequence_id": "wv-1",
        "personalization_template": "hills",
        "send_date": "2026-11-23",
        "timestamp": "2026-11-20T12:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bit_score": 49}, "score 49 is below 50"),
        ({"bit_score": None}, "score is missing"),
        ({"bit_score": "many"}, "score is missing"),
        ({"email_verified": False}, "email is not verified"),
        ({"linkedin_url": None}, "LinkedIn URL is missing"),
        ({"bit_score": 35, "linkedin_url": ""}, "score 35 is below 50; LinkedIn URL is missing"),
    ],
)
def test_who_misses_a_rule_is_skipped_with_every_reason(changes: dict[str, object], reason: str) -> None:
    assert promoted(**changes) == {
        "person_id": "p-1",
        "full_name": "Jo Garrick",
        "company_name": "Acme Corp",
        "status": "skipped",
        "reason": reason,
    }


@pytest.mark.parametrize("ready", [False, None])
def test_the_company_must_be_ready(ready: object) -> None:
    found = evaluate_promotion(PERSON, {**COMPANY, "outreach_ready": ready}, NOW)
    assert (found.promoted, found.reasons, found.key) == (False, ("company is not outreach ready",), None)


def test_fifty_is_enough_under_either_name() -> None:
    row = {name: value for name, value in PERSON.items() if name != "bit_score"}
    assert evaluate_promotion({**row, "score": 50}, COMPANY, NOW).promoted
    assert evaluate_promotion({**row, "score": 49.9}, COMPANY, NOW).promoted is False


def test_the_vectors_of_the_scores() -> None:
    assert [promoted(bit_score=score)["status"] for score in (100, 55, 35)] == ["promoted", "promoted", "skipped"]


def test_a_person_and_a_campaign_make_the_key() -> None:
    first = evaluate_promotion(PERSON, COMPANY, NOW, BOOK)
    again = evaluate_promotion(PERSON, COMPANY, NOW + timedelta(days=3), BOOK)
    assert first.key == again.key == ("p-1", "wv")


@pytest.mark.parametrize(("state", "campaign"), [("wv", "wv"), (" WV ", "wv"), ("OH", "general"), (None, "general")])
def test_the_campaign_is_found_by_state(state: object, campaign: str) -> None:
    assert BOOK.for_state(state).campaign_id == campaign


def test_the_state_of_the_database_column_is_read() -> None:
    found = evaluate_promotion(PERSON, {"outreach_ready": 1, "address_state": "WV"}, NOW, BOOK)
    assert found.key == ("p-1", "wv")


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 11, 19), date(2026, 11, 20)),
        (date(2026, 11, 20), date(2026, 11, 23)),
        (date(2026, 11, 21), date(2026, 11, 23)),
        (date(2026, 11, 22), date(2026, 11, 23)),
    ],
)
def test_the_next_working_day_jumps_over_the_weekend(today: date, expected: date) -> None:
    assert next_working_day(today) == expected


def test_holidays_are_jumped_over_too() -> None:
    assert next_working_day(date(2026, 11, 20), {date(2026, 11, 23)}) == date(2026, 11, 24)


@given(st.dates(max_value=date(9999, 1, 1)))
def test_the_send_date_is_a_working_day_soon(today: date) -> None:
    found = next_working_day(today)
    assert timedelta(days=1) <= found - today <= timedelta(days=3)
    assert found.weekday() < 5


@given(records, records)
def test_a_promotion_never_raises_and_never_changes(person: object, company: object) -> None:
    found = evaluate_promotion(person, company, NOW)
    assert found.promoted is (not found.reasons)
    again = evaluate_promotion(person, company, NOW)
    assert content_digest(found.to_result()) == content_digest(again.to_result())
