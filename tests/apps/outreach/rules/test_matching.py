from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from phasegate.apps.outreach.rules.matching import match_company, normal_company_name
from tests.apps.outreach.rules.damage import collections, records

Rows = list[dict[str, Any]]

# Two letters exchanged in a word of twenty-five give a likeness of 0.92, in one of twenty 0.90; three in twenty 0.85.
LONG = "abcdefghijklmnopqrstuvwxy"
SHORT = LONG[:20]


def known(name: object, site: object = None, city: object = None, id: str = "c-1") -> dict[str, Any]:
    return {"company_unique_id": id, "company_name": name, "website": site, "address_city": city}


def matched(wanted: dict[str, Any], *companies: dict[str, Any]) -> tuple[str | None, float, str | None]:
    found = match_company(wanted, companies)
    return found.company_unique_id, found.score, found.hold_reason and found.hold_reason.value


def test_an_equal_domain_is_certain() -> None:
    other = known("Other", "https://www.acme.example/about")
    assert matched({"company_name": "Acme", "domain": "acme.example"}, other) == ("c-1", 1.0, None)


@pytest.mark.parametrize("name", ["ACME CORP.", "Acme, Inc.", "acme", " Acme\u00a0Corporation "])
def test_an_equal_name_scores_just_below(name: str) -> None:
    assert matched({"company_name": name}, known("Acme Corp")) == ("c-1", 0.95, None)


def test_a_domain_goes_before_a_name() -> None:
    by_name, by_domain = known("Acme"), known("Beta", "acme.example", id="c-2")
    assert matched({"company_name": "Acme", "website": "acme.example"}, by_name, by_domain) == ("c-2", 1.0, None)


def test_a_likeness_of_ninety_two_is_accepted_anywhere() -> None:
    assert matched({"company_name": "00" + LONG[2:]}, known(LONG)) == ("c-1", 0.92, None)


@pytest.mark.parametrize(("replaced", "likeness"), [(2, 0.9), (3, 0.85)])
def test_a_lower_likeness_needs_the_same_city(replaced: int, likeness: float) -> None:
    similar = "0" * replaced + SHORT[replaced:]
    assert matched({"company_name": similar, "city": " AKRON "}, known(SHORT, city="Akron")) == ("c-1", likeness, None)
    elsewhere = known(SHORT, city="Boise")
    assert matched({"company_name": similar, "city": "Akron"}, elsewhere) == (None, likeness, "low_confidence")
    assert matched({"company_name": similar}, known(SHORT)) == (None, likeness, "low_confidence")


def test_below_that_there_is_no_match() -> None:
    assert matched({"company_name": "0000" + SHORT[4:], "city": "Akron"}, known(SHORT, city="Akron"))[::2] == (
        None,
        "no_match",
    )
    assert matched({"company_name": "Acme"}) == (None, 0.0, "no_match")
    assert matched({"website": "acme.example"}, known("Acme", "other.example")) == (None, 0.0, "no_match")


def test_two_candidates_close_together_are_a_collision() -> None:
    assert matched({"company_name": "Acme"}, known("Acme"), known("Acme Inc", id="c-2")) == (None, 0.95, "collision")
    first, second = "00" + LONG[2:], LONG[:-2] + "00"
    assert matched({"company_name": LONG}, known(first), known(second, id="c-2")) == (None, 0.92, "collision")
    twins = known("Acme", "acme.example"), known("Beta", "acme.example", id="c-2")
    assert matched({"domain": "acme.example"}, *twins) == (None, 1.0, "collision")


def test_three_hundredths_apart_is_still_a_collision_and_more_is_not() -> None:
    at_092 = known("00" + LONG[2:], id="c-2")
    assert matched({"company_name": LONG}, known(LONG), at_092) == (None, 0.95, "collision")
    at_088 = known("000" + LONG[3:], id="c-2")
    assert matched({"company_name": LONG}, known(LONG), at_088) == ("c-1", 0.95, None)


@pytest.mark.parametrize(
    "wanted", [{}, {"company_name": " "}, {"domain": "gmail.com"}, {"website": "http://localhost"}]
)
def test_without_a_name_and_a_domain_of_its_own_data_is_missing(wanted: dict[str, Any]) -> None:
    assert matched(wanted, known("Acme")) == (None, 0.0, "missing_data")


def test_free_mail_is_nobodys_domain() -> None:
    assert matched({"company_name": "Acme", "domain": "gmail.com"}, known("Beta", "gmail.com"))[2] == "no_match"


def test_results_name_their_status() -> None:
    assert match_company({"company_name": "Acme"}, [known("Acme")]).to_result() == {
        "company_unique_id": "c-1",
        "match_score": 0.95,
        "status": "matched",
        "hold_reason": None,
    }
    assert match_company({}, []).to_result()["hold_reason"] == "missing_data"


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("McDonald&#8217;s", "mcdonalds"),
        ("McDonald\u2019s", "mcdonalds"),
        ("Barnes &amp; Noble, Inc.", "barnes and noble"),
        ("Caf\u00e9 Ltd", "cafe"),
        ("The Company", "the"),
        ("Co", "co"),
        (None, ""),
    ],
)
def test_names_are_compared_without_their_dress(name: object, normal: str) -> None:
    assert normal_company_name(name) == normal


@given(records, collections)
def test_any_rows_end_in_a_match_or_a_hold(wanted: object, companies: Rows) -> None:
    found = match_company(wanted, companies)
    assert (found.company_unique_id is None) is (found.hold_reason is not None)
    assert 0 <= found.score <= 1
