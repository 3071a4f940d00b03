from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.canonical import content_digest
from phasegate.apps.outreach.rules.intent import check_trigger, score_category, score_person, score_statistics
from tests.apps.outreach.rules.damage import NOW, records

PROFILE = "https://linkedin.com/in/jo-garrick"
FRESH = (NOW - timedelta(days=1)).isoformat()


def scored(company: object = None, **person: object) -> dict[str, Any]:
    return score_person(person, company, NOW).to_result()


def triggered(**person: object) -> dict[str, Any]:
    return check_trigger({"person_id": "p-1", "full_name": "Jo Garrick", **person}, NOW).to_result()


def test_a_recently_validated_executive_raises_a_signal() -> None:
    assert triggered(title="CEO", validated_at=FRESH) == {
        "person_id": "p-1",
        "full_name": "Jo Garrick",
        "trigger": True,
        "signal_type": "Executive Movement",
        "reason": "CEO title, validated within 90 days",
    }


@pytest.mark.parametrize(
    ("title", "signal"),
    [
        ("Chief Executive Officer", "Executive Movement"),
        ("VP of Finance", "Executive Movement"),
        ("Chief People Officer", "Leadership Change"),
        ("Head of Talent", "Leadership Change"),
        ("VP, Human Resources", "Leadership Change"),
        ("Throughput Lead", None),
        ("Former CFO", None),
        (None, None),
    ],
)
def test_the_slot_of_the_title_decides_the_signal(title: object, signal: str | None) -> None:
    found = triggered(title=title, validated_at=FRESH)
    assert (found["trigger"], found["signal_type"]) == (signal is not None, signal)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(timedelta(days=90), True), (timedelta(days=90, seconds=1), False), (timedelta(0), True), (timedelta(-1), True)],
)
def test_a_validation_of_ninety_days_is_recent(age: timedelta, expected: bool) -> None:
    assert triggered(title="CEO", validated_at=NOW - age)["trigger"] is expected
    points = 60 if expected else 40
    assert scored(title="CEO", validated_at=NOW - age)["score"] == points


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "No validation is on record"),
        ({"updated_at": FRESH}, "No validation is on record"),
        ({"validated_at": "yesterday"}, "No validation is on record"),
        ({"validated_at": "2026-01-01"}, "Last validation is older than 90 days"),
        ({"validated_at": FRESH, "validation_status": "invalid"}, "Person is not valid"),
        ({"validated_at": FRESH, "title": "Coach"}, "Title is not executive"),
    ],
)
def test_what_raises_no_signal_says_why(changes: dict[str, object], reason: str) -> None:
    found = triggered(**{"title": "CEO", **changes})
    assert (found["trigger"], found["signal_type"], found["reason"]) == (False, None, reason)


def test_ceo_with_linkedin_and_five_hundred_employees_is_hot() -> None:
    assert scored(
        {"employee_count": 500}, person_id="p-1", full_name="Jo Garrick", title="CEO", linkedin_url=PROFILE
    ) == {
        "person_id": "p-1",
        "full_name": "Jo Garrick",
        "score": 100,
        "category": "hot",
        "reason": "CEO title (40) + LinkedIn (30) + 500 employees (30)",
    }


def test_hr_with_linkedin_in_a_company_of_twenty_is_warm() -> None:
    found = scored({"employee_count": 20}, title="Chief People Officer", linkedin_url=PROFILE)
    assert (found["score"], found["category"]) == (55, "warm")


def test_a_cfo_only_is_cold() -> None:
    found = scored(title="CFO")
    assert (found["score"], found["category"], found["reason"]) == (35, "cold", "CFO title (35)")


@pytest.mark.parametrize(
    ("count", "points"), [(None, 0), (50, 0), (51, 30), ("51", 30), ("51-200", 0), (-5, 0), (float("nan"), 0)]
)
def test_only_a_known_head_count_above_fifty_gives_points(count: object, points: int) -> None:
    assert scored({"employee_count": count})["score"] == points


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"email_verified": True}, 15),
        ({"email_verification": "valid"}, 15),
        ({"email_verification": "risky"}, 0),
        ({"email_verification": "catch-all"}, 0),
        ({"linkedin_url": "n/a"}, 0),
        ({"validated_at": FRESH}, 20),
        ({"validated_at": FRESH, "validation_status": "invalid"}, 0),
    ],
)
def test_the_other_weights(changes: dict[str, object], points: int) -> None:
    assert scored(**changes)["score"] == points


def test_the_score_is_clamped_and_the_breakdown_is_not() -> None:
    person = {"title": "CEO", "linkedin_url": PROFILE, "validated_at": FRESH, "email_verified": True}
    found = score_person(person, {"employee_count": 500}, NOW)
    assert found.score == 100
    assert found.breakdown == {
        "title": 40,
        "linkedin": 30,
        "company_size": 30,
        "recent_validation": 20,
        "verified_email": 15,
    }


def test_nothing_known_is_unscored() -> None:
    assert scored() == {
        "person_id": None,
        "full_name": None,
        "score": 0,
        "category": "unscored",
        "reason": "No points",
    }


@pytest.mark.parametrize(
    ("score", "category"),
    [
        (100, "hot"),
        (75, "hot"),
        (74, "warm"),
        (50, "warm"),
        (49, "cold"),
        (25, "cold"),
        (24, "unscored"),
        (0, "unscored"),
    ],
)
def test_categories_begin_at_their_lowest_score(score: int, category: str) -> None:
    assert score_category(score) == category


def test_statistics_of_nothing_are_zero() -> None:
    assert score_statistics([]) == {
        "total": 0, "hot": 0, "warm": 0, "cold": 0, "unscored": 0, "avg_score": 0.0, "max_score": 0, "min_score": 0,
    }  # fmt: skip


def test_statistics_count_and_average() -> None:
    titles = ("CEO", "CFO", "CHRO", "Coach")
    found = score_statistics(score_person({"title": title, "linkedin_url": PROFILE}, {}, NOW) for title in titles)
    assert found == {
        "total": 4, "hot": 0, "warm": 3, "cold": 1, "unscored": 0, "avg_score": 55.0, "max_score": 70, "min_score": 30,
    }  # fmt: skip


@given(records, records)
def test_the_score_stays_in_its_range_and_never_changes(person: object, company: object) -> None:
    found = score_person(person, company, NOW)
    assert 0 <= found.score <= 100
    assert found.score == min(100, sum(found.breakdown.values()))
    assert content_digest(found.to_result()) == content_digest(score_person(person, company, NOW).to_result())


@given(records)
def test_a_trigger_never_raises_and_never_changes(person: object) -> None:
    found = check_trigger(person, NOW).to_result()
    assert found["trigger"] is (found["signal_type"] is not None)
    assert content_digest(found) == content_digest(check_trigger(person, NOW).to_result())
