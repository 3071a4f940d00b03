from __future__ import annotations

from random import Random
from string import ascii_lowercase, digits
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz, process

from phasegate.apps.outreach.rules.matching import CompanyIndex, match_company, normal_company_name
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


def test_the_order_of_words_says_nothing() -> None:
    assert matched({"company_name": "Mills of Aspen"}, known("Aspen, Mills of")) == ("c-1", 0.95, None)


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


@pytest.mark.parametrize(
    ("common", "lone", "outcome"),
    [(439, 77, (None, 0.85, "low_confidence")), (218, 38, (None, 0.0, "no_match"))],
)
def test_a_likeness_is_rounded_before_it_is_judged(common: int, lone: int, outcome: tuple[Any, ...]) -> None:
    # 878 / 1033 is 0.84995 and 436 / 513 is 0.84990.
    name, other = "a" * common + "b" * lone, "a" * common + "c" * (lone + 1)
    assert matched({"company_name": name}, known(other)) == outcome


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


# --- the index ------------------------------------------------------------------------------------------------------


def comparing_all(wanted: dict[str, Any], companies: Rows) -> tuple[str | None, float, str | None]:
    """The rule as it is written down, for rows whose domain and city need no cleaning."""
    name = normal_company_name(wanted["company_name"])
    if not name and wanted["domain"] is None:
        return None, 0.0, "missing_data"

    def score(company: dict[str, Any]) -> float:
        if wanted["domain"] is not None and wanted["domain"] == company["domain"]:
            return 1.0
        other = normal_company_name(company["company_name"])
        likeness = round(fuzz.token_sort_ratio(name, other) / 100, 4) if name and other else 0.0
        return min(0.95, likeness)

    found = sorted((each for each in companies if score(each) >= 0.85), key=score, reverse=True)
    if not found:
        return None, 0.0, "no_match"
    best = score(found[0])
    if len(found) > 1 and round(best - score(found[1]), 4) <= 0.03:
        return None, best, "collision"
    if best < 0.92 and not (wanted["city"] and wanted["city"] == found[0]["city"]):
        return None, best, "low_confidence"
    return found[0]["company_unique_id"], best, None


@st.composite
def neighbours(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows about companies whose names are mostly a few letters apart."""
    name = draw(st.text("abcdefgh \u00e9&", max_size=30))

    def changed() -> str:
        letters = list(name)
        for _ in range(draw(st.integers(0, 6))):
            place = draw(st.integers(0, len(letters)))
            letters[place : place + draw(st.integers(0, 1))] = draw(st.sampled_from(["", "x", "y", " "]))
        words = "".join(letters).split()
        return " ".join(draw(st.permutations(words)) if draw(st.booleans()) else words)

    def row(number: int) -> dict[str, Any]:
        return {
            "company_unique_id": f"c-{number}",
            "company_name": changed() + draw(st.sampled_from(["", "", " Inc.", ", LLC"])),
            "domain": draw(st.sampled_from([None, None, None, None, "a.example", "b.example"])),
            "city": draw(st.sampled_from(["", "akron", "boise"])),
        }

    return [row(number) for number in range(draw(st.integers(2, 7)))]


@given(neighbours())
def test_an_index_gives_what_comparing_with_every_company_gives(found: Rows) -> None:
    first, second, *companies = found
    index = CompanyIndex(companies)
    for wanted in (first, second, *companies):
        match = index.match(wanted)
        told = match.company_unique_id, match.score, match.hold_reason and match.hold_reason.value
        assert told == comparing_all(wanted, companies)


@pytest.mark.parametrize("length", range(2, 36))
def test_an_index_misses_nobody_whose_common_pieces_are_frequent(length: int) -> None:
    name = (ascii_lowercase + digits)[:length]
    # As many letters as may be left out, each as far from the next as possible, so that as little as can be is common.
    lost = max(count for count in range(length) if 2 * (length - count) / (2 * length - count) >= 0.85)
    places = {(number + 1) * length // (lost + 1) for number in range(lost)}
    similar = "".join(letter for place, letter in enumerate(name) if place not in places)
    others = [known(similar + mark * 2 * length, id=f"c-{mark}") for mark in "xyz"]
    index = CompanyIndex([known(similar, city="Akron"), *others])
    assert index.match({"company_name": name, "city": "Akron"}).company_unique_id == "c-1"


def test_finding_one_company_compares_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def counting(query: str, choices: set[str], **options: Any) -> Any:
        compared.append(len(choices))
        return extract(query, choices, **options)

    extract = process.extract
    monkeypatch.setattr(process, "extract", counting)
    letters = Random(1)
    names = ["".join(letters.choices(ascii_lowercase, k=18)) + "mills" for _ in range(400)]
    index = CompanyIndex(known(name, id=name) for name in names)
    assert index.match({"company_name": names[0][1:]}).company_unique_id == names[0]
    assert compared[0] < len(names) / 5


def test_companies_without_an_id_are_left_out_of_an_index() -> None:
    index = CompanyIndex([known("Acme", "acme.example", id=""), known("Acme Mills", id="c-2")])
    assert index.match({"company_name": "Acme", "domain": "acme.example"}).hold_reason == "no_match"
    assert index.match({"company_name": "Acme Mills"}).company_unique_id == "c-2"
